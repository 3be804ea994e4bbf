"""Measurements that cost next to nothing to keep: how many were how large, and the worst of late."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque


class Tally:
    """How many measurements fell below which bounds: a histogram.

    Args:
        bounds: upper ones, included, in ascending order; what is above the last is counted too.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, *bounds: float) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bound, those up to it and above the one before; at the end those above all of them."""
        self.total = 0.0
        """All measurements added up."""

    def note(self, value: float) -> None:
        """Count a measurement."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Worst:
    """The largest measurement of the last seconds.

    Args:
        seconds: how far it looks back.
    """

    __slots__ = ("_by_second", "_seconds")

    def __init__(self, seconds: int = 10) -> None:
        self._seconds = seconds
        self._by_second: deque[tuple[int, float]] = deque(maxlen=seconds)

    def note(self, value: float, now: float) -> None:
        """Remember a measurement.

        Args:
            now: monotonic seconds.
        """
        second = int(now)
        if self._by_second and self._by_second[-1][0] == second:
            value = max(value, self._by_second.pop()[1])
        self._by_second.append((second, value))

    def seen(self, now: float) -> float:
        """The largest one; 0 without any."""
        oldest = int(now) - self._seconds
        return max((value for second, value in self._by_second if second > oldest), default=0.0)
