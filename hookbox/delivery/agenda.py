"""What is due soon, as far as the store knows.

Everything scheduled up to a horizon is known in memory, so nothing is asked of the store until that moves on.
What changes in the store meanwhile is told here, or found out when an attempt is to begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hookbox.clock import Clock
from hookbox.delivery.lane import Ticket
from hookbox.delivery.lanes import Lanes
from hookbox.delivery.models import Delivery, Endpoint, EndpointId, State, Trigger
from hookbox.delivery.store.base import FIRST, LAST, PAGE, Place, Store
from hookbox.delivery.terms import Terms
from hookbox.errors import DeliveryStoreError

HORIZON: Final = 60.0
"""Seconds for which what is due is known in advance ..."""
READ_EVERY: Final = 30.0
"""... and after which that is renewed."""
SPREAD: Final = 60.0
STARTS_PER_SECOND: Final = 50
"""After a restart: what is overdue begins over so many seconds at most, or so fast."""
OWED: Final = (State.SCHEDULED, State.WAITING)


class Agenda:
    """Brings what is due into its lanes.

    Ordered lanes are filled apart, by `seq`: what is due in them says nothing about what is next.
    """

    def __init__(self, store: Store, clock: Clock, terms: Terms, lanes: Lanes) -> None:
        self.read_at = 0.0
        """When the store has to be read again, on the steady clock."""
        self._store = store
        self._clock = clock
        self._terms = terms
        self._lanes = lanes
        self._horizon_ms = -1
        self._place: Place = FIRST
        self._renewed: set[EndpointId] = set()

    def take_up(self) -> None:
        """Know of everything that is due at the start; what is overdue does not begin all at once. Blocks.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        for endpoint in self._terms.endpoints.values():
            self._open(endpoint)
        tickets = [self._ticket(delivery) for page in self._pages() for delivery in page]
        now = self._clock.monotonic()
        overdue = [ticket for ticket in tickets if ticket.at <= now]
        apart = min(SPREAD, len(overdue) / STARTS_PER_SECOND) / max(len(overdue), 1)
        for n, ticket in enumerate(overdue):
            ticket.at = now + n * apart
        for ticket in tickets:
            self._lanes.add(ticket)

    def learn(self, delivery: Delivery, trigger: Trigger = Trigger.SCHEDULE) -> bool:
        """Know of a delivery as it stands in the store now; says whether it is due soon."""
        if delivery.order and delivery.state is State.WAITING:
            return False  # the store says when it is next
        horizon_ms = max(self._horizon_ms, self._clock.now() * 1000)  # the wall clock may have been stepped
        soon = delivery.due_ms <= horizon_ms or trigger is Trigger.MANUAL
        if delivery.state not in OWED or not (soon or self._is_ordered(delivery)):
            return False
        return self._lanes.add(self._ticket(delivery, trigger))

    def renew(self, endpoint: Endpoint) -> None:
        """An endpoint stands otherwise: forget what is owed to it, and read that again."""
        self._lanes.renew(endpoint.id)
        self._open(endpoint)
        if endpoint.enabled and not endpoint.ordered:
            self._renewed.add(endpoint.id)

    def read(self) -> None:
        """Know of everything that is due up to the next horizon, if it is time for that. Blocks.

        Raises:
            DeliveryStoreError: the store cannot be read; what is missing is read the next time.
        """
        if self._clock.monotonic() >= self.read_at:
            for page in self._pages():
                for delivery in page:
                    self.learn(delivery)
        while self._renewed:
            self._read_renewed(next(iter(self._renewed)))

    def read_ordered(self) -> bool:
        """Know of what is next for an ordered endpoint where that is not known; says whether there was one.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        if not self._lanes.hungry:
            return False
        endpoint = EndpointId(next(iter(self._lanes.hungry)))
        self._lanes.reading(endpoint)
        try:
            page = self._store.owed(endpoint, PAGE, self._lanes.read_on_from(endpoint))
        except DeliveryStoreError:
            self._lanes.renew(endpoint)
            raise
        self._lanes.fill(endpoint, list(map(self._ticket, page)), len(page) == PAGE)
        return True

    def _open(self, endpoint: Endpoint) -> None:
        lane = self._lanes.lane(endpoint.id)
        lane.paused_until = self._at(endpoint.paused_until_ms)
        self._lanes.open(lane)

    def _is_ordered(self, delivery: Delivery) -> bool:
        endpoint = self._terms.endpoint(delivery)
        return endpoint is not None and endpoint.ordered

    def _ticket(self, delivery: Delivery, trigger: Trigger = Trigger.SCHEDULE) -> Ticket:
        expires_at = self._at(self._terms.expires_ms(delivery))
        lane = self._terms.lane(delivery)
        at = self._at(delivery.due_ms)
        blocks_until = self._at(self._terms.blocks_until_ms(delivery))
        return Ticket(delivery.id, delivery.seq, lane, delivery.due_ms, at, expires_at, trigger, blocks_until)

    def _at(self, time_ms: float) -> float:
        """A stored time on the steady clock."""
        return self._clock.monotonic() + (time_ms / 1000 - self._clock.now())

    def _pages(self) -> Iterator[list[Delivery]]:
        until_ms = max(self._horizon_ms, int(self._clock.now() * 1000) + round(HORIZON * 1000))
        self._horizon_ms = until_ms  # from here on whoever has something new due until then tells it
        while self._place < (until_ms, LAST):
            page = self._store.due(until_ms, PAGE, self._place)
            yield page
            self._place = (page[-1].due_ms, page[-1].id) if len(page) == PAGE else (until_ms, LAST)
        self.read_at = self._clock.monotonic() + READ_EVERY

    def _read_renewed(self, endpoint: EndpointId) -> None:
        """Know of what is owed to an endpoint that goes by other rules now."""
        place, page = FIRST, self._store.owed(endpoint, PAGE)
        while page:
            for delivery in page:
                self.learn(delivery)
            place = (page[-1].seq, page[-1].id)
            page = self._store.owed(endpoint, PAGE, place) if len(page) == PAGE else []
        self._renewed.discard(endpoint)
