"""The store in one SQLite file: crash-safe, one process, one thread."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from hookbox.core.tally import Tally
from hookbox.delivery.models import (
    Attempt,
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    State,
    Trigger,
)
from hookbox.delivery.store import order, pages, rows, tables
from hookbox.delivery.store.base import (
    DAY_MS,
    DELETED,
    Begun,
    Entry,
    Finished,
)
from hookbox.delivery.store.file import CLEAN, IN_USE, connect, free_bytes, lock
from hookbox.delivery.store.reading import Reading
from hookbox.delivery.store.schema import set_up
from hookbox.delivery.store.thread import StoreThread
from hookbox.errors import DeliveryStoreError, QueueFull

MIB = 1024 * 1024
ROW = 1024
"""Bytes that a row takes, about, without what it holds."""
MEASURE_SECONDS = 0.25
UNFINISHED = ("scheduled", "in_flight", "waiting")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the store may hold.

    Args:
        queue: unfinished deliveries; held ones are not counted.
        bytes: of the file; from nine tenths on, what has ended goes early.
        free: bytes that others shall still find on the disk; where fewer are left nothing is accepted.
        full_sync: whether a commit survives the loss of power, not just of the process.
    """

    queue: int = 100_000
    bytes: int = 1024 * MIB
    free: int = 64 * MIB
    full_sync: bool = True


class Room:
    """How much can be written before space has to be measured again: to look each time costs too much."""

    def __init__(self) -> None:
        self._bytes = 0.0
        self._until = 0.0

    def measured(self, free: float) -> None:
        """So many bytes are free now."""
        self._bytes = free / 16
        self._until = time.monotonic() + MEASURE_SECONDS

    def has(self, size: int) -> bool:
        """Whether so many bytes are there for sure."""
        self._bytes -= size
        return self._bytes > 0 and time.monotonic() < self._until


class SqliteStore(Reading):
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
        self.limits = limits or Limits()
        """May be replaced; how commits are synced is settled when the file is opened."""
        self._unfinished: int | None = None
        self._full = ""
        self._unnoted: set[tuple[str, str]] = set()
        self._room = Room()
        self._lock = lock(path) if path != ":memory:" else None
        try:
            self._thread = StoreThread(self._open)
            self._thread.undone = self._count_anew
        except sqlite3.Error as error:
            self._unlock()
            raise DeliveryStoreError(f"the store {path} cannot be opened: {error}") from error
        except BaseException:
            self._unlock()
            raise

    def _open(self) -> sqlite3.Connection:
        connection = connect(self.path, self.limits.full_sync)
        try:
            self.epoch, self.boot = set_up(connection)
            connection.execute(IN_USE)
        except DeliveryStoreError as error:
            connection.close()
            raise DeliveryStoreError(f"the store {self.path} is left as it is: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Finish what was called, and close the file."""
        self.repeat()
        try:
            self._thread.close(CLEAN)
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def commit_seconds(self) -> Tally:
        """How long transactions took that changed something."""
        return self._thread.commit_seconds

    @property
    def group_sizes(self) -> Tally:
        """How many calls shared each of them."""
        return self._thread.group_sizes

    @property
    def fault(self) -> str:
        """Why nothing is accepted now, as far as is known; empty if it is."""
        return self._thread.fault or self._full

    def probe(self) -> None:
        """Find out whether something could be accepted now.

        Raises:
            QueueFull: there is no space.
        """

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE meta SET value = value WHERE key = 'boot'")
            self._require_space(db)

        self._thread.call(work)

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
                self._count_anew()
            done(error)

        self._thread.post(lambda db: self._accept(db, entry), tell)

    def _count_anew(self) -> None:
        """What was counted may have been undone."""
        self._unfinished = None

    def _accept(self, db: sqlite3.Connection, entry: Entry) -> None:
        size = len(entry.message.body) + len(entry.message.payload)
        self._unfinished = self._admitted(db, entry.deliveries, self.limits.queue, size)
        tables.insert(db, entry)

    def _admitted(
        self, db: sqlite3.Connection, deliveries: Sequence[Delivery], most: int, size: int = 0
    ) -> int:
        """How many deliveries are unfinished with these, if that is not too many."""
        unfinished = self._count(db)
        owed = sum(delivery.state.value in UNFINISHED for delivery in deliveries)
        if unfinished + owed > most:
            raise QueueFull(f"{unfinished} deliveries are unfinished, {most} may be (max_queue)")
        if not self._room.has(size + ROW * (1 + len(deliveries))):
            self._require_space(db)
        return unfinished + owed

    def _count(self, db: sqlite3.Connection) -> int:
        unfinished = self._unfinished  # which the hub may take away at any moment
        if unfinished is None:
            counted = f"SELECT COUNT(*) FROM deliveries WHERE state IN {UNFINISHED}"
            (unfinished,) = db.execute(counted).fetchone()
            self._unfinished = unfinished
        return int(unfinished)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._thread.call(work)
        except BaseException:
            self._count_anew()
            raise

    def _require_space(self, db: sqlite3.Connection) -> None:
        used, left = tables.used_bytes(db), free_bytes(self.path)
        self._full = ""
        if used > self.limits.bytes:
            self._full = f"the store has {used} bytes, {self.limits.bytes} may be (max_store)"
        elif left < self.limits.free:
            self._full = f"the disk has {left} bytes left, {self.limits.free} have to be"
        self._room.measured(min(self.limits.bytes - used, left - self.limits.free))
        if self._full:
            raise QueueFull(self._full)

    def tell(self, entries: Sequence[Entry]) -> list[Delivery]:
        """Keep what is owed in any case; returns the deliveries that may begin."""

        def work(db: sqlite3.Connection) -> list[Delivery]:
            owed: list[Delivery] = []
            for entry in entries:
                lined_up = order.line_up(db, entry)
                self._insert_all(db, [lined_up])
                owed += lined_up.deliveries
            return [delivery for delivery in owed if delivery.state is State.SCHEDULED]

        return self._write(work)

    # delivering

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

    def finish(self, finished: Finished) -> list[Delivery]:
        """Note how an attempt ended; returns what is next in its `order` now."""
        return self._write(lambda db: self._finish(db, finished))

    def _finish(self, db: sqlite3.Connection, finished: Finished) -> list[Delivery]:
        if finished.attempt is not None:
            tables.insert_attempt(db, finished.delivery.id, finished.attempt)
        self._replace(db, finished.delivery)
        if finished.endpoint is not None:
            self._keep_endpoint(db, finished.endpoint)
        if finished.dropped is not None:
            self._drop_endpoint(db, finished.dropped, DELETED, finished.delivery.done_ms)
        self._insert_all(db, finished.notices)
        released = order.release(db, finished.delivery)
        if finished.forget:
            tables.forget(db, finished.delivery)
        return released

    def _insert_all(self, db: sqlite3.Connection, notices: Sequence[Entry]) -> None:
        for notice in notices:
            tables.insert(db, notice)  # owed in any case, however much is owed already
            self._unfinished = self._count(db) + len(notice.deliveries)

    def _replace(self, db: sqlite3.Connection, delivery: Delivery) -> None:
        unfinished = self._count(db)
        before = "in_flight"
        if not tables.replace(db, delivery, before):  # what is rare
            (before,) = db.execute("SELECT state FROM deliveries WHERE id = ?", (delivery.id,)).fetchone()
            tables.replace(db, delivery, before)
        self._unfinished = unfinished + (delivery.state.value in UNFINISHED) - (before in UNFINISHED)

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

    def fan_out(self, seq: int, page: Sequence[Delivery], after: str | None) -> list[Delivery]:
        """Write further deliveries of a message; returns those that were written."""

        def work(db: sqlite3.Connection) -> list[Delivery]:
            self._unfinished = None
            return pages.write(db, seq, page, after)

        return self._thread.call(work)

    def broken(self, topic: str, epoch: str) -> None:
        """Note, without waiting for it, that more was published in an epoch than is kept.

        Until it is on disk a crash would hide the hole; what could not be written is tried by `repeat`.
        """
        self._unnoted.add((topic, epoch))
        self._note_broken(topic, epoch)

    def repeat(self) -> None:
        """Try again, without waiting for it, what was to be noted and could not be."""
        for topic, epoch in tuple(self._unnoted):
            self._note_broken(topic, epoch)

    def _note_broken(self, topic: str, epoch: str) -> None:
        statement = "UPDATE messages SET whole = 0 WHERE topic = ? AND epoch = ? AND whole"

        def done(error: BaseException | None) -> None:
            if error is None:
                self._unnoted.discard((topic, epoch))

        with suppress(DeliveryStoreError):  # it is closed, and so is everything
            self._thread.post(lambda db: db.execute(statement, (topic, epoch)), done)

    # endpoints

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

    def drop_endpoint(
        self, endpoint: EndpointId, now_ms: int, reason: str = DELETED, notices: Sequence[Entry] = ()
    ) -> None:
        """Forget an endpoint; its unfinished deliveries are cancelled for that reason."""

        def work(db: sqlite3.Connection) -> None:
            self._drop_endpoint(db, endpoint, reason, now_ms)
            self._insert_all(db, notices)

        self._write(work)

    def _drop_endpoint(self, db: sqlite3.Connection, endpoint: EndpointId, reason: str, now_ms: int) -> None:
        tables.drop_endpoint(db, endpoint, reason, now_ms)
        self._unfinished = None

    def change(self, deliveries: Sequence[Delivery]) -> None:
        """Replace how some deliveries stand: held ones released, cancelled by an operator."""

        def work(db: sqlite3.Connection) -> None:
            for delivery in deliveries:
                self._replace(db, delivery)

        self._thread.call(work)

    # for operators, see `hookbox.delivery.store.backlog`

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the database, all of it or nothing. Blocks until it is on disk."""
        return self._write(work)

    @property
    def queue(self) -> int:
        """How many deliveries may be unfinished."""
        return self.limits.queue

    def owe(self, db: sqlite3.Connection, deliveries: Sequence[Delivery], share: float = 1.0) -> None:
        """In `run`: add deliveries of messages that are kept.

        Args:
            share: of the queue that may be in use with these.

        Raises:
            QueueFull: more would be in use.
        """
        self._unfinished = self._admitted(db, deliveries, int(self.limits.queue * share))
        tables.insert_deliveries(db, deliveries)

    # keeping order

    def crowded(self) -> bool:
        """Whether space is short."""
        return self._thread.call(self._is_crowded)

    def _is_crowded(self, db: sqlite3.Connection) -> bool:
        return tables.used_bytes(db) > 0.9 * self.limits.bytes

    def tidy(self, now_ms: int, keep_succeeded_ms: int, keep_dead_ms: int, keep_keys_ms: int = DAY_MS) -> int:
        """Remove some of what ended long ago and, when space is short, of what ended first; says how much."""

        def work(db: sqlite3.Connection) -> int:
            gone = tables.remove_keys(db, now_ms - keep_keys_ms)
            gone += tables.remove_ended(db, now_ms - keep_succeeded_ms, now_ms - keep_dead_ms)
            gone += tables.remove_messages(db, now_ms - keep_succeeded_ms)
            if self._is_crowded(db):
                gone += tables.remove_first_ended(db) + tables.remove_messages(db, now_ms)
            return gone

        gone = self._thread.call(work)
        self._thread.call(lambda db: db.execute("PRAGMA incremental_vacuum(200)").fetchall())
        return gone

    def overflow(self, most: int, before_ms: int, now_ms: int) -> dict[EndpointId, int]:
        """Cancel some of the oldest held deliveries where there are too many, or they are too old."""
        return self._thread.call(lambda db: tables.give_up_held(db, most, before_ms, now_ms))

    # what streams go by
