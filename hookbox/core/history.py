"""A bounded stream of entries: by count, by age, by bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar


class Kept(Protocol):
    """What can be kept: it knows its size in bytes and when it came (monotonic seconds)."""

    @property
    def size(self) -> int:
        """Bytes, about."""

    @property
    def at(self) -> float:
        """Monotonic seconds."""


class Budget:
    """Bytes that all streams together may keep.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def exceeded(self) -> bool:
        """Whether more is kept than the limit allows."""
        return self.used > self.limit


Entry = TypeVar("Entry", bound=Kept)


class Stream(Generic[Entry]):
    """The last entries of something, oldest first.

    Args:
        budget: shared with other streams; when it is exceeded this one gives up its oldest entries.
        byte_limit: bytes this stream may keep.
    """

    __slots__ = ("_budget", "_byte_limit", "_bytes", "_entries")

    def __init__(self, budget: Budget, byte_limit: int) -> None:
        self._budget = budget
        self._byte_limit = byte_limit
        self._bytes = 0
        self._entries: deque[Entry] = deque()

    def append(self, entry: Entry, count: int, duration: float) -> None:
        """Keep one more, then give up what is over `count` entries or older than `duration` seconds."""
        if count == 0:
            self.clear()  # a hole in the middle would look like nothing missing
            return
        self._entries.append(entry)
        self._bytes += entry.size
        self._budget.used += entry.size
        self.prune(count, duration, entry.at)

    def prune(self, count: int, duration: float, now: float) -> None:
        """Give up entries over the count, older than `duration` seconds (0: no limit), or over the bytes."""
        entries = self._entries
        while entries and (
            len(entries) > count
            or self._bytes > self._byte_limit
            or (duration and entries[0].at < now - duration)
            or self._budget.exceeded
        ):
            self._give_up(entries.popleft())

    def replace(self, entries: Iterable[Entry], count: int, duration: float, now: float) -> None:
        """Keep these instead of what was kept."""
        self.clear()
        for entry in entries:
            self._entries.append(entry)
            self._bytes += entry.size
            self._budget.used += entry.size
        self.prune(count, duration, now)

    def clear(self) -> None:
        """Give up everything."""
        while self._entries:
            self._give_up(self._entries.popleft())

    def _give_up(self, entry: Entry) -> None:
        self._bytes -= entry.size
        self._budget.used -= entry.size

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> Entry | None:
        """The oldest entry still kept."""
        return self._entries[0] if self._entries else None
