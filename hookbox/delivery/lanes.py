"""What may start next among all deliveries: one of each lane in turn, so that nobody waits for a slow one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Final

from hookbox.delivery.lane import Lane, LaneRules, Result, Ticket
from hookbox.delivery.models import DeliveryId
from hookbox.delivery.store.base import FIRST, LAST, Place

SWEEP: Final = 60.0
"""Seconds between two looks at everything that waits."""
KEEP: Final = 3600.0
"""Seconds after which nobody remembers how a lane went."""
FOREVER: Final = float("inf")


class Lanes:
    """Everything that waits for its start, by whom it is for.

    Args:
        rules: of the lane with a key; what is said for a lane that has none yet.
        chance: draws from [0, 1).
    """

    def __init__(self, rules: Callable[[str], LaneRules], chance: Callable[[], float]) -> None:
        self._rules = rules
        self._chance = chance
        self._lanes: dict[str, Lane] = {}
        self._known: dict[DeliveryId, Ticket] = {}
        self._open: dict[str, None] = {}  # keys of lanes to look at, in turn
        self._timers: list[tuple[float, str]] = []
        self._look_at: dict[str, float] = {}
        self._expiring: list[tuple[float, int, Ticket]] = []
        self._swept_to = 0.0
        self._numbers = count()
        self.hungry: set[str] = set()
        """Keys of ordered lanes whose next ones have to be read from the store."""

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def __contains__(self, delivery: DeliveryId) -> bool:
        return delivery in self._known

    def lane(self, key: str) -> Lane:
        """The lane of that key."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._rules(key), self._chance)
        return lane

    def change(self) -> None:
        """Let every lane go by new rules; what waits goes on waiting."""
        for lane in self:
            lane.change(self._rules(lane.key))
            self.open(lane)

    def renew(self, key: str) -> Lane:
        """Let a lane go by new rules; nobody waits in it any more."""
        old = self.lane(key)
        for ticket in [ticket for ticket in self._known.values() if ticket.lane == key]:
            del self._known[ticket.id]
            old.remove(ticket)
        lane = Lane(key, self._rules(key), self._chance)
        lane.in_flight, lane.paused_until = old.in_flight, old.paused_until
        self._lanes[key] = lane
        self._look_at.pop(key, None)
        self.open(lane)
        return lane

    def forget(self, key: str) -> None:
        """Forget a lane that will not come back."""
        self.renew(key)
        self._lanes.pop(key)

    def add(self, ticket: Ticket) -> bool:
        """Let one wait for its start, in place of what is known of it; says whether it does."""
        lane = self.lane(ticket.lane)
        self.open(lane)
        if not ticket.manual and (lane.rules.stopped or (lane.more and ticket.seq > lane.read_to)):
            return False
        known = self._known.get(ticket.id)
        if known is not None:
            if known.due_ms == ticket.due_ms and known.manual >= ticket.manual:
                return True
            self.remove(ticket.id)
        self._known[ticket.id] = ticket
        lane.add(ticket)
        if ticket.expires_at < self._swept_to:
            heappush(self._expiring, (ticket.expires_at, next(self._numbers), ticket))
        return True

    def reading(self, key: str) -> None:
        """The next ones of an ordered lane are being read: what comes meanwhile waits here."""
        self.hungry.discard(key)
        self.lane(key).more = False

    def read_on_from(self, key: str) -> Place:
        """Where the next ones of an ordered lane are to be read: behind what is known and was passed by."""
        lane = self.lane(key)
        return (lane.read_to, LAST) if lane.waiting else FIRST

    def fill(self, key: str, tickets: Sequence[Ticket], more: bool) -> None:
        """The next ones of an ordered lane.

        Args:
            more: whether there are more in the store; those are not remembered until they are read.
        """
        lane = self.lane(key)
        for ticket in tickets:
            self.add(ticket)
        if more and lane.rules.ordered:  # it was when the reading began
            lane.more, lane.read_to = True, tickets[-1].seq
            if lane.waiting > len(tickets):
                late = [t.id for t in self._known.values() if t.lane == key and t.seq > lane.read_to]
                for delivery in late:
                    self.remove(delivery)

    def remove(self, delivery: DeliveryId) -> None:
        """Forget one that waits, if it does."""
        ticket = self._known.pop(delivery, None)
        if ticket is not None:
            lane = self.lane(ticket.lane)
            lane.remove(ticket)
            self.open(lane)

    def take(self, now: float) -> Ticket | None:
        """Start one, if any may start now; `ended` has to be called for it."""
        while self._timers and self._timers[0][0] <= now:
            at, key = heappop(self._timers)
            if self._look_at.get(key) == at:
                del self._look_at[key]
            self._open[key] = None
        while self._open:
            key = next(iter(self._open))
            del self._open[key]
            lane = self._lanes.get(key)
            if lane is None:
                continue
            ticket = lane.take(now)
            if ticket is not None:
                self._known.pop(ticket.id, None)
                self.open(lane)
                return ticket
            if lane.hungry:
                self.hungry.add(key)
            self._look_later(lane, now)
        return None

    def next_at(self) -> float:
        """When there may be something to start, if nothing happens before; infinity for never."""
        return self._timers[0][0] if self._timers else FOREVER

    def judge(self, ticket: Ticket, result: Result, now: float, pause: float = 0.0) -> None:
        """Take into account how an attempt went; `pause` is for how many seconds there shall be no other."""
        self.lane(ticket.lane).judge(ticket, result, now, pause)

    def ended(self, ticket: Ticket) -> None:
        """What was taken is done; safe to repeat."""
        if ticket.left:
            return
        ticket.left = True
        lane = self.lane(ticket.lane)
        lane.in_flight = max(lane.in_flight - 1, 0)
        self.open(lane)

    def open(self, lane: Lane) -> None:
        """Look at a lane at the next opportunity: something about it has changed."""
        self._open[lane.key] = None

    def expired(self, now: float) -> list[Ticket]:
        """Take out what waited too long."""
        if now >= self._swept_to:
            self._sweep(now)
        gone = []
        while self._expiring and self._expiring[0][0] <= now:
            ticket = heappop(self._expiring)[-1]
            if self._known.get(ticket.id) is ticket and not ticket.manual:
                self.remove(ticket.id)
                gone.append(ticket)
        return gone

    def next_expiry(self) -> float:
        """When something may have waited too long, or it has to be looked at again."""
        return min(self._expiring[0][0], self._swept_to) if self._expiring else self._swept_to

    def _look_later(self, lane: Lane, now: float) -> None:
        at = lane.ready_at(now)
        if at < min(self._look_at.get(lane.key, FOREVER), FOREVER):
            self._look_at[lane.key] = at
            heappush(self._timers, (at, lane.key))

    def _sweep(self, now: float) -> None:
        """Note what will soon have waited too long, and forget lanes that nothing is known of."""
        before, self._swept_to = self._swept_to, now + SWEEP
        for ticket in self._known.values():
            if before <= ticket.expires_at < self._swept_to:
                heappush(self._expiring, (ticket.expires_at, next(self._numbers), ticket))
        for lane in self:
            over = max(lane.used_at + KEEP, lane.paused_until) <= now
            if over and not (lane.waiting or lane.in_flight or lane.key in self._open):
                del self._lanes[lane.key]
                self._look_at.pop(lane.key, None)
