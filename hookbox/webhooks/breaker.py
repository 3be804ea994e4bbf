"""The circuit breaker: whether an application in trouble should be asked at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

RAMP_STEP = 1.0  # seconds between two doublings of the concurrency after a pause
_SLICES = 10  # the window is counted in this many parts


class Mode(Enum):
    """What the breaker does with the next call."""

    CLOSED = "closed"  # lets it through
    OPEN = "open"  # refuses it, until the pause is over
    PROBING = "probing"  # refuses it: one call is out to see whether the application is back


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When to open and for how long.

    Args:
        failures: this many failures in a row open it.
        ratio: so does this share of failures, 0 to 1 ...
        calls: ... once there were that many calls ...
        window: ... in this many seconds.
        first_pause: seconds of the first pause; each next one is twice as long.
        longest_pause: seconds, before jitter.
    """

    failures: int = 10
    ratio: float = 0.5
    calls: int = 20
    window: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 30.0


class Breaker:
    """Counts how calls to one target end, and stops them for a while when too many fail.

    After a pause one probe goes out. If it succeeds, the number of calls that may be out at
    once starts at 1 and doubles each second, so that an application that has just come
    back is not run over. If it fails, the next pause is twice as long, up to a limit.

    Every opening starts a new `generation`; results of calls that began in an older one are
    not counted. Pure: times are given on any steady clock, chance is the `random` argument.

    Args:
        rules: see `change`.
        random: draws from [0, 1).
    """

    def __init__(self, rules: BreakerRules, random: Callable[[], float]) -> None:
        self.generation = 0
        self.mode = Mode.CLOSED
        self._rules = rules
        self._random = random
        self._pause = 0.0  # of the last opening, without jitter; 0 while all is well
        self._until = 0.0  # end of the pause
        self._closed_at: float | None = None  # when the probe succeeded, while ramping up
        self._in_a_row = 0
        self._slices: deque[list[float]] = deque()  # [number of the slice, calls, failures]

    def change(self, rules: BreakerRules) -> None:
        """Go by other rules from now on; what was counted is forgotten unless they are the same."""
        if rules != self._rules:
            self._rules = rules
            self._slices.clear()

    def admit(self, now: float) -> bool:
        """Whether a call may be made now; True in an open breaker makes it the probe."""
        if self.mode is Mode.CLOSED:
            return True
        if self.mode is Mode.OPEN and now >= self._until:
            self.mode = Mode.PROBING
            return True
        return False

    def limit(self, now: float, most: int) -> int:
        """How many calls of this generation may be out at once, at most `most`."""
        if self.mode is not Mode.CLOSED:
            return 1
        if self._closed_at is None:
            return most
        steps = int((now - self._closed_at) / RAMP_STEP)
        if steps < most.bit_length() and 1 << steps < most:
            return 1 << steps
        self._closed_at = None
        self._pause = 0.0
        return most

    @property
    def ramping(self) -> bool:
        """Whether the limit grows with time alone."""
        return self._closed_at is not None

    def pause_left(self, now: float) -> float:
        """Seconds until a probe may go out; 0 unless open."""
        return max(0.0, self._until - now) if self.mode is Mode.OPEN else 0.0

    def succeeded(self, generation: int, now: float) -> bool:
        """A call ended well; True if that closed the breaker."""
        if generation != self.generation:
            return False
        probed = self.mode is Mode.PROBING
        if probed:
            self.mode = Mode.CLOSED
            self._closed_at = now
        self._in_a_row = 0
        self._count(now)[1] += 1
        return probed

    def failed(self, generation: int, now: float) -> bool:
        """A call failed; True if that opened the breaker."""
        if generation != self.generation or self.mode is Mode.OPEN:
            return False
        self._in_a_row += 1
        part = self._count(now)
        part[1] += 1
        part[2] += 1
        if self.mode is Mode.PROBING or self._too_many():
            self._open(now)
            return True
        return False

    def abandoned(self, generation: int) -> None:
        """A call ended with nothing learnt, e.g. whoever asked has gone: the next may be the probe."""
        if generation == self.generation and self.mode is Mode.PROBING:
            self.mode = Mode.OPEN

    def _too_many(self) -> bool:
        if self._in_a_row >= self._rules.failures:
            return True
        calls = sum(part[1] for part in self._slices)
        failures = sum(part[2] for part in self._slices)
        return calls >= self._rules.calls and failures >= calls * self._rules.ratio

    def _open(self, now: float) -> None:
        self._pause = min(self._pause * 2 or self._rules.first_pause, self._rules.longest_pause)
        self._until = now + self._pause * (0.5 + self._random())
        self.mode = Mode.OPEN
        self.generation += 1
        self._closed_at = None
        self._in_a_row = 0
        self._slices.clear()

    def _count(self, now: float) -> list[float]:
        number = now * _SLICES // self._rules.window
        if self._slices and self._slices[-1][0] == number:
            return self._slices[-1]
        while self._slices and self._slices[0][0] <= number - _SLICES:
            self._slices.popleft()
        self._slices.append([number, 0, 0])
        return self._slices[-1]
