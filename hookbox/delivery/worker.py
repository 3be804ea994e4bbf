"""Delivers what is owed: when it is due, in turn, again if it failed, and to its end."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gevent.event import Event
from gevent.pool import Group

from hookbox.clock import Clock
from hookbox.core.tally import Tally
from hookbox.core.watchers import Watchers
from hookbox.delivery import health, notices
from hookbox.delivery.agenda import Agenda
from hookbox.delivery.attempts import Attempts, Interrupted, NobodyTells, Sends, Tells, Written
from hookbox.delivery.fanouts import Fanouts, Rest
from hookbox.delivery.headers import Headers
from hookbox.delivery.lane import Ticket
from hookbox.delivery.lanes import Lanes
from hookbox.delivery.ledger import AGAIN, Ledger, Stopped, Wait, wait_on
from hookbox.delivery.models import (
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    Message,
    State,
    Trigger,
)
from hookbox.delivery.notices import Notice
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.store.base import DELETED, Begun, Entry, Finished, Store
from hookbox.delivery.terms import Terms, WorkerRules
from hookbox.delivery.upkeep import Upkeep
from hookbox.errors import CommandRefused, DeliveryStoreError, NotFound
from hookbox.log_context import DELIVERY

logger = logging.getLogger(__name__)

LAST_WRITES: Final = 5.0
"""Seconds that writing down what was interrupted may take."""
CANCELLED_WITHIN: Final = 1.0
"""Seconds that an operator waits at most; a store that refuses is asked further nevertheless."""
SHORTEST_WAIT: Final = 0.001


@dataclass(frozen=True, slots=True)
class Counts:
    """How the worker stands.

    Args:
        in_flight: attempts under way.
        waiting: deliveries known to be due soon.
        stopped: receivers that are only probed, as they fail all the time.
        attempts: made so far, by how they ended.
        ended: deliveries so far, by how they ended.
        refusals: how often the store refused.
        seconds: how long attempts took.
    """

    in_flight: int = 0
    waiting: int = 0
    stopped: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    ended: dict[State, int] = field(default_factory=dict)
    refusals: int = 0
    seconds: Tally = field(default_factory=Tally)


class Worker:
    """Delivers what a store holds.

    Args:
        sender: makes the requests.
        rules: where neither the dispatch nor the endpoint says anything.
        numbers: of the messages it makes.
        chance: draws from [0, 1).
        wait: waits until something happens, or for so many seconds on the clock.
        teller: tells the application what it is owed; None leaves that for later.
        websub: further headers of what a subscription gets.
    """

    def __init__(
        self,
        store: Store,
        sender: Sends,
        clock: Clock,
        rules: WorkerRules,
        numbers: Numbers,
        chance: Callable[[], float] = random.random,
        wait: Wait = wait_on,
        teller: Tells | None = None,
        websub: Callable[[Endpoint, Message], Headers] = lambda endpoint, message: (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._wait = wait
        self._stopping = Event()
        self._bell = Event()
        self._group = Group()
        self._terms = Terms(rules)
        self._lanes = Lanes(self._terms.lane_rules, chance)
        self._ledger = Ledger(numbers, self._stopping, wait)
        self._attempts = Attempts(
            store,
            sender,
            teller or NobodyTells(),
            clock,
            self._terms,
            self._lanes,
            self._ledger,
            chance,
            websub,
        )
        self._attempts.answered = self._let_next_begin
        self._agenda = Agenda(store, clock, self._terms, self._lanes)
        self._in_flight: set[DeliveryId] = set()
        aside = Ledger(numbers, self._stopping, wait)  # that it works says nothing about what is delivered
        self._fanouts = Fanouts(store, aside, self._stopping, wait, self.wake)
        self._upkeep = Upkeep(store, clock, self._terms, aside, self._stopping, wait, self._wake_all)

    # life

    def start(self) -> None:
        """Take up what an earlier start left, and begin to deliver. Blocks until it knows what is due.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        now_ms = self._now_ms()
        interrupted = self._store.interrupted(now_ms)
        if interrupted:
            logger.warning("%s deliveries were interrupted and are tried again", interrupted)
        self._terms.learn(self._store.endpoints())
        self._agenda.take_up()
        for work in (self._plan, self._fanouts.run, self._upkeep.run):
            self._group.spawn(work)

    def stop(self, grace_seconds: float) -> None:
        """End. Attempts under way get their time, then they are cut off and noted as `interrupted`. Blocks.

        Args:
            grace_seconds: for the attempts; 0 for none.
        """
        self._stopping.set()
        for ring in (self._bell.set, self._fanouts.ring, self._upkeep.ring):
            ring()
        self._group.join(timeout=grace_seconds)
        self._attempts.interrupt()
        self._group.join(timeout=LAST_WRITES)
        self._group.kill()

    # what others tell it

    def wake(self, delivery: Delivery) -> None:
        """A delivery was accepted. Has to be called for each one after the store has it; does not block."""
        if self._agenda.learn(delivery):
            self._bell.set()
        elif delivery.state is State.HELD and delivery.endpoint is not None:
            self._upkeep.held(delivery.endpoint)

    def write_rest(self, rest: Rest) -> None:
        """Write the deliveries that messages have too many of for one commit, from now on with this."""
        self._fanouts.rest = rest
        self._fanouts.ring()

    def fan_out(self) -> None:
        """A message was accepted of which deliveries are still to be written. Does not block."""
        self._fanouts.ring()

    @property
    def rules(self) -> WorkerRules:
        """Those in force."""
        return self._terms.rules

    def change(self, rules: WorkerRules) -> None:
        """Go by other rules from now on; what is due at a time that is known stays so. Does not block."""
        self._terms.rules = rules
        self._lanes.change()
        self._bell.set()

    def retry_now(self, delivery: DeliveryId, reset: bool = False) -> None:
        """Make an attempt now, whatever is paused and however the delivery ended. Blocks shortly.

        Args:
            reset: whether the schedule begins anew.

        Raises:
            NotFound: there is no such delivery.
            CommandRefused: an attempt is under way, or its endpoint was deleted.
            DeliveryStoreError: nothing was changed.
        """
        found = self._find(delivery)
        if self._is_in_flight(found):
            raise CommandRefused("an attempt is under way", "in_flight")
        if found.endpoint is not None and found.endpoint not in self._terms.endpoints:
            raise CommandRefused("its endpoint was deleted, or has unsubscribed", "endpoint_deleted")
        now_ms = self._now_ms()
        due_ms = now_ms - (now_ms == found.due_ms)  # another one, so that what is planned for it is void
        again = replace(
            found,
            state=State.SCHEDULED,
            due_ms=due_ms,
            reason="",
            done_ms=0,
            failures=0 if reset else found.failures,
            failing_ms=0 if reset else found.failing_ms,
        )
        self._agenda.learn(again, Trigger.MANUAL)  # before the store has it, which asks what to begin later
        self._bell.set()
        self._store.change([again])

    def cancel(self, delivery: DeliveryId) -> bool:
        """Give a delivery up. An attempt under way ends as it ends, but there is no other. Blocks shortly.

        Returns:
            whether there was anything to give up.

        Raises:
            NotFound: there is no such delivery.
            DeliveryStoreError: nothing was changed.
        """
        found = self._find(delivery)
        if found.state.over:
            return False
        if self._is_in_flight(found):
            self._attempts.cancelled.add(delivery)
            return True
        self._lanes.remove(delivery)
        if found.state is State.HELD:
            self._store.change([replace(found, state=State.SCHEDULED)])
        begun = self._store.begin(delivery, found.due_ms)
        if begun is None:
            return self.cancel(delivery)  # it was changed at this moment
        self._group.spawn(self._end, begun).join(timeout=CANCELLED_WITHIN)
        return True

    def endpoint_changed(self, endpoint: Endpoint) -> None:
        """Keep an endpoint as it is now, and go by it: what is owed to it is held, or released. Blocks.

        Raises:
            DeliveryStoreError: nothing was changed.
        """
        now_ms = self._now_ms()
        before = self._terms.endpoints.get(endpoint.id)
        endpoint = health.carried_over(before, endpoint, now_ms)
        type = _change_of(before, endpoint)
        told = notices.of_endpoint(type, endpoint, self._terms.told_of(endpoint, now_ms)) if type else []
        entries = self._ledger.entries(told, now_ms)
        self._terms.learn([endpoint])
        self._agenda.renew(endpoint)
        try:
            self._store.keep_endpoint(endpoint, entries)
        except DeliveryStoreError:
            self._terms.forget(endpoint.id)
            if before is not None:
                self._terms.learn([before])
                self._agenda.renew(before)
            raise
        self._wake_all(entries)
        self._agenda.renew(endpoint)
        self._bell.set()

    def endpoint_dropped(
        self, endpoint: EndpointId, reason: str = DELETED, told: Iterable[Notice] = ()
    ) -> None:
        """Delete an endpoint; what is owed to it is cancelled. Blocks shortly.

        Args:
            reason: why; cancelled deliveries have it.
            told: what somebody is to be told about it.

        Raises:
            DeliveryStoreError: nothing was changed.
        """
        now_ms = self._now_ms()
        entries = self._ledger.entries(told, now_ms)
        before = self._terms.endpoints.get(endpoint)
        self._terms.forget(endpoint)  # at once, so that nobody writes it down again
        try:
            self._store.drop_endpoint(endpoint, now_ms, reason, entries)
        except DeliveryStoreError:
            if before is not None:
                self._terms.learn([before])
            raise
        self._lanes.forget(endpoint)
        self._wake_all(entries)

    def endpoint(self, endpoint: EndpointId) -> Endpoint | None:
        """An endpoint as it stands now."""
        return self._terms.endpoints.get(endpoint)

    @property
    def endpoints(self) -> Mapping[EndpointId, Endpoint]:
        """All endpoints, as they stand now."""
        return self._terms.endpoints

    def tell_changes(self, changed: Callable[[Endpoint | None, Endpoint | None], object]) -> None:
        """Have somebody told of every endpoint from now on: how it stood, how it stands; None for not at all.

        Whoever is told must not block.
        """
        self._terms.changed = changed

    @property
    def finished(self) -> Watchers[Finished]:
        """Those who look on when an attempt ends."""
        return self._attempts.finished

    def counts(self) -> Counts:
        """How it stands."""
        return Counts(
            len(self._in_flight),
            len(self._lanes),
            sum(lane.probes.stopped for lane in self._lanes),
            dict(self._attempts.classes),
            dict(self._attempts.ended),
            self._ledger.refusals,
            self._attempts.seconds,
        )

    # planning

    def _plan(self) -> None:
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                seconds = self._round()
            except DeliveryStoreError as error:
                self._ledger.refused(error)
                seconds = AGAIN
            except Exception:
                logger.exception("planning deliveries failed")
                seconds = AGAIN
            self._wait(self._bell, seconds)

    def _round(self) -> float:
        """Start what may start; returns after how many seconds to look again if nothing happens."""
        self._agenda.read()
        expired = self._lanes.expired(self._clock.monotonic())
        if expired:
            self._group.spawn(self._expire, expired)
        self._start()
        while self._agenda.read_ordered():
            self._start()
        at = min(self._agenda.read_at, self._lanes.next_expiry())
        if not self._full:
            at = min(at, self._lanes.next_at())
        return max(at - self._clock.monotonic(), SHORTEST_WAIT)

    @property
    def _full(self) -> bool:
        return len(self._in_flight) >= self._terms.rules.max_in_flight

    def _start(self) -> None:
        while not self._full and not self._stopping.is_set():
            ticket = self._lanes.take(self._clock.monotonic())
            if ticket is None:
                return
            self._in_flight.add(ticket.id)
            self._group.spawn(self._run, ticket)

    def _run(self, ticket: Ticket) -> None:
        DELIVERY.set(ticket.id)
        try:
            written = self._attempts.make(ticket)
            if written is not None:
                self._follow(written)
            else:
                self._look_again(ticket.id)
            self._cancel_late(ticket.id)
        except (Stopped, Interrupted):
            pass  # the store has it in flight, the next start takes it up
        except Exception:
            logger.exception("delivery %s: an attempt failed by our own fault", ticket.id)
        finally:
            self._in_flight.discard(ticket.id)
            self._lanes.ended(ticket)
            self._bell.set()

    def _cancel_late(self, delivery: DeliveryId) -> None:
        """Give it up if somebody wanted that while what came of the attempt was being written down."""
        if delivery in self._attempts.cancelled:
            self._attempts.cancelled.discard(delivery)
            self._in_flight.discard(delivery)
            self._ledger.patiently(lambda: self.cancel(delivery))

    def _let_next_begin(self, ticket: Ticket) -> None:
        """Its receiver is free for the next one, unless that has to wait for what is written of this one."""
        if not self._lanes.lane(ticket.lane).rules.ordered:
            self._lanes.ended(ticket)
            self._bell.set()

    def _follow(self, written: Written) -> None:
        """Know what was written down."""
        if written.finished.delivery.id not in self._attempts.cancelled:
            self._agenda.learn(written.finished.delivery)
        if written.finished.dropped is not None:
            self._lanes.forget(written.finished.dropped)
        self._wake_all(written.finished.notices)
        for delivery in written.released:
            self._agenda.learn(delivery)
        self._bell.set()

    def _look_again(self, delivery: DeliveryId) -> None:
        """It was changed since it was planned."""
        found = self._ledger.patiently(lambda: self._store.delivery(delivery))
        if found is not None:
            self._agenda.learn(found)

    def _end(self, begun: Begun) -> None:
        try:
            self._follow(self._attempts.end(begun, State.CANCELLED, "operator"))
        except Stopped:
            pass

    def _expire(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            try:
                written = self._attempts.expire(ticket)
                if written is not None:
                    self._follow(written)
            except Stopped:
                return
            except Exception:
                logger.exception("delivery %s could not be given up, by our own fault", ticket.id)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    def _wake_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            for delivery in entry.deliveries:
                self.wake(delivery)

    def _find(self, delivery: DeliveryId) -> Delivery:
        found = self._store.delivery(delivery)
        if found is None:
            raise NotFound(f"there is no delivery {delivery}")
        return found

    def _is_in_flight(self, delivery: Delivery) -> bool:
        return delivery.state is State.IN_FLIGHT or delivery.id in self._in_flight


def _change_of(before: Endpoint | None, now: Endpoint) -> str:
    """The type of what is told when an operator changes an endpoint, empty for nothing."""
    if before is None or before.state == now.state or "disabled" not in (before.state, now.state):
        return ""
    return f"endpoint.{now.state}" if now.state in ("enabled", "disabled") else ""
