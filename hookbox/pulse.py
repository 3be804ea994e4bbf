"""The pulse of a server: deadlines are looked at about once a second, and whether the loop itself is late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, Protocol

import gevent

from hookbox.clock import Clock
from hookbox.core.tally import Tally, Worst

logger = logging.getLogger(__name__)

PULSE_SECONDS: Final = 1.0
PULSE_SLICES: Final = 10
SLICE_SECONDS: Final = PULSE_SECONDS / PULSE_SLICES
LAG_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds of lateness that are told apart."""


class Checked(Protocol):
    """Something with deadlines that are looked at about once a second."""

    def check(self, now: float) -> None:
        """Look at every deadline; must not block.

        Args:
            now: monotonic seconds.
        """


class Pulse:
    """Looks at all members about once a second, some at a time.

    Args:
        members: those there are at the moment.
        clock: its steady time is used.
        each_slice: called with the monotonic seconds ten times a second; must not block.
        after_slice: called with how long a slice took and how much of that the loop was late, in seconds.
    """

    def __init__(
        self,
        members: Mapping[Checked, None],
        clock: Clock,
        each_slice: Callable[[float], None],
        after_slice: Callable[[float, float], None],
    ) -> None:
        self._members = members
        self._clock = clock
        self._each_slice = each_slice
        self._after_slice = after_slice
        self._worst = Worst()
        self.lags = Tally(*LAG_BOUNDS)
        """How late the loop was at each slice, in seconds."""

    def run(self) -> NoReturn:
        """Do so for ever."""
        while True:
            members = list(self._members)
            size = len(members) // PULSE_SLICES + 1
            for start in range(0, PULSE_SLICES * size, size):
                now = self._clock.monotonic()
                for member in members[start : start + size]:
                    _check(member, now)
                self._each_slice(now)
                gevent.sleep(SLICE_SECONDS)
                self._note_end(now)

    @property
    def worst_lag(self) -> float:
        """How late the loop was at worst in the last ten seconds, in seconds."""
        return self._worst.seen(self._clock.monotonic())

    def _note_end(self, began: float) -> None:
        now = self._clock.monotonic()
        late = max(0.0, now - began - SLICE_SECONDS)
        self.lags.note(late)
        self._worst.note(late, now)
        self._after_slice(now - began, late)


def _check(member: Checked, now: float) -> None:
    try:
        member.check(now)
    except Exception:
        logger.exception("looking at a connection's deadlines failed")
