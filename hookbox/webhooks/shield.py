"""What stands between many askers and one application: few at once, a bounded queue, a breaker."""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from gevent.event import Event

from hookbox.clock import Clock
from hookbox.errors import NotAsked
from hookbox.webhooks.appointments import Appointments
from hookbox.webhooks.breaker import RAMP_STEP, Breaker, BreakerRules, Mode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShieldRules:
    """Bounds of one target.

    Args:
        concurrency: calls out at once.
        queue: callers that may wait for their turn.
        queue_wait: seconds one of them waits at most.
        breaker: when to stop asking.
    """

    concurrency: int = 32
    queue: int = 1000
    queue_wait: float = 2.0
    breaker: BreakerRules = field(default_factory=BreakerRules)


class Outcome(Enum):
    """How a call ended, as far as the health of the application goes."""

    UNKNOWN = "unknown"
    GOOD = "good"
    BAD = "bad"


@dataclass(slots=True)
class Place:
    """A place among the calls that are out; its holder says how the call ended."""

    generation: int
    since: float
    outcome: Outcome = Outcome.UNKNOWN


class Waiter:
    """Someone in the queue until a time on the clock: woken with a place, or without one."""

    __slots__ = ("generation", "place", "until", "woken")

    def __init__(self, until: float, generation: int) -> None:
        self.generation = generation
        self.until = until
        self.place: Place | None = None
        self.woken = Event()


class Shield:
    """Lets callers through to one target, first come, first served.

    Args:
        target: its name in the log.
        rules: see `change`.
        clock: times the queue and the breaker.
    """

    def __init__(self, target: str, rules: ShieldRules, clock: Clock) -> None:
        self.out = 0
        self.refused = 0
        self.openings = 0
        self._target = target
        self._rules = rules
        self._clock = clock
        self._breaker = Breaker(rules.breaker, random.random)
        self._queue: deque[Waiter] = deque()
        self._appointments = Appointments(random.random)
        self._out_now = 0  # those of the breaker's present generation

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._queue)

    @property
    def mode(self) -> Mode:
        """State of the breaker."""
        return self._breaker.mode

    def change(self, rules: ShieldRules) -> None:
        """Take other bounds; those who wait already go on waiting."""
        self._rules = rules
        self._breaker.change(rules.breaker)
        self._let_in(self._clock.monotonic())

    def enter(self, deadline: float) -> Place:
        """Wait for a place; whoever gets one gives it back with `leave`, come what may.

        Args:
            deadline: on the clock's steady time; past it no place is given.

        Raises:
            NotAsked: the breaker is open, the queue is full, or the turn did not come in time.
        """
        now = self._clock.monotonic()
        if not self._breaker.admit(now):
            raise self._refusal("the breaker is open")
        self._let_in(now)
        if not self._queue and self._has_room(now):
            return self._take(now)
        if len(self._queue) >= self._rules.queue:
            self._breaker.abandoned(self._breaker.generation)
            raise self._refusal(f"{len(self._queue)} questions wait already")
        return self._wait(min(now + self._rules.queue_wait, deadline))

    def appointment(self) -> float:
        """Seconds until someone who got no answer should ask again; each call is for one asker."""
        now = self._clock.monotonic()
        return self._appointments.make(now, self._breaker.pause_left(now), self._rules.concurrency)

    def leave(self, place: Place) -> None:
        """Give a place back and let the next caller in."""
        now = self._clock.monotonic()
        self.out -= 1
        if place.generation == self._breaker.generation:
            self._out_now -= 1
        self._report(place, now)
        self._let_in(now)

    def _report(self, place: Place, now: float) -> None:
        breaker = self._breaker
        if place.outcome is Outcome.UNKNOWN:
            breaker.abandoned(place.generation)
        elif place.outcome is Outcome.GOOD:
            self._appointments.answered(now - place.since)
            if breaker.succeeded(place.generation, now):
                logger.info("%s answers again", self._target)
        elif breaker.failed(place.generation, now):
            self.openings += 1
            self._out_now = 0
            logger.warning("%s fails: not asking it for %.1f seconds", self._target, breaker.pause_left(now))
            while self._queue:
                self._queue.popleft().woken.set()

    def _has_room(self, now: float) -> bool:
        most = self._rules.concurrency
        return self.out < most and self._out_now < self._breaker.limit(now, most)

    def _take(self, now: float) -> Place:
        self.out += 1
        self._out_now += 1
        return Place(self._breaker.generation, now)

    def _let_in(self, now: float) -> None:
        while self._queue and self._has_room(now):
            waiter = self._queue.popleft()
            if now < waiter.until:
                waiter.place = self._take(now)
            waiter.woken.set()

    def _wait(self, until: float) -> Place:
        waiter = Waiter(until, self._breaker.generation)
        self._queue.append(waiter)
        try:
            self._sleep(waiter)
        except BaseException:  # killed, or the asker's own deadline
            self._forget(waiter)
            raise
        opened = self._breaker.generation != waiter.generation
        if waiter.place is not None and not opened and self._clock.monotonic() < until:
            return waiter.place
        self._forget(waiter)
        raise self._refusal("the breaker opened" if opened else "no turn in time")

    def _sleep(self, waiter: Waiter) -> None:
        while not waiter.woken.is_set() and (left := waiter.until - self._clock.monotonic()) > 0:
            waiter.woken.wait(min(left, RAMP_STEP) if self._breaker.ramping else left)
            self._let_in(self._clock.monotonic())  # while ramping up, time alone makes room

    def _forget(self, waiter: Waiter) -> None:
        if waiter.place is not None:
            self.leave(waiter.place)
            return
        if not waiter.woken.is_set():
            self._queue.remove(waiter)
        # While one call probes, no other gets as far as the queue: if there is a probe, this was it.
        self._breaker.abandoned(waiter.generation)

    def _refusal(self, why: str) -> NotAsked:
        self.refused += 1
        return NotAsked("failure: the application is not available", f"{self._target} not asked: {why}")
