"""A bounded stream of entries: by count, by age, by bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Generic, Protocol, TypeVar

INF: Final = float("inf")


class Kept(Protocol):
    """What can be kept: it knows its size in bytes and when it came (monotonic seconds)."""

    @property
    def size(self) -> int:
        """Bytes, about."""

    @property
    def at(self) -> float:
        """Monotonic seconds."""


class Budget:
    """What streams may keep; changed limits hold for all of them when they are looked at next.

    Args:
        limit: bytes, all together.
        each: bytes, each stream.
        entries: how many, each stream.
    """

    def __init__(self, limit: int, each: float = INF, entries: float = INF) -> None:
        self.used = 0
        self.cut = 0
        """Entries given up so far because of their bytes, before their time and number were over."""
        self.change(limit, each, entries)

    def change(self, limit: int, each: float, entries: float) -> None:
        """Go by other limits from now on."""
        self.limit = limit
        self.each = each
        self.entries = entries

    @property
    def exceeded(self) -> bool:
        """Whether more is kept than the limit allows."""
        return self.used > self.limit


Entry = TypeVar("Entry", bound=Kept)


class Stream(Generic[Entry]):
    """The last entries of something, oldest first.

    Args:
        budget: shared with other streams; when it is exceeded this one gives up its oldest entries.
    """

    __slots__ = ("_budget", "_bytes", "_entries")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = 0
        self._entries: deque[Entry] = deque()

    def append(self, entry: Entry, count: int, duration: float) -> None:
        """Keep one more, then give up what is over `count` entries or older than `duration` seconds."""
        if min(count, self._budget.entries) == 0:
            self.clear()  # a hole in the middle would look like nothing missing
            return
        self._entries.append(entry)
        self._bytes += entry.size
        self._budget.used += entry.size
        self.prune(count, duration, entry.at)

    def prune(self, count: int, duration: float, now: float) -> None:
        """Give up entries over the count, older than `duration` seconds (0: no limit), or over the bytes."""
        entries, budget = self._entries, self._budget
        most = min(count, budget.entries)
        while entries and (
            len(entries) > most
            or self._bytes > budget.each
            or (duration and entries[0].at < now - duration)
            or budget.exceeded
        ):
            budget.cut += budget.exceeded or self._bytes > budget.each
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
