"""Rows to values and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import urlsplit

from hookbox.delivery.models import (
    Attempt,
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    Kind,
    Message,
    MessageId,
    Source,
    State,
    Trigger,
    Wishes,
)

MESSAGE = (
    "seq, id, topic, offset, epoch, time_ms, source, originator, type, content_type, body, payload, hops, "
    "whole"
)
MESSAGE_HEAD = MESSAGE.replace("body, payload", "x'', ''")
"""A message without what it says."""
DELIVERY = (
    "id, seq, endpoint, url, wishes, state, attempts, failures, due_ms, reason, last_status, tag, "
    "created_ms, done_ms, ordering, failing_ms"
)
ATTEMPT = "n, cause, start_ms, took_ms, outcome, status, address, request, response, body, detail"
ENDPOINT = "id, url, created_ms, kind, topic, host, lease_until_ms, renew_ms, about"

Row = Sequence[Any]

_COLUMNS = ("id", "url", "created_ms", "kind", "lease_until_ms", "renew_ms")
"""Of an endpoint, what has a column of its own."""
_NO_WISHES = Wishes()
_WISHES = tuple(field.name for field in fields(Wishes))


def marks(columns: str) -> str:
    """As many question marks as there are columns."""
    return ", ".join("?" * (columns.count(",") + 1))


def message_row(message: Message) -> Row:
    """A message's row, in the order of `MESSAGE`."""
    m = message
    return (
        m.seq, m.id, m.topic, m.offset, m.epoch, m.time_ms, m.source.value, m.originator, m.type,
        m.content_type, m.body, m.payload, m.hops, m.whole,
    )  # fmt: skip


def read_message(row: Row) -> Message:
    """A message from its row."""
    seq, name, topic, offset, epoch, time_ms, source, originator, kind, content_type, body, payload = row[:12]
    hops, whole = row[12:]
    return Message(
        seq, MessageId(name), time_ms, Source(source), content_type, body, payload, topic, offset, epoch,
        originator, kind, hops, bool(whole),
    )  # fmt: skip


def delivery_row(delivery: Delivery) -> Row:
    """A delivery's row, in the order of `DELIVERY`."""
    d = delivery
    return (
        d.id, d.seq, d.endpoint, d.url, wishes_text(d.wishes), d.state.value, d.attempts, d.failures,
        d.due_ms, d.reason, d.last_status, d.wishes.tag, d.created_ms, d.done_ms, d.order,
        d.failing_ms,
    )  # fmt: skip


def read_delivery(row: Row) -> Delivery:
    """A delivery from its row."""
    (
        name, seq, endpoint, url, wishes, state, attempts, failures, due, reason, status, _tag, created, done,
        order, failing,
    ) = row  # fmt: skip
    return Delivery(
        DeliveryId(name), seq, url, read_wishes(wishes), State(state), due, created,
        None if endpoint is None else EndpointId(endpoint), attempts, failures, reason, status, done, order,
        failing,
    )  # fmt: skip


def wishes_text(wishes: Wishes) -> str:
    """Wishes as JSON text, without what was not wished."""
    given = {name: getattr(wishes, name) for name in _WISHES}
    return json.dumps({name: value for name, value in given.items() if value != getattr(_NO_WISHES, name)})


def read_wishes(text: str) -> Wishes:
    """Wishes from their JSON text."""
    given = json.loads(text)
    if "secrets" in given:
        given["secrets"] = tuple(given["secrets"])
    if "headers" in given:
        given["headers"] = _pairs(given["headers"])
    if "retry" in given:
        given["retry"] = tuple(given["retry"])
    return Wishes(**given)


def attempt_row(attempt: Attempt) -> Row:
    """An attempt's row, in the order of `ATTEMPT`."""
    a = attempt
    return (
        a.n, a.trigger.value, a.start_ms, a.took_ms, a.outcome, a.status, a.address, json.dumps(a.request),
        json.dumps(a.response), a.body, a.detail,
    )  # fmt: skip


def read_attempt(row: Row) -> Attempt:
    """An attempt from its row."""
    n, cause, start, took, outcome, status, address, request, response, body, detail = row
    return Attempt(
        n, Trigger(cause), start, took, outcome, status, address, _pairs(json.loads(request)),
        _pairs(json.loads(response)), body, detail,
    )  # fmt: skip


def endpoint_row(endpoint: Endpoint) -> Row:
    """An endpoint's row, in the order of `ENDPOINT`."""
    about = asdict(endpoint)
    for name in _COLUMNS:
        del about[name]
    e = endpoint
    topic, host = (e.topics[0], host_of(e.url)) if e.is_subscription else (None, "")
    return (
        e.id, e.url, e.created_ms, e.kind.value, topic, host, e.lease_until_ms, e.renew_ms, json.dumps(about),
    )  # fmt: skip


def read_endpoint(row: Row) -> Endpoint:
    """An endpoint from its row."""
    name, url, created_ms, kind, _topic, _host, lease_until_ms, renew_ms, about = row
    given = json.loads(about)
    for field in ("topics", "retry"):
        given[field] = None if given[field] is None else tuple(given[field])
    for field in ("secrets", "headers"):
        given[field] = _pairs(given[field])
    given["rate"] = tuple(given["rate"])
    return Endpoint(
        id=EndpointId(name), url=url, created_ms=created_ms, kind=Kind(kind), lease_until_ms=lease_until_ms,
        renew_ms=renew_ms, **given,
    )  # fmt: skip


def host_of(url: str) -> str:
    """Whose a callback is: the host of its URL, in lower case."""
    return urlsplit(url).hostname or ""


def _pairs(value: list[list[Any]]) -> tuple[tuple[Any, Any], ...]:
    return tuple((first, second) for first, second in value)
