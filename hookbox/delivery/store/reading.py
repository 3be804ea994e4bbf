"""What can be asked of the store: every call is one query in its thread, and none reads more than a page."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from hookbox.delivery.models import (
    Attempt,
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    Message,
    MessageId,
    State,
)
from hookbox.delivery.store import pages, rows, tables
from hookbox.delivery.store.base import (
    FIRST,
    PAGE,
    Fanout,
    Place,
    Remembered,
    Run,
    Search,
    Standing,
)
from hookbox.delivery.store.file import wal_bytes
from hookbox.delivery.store.thread import StoreThread

T = TypeVar("T")


class Reading:
    """The half of a `Store` that changes nothing."""

    path: str
    _thread: StoreThread

    def recall(self, key: str, since_ms: int) -> Remembered | None:
        """The answer given to an idempotency key since then."""

        def work(db: sqlite3.Connection) -> Remembered | None:
            wanted = (
                "SELECT key, fingerprint, answer, time_ms FROM idempotency WHERE key = ? AND time_ms >= ?"
            )
            row = db.execute(wanted, (key, since_ms)).fetchone()
            return Remembered(*row) if row else None

        return self._thread.call(work)

    def due(self, until_ms: int, limit: int, after: Place = FIRST) -> list[Delivery]:
        """Scheduled deliveries due until then, earliest first, behind a place."""
        wanted = (
            f"SELECT {rows.DELIVERY} FROM deliveries WHERE state = 'scheduled' AND due_ms <= ? "
            "AND (due_ms, id) > (?, ?) ORDER BY due_ms, id LIMIT ?"
        )
        return self._all(wanted, (until_ms, *after, min(limit, PAGE)), rows.read_delivery)

    def owed(self, endpoint: EndpointId, limit: int, after: Place = FIRST) -> list[Delivery]:
        """Scheduled and waiting deliveries of an endpoint by `seq`, behind that `seq` and `id`."""
        wanted = (
            f"SELECT {rows.DELIVERY} FROM deliveries WHERE endpoint = ? AND (seq, id) > (?, ?) "
            "AND state IN ('scheduled', 'waiting') ORDER BY seq, id LIMIT ?"
        )
        return self._all(wanted, (endpoint, *after, min(limit, PAGE)), rows.read_delivery)

    def fanouts(self) -> list[Fanout]:
        """The oldest messages of which deliveries are still to be written."""
        return self._thread.call(pages.unfinished)

    def message(self, message: MessageId) -> Message | None:
        """One message."""
        return self._one(f"SELECT {rows.MESSAGE} FROM messages WHERE id = ?", (message,), rows.read_message)

    def messages(
        self, topic: str, after_seq: int, limit: int = PAGE, until_seq: int | None = None
    ) -> list[Message]:
        """Kept messages of a topic after a number, oldest first; copies that were sent again are none."""
        wanted = (
            f"SELECT {rows.MESSAGE} FROM messages WHERE topic = ? AND seq > ? AND seq <= ? "
            "AND source <> 'resend' ORDER BY seq LIMIT ?"
        )
        most = 2**63 - 1 if until_seq is None else until_seq
        return self._all(wanted, (topic, after_seq, most, min(limit, PAGE)), rows.read_message)

    def ends(self, limit: int) -> list[Message]:
        """The last kept message of each topic, the newest first; its body and payload are left out."""
        wanted = (
            f"SELECT {rows.MESSAGE_HEAD} FROM messages WHERE seq IN "
            "(SELECT MAX(seq) FROM messages WHERE topic <> '' AND source <> 'resend' GROUP BY topic) "
            "ORDER BY seq DESC LIMIT ?"
        )
        return self._all(wanted, (limit,), rows.read_message)

    def newest(self, topic: str, limit: int, before_seq: int | None = None) -> list[Message]:
        """The last messages below a number, newest first; of all topics if `topic` is empty."""
        where, values = ("AND topic = ? AND source <> 'resend'", [topic]) if topic else ("", [])
        below = 2**63 - 1 if before_seq is None else before_seq
        wanted = f"SELECT {rows.MESSAGE} FROM messages WHERE seq < ? {where} ORDER BY seq DESC LIMIT ?"
        return self._all(wanted, (below, *values, min(limit, PAGE)), rows.read_message)

    def delivery(self, delivery: DeliveryId) -> Delivery | None:
        """One delivery."""
        return self._one(
            f"SELECT {rows.DELIVERY} FROM deliveries WHERE id = ?", (delivery,), rows.read_delivery
        )

    def attempts(self, delivery: DeliveryId) -> list[Attempt]:
        """Its attempts, oldest first."""
        wanted = f"SELECT {rows.ATTEMPT} FROM attempts WHERE delivery = ? ORDER BY n"
        return self._all(wanted, (delivery,), rows.read_attempt)

    def search(self, search: Search) -> list[Delivery]:
        """Deliveries, newest first."""
        conditions, values = tables.conditions(search)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        columns = ", ".join(f"deliveries.{name}" for name in rows.DELIVERY.split(", "))
        wanted = (
            f"SELECT {columns} FROM deliveries JOIN messages USING (seq) {where} "
            "ORDER BY deliveries.id DESC LIMIT ?"
        )
        return self._all(wanted, (*values, min(search.limit, PAGE)), rows.read_delivery)

    def standing(self) -> Standing:
        """How things stand."""

        def work(db: sqlite3.Connection) -> Standing:
            states = dict(db.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state"))
            oldest = db.execute("SELECT MIN(due_ms) FROM deliveries WHERE state = 'scheduled'").fetchone()[0]
            counts = {State(name): count for name, count in states.items()}
            return Standing(counts, oldest, tables.used_bytes(db), wal_bytes(self.path))

        return self._thread.call(work)

    def endpoints(self) -> list[Endpoint]:
        """All endpoints."""
        return self._all(f"SELECT {rows.ENDPOINT} FROM endpoints ORDER BY id", (), rows.read_endpoint)

    def newest_numbers(self, topic: str, limit: int, until_seq: int | None = None) -> list[int]:
        """The `seq` of a topic's last messages, up to that one, newest first."""
        return self._thread.call(lambda db: tables.newest_numbers(db, topic, limit, until_seq))

    def stretch(self, topic: str, after_seq: int, until_seq: int) -> Run | None:
        """What is kept of a topic after a number and up to another; None if that is nothing."""
        return self._thread.call(lambda db: tables.stretch(db, topic, after_seq, until_seq))

    def _one(self, wanted: str, values: Sequence[object], read: Callable[[rows.Row], T]) -> T | None:
        row = self._thread.call(lambda db: db.execute(wanted, values).fetchone())
        return None if row is None else read(row)

    def _all(self, wanted: str, values: Sequence[object], read: Callable[[rows.Row], T]) -> list[T]:
        return [read(row) for row in self._thread.call(lambda db: db.execute(wanted, values).fetchall())]
