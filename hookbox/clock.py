"""Time as an argument: whoever needs it is given a clock, so tests can turn it by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds since the Unix epoch, on the wall clock: for display and signatures only."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps: for deadlines, ages and intervals."""


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that moves only when told, for tests.

    Args:
        now: seconds since the epoch to start at.
    """

    def __init__(self, now: float = 1_767_323_045.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds on the steady clock."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += seconds
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as an operator or a time server does."""
        self._now += seconds
