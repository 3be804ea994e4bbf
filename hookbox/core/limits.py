"""How often something may happen."""

from __future__ import annotations


class Bucket:
    """A token bucket, full at first: `rate` a second on average, `burst` at once.

    Both are told at each use, so that it always goes by the settings in force.

    Args:
        burst: tokens it holds at first.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = float(burst)
        self._at = now

    @property
    def used(self) -> float:
        """When somebody last wanted a token, monotonic seconds."""
        return self._at

    def take(self, now: float, rate: float, burst: float) -> bool:
        """Take a token, if there is one.

        Args:
            now: monotonic seconds.
            rate: tokens that come back per second; 0 means no limit.
            burst: tokens it holds when full.
        """
        if not rate:
            return True
        self._tokens = min(burst, self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
