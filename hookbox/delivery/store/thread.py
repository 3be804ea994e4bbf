"""One native thread that owns a database connection, and commits what greenlets ask of it in groups.

SQLite blocks whoever calls it, and gevent's own pool of threads is shared with name lookups: so there is one
thread, one connection, one queue. Whatever waits in the queue shares a transaction, and with it one `fsync`.

Source: SQLite's "Write-Ahead Logging" and "PRAGMA synchronous" pages.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from _queue import SimpleQueue  # the one in `queue` may be patched
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from gevent import get_hub
from gevent.event import AsyncResult
from gevent.monkey import get_original

from hookbox.core.tally import Tally
from hookbox.errors import DeliveryStoreError, QueueFull

logger = logging.getLogger(__name__)

GROUP_CALLS = 50
GROUP_SECONDS = 0.005
COMMIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds that are told apart."""
SIZE_BOUNDS = (1, 2, 5, 10, 20, 50)
NO_SPACE = {"SQLITE_FULL", "SQLITE_READONLY"}
NOT_NOW = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_NOTADB")
"""What is wrong with the file, not with what was asked."""

T = TypeVar("T")


class CannotWrite(DeliveryStoreError):
    """The database does not work now."""


class NoSpace(CannotWrite, QueueFull):
    """There is no space for it, or the disk fails."""


class Call(Generic[T]):
    """One thing to do with the connection, and who is told that it is done."""

    __slots__ = ("error", "function", "tell", "value")

    def __init__(
        self, function: Callable[[sqlite3.Connection], T], tell: Callable[[Call[T]], object]
    ) -> None:
        self.function = function
        self.tell = tell
        self.value: T | None = None
        self.error: BaseException | None = None


class Awaited(Call[T]):
    """One that somebody waits for."""

    __slots__ = ("outcome",)

    def __init__(self, function: Callable[[sqlite3.Connection], T]) -> None:
        self.outcome: AsyncResult[T] = AsyncResult()
        super().__init__(function, self._wake)

    def _wake(self, call: Call[T]) -> None:
        if call.error is not None:
            self.outcome.set_exception(call.error)
        else:
            self.outcome.set(call.value)


class StoreThread:
    """Runs functions on a connection, in order, in a thread of its own.

    Args:
        open: makes the connection, in the thread; `isolation_level` has to be None.

    Raises:
        Exception: whatever `open` raised.
    """

    def __init__(self, open: Callable[[], sqlite3.Connection]) -> None:
        self.groups = 0
        """Transactions committed so far."""
        self.commit_seconds = Tally(*COMMIT_BOUNDS)
        """How long those took that changed something."""
        self.group_sizes = Tally(*SIZE_BOUNDS)
        """How many calls shared each of them."""
        self.fault = ""
        """Why nothing could be written the last time; empty if it could."""
        self.undone: Callable[[], None] = lambda: None
        """Called in the thread when what functions did was undone: they are run again, or have failed."""
        self._queue: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._done: deque[Call[Any]] = deque()
        self._bell = get_hub().loop.async_()
        self._bell.start(self._hand_over)
        self._closed = False
        opened: Awaited[None] = Awaited(lambda connection: None)
        get_original("_thread", "start_new_thread")(self._work, (open, opened))
        opened.outcome.get()

    def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the connection and wait until what it changed is on disk. Blocks this greenlet.

        The function runs in the thread: it must not touch anything of gevent's. It may share its transaction
        with others; if it raises, its own changes are undone, and only those. It may be run twice, the first
        time in vain.

        Raises:
            DeliveryStoreError: the database failed; nothing was changed.
            Exception: whatever the function raised.
        """
        call = Awaited(function)
        self._put(call)
        return cast(T, call.outcome.get())

    def post(
        self, function: Callable[[sqlite3.Connection], T], done: Callable[[BaseException | None], object]
    ) -> None:
        """The same without waiting.

        Args:
            done: called in the hub when what was changed is on disk, with None, or with what `call` would
                raise; those posted and called earlier are told before it. It must not block or raise.

        Raises:
            DeliveryStoreError: the store is closed.
        """
        self._put(Call(function, lambda call: done(call.error)))

    def _put(self, call: Call[Any]) -> None:
        if self._closed:
            raise DeliveryStoreError("the store is closed")
        self._queue.put(call)

    def close(self, farewell: str = "SELECT 0") -> None:
        """Let everything called so far finish, then close the connection. Blocks; safe to repeat.

        Args:
            farewell: the last statement.
        """
        if self._closed:
            return
        last: Awaited[object] = Awaited(lambda connection: connection.execute(farewell).fetchall())
        self._closed = True
        self._queue.put(last)
        self._queue.put(None)
        try:
            last.outcome.get()
        finally:
            self._bell.stop()
            self._bell.close()

    def _hand_over(self) -> None:
        """In the hub: tell those who wait."""
        while self._done:
            call = self._done.popleft()
            try:
                call.tell(call)
            except Exception:  # or those behind it would wait for ever
                logger.exception("what the store did could not be told, by our own fault")

    # in the thread

    def _work(self, open: Callable[[], sqlite3.Connection], opened: Call[None]) -> None:
        try:
            connection = open()
        except BaseException as error:  # raised again by whoever waits in `__init__`
            opened.error = error
            self._tell([opened])
            return
        self._tell([opened])
        going_on = True
        while going_on:
            group, going_on = self._gather()
            if group:
                self._run(connection, group)
                if not going_on:
                    connection.close()
                self._tell(group)
            elif not going_on:
                connection.close()

    def _gather(self) -> tuple[list[Call[Any]], bool]:
        """What waits, at least one call; and whether more may follow."""
        group: list[Call[Any]] = []
        until = 0.0
        while not group or (
            not self._queue.empty() and len(group) < GROUP_CALLS and time.monotonic() < until
        ):
            call = self._queue.get()
            if call is None:
                return group, False
            until = until or time.monotonic() + GROUP_SECONDS
            group.append(call)
        return group, True

    def _run(self, connection: sqlite3.Connection, group: list[Call[Any]]) -> None:
        changes, began = connection.total_changes, time.monotonic()
        try:
            connection.execute("BEGIN IMMEDIATE")
            if not _run_together(connection, group):
                _roll_back(connection)
                self.undone()
                connection.execute("BEGIN IMMEDIATE")
                for call in group:
                    _run_one(connection, call)
            connection.execute("COMMIT")
            self.groups += 1
            if connection.total_changes > changes:
                self.fault = ""
                self.commit_seconds.note(time.monotonic() - began)
                self.group_sizes.note(len(group))
        except BaseException as error:  # raised again by each of those who wait; the thread goes on
            failed = _translated(error)
            if _is_busy(error):
                self._gather_late(group)
            for call in group:
                call.error = call.error or failed
            _roll_back(connection)
            self.undone()
        for call in group:
            if isinstance(call.error, CannotWrite):
                self.fault = str(call.error)

    def _gather_late(self, group: list[Call[Any]]) -> None:
        """What came while another process held the database is not to wait as long once more."""
        late: list[Call[Any]] = []
        while not self._queue.empty():
            call = self._queue.get()
            if call is None:
                self._queue.put(None)  # nothing comes after it
                break
            late.append(call)
        group += late

    def _tell(self, calls: list[Call[Any]]) -> None:
        self._done.extend(calls)
        self._bell.send()


def _run_together(connection: sqlite3.Connection, group: list[Call[Any]]) -> bool:
    """Run what nearly always works without a way back for each; says whether nothing has to be undone."""
    for call in group:
        changes = connection.total_changes
        try:
            call.value = call.function(connection)
        except Exception as error:
            if connection.total_changes != changes or not connection.in_transaction:
                for each in group:
                    each.error = None
                return False
            call.error = _translated(error)  # it has changed nothing
    return True


def _run_one(connection: sqlite3.Connection, call: Call[Any]) -> None:
    connection.execute("SAVEPOINT one")
    try:
        call.value = call.function(connection)
    except sqlite3.Error as error:
        if not connection.in_transaction:
            raise  # SQLite gave the whole transaction up
        call.error = _translated(error)
        connection.execute("ROLLBACK TO one")
    except Exception as error:
        call.error = error
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # the next BEGIN says so if it is still broken


def _translated(error: BaseException) -> BaseException:
    if not isinstance(error, sqlite3.Error):
        return error
    name = cast(str, getattr(error, "sqlite_errorname", None) or type(error).__name__)
    if name in NO_SPACE or name.startswith("SQLITE_IOERR"):
        return NoSpace(f"the store cannot be written: {error} ({name})")
    kind = CannotWrite if name.startswith(NOT_NOW) else DeliveryStoreError
    return kind(f"the store failed: {error} ({name})")


def _is_busy(error: BaseException) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY")
