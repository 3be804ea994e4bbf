"""The store in one SQLite file: crash-safe, one process, one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    Trigger,
)
from hookbox.delivery.store import rows, tables
from hookbox.delivery.store.base import (
    FIRST,
    PAGE,
    Begun,
    Entry,
    Finished,
    Place,
    Remembered,
    Run,
    Search,
    Standing,
)
from hookbox.delivery.store.file import CLEAN, IN_USE, connect, lock
from hookbox.delivery.store.schema import set_up
from hookbox.delivery.store.thread import StoreThread
from hookbox.errors import DeliveryStoreError, QueueFull

MIB = 1024 * 1024
UNFINISHED = ("scheduled", "in_flight", "waiting")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the store may hold.

    Args:
        queue: unfinished deliveries; held ones are not counted.
        bytes: of the file; from nine tenths on, what has ended goes early.
        full_sync: whether a commit survives the loss of power, not just of the process.
    """

    queue: int = 100_000
    bytes: int = 1024 * MIB
    full_sync: bool = True


class SqliteStore:
    """A `Store` in a file.

    Args:
        path: of the file, made if there is none; `:memory:` for one that does not outlive the process.
        limits: what it may hold.

    Raises:
        DeliveryStoreError: another process uses the file, it is damaged, or a newer Hookbox made it.
    """

    def __init__(self, path: str, limits: Limits | None = None) -> None:
        self.path = path
        self.epoch = ""
        self.boot = 0
        self._limits = limits or Limits()
        self._unfinished: int | None = None
        self._lock = lock(path) if path != ":memory:" else None
        try:
            self._thread = StoreThread(self._open)
        except sqlite3.Error as error:
            self._unlock()
            raise DeliveryStoreError(f"the store {path} cannot be opened: {error}") from error
        except BaseException:
            self._unlock()
            raise

    def _open(self) -> sqlite3.Connection:
        connection = connect(self.path, self._limits.full_sync)
        try:
            self.epoch, self.boot = set_up(connection)
            connection.execute(IN_USE)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Finish what was called, and close the file."""
        self._thread.close(CLEAN)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # accepting

    def reserve(self, count: int) -> int:
        """Reserve sequence numbers that are never given again; returns the first."""

        def work(db: sqlite3.Connection) -> int:
            (first,) = db.execute("SELECT value FROM meta WHERE key = 'reserved'").fetchone()
            db.execute("UPDATE meta SET value = value + ? WHERE key = 'reserved'", (count,))
            return int(first)

        return self._thread.call(work)

    def accept(self, entry: Entry) -> None:
        """Keep a message and what is owed for it.

        Raises:
            QueueFull: there are too many unfinished deliveries, or there is no space.
        """
        self._write(lambda db: self._accept(db, entry))

    def begin_accept(self, entry: Entry, done: Callable[[BaseException | None], object]) -> None:
        """The same without waiting."""

        def tell(error: BaseException | None) -> None:
            if error is not None:
                self._unfinished = None  # what was counted may have been undone
            done(error)

        self._thread.post(lambda db: self._accept(db, entry), tell)

    def _accept(self, db: sqlite3.Connection, entry: Entry) -> None:
        owed = sum(delivery.state.value in UNFINISHED for delivery in entry.deliveries)
        unfinished = self._count(db)
        if unfinished + owed > self._limits.queue:
            raise QueueFull(
                f"{unfinished} deliveries are unfinished, {self._limits.queue} may be (max_queue)"
            )
        self._require_space(db)
        tables.insert(db, entry)
        self._unfinished = unfinished + owed

    def _count(self, db: sqlite3.Connection) -> int:
        if self._unfinished is None:
            counted = f"SELECT COUNT(*) FROM deliveries WHERE state IN {UNFINISHED}"
            (self._unfinished,) = db.execute(counted).fetchone()
        return self._unfinished

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._thread.call(work)
        except BaseException:
            self._unfinished = None  # what was counted may have been undone
            raise

    def _require_space(self, db: sqlite3.Connection) -> None:
        used = tables.used_bytes(db)
        if used > self._limits.bytes:
            raise QueueFull(f"the store has {used} bytes, {self._limits.bytes} may be (max_store)")

    def recall(self, key: str, since_ms: int) -> Remembered | None:
        """The answer given to an idempotency key since then."""

        def work(db: sqlite3.Connection) -> Remembered | None:
            wanted = (
                "SELECT key, fingerprint, answer, time_ms FROM idempotency WHERE key = ? AND time_ms >= ?"
            )
            row = db.execute(wanted, (key, since_ms)).fetchone()
            return Remembered(*row) if row else None

        return self._thread.call(work)

    # delivering

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

    def begin(self, delivery: DeliveryId, due_ms: int) -> Begun | None:
        """Note that an attempt begins, by this boot.

        Returns:
            what to send; None if there is no such delivery any more, scheduled or waiting and due then.
        """
        taken = (
            "UPDATE deliveries SET state = 'in_flight', boot = ? WHERE id = ? AND due_ms = ? "
            f"AND state IN ('scheduled', 'waiting') RETURNING {rows.DELIVERY}"
        )

        def work(db: sqlite3.Connection) -> tuple[rows.Row, rows.Row] | None:
            row = db.execute(taken, (self.boot, delivery, due_ms)).fetchone()
            if row is None:
                return None
            wanted = f"SELECT {rows.MESSAGE} FROM messages WHERE seq = ?"
            return row, db.execute(wanted, (row[1],)).fetchone()

        found = self._thread.call(work)
        return None if found is None else Begun(rows.read_delivery(found[0]), rows.read_message(found[1]))

    def finish(self, finished: Finished) -> None:
        """Note how an attempt ended. An endpoint in it is kept as `keep_endpoint` does."""
        self._write(lambda db: self._finish(db, finished))

    def _finish(self, db: sqlite3.Connection, finished: Finished) -> None:
        if finished.attempt is not None:
            tables.insert_attempt(db, finished.delivery.id, finished.attempt)
        self._replace(db, finished.delivery)
        if finished.endpoint is not None:
            self._keep_endpoint(db, finished.endpoint)
        self._insert_all(db, finished.notices)

    def _insert_all(self, db: sqlite3.Connection, notices: Sequence[Entry]) -> None:
        for notice in notices:
            tables.insert(db, notice)  # owed in any case, however much is owed already
            self._unfinished = self._count(db) + len(notice.deliveries)

    def _replace(self, db: sqlite3.Connection, delivery: Delivery) -> None:
        (before,) = db.execute("SELECT state FROM deliveries WHERE id = ?", (delivery.id,)).fetchone()
        self._unfinished = self._count(db) + (delivery.state.value in UNFINISHED) - (before in UNFINISHED)
        db.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, failures = ?, due_ms = ?, reason = ?, "
            "last_status = ?, done_ms = ? WHERE id = ?",
            (
                delivery.state.value, delivery.attempts, delivery.failures, delivery.due_ms, delivery.reason,
                delivery.last_status, delivery.done_ms, delivery.id,
            ),
        )  # fmt: skip

    def interrupted(self, now_ms: int) -> int:
        """Schedule again what an earlier boot left in flight (attempt `interrupted`); says how many."""

        def work(db: sqlite3.Connection) -> int:
            found = db.execute(
                f"SELECT {rows.DELIVERY} FROM deliveries WHERE state = 'in_flight' AND boot < ?", (self.boot,)
            ).fetchall()
            for delivery in map(rows.read_delivery, found):
                attempt = Attempt(delivery.attempts + 1, Trigger.SCHEDULE, now_ms, 0, "interrupted")
                tables.insert_attempt(db, delivery.id, attempt)
            db.execute(
                "UPDATE deliveries SET state = 'scheduled', attempts = attempts + 1, due_ms = ? "
                "WHERE state = 'in_flight' AND boot < ?",
                (now_ms, self.boot),
            )
            return len(found)

        return self._thread.call(work)

    # looking

    def message(self, message: MessageId) -> Message | None:
        """One message."""
        return self._one(f"SELECT {rows.MESSAGE} FROM messages WHERE id = ?", (message,), rows.read_message)

    def messages(
        self, topic: str, after_seq: int, limit: int = PAGE, until_seq: int | None = None
    ) -> list[Message]:
        """Kept messages of a topic after a number, oldest first."""
        wanted = (
            f"SELECT {rows.MESSAGE} FROM messages WHERE topic = ? AND seq > ? AND seq <= ? "
            "ORDER BY seq LIMIT ?"
        )
        most = 2**63 - 1 if until_seq is None else until_seq
        return self._all(wanted, (topic, after_seq, most, min(limit, PAGE)), rows.read_message)

    def newest(self, topic: str, limit: int) -> list[Message]:
        """The last messages, newest first; of all topics if `topic` is empty."""
        where, values = ("WHERE topic = ?", [topic]) if topic else ("", [])
        wanted = f"SELECT {rows.MESSAGE} FROM messages {where} ORDER BY seq DESC LIMIT ?"
        return self._all(wanted, (*values, min(limit, PAGE)), rows.read_message)

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
            return Standing(
                {State(name): count for name, count in states.items()}, oldest, tables.used_bytes(db)
            )

        return self._thread.call(work)

    # endpoints

    def endpoints(self) -> list[Endpoint]:
        """All endpoints."""
        return self._all(f"SELECT {rows.ENDPOINT} FROM endpoints ORDER BY id", (), rows.read_endpoint)

    def keep_endpoint(self, endpoint: Endpoint, notices: Sequence[Entry] = ()) -> None:
        """Create an endpoint, or replace the one of that id.

        What is owed to it becomes held if it is not enabled, and is released if it is.
        """

        def work(db: sqlite3.Connection) -> None:
            self._keep_endpoint(db, endpoint)
            self._insert_all(db, notices)

        self._write(work)

    def _keep_endpoint(self, db: sqlite3.Connection, endpoint: Endpoint) -> None:
        tables.keep_endpoint(db, endpoint)
        if tables.hold_or_release(db, endpoint):
            self._unfinished = None

    def drop_endpoint(self, endpoint: EndpointId, now_ms: int) -> None:
        """Forget an endpoint; its unfinished deliveries are cancelled."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE deliveries SET state = 'cancelled', reason = 'endpoint deleted', done_ms = ? "
                f"WHERE endpoint = ? AND state IN {(*UNFINISHED, 'held')}",
                (now_ms, endpoint),
            )
            db.execute("UPDATE deliveries SET endpoint = NULL WHERE endpoint = ?", (endpoint,))
            db.execute("DELETE FROM endpoints WHERE id = ?", (endpoint,))
            self._unfinished = None

        self._thread.call(work)

    def change(self, deliveries: Sequence[Delivery]) -> None:
        """Replace how some deliveries stand: held ones released, cancelled by an operator."""

        def work(db: sqlite3.Connection) -> None:
            for delivery in deliveries:
                self._replace(db, delivery)

        self._thread.call(work)

    # keeping order

    def tidy(self, now_ms: int, keep_succeeded_ms: int, keep_dead_ms: int) -> int:
        """Remove what ended long ago and, when space is short, what ended first; says how many messages."""

        def work(db: sqlite3.Connection) -> int:
            if tables.used_bytes(db) > 0.9 * self._limits.bytes:
                tables.remove_first_ended(db)
            tables.remove_ended(db, now_ms - keep_succeeded_ms, now_ms - keep_dead_ms)
            return tables.remove_messages(db, now_ms - keep_succeeded_ms)

        gone = self._thread.call(work)
        self._thread.call(lambda db: db.execute("PRAGMA incremental_vacuum(200)").fetchall())
        return gone

    # what streams go by

    def newest_numbers(self, topic: str, limit: int, until_seq: int | None = None) -> list[int]:
        """The `seq` of a topic's last messages, up to that one, newest first."""
        return self._thread.call(lambda db: tables.newest_numbers(db, topic, limit, until_seq))

    def run(self, topic: str, after_seq: int, until_seq: int) -> Run | None:
        """What is kept of a topic after a number and up to another; None if that is nothing."""
        return self._thread.call(lambda db: tables.run(db, topic, after_seq, until_seq))

    def _one(self, wanted: str, values: Sequence[object], read: Callable[[rows.Row], T]) -> T | None:
        row = self._thread.call(lambda db: db.execute(wanted, values).fetchone())
        return None if row is None else read(row)

    def _all(self, wanted: str, values: Sequence[object], read: Callable[[rows.Row], T]) -> list[T]:
        return [read(row) for row in self._thread.call(lambda db: db.execute(wanted, values).fetchall())]
