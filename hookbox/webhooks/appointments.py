"""When those whom the application had no time for should ask again: one after the other, at its pace."""

from __future__ import annotations

from collections.abc import Callable

SOONEST = 0.5
"""Seconds until the first appointment, at least."""
LATEST = 30.0
"""Seconds ahead that appointments are made; who would be later comes at any time until then."""
FIRST_GUESS = 0.05
"""Seconds that a call is thought to take before one was seen."""
CALLS_EACH = 2
"""Calls that one client needs, about: who it is, and a channel."""
WEIGHT = 0.1
"""What the last call counts in the mean."""


class Appointments:
    """Spreads those who come again, so that they neither all come at once nor wait longer than they must.

    Args:
        chance: a draw from [0, 1).
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._call_seconds = FIRST_GUESS
        self._next = 0.0

    def answered(self, seconds: float) -> None:
        """A call took so long."""
        self._call_seconds += (seconds - self._call_seconds) * WEIGHT

    def make(self, now: float, closed: float, at_once: int) -> float:
        """Seconds from now until the next free time.

        Args:
            now: monotonic seconds.
            closed: seconds for which nobody is asked.
            at_once: calls that may be out at once.
        """
        time = max(now + closed + SOONEST, self._next)
        if time > now + closed + LATEST:
            return closed + SOONEST + self._chance() * (LATEST - SOONEST)
        self._next = time + CALLS_EACH * self._call_seconds / at_once
        return time - now
