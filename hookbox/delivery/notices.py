"""What is told about deliveries: errbacks to whoever wants to know of trouble, and what a receiver answered.

A notice is a message like any other, kept and tried again; but there are never notices of notices.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from hookbox.core.values import JSONObject
from hookbox.delivery.content import JSON_TYPE
from hookbox.delivery.ids import ulid
from hookbox.delivery.models import (
    Attempt,
    Delivery,
    DeliveryId,
    Endpoint,
    Message,
    MessageId,
    Source,
    State,
    Wishes,
)
from hookbox.delivery.outcome import MASKED
from hookbox.delivery.sender import Sent
from hookbox.delivery.store.base import Entry
from hookbox.protocol.json_text import dump

SUCCEEDED: Final = "delivery.succeeded"
ERRBACKS: Final = frozenset(
    (
        "delivery.failing", "delivery.dead", "delivery.recovered", "endpoint.disabled", "endpoint.enabled",
        "endpoint.overflow", "subscription.expired", "verification.failed", "fetch.failed",
    )
)  # fmt: skip
"""Types of what tells of trouble."""
FAILING_AFTER: Final = 4
"""Failures after which somebody is told that a delivery has trouble."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell.

    Args:
        type: e.g. `delivery.dead`.
        url: who is told.
        secrets: that sign it.
        hops: of the message it is about.
    """

    type: str
    url: str
    data: JSONObject = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    hops: int = 0

    def entry(self, seq: int, now_ms: int) -> Entry:
        """The message and its delivery, as they are kept.

        Args:
            seq: its number.
        """
        text = dump({"type": self.type, "timestamp": iso(now_ms), "data": self.data})
        message = Message(
            seq, MessageId(f"msg_{ulid(now_ms)}"), now_ms, Source.SYSTEM, JSON_TYPE, text.encode(), text,
            type=self.type, hops=self.hops,
        )  # fmt: skip
        delivery = Delivery(
            DeliveryId(f"dlv_{ulid(now_ms)}"), seq, self.url, Wishes(self.secrets), State.SCHEDULED, now_ms,
            now_ms,
        )  # fmt: skip
        return Entry(message, (delivery,))


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told about a delivery, and how it is signed.

    Args:
        errback: URL told of trouble, empty for none.
        callback: URL told of the answer, empty for none.
    """

    errback: str = ""
    callback: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)


def of_delivery(
    before: Delivery,
    now: Delivery,
    message: Message,
    told: Told,
    attempt: Attempt | None = None,
    sent: Sent | None = None,
) -> list[Notice]:
    """What is to tell after something happened to a delivery.

    Args:
        before, now: how it stood, and how it stands.
        attempt: the one that ended, None for none.
        sent: what came of it.
    """
    if message.source is Source.SYSTEM:
        return []
    notices = []
    type = _errback_type(before, now)
    data = _about(now, message, attempt)
    if type and told.errback:
        notices.append(Notice(type, told.errback, data, told.secrets, message.hops))
    if now.state is State.SUCCEEDED and told.callback and sent is not None:
        answered = {**data, "response": _response(sent)}
        notices.append(Notice(SUCCEEDED, told.callback, answered, told.secrets, message.hops))
    return notices


def of_endpoint(type: str, endpoint: Endpoint, told: Told) -> list[Notice]:
    """What is to tell after something happened to an endpoint."""
    data: JSONObject = {
        "endpoint_id": endpoint.id,
        "url": masked(endpoint.url),
        "description": endpoint.description,
        "tag": endpoint.tag,
        "reason": endpoint.state_reason,
        "failing_since": iso(endpoint.first_failure_ms) if endpoint.first_failure_ms else None,
    }
    return [Notice(type, told.errback, data, told.secrets)] if told.errback else []


def of_hub(
    type: str, url: str, topic: str, reason: str, told: Told, attempts: int = 0, sent: Sent | None = None
) -> list[Notice]:
    """What is to tell after something happened at the hub, in the shape of what is told about deliveries.

    Args:
        type: `subscription.expired`, `verification.failed` or `fetch.failed`.
        url: the subscriber's callback, or the topic that could not be fetched.
        attempts: made in vain.
        sent: what came of the last one.
    """
    last: JSONObject | None = None
    if sent is not None:
        last = {"class": sent.outcome, "status": sent.status, "body": "", "at": None}
    data: JSONObject = {
        "message_id": None,
        "delivery_id": None,
        "url": masked(url),
        "topic": topic,
        "tag": "",
        "attempts": attempts,
        "reason": reason,
        "last": last,
    }
    return [Notice(type, told.errback, data, told.secrets)] if told.errback else []


def is_errback(message: Message) -> bool:
    """Whether a message tells of trouble."""
    return message.source is Source.SYSTEM and message.type in ERRBACKS


def _errback_type(before: Delivery, now: Delivery) -> str:
    if now.state in (State.DEAD, State.CANCELLED):
        return "delivery.dead"
    if now.state is State.SUCCEEDED:
        return "delivery.recovered" if now.failures >= FAILING_AFTER else ""
    return "delivery.failing" if before.failures < FAILING_AFTER <= now.failures else ""


def _about(delivery: Delivery, message: Message, attempt: Attempt | None) -> JSONObject:
    cancelled = delivery.state is State.CANCELLED
    return {
        "message_id": message.id,
        "delivery_id": delivery.id,
        "url": masked(delivery.url),
        "topic": message.topic,
        "tag": delivery.wishes.tag,
        "attempts": delivery.attempts,
        "reason": "cancelled" if cancelled else delivery.reason,
        "last": _last(attempt),
    }


def _last(attempt: Attempt | None) -> JSONObject | None:
    if attempt is None:
        return None
    return {
        "class": attempt.outcome,
        "status": attempt.status,
        "body": attempt.body.decode("utf-8", "replace"),
        "at": iso(attempt.start_ms),
    }


def _response(sent: Sent) -> JSONObject:
    about: JSONObject = {
        "status": sent.status,
        "headers": [[name, value] for name, value in sent.headers if name.lower() != "set-cookie"],
        "truncated": sent.truncated,
    }
    try:
        about["body"] = sent.body.decode()
    except UnicodeDecodeError:
        about["body_base64"] = b64encode(sent.body).decode()
    return about


def iso(time_ms: int) -> str:
    """A time as notices have it, UTC with milliseconds."""
    text = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time_ms % 1000:03d}Z"


def masked(url: str) -> str:
    """A URL without the name and password in it."""
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    return url.replace(f"{userinfo}@", f"{MASKED}@", 1) if at else url
