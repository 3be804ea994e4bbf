"""Where operators look: statements that each look at a bounded number of rows, in the store's thread.

First comes the edge, the row up to which one statement looks; then what is wanted on this side of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from hookbox.delivery.ids import first_ulid
from hookbox.delivery.models import Delivery, MessageId, Source, State
from hookbox.delivery.store import rows, tables
from hookbox.delivery.store.base import PAGE, Search

LOOKED_AT: Final = 500
"""Rows that one call looks at ..."""
SEARCHED: Final = PAGE
"""... if it looks at bodies ..."""
LARGEST_SEARCHED: Final = 64 * 1024
"""... and bytes of a body up to which it does."""
LAST_SEQ: Final = 2**63 - 1
UNDELIVERED: Final = frozenset({State.DEAD, State.HELD, State.CANCELLED})

LISTED: Final = ", ".join(f"deliveries.{name}" for name in rows.DELIVERY.split(", ")) + (
    ", messages.id, messages.topic, messages.type"
)
_UNDELIVERED = "deliveries.state IN ('dead', 'held', 'cancelled')"  # as in the index
_HEADLINE = "seq, id, time_ms, source, content_type, length(body), topic, offset, epoch, originator, type"

T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Headline:
    """A message without its content, see `Message`.

    Args:
        size: bytes of the body.
    """

    seq: int
    id: MessageId
    time_ms: int
    source: Source
    content_type: str
    size: int
    topic: str
    offset: int
    epoch: str
    originator: str
    type: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A delivery, and what its message is called."""

    delivery: Delivery
    message: MessageId
    topic: str
    type: str


@dataclass(frozen=True, slots=True)
class Stretch(Generic[T, P]):
    """What was found on a stretch of a table.

    Args:
        found: in order.
        place: behind which to go on; None at the end.
    """

    found: list[T]
    place: P | None


@dataclass(frozen=True, slots=True)
class Sought:
    """Which messages to list; empty and None fields do not matter.

    Args:
        text: contained in topic, type, originator or a body of up to 64 KiB; or the id.
        before: continue behind that `seq`.
    """

    topic: str = ""
    text: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    before: int = LAST_SEQ
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that may be delivered again.

    Args:
        payload: JSON text, empty unless it was asked for.
    """

    seq: int
    payload: str = field(default="", repr=False)


def deliveries(db: sqlite3.Connection, search: Search, after: str | None) -> Stretch[Listed, str]:
    """Deliveries, newest first.

    Args:
        after: not None for oldest first, behind that id; empty for the beginning.
    """
    limit = min(search.limit, PAGE)
    order, side = ("DESC", ">=") if after is None else ("ASC", "<=")
    index, bounds = _stretch_of_deliveries(search, after)
    edge = db.execute(
        f"SELECT id FROM deliveries {index} {_where(bounds)} ORDER BY id {order} LIMIT 1 OFFSET ?",
        (*_values(bounds), LOOKED_AT - 1),
    ).fetchone()
    wanted = [*bounds, *([(f"deliveries.id {side} ?", edge)] if edge else [])]
    conditions, values = tables.conditions(replace(search, before=""))
    found = db.execute(
        f"SELECT {LISTED} FROM deliveries {index} CROSS JOIN messages USING (seq) "
        f"{_where(wanted, conditions)} ORDER BY deliveries.id {order} LIMIT ?",
        (*_values(wanted), *values, limit),
    ).fetchall()
    listed = [read_listed(row) for row in found]
    if len(found) == limit:
        return Stretch(listed, listed[-1].delivery.id)
    return Stretch(listed, edge[0] if edge else None)


Bounds = list[tuple[str, tuple[object, ...]]]
"""Conditions, and the values of each."""


def _where(bounds: Bounds, more: Sequence[str] = ()) -> str:
    conditions = [*(condition for condition, _ in bounds), *more]
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _values(bounds: Bounds) -> list[object]:
    return [value for _, values in bounds for value in values]


def _stretch_of_deliveries(search: Search, after: str | None) -> tuple[str, Bounds]:
    """The best index, and what bounds the stretch; an id begins with its time."""
    low = "" if search.since_ms is None else f"dlv_{first_ulid(search.since_ms)}"
    high = "" if search.until_ms is None else f"dlv_{first_ulid(search.until_ms + 1)}"
    given = {">=": [low], "<": [high, search.before], ">": [after or ""]}
    bounds: Bounds = [
        (f"deliveries.id {sign} ?", (v,)) for sign, values in given.items() for v in values if v
    ]
    if search.message is not None:
        seq = "deliveries.seq = (SELECT seq FROM messages WHERE id = ?)"
        return "INDEXED BY deliveries_of_message", [*bounds, (seq, (search.message,))]
    if search.states and UNDELIVERED.issuperset(search.states):
        return "INDEXED BY deliveries_undelivered", [*bounds, (_UNDELIVERED, ())]
    return "", bounds


def read_listed(row: rows.Row) -> Listed:
    """A delivery from its row, in the order of `LISTED`."""
    *delivery, message, topic, kind = row
    return Listed(rows.read_delivery(delivery), MessageId(message), topic, kind)


def headlines(db: sqlite3.Connection, sought: Sought) -> Stretch[Headline, int]:
    """Messages, newest first."""
    limit = min(sought.limit, PAGE)
    bounds: Bounds = [("seq < ?", (sought.before,))]
    if sought.topic:
        bounds.append(("topic = ?", (sought.topic,)))
    edge = db.execute(
        f"SELECT seq FROM messages {_where(bounds)} ORDER BY seq DESC LIMIT 1 OFFSET ?",
        (*_values(bounds), (SEARCHED if sought.text else LOOKED_AT) - 1),
    ).fetchone()
    stretch: Bounds = [*bounds, *([("seq >= ?", edge)] if edge else [])]
    wanted = [*stretch, *_hit(sought.text), ("time_ms BETWEEN ? AND ?", _times(sought))]
    found = db.execute(
        f"SELECT {_HEADLINE} FROM messages {_where(wanted)} ORDER BY seq DESC LIMIT ?",
        (*_values(wanted), limit),
    ).fetchall()
    headlines = [_read_headline(row) for row in found]
    if len(found) == limit:
        return Stretch(headlines, headlines[-1].seq)
    return Stretch(headlines, edge[0] if edge and not _is_too_old(db, stretch, sought) else None)


def _is_too_old(db: sqlite3.Connection, stretch: Bounds, sought: Sought) -> bool:
    """Whether all of a stretch is before what is wanted; then everything behind it is too."""
    if sought.since_ms is None:
        return False
    newest = f"SELECT MAX(time_ms) FROM messages {_where(stretch)}"
    return bool(db.execute(newest, _values(stretch)).fetchone()[0] < sought.since_ms)


def _hit(text: str) -> Bounds:
    if not text:
        return []
    fields = " OR ".join(f"instr({name}, ?)" for name in ("topic", "type", "originator"))
    body = f"(length(body) <= {LARGEST_SEARCHED} AND instr(body, ?))"
    return [(f"(id = ? OR {fields} OR {body})", (text, text, text, text, text.encode()))]


def _read_headline(row: rows.Row) -> Headline:
    seq, name, time_ms, source, *more = row
    return Headline(seq, MessageId(name), time_ms, Source(source), *more)


def kept(
    db: sqlite3.Connection, topic: str, after: int, until: int, sought: Sought, payloads: bool
) -> Stretch[Kept, int]:
    """Messages of a topic after a number and up to another one, oldest first; copies are none.

    Args:
        sought: from when until when, and how many.
        payloads: whether to read them.
    """
    limit = min(sought.limit, PAGE)
    bounds: Bounds = [("topic = ?", (topic,)), ("seq > ?", (after,)), ("seq <= ?", (until,))]
    edge = db.execute(
        f"SELECT seq FROM messages {_where(bounds)} ORDER BY seq LIMIT 1 OFFSET ?",
        (*_values(bounds), (SEARCHED if payloads else LOOKED_AT) - 1),
    ).fetchone()
    wanted = [*bounds, *([("seq <= ?", edge)] if edge else []), ("time_ms BETWEEN ? AND ?", _times(sought))]
    where, payload = _where(wanted, ["source <> 'resend'"]), "payload" if payloads else "''"
    found = db.execute(
        f"SELECT seq, {payload} FROM messages {where} ORDER BY seq LIMIT ?",
        (*_values(wanted), limit),
    ).fetchall()
    messages = [Kept(*row) for row in found]
    if len(found) == limit:
        return Stretch(messages, messages[-1].seq)
    return Stretch(messages, edge[0] if edge else None)


def _times(sought: Sought) -> tuple[int, int]:
    since_ms = 0 if sought.since_ms is None else sought.since_ms
    return since_ms, LAST_SEQ if sought.until_ms is None else sought.until_ms
