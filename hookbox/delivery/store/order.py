"""Deliveries that go one after the other: the first one is scheduled, the others wait for its end.

So nothing but the store has to know what is next, and the order outlives every end of the process. Each runs
in the store's thread.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from hookbox.delivery.models import Delivery, State
from hookbox.delivery.store import rows
from hookbox.delivery.store.base import Entry

_BEFORE = (
    "SELECT 1 FROM deliveries WHERE ordering = ? AND ordering <> '' "
    "AND state IN ('scheduled', 'in_flight', 'waiting') LIMIT 1"
)
_FIRST = (
    "SELECT id FROM deliveries WHERE ordering = ? AND ordering <> '' AND state = 'waiting' "
    "ORDER BY seq LIMIT 1"
)
_UNDER_WAY = (
    "SELECT 1 FROM deliveries WHERE ordering = ? AND ordering <> '' AND state IN ('scheduled', 'in_flight')"
)


def line_up(db: sqlite3.Connection, entry: Entry) -> Entry:
    """What is to be inserted next, its deliveries waiting if something of their `order` is unfinished."""
    return replace(entry, deliveries=tuple(_lined_up(db, delivery) for delivery in entry.deliveries))


def _lined_up(db: sqlite3.Connection, delivery: Delivery) -> Delivery:
    behind = delivery.order and db.execute(_BEFORE, (delivery.order,)).fetchone()
    return replace(delivery, state=State.WAITING) if behind else delivery


def release(db: sqlite3.Connection, ended: Delivery) -> list[Delivery]:
    """Schedule what is next after one that ended; nothing while another one of its `order` is under way."""
    if not (ended.order and ended.state.over):
        return []
    begin = (
        f"UPDATE deliveries SET state = 'scheduled', due_ms = max(due_ms, ?) WHERE id = ({_FIRST}) "
        f"AND NOT EXISTS ({_UNDER_WAY}) RETURNING {rows.DELIVERY}"
    )
    found = db.execute(begin, (ended.done_ms, ended.order, ended.order)).fetchall()
    return list(map(rows.read_delivery, found))
