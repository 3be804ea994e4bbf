"""What may start next among the deliveries of one endpoint or origin.

Pure: times are seconds on the steady clock, chance is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from heapq import heappop, heappush
from typing import Final

from hookbox.delivery.models import DeliveryId, Trigger

FIRST_PROBE: Final = 5.0
LONGEST_BETWEEN_PROBES: Final = 900.0


class Result(Enum):
    """What an attempt says about its receiver."""

    GOOD = "good"
    BAD = "bad"
    NEITHER = "neither"  # it ended without the receiver's doing, or the receiver said no on purpose


@dataclass(frozen=True, slots=True)
class LaneRules:
    """How a lane goes.

    Args:
        cap: attempts under way at once.
        ordered: one at a time, by `seq`; what fails holds up the rest.
        rate: starts and seconds, (0, 0) for any.
        breaker: failures in a row after which single attempts probe whether it is back; 0 for never.
        stopped: only what an operator wants now starts.
    """

    cap: int = 4
    ordered: bool = False
    rate: tuple[int, float] = (0, 0)
    breaker: int = 10
    stopped: bool = False


class Ticket:
    """A delivery that waits for its start, or has begun.

    Args:
        lane: whose it is: an endpoint's id, or an origin.
        due_ms: as the store has it; says whether it is still meant.
        at: when it may start.
        expires_at: when it is given up.
        blocks_until: when those behind it need not wait for it any more, in an ordered lane.
    """

    __slots__ = ("at", "blocks_until", "due_ms", "expires_at", "id", "lane", "left", "live", "seq", "trigger")

    def __init__(
        self,
        id: DeliveryId,
        seq: int,
        lane: str,
        due_ms: int,
        at: float,
        expires_at: float,
        trigger: Trigger = Trigger.SCHEDULE,
        blocks_until: float = float("inf"),
    ) -> None:
        self.id = id
        self.seq = seq
        self.lane = lane
        self.due_ms = due_ms
        self.at = at
        self.expires_at = expires_at
        self.trigger = trigger
        self.blocks_until = blocks_until
        self.live = True
        self.left = False
        """Whether its place in the lane is free again."""

    @property
    def manual(self) -> bool:
        """Whether an operator wants it now."""
        return self.trigger is Trigger.MANUAL


class Probes:
    """Stops a lane that fails all the time, but for one attempt now and then.

    Args:
        failures: in a row that stop it; 0 for never.
        chance: draws from [0, 1).
    """

    def __init__(self, failures: int, chance: Callable[[], float]) -> None:
        self.stopped = False
        self.in_a_row = 0
        self._failures = failures
        self._chance = chance
        self._level = 0
        self._at = 0.0
        self._probe: Ticket | None = None

    def change(self, failures: int) -> None:
        """Stop after so many failures from now on; what is stopped is, until it works or never is to stop."""
        self._failures = failures
        self.stopped = self.stopped and failures > 0

    def ready_at(self) -> float | None:
        """When the next attempt may start; None while one probes."""
        if not self.stopped:
            return 0.0
        return None if self._probe is not None else self._at

    def began(self, ticket: Ticket) -> None:
        """An attempt starts that the rules allowed: while stopped, it is the probe."""
        if self.stopped:
            self._probe = ticket
            ticket.trigger = Trigger.PROBE

    def ended(self, ticket: Ticket, result: Result, now: float) -> None:
        """An attempt ended."""
        probed = ticket is self._probe
        if probed:
            self._probe = None
        if result is Result.GOOD:
            self.stopped, self.in_a_row, self._level = False, 0, 0
        elif result is Result.BAD:
            self.in_a_row += 1
            if probed:
                self._level += 1
                self._wait(now)
            elif not self.stopped and 0 < self._failures <= self.in_a_row:
                self.stopped = True
                self._wait(now)
        elif probed:
            self._wait(now)

    def _wait(self, now: float) -> None:
        wait = min(FIRST_PROBE * 2.0 ** min(self._level, 10), LONGEST_BETWEEN_PROBES)
        self._at = now + wait * (0.8 + 0.4 * self._chance())


class Bucket:
    """Lets so many start in so many seconds; after a rest, all of them at once."""

    def __init__(self, rate: tuple[int, float]) -> None:
        self._most, seconds = rate
        self._each = seconds / self._most if self._most else 0.0
        self._full_at = 0.0  # when nothing will be taken from it any more

    def ready_at(self) -> float:
        """When the next one may start."""
        return self._full_at - self._each * (self._most - 1) if self._each else 0.0

    def take(self, now: float) -> None:
        """One starts."""
        self._full_at = max(self._full_at, now) + self._each


class Lane:
    """What is due for one receiver, and what may start.

    Args:
        key: an endpoint's id, or an origin.
        chance: draws from [0, 1).
    """

    def __init__(self, key: str, rules: LaneRules, chance: Callable[[], float]) -> None:
        self.key = key
        self.rules = rules
        self.in_flight = 0
        self.waiting = 0
        self.used_at = 0.0
        """When something last began or ended."""
        self.paused_until = 0.0
        self.more = rules.ordered
        """Whether the store has more of it than is known here; ordered lanes only."""
        self.read_to = 0
        """The last `seq` that was read, if there is more."""
        self.probes = Probes(rules.breaker, chance)
        self._bucket = Bucket(rules.rate)
        self._urgent: deque[Ticket] = deque()
        self._later: list[tuple[float, int, DeliveryId, Ticket]] = []
        self._ready: list[tuple[int, int, DeliveryId, Ticket]] = []

    def change(self, rules: LaneRules) -> None:
        """Go by other rules for attempts at once and for probing; order and rate are the endpoint's."""
        self.rules = replace(self.rules, cap=rules.cap, breaker=rules.breaker)
        self.probes.change(rules.breaker)

    @property
    def hungry(self) -> bool:
        """Whether its next ones have to be read before anything can start, but for what was passed by."""
        self._drop_dead()
        return self.more and not (self._ready or self._first_urgent() or self.in_flight or self.rules.stopped)

    def add(self, ticket: Ticket) -> None:
        """Let one wait for its start."""
        self.waiting += 1
        if ticket.manual:
            self._urgent.append(ticket)
        elif self.rules.ordered:
            heappush(self._ready, (ticket.seq, 0, ticket.id, ticket))
        else:
            heappush(self._later, (ticket.at, ticket.seq, ticket.id, ticket))

    def remove(self, ticket: Ticket) -> None:
        """Forget one that waits."""
        ticket.live = False
        self.waiting -= 1

    def take(self, now: float) -> Ticket | None:
        """Start one, if any may start now."""
        if self.ready_at(now) > now:
            return None
        ticket = self._first_urgent()
        if ticket is not None:
            self._urgent.popleft()
        else:
            ticket = self._pop(now)
            self.probes.began(ticket)
        self.waiting -= 1
        self.in_flight += 1
        self._bucket.take(now)
        self.used_at = now
        return ticket

    def ready_at(self, now: float) -> float:
        """When the next one may start as things stand; infinity for not before something happens."""
        if self.in_flight >= (1 if self.rules.ordered else self.rules.cap):
            return float("inf")
        if self._first_urgent() is not None:
            return self._bucket.ready_at()
        probes_at = self.probes.ready_at()
        if self.rules.stopped or probes_at is None:
            return float("inf")
        return max(self._first_at(now), self.paused_until, probes_at, self._bucket.ready_at())

    def judge(self, ticket: Ticket, result: Result, now: float, pause: float = 0.0) -> None:
        """Take into account how an attempt went, and for how many seconds the receiver wants no other."""
        self.probes.ended(ticket, result, now)
        self.used_at = now
        if pause > 0:
            self.paused_until = max(self.paused_until, now + pause)

    def _first_urgent(self) -> Ticket | None:
        while self._urgent and not self._urgent[0].live:
            self._urgent.popleft()
        return self._urgent[0] if self._urgent else None

    def _first_at(self, now: float) -> float:
        """When the first one is due."""
        self._drop_dead()
        if self.rules.ordered:
            return self._first_ordered_at(now)
        while self._later and self._later[0][0] <= now:
            ticket = heappop(self._later)[-1]
            heappush(self._ready, (ticket.due_ms, ticket.seq, ticket.id, ticket))
            self._drop_dead()
        if self._ready:
            return self._ready[0][-1].at
        return self._later[0][0] if self._later else float("inf")

    def _first_ordered_at(self, now: float) -> float:
        """The same for an ordered lane: what has held it up for long enough is passed by, and waits apart."""
        while self._ready and self._ready[0][-1].at > now >= self._ready[0][-1].blocks_until:
            ticket = heappop(self._ready)[-1]
            heappush(self._later, (ticket.at, ticket.seq, ticket.id, ticket))
            self._drop_dead()
        first = self._ready[0][-1] if self._ready else None
        head_at = float("inf") if first is None else min(first.at, max(first.blocks_until, now))
        return min(head_at, self._later[0][0] if self._later else float("inf"))

    def _pop(self, now: float) -> Ticket:
        """Take out the one that starts; there is one."""
        if self.rules.ordered and self._later and self._later[0][0] <= now:
            return heappop(self._later)[-1]
        return heappop(self._ready)[-1]

    def _drop_dead(self) -> None:
        while self._ready and not self._ready[0][-1].live:
            heappop(self._ready)
        while self._later and not self._later[0][-1].live:
            heappop(self._later)
