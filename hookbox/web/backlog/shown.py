"""Messages, deliveries, endpoints and jobs as JSON. Secrets and passwords are masked."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Final

from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.models import Attempt, Endpoint, Message, Wishes
from hookbox.delivery.notices import iso, masked
from hookbox.delivery.outcome import MASKED, is_secret
from hookbox.delivery.store.backlog import Job
from hookbox.delivery.store.base import Finished
from hookbox.delivery.store.looking import Headline, Listed
from hookbox.webhooks.signing import Secret

MASKED_SECRET: Final = f"whsec_{MASKED}"


def time(time_ms: int | None) -> str | None:
    """A time, None for never."""
    return iso(time_ms) if time_ms else None


def headline(message: Headline | Message) -> JSONObject:
    """A message without its content."""
    size = message.size if isinstance(message, Headline) else len(message.body)
    return {
        "id": message.id,
        "seq": message.seq,
        "time": time(message.time_ms),
        "source": message.source.value,
        "topic": message.topic or None,
        "offset": message.offset if message.epoch else None,
        "epoch": message.epoch or None,
        "originator": message.originator or None,
        "type": message.type or None,
        "content_type": message.content_type,
        "size": size,
    }


def message(message: Message) -> JSONObject:
    """A message with its content, as text if it is."""
    content = message.payload.encode() if message.telling else message.body
    return {**headline(message), "hops": message.hops, **body(content)}


def body(content: bytes) -> JSONObject:
    """Some bytes: as text if they are UTF-8, else in base64."""
    try:
        return {"body": content.decode()}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(content).decode()}


def delivery(listed: Listed) -> JSONObject:
    """A delivery."""
    about = listed.delivery
    return {
        "id": about.id,
        "message_id": listed.message,
        "seq": about.seq,
        "topic": listed.topic or None,
        "type": listed.type or None,
        "url": masked(about.url),
        "endpoint": about.endpoint,
        "state": about.state.value,
        "reason": about.reason or None,
        "attempts": about.attempts,
        "failures": about.failures,
        "last_status": about.last_status or None,
        "tag": about.wishes.tag or None,
        "created": time(about.created_ms),
        "due": None if about.state.over else time(about.due_ms),
        "done": time(about.done_ms),
    }


def finished(about: Finished) -> JSONObject:
    """What became of an attempt, for those who look on."""
    made = about.delivery
    last = about.attempt
    return {
        "id": made.id,
        "seq": made.seq,
        "url": masked(made.url),
        "endpoint": made.endpoint,
        "state": made.state.value,
        "reason": made.reason or None,
        "attempts": made.attempts,
        "failures": made.failures,
        "last_status": made.last_status or None,
        "class": last.outcome if last else None,
        "took_ms": last.took_ms if last else None,
        "due": None if made.state.over else time(made.due_ms),
        "done": time(made.done_ms),
    }


def wishes(given: Wishes) -> JSONObject:
    """What was wished for a delivery."""
    return {
        "signed": bool(given.secrets),
        "headers": headers(given.headers),
        "retry": None if given.retry is None else list(given.retry),
        "timeout": given.timeout,
        "expires": time(given.expires_ms),
        "errback": masked(given.errback) or None,
        "callback": masked(given.callback) or None,
    }


def headers(pairs: Iterable[tuple[str, str]]) -> list[JSON]:
    """Headers, in order; what authorises is masked."""
    return [[name, MASKED if is_secret(name) else value] for name, value in pairs]


def attempt(made: Attempt) -> JSONObject:
    """One try of a delivery."""
    return {
        "n": made.n,
        "trigger": made.trigger.value,
        "time": time(made.start_ms),
        "took_ms": made.took_ms,
        "class": made.outcome,
        "status": made.status or None,
        "address": made.address or None,
        "detail": made.detail or None,
        "request": {"headers": headers(made.request)},
        "response": {"headers": headers(made.response), **body(made.body)} if made.status else None,
    }


def endpoint(about: Endpoint, secret: str = "") -> JSONObject:
    """An endpoint.

    Args:
        secret: shown in full, as it was made just now; empty for none.
    """
    starts, seconds = about.rate
    shown: JSONObject = {
        "id": about.id,
        "kind": kind(about),
        "url": masked(about.url),
        "topics": list(about.topics),
        "filter": about.filter,
        "secrets": [_secret(text, until_ms) for text, until_ms in about.secrets],
        "headers": {name: MASKED if is_secret(name) else value for name, value in about.headers},
        "ordered": about.ordered,
        "block_max": about.block_max,
        "rate": f"{starts}/{seconds:g}" if starts else None,
        "retry": None if about.retry is None else list(about.retry),
        "timeout": about.timeout,
        "errback": masked(about.errback) or None,
        "description": about.description,
        "tag": about.tag,
        "redirects": "success" if about.redirects_succeed else "failure",
        "state": about.state,
        "reason": about.state_reason or None,
        "created": time(about.created_ms),
        "changed": time(about.changed_ms),
        "paused_until": time(about.paused_until_ms),
        "failing_since": time(about.first_failure_ms),
        "failures": about.failures,
    }
    if secret:
        shown["secret"] = secret
    return shown


def kind(about: Endpoint) -> str:
    """How an endpoint came to be: `registered` by an operator or the application, or by `websub`."""
    return about.kind.value


def _secret(text: str, until_ms: int) -> JSONObject:
    raw = Secret.read(text).raw
    return {"secret": MASKED if raw else MASKED_SECRET, "raw": raw, "valid_until": time(until_ms)}


def subscription(about: Endpoint) -> JSONObject:
    """A subscription by WebSub."""
    shown: JSONObject = {
        "id": about.id,
        "topic": about.topics[0] if about.topics else None,
        "callback": about.url,
        "signed": bool(about.hub_secret),
        "dialect": about.dialect,
        "lease_until": time(about.lease_until_ms),
        "state": about.state,
        "created": time(about.created_ms),
        "failing_since": time(about.first_failure_ms),
    }
    return shown


def job(about: Job) -> JSONObject:
    """A job."""
    return {
        "id": about.id,
        "kind": about.kind,
        "state": about.state,
        "done": about.done,
        "count": about.count,
        "problem": about.problem or None,
        "created": time(about.created_ms),
        "ended": time(about.ended_ms),
    }
