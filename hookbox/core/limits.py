"""How often something may happen."""

from __future__ import annotations


class Bucket:
    """A token bucket: `rate` a second on average, `burst` at once.

    Args:
        rate: tokens that come back per second; 0 means no limit.
        burst: tokens it holds when full.
        now: monotonic seconds.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        if not self._rate:
            return True
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
