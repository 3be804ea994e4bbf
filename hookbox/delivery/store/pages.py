"""Deliveries that are written page by page after their message; each statement runs in the store's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from hookbox.delivery.models import Delivery
from hookbox.delivery.store import rows
from hookbox.delivery.store.base import Fanout

AT_ONCE = 20
"""Messages that take turns."""


def unfinished(db: sqlite3.Connection) -> list[Fanout]:
    """The oldest messages of which deliveries are still to be written."""
    columns = ", ".join(f"messages.{name}" for name in rows.MESSAGE.split(", "))
    found = db.execute(
        f"SELECT fanouts.after, fanouts.wishes, {columns} FROM fanouts JOIN messages USING (seq) "
        f"ORDER BY seq LIMIT {AT_ONCE}"
    )
    return [Fanout(rows.read_message(row[2:]), row[0], rows.read_wishes(row[1])) for row in found]


def write(db: sqlite3.Connection, seq: int, page: Sequence[Delivery], after: str | None) -> list[Delivery]:
    """Write those of a page whose endpoint is there and has none of that message yet; returns them.

    Args:
        after: the place after the page; None if it was the last page.
    """
    if db.execute("SELECT 1 FROM fanouts WHERE seq = ?", (seq,)).fetchone() is None:
        return []
    taken = {row[0] for row in db.execute("SELECT endpoint FROM deliveries WHERE seq = ?", (seq,))}
    there = {row[0] for row in db.execute("SELECT id FROM endpoints")}
    free = there - taken
    new = [delivery for delivery in page if delivery.endpoint in free]
    db.executemany(
        f"INSERT INTO deliveries ({rows.DELIVERY}, boot) VALUES ({rows.marks(rows.DELIVERY)}, 0)",
        map(rows.delivery_row, new),
    )
    if after is None:
        db.execute("DELETE FROM fanouts WHERE seq = ?", (seq,))
    else:
        db.execute("UPDATE fanouts SET after = ? WHERE seq = ?", (after, seq))
    return new
