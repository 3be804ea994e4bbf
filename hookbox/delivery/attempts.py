"""One attempt from its beginning in the store to its end there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, cast

from gevent import Greenlet, getcurrent

from hookbox.clock import Clock
from hookbox.core.tally import Tally
from hookbox.core.watchers import Watchers
from hookbox.delivery import health, notices
from hookbox.delivery.headers import Headers, headers_of
from hookbox.delivery.lane import Result, Ticket
from hookbox.delivery.lanes import Lanes
from hookbox.delivery.ledger import Ledger
from hookbox.delivery.models import Attempt, Delivery, DeliveryId, Endpoint, EndpointId, Message, State
from hookbox.delivery.notices import Notice
from hookbox.delivery.outcome import End, Judgement, after, as_attempt, judge, over
from hookbox.delivery.sender import Outgoing, Sent
from hookbox.delivery.store.base import DELETED, Begun, Finished, Store
from hookbox.delivery.terms import Terms

logger = logging.getLogger(__name__)

BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Seconds of attempts that are told apart."""


class Sends(Protocol):
    """What makes the requests."""

    def send(self, outgoing: Outgoing) -> Sent:
        """Send a request and read the answer; blocks, and raises nothing for what the other side does."""


class Tells(Protocol):
    """What tells the application."""

    def send(self, message: Message) -> Sent:
        """Tell it; blocks, and raises nothing for what the application does."""

    def over(self, seq: int) -> None:
        """A message will not be told any more."""


class NobodyTells:
    """Leaves it for later."""

    def send(self, message: Message) -> Sent:
        """Do nothing."""
        return Sent(End.NOT_ASKED.value)

    def over(self, seq: int) -> None:
        """Do nothing."""


def _watcher_failed(error: Exception) -> None:
    logger.error("somebody who looks on failed", exc_info=error)


class Interrupted(Exception):
    """The server is stopped while an attempt is under way."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that the end of an attempt changes.

    Args:
        endpoint: whether its endpoint is to be written too.
        forget: whether nothing of it is to be kept.
        dropped: an endpoint that is deleted, None for none.
    """

    delivery: Delivery
    attempt: Attempt | None
    notices: list[Notice] = field(default_factory=list)
    endpoint: bool = False
    forget: bool = False
    dropped: EndpointId | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What was written down, and what may begin as it was."""

    finished: Finished
    released: list[Delivery]


class Attempts:
    """Makes attempts, and writes down what came of them.

    Args:
        teller: tells the application.
        chance: draws from [0, 1).
        websub: further headers of what a subscription gets.
    """

    def __init__(
        self,
        store: Store,
        sender: Sends,
        teller: Tells,
        clock: Clock,
        terms: Terms,
        lanes: Lanes,
        ledger: Ledger,
        chance: Callable[[], float],
        websub: Callable[[Endpoint, Message], Headers] = lambda endpoint, message: (),
    ) -> None:
        self.classes: Counter[str] = Counter()
        """Attempts by how they ended."""
        self.seconds = Tally(*BOUNDS)
        """How long attempts took."""
        self.ended: Counter[State] = Counter()
        """Deliveries by how they ended."""
        self.finished: Watchers[Finished] = Watchers(_watcher_failed)
        """Shown what was written down of each attempt."""
        self.cancelled: set[DeliveryId] = set()
        """Deliveries that are not to be tried again after the attempt under way."""
        self.answered: Callable[[Ticket], object] = lambda ticket: None
        """Told when the receiver is done with an attempt that is still to be written down; must not block."""
        self._store = store
        self._sender = sender
        self._teller = teller
        self._clock = clock
        self._terms = terms
        self._lanes = lanes
        self._ledger = ledger
        self._chance = chance
        self._websub = websub
        self._sending: dict[DeliveryId, Greenlet[..., Any]] = {}
        self._closed = False

    def make(self, ticket: Ticket) -> Written | None:
        """Make an attempt. Blocks until what came of it is written down.

        Returns:
            what was written; None if the delivery is not what it was when it was planned.

        Raises:
            Stopped: the store refused until the worker had to end.
        """
        begun = self._begin(ticket)
        if begun is None:
            return None
        if not ticket.manual and ticket.expires_at <= self._clock.monotonic():
            return self._too_late(begun)
        start_ms = self._now_ms()
        headers, sent = self._send(begun, start_ms)
        try:
            ended = self._judge(ticket, begun, start_ms, headers, sent)
        except Exception:
            logger.exception("delivery %s: what came of an attempt could not be judged", ticket.id)
            ended = self._our_fault(ticket, begun, start_ms, headers)
        self.answered(ticket)
        return self._write(ended)

    def end(self, begun: Begun, state: State, reason: str) -> Written:
        """End a delivery without an attempt. Blocks until it is written down.

        Raises:
            Stopped: the store refused until the worker had to end.
        """
        now_ms = self._now_ms()
        before = begun.delivery
        delivery = over(before, state, reason, now_ms)
        told = self._terms.told(delivery, now_ms)
        return self._write(Ending(delivery, None, notices.of_delivery(before, delivery, begun.message, told)))

    def expire(self, ticket: Ticket) -> Written | None:
        """End a delivery that waited too long. Blocks as `make` does; returns and raises the same."""
        begun = self._begin(ticket)
        return None if begun is None else self._too_late(begun)

    def _too_late(self, begun: Begun) -> Written:
        """What is owed to a subscription ends with its lease; anything else has failed too often by then."""
        endpoint = self._terms.endpoint(begun.delivery)
        if endpoint is None:
            over = begun.delivery.endpoint is not None  # it ends at this moment
        else:
            over = endpoint.is_subscription and endpoint.lease_until_ms <= self._now_ms()
        return self.end(begun, State.CANCELLED if over else State.DEAD, "expired")

    def interrupt(self) -> None:
        """End the attempts under way, and let none begin."""
        self._closed = True
        for greenlet in list(self._sending.values()):
            greenlet.kill(Interrupted, block=False)

    def _begin(self, ticket: Ticket) -> Begun | None:
        return self._ledger.patiently(lambda: self._store.begin(ticket.id, ticket.due_ms))

    def _send(self, begun: Begun, now_ms: int) -> tuple[Headers, Sent]:
        delivery, message = begun.delivery, begun.message
        began = self._clock.monotonic()
        headers: Headers = ()
        try:
            if self._closed:
                raise Interrupted
            self._sending[delivery.id] = cast("Greenlet[..., Any]", getcurrent())
            if message.telling:
                return headers, self._teller.send(message)
            secrets = self._terms.secrets(delivery, now_ms)
            endpoint = self._terms.endpoint(delivery)
            headers = headers_of(delivery, message, endpoint, secrets, now_ms)
            if endpoint is not None and endpoint.is_subscription:
                headers = (*headers, *self._websub(endpoint, message))
            timeout = self._terms.timeout(delivery)
            within = min(self._terms.rules.connect_timeout, timeout)
            outgoing = Outgoing(
                delivery.url,
                headers,
                message.body,
                timeout=timeout,
                connect_timeout=within,
                errback=notices.is_errback(message),
            )
            return headers, self._sender.send(outgoing)
        except Interrupted:
            outcome, detail = "interrupted", "the server was stopped"
        except Exception as error:
            logger.exception("delivery %s: an attempt failed by our own fault", delivery.id)
            outcome, detail = "internal", f"{type(error).__name__} in the server, see its log"
        finally:
            self._sending.pop(delivery.id, None)
        return headers, Sent(outcome, took=self._clock.monotonic() - began, detail=detail)

    def _judge(self, ticket: Ticket, begun: Begun, start_ms: int, headers: Headers, sent: Sent) -> Ending:
        """What came of an attempt; what holds for its lane and endpoint holds at once."""
        now, before = self._clock.now(), begun.delivery
        now_ms = int(now * 1000)
        endpoint = self._terms.endpoint(before)
        subscription = endpoint is not None and endpoint.is_subscription
        judgement = judge(sent, now, endpoint is not None and endpoint.redirects_succeed and not subscription)
        pause = judgement.retry_after or 0.0 if judgement.pauses else 0.0
        self._lanes.judge(ticket, judgement.result, self._clock.monotonic(), pause)
        told_about = []
        changed = False
        dropped = before.endpoint if subscription and judgement.outcome == "gone" else None
        if dropped is not None:
            self._terms.forget(dropped)  # nobody writes it down again
        elif endpoint is not None:
            stands = self._standing(endpoint, before.id, judgement, now_ms, pause)
            changed = stands != endpoint
            told_about = self._change(endpoint, stands, now_ms) if changed else []
        delivery = self._next(before, judgement, sent.status, now_ms)
        attempt = None
        if judgement.end.tried:
            attempt = as_attempt(
                delivery.attempts,
                ticket.trigger,
                start_ms,
                sent,
                judgement.outcome,
                headers,
                not subscription,
            )
        told = self._terms.told(before, now_ms)
        told_about = notices.of_delivery(before, delivery, begun.message, told, attempt, sent) + told_about
        forget = begun.message.telling and judgement.end in (End.DONE, End.NEEDLESS)
        return Ending(delivery, attempt, told_about, changed, forget, dropped)

    def _next(self, before: Delivery, judgement: Judgement, status: int, now_ms: int) -> Delivery:
        delivery = after(
            before,
            judgement,
            self._terms.schedule(before),
            now_ms=now_ms,
            expires_ms=self._terms.expires_ms(before),
            chance=self._chance(),
            status=status,
        )
        if delivery.state.over:
            return delivery
        endpoint = self._terms.endpoint(before)
        if before.endpoint is not None and endpoint is None:
            return over(delivery, State.CANCELLED, DELETED, now_ms)
        if before.id in self.cancelled:
            return over(delivery, State.CANCELLED, "operator", now_ms)
        return delivery if endpoint is None or endpoint.enabled else replace(delivery, state=State.HELD)

    def _standing(
        self, endpoint: Endpoint, delivery: DeliveryId, judgement: Judgement, now_ms: int, pause: float
    ) -> Endpoint:
        if judgement.end is End.DONE:
            endpoint = health.after_success(endpoint)
        elif judgement.end in (End.FAILED, End.DEAD):
            after = float("inf") if endpoint.is_subscription else self._terms.rules.disable_after
            endpoint = health.after_failure(endpoint, delivery, now_ms, after * 1000)
        if judgement.disables and not endpoint.is_subscription:
            reason = "gone" if judgement.outcome == "gone" else "receiver"
            endpoint = health.disabled(endpoint, reason, now_ms)
        if pause:
            endpoint = replace(endpoint, paused_until_ms=now_ms + round(pause * 1000))
        return endpoint

    def _change(self, before: Endpoint, endpoint: Endpoint, now_ms: int) -> list[Notice]:
        """An endpoint stands otherwise from now on; says what is to tell."""
        self._terms.learn([endpoint])
        if endpoint.enabled or not before.enabled:
            return []
        self._lanes.renew(endpoint.id)
        logger.warning("endpoint %s is disabled: %s", endpoint.id, endpoint.state_reason)
        return notices.of_endpoint("endpoint.disabled", endpoint, self._terms.told_of(endpoint, now_ms))

    def _our_fault(self, ticket: Ticket, begun: Begun, start_ms: int, headers: Headers) -> Ending:
        sent = Sent("internal", detail="the answer could not be judged, see the server's log")
        delivery = self._next(begun.delivery, Judgement("internal", End.UNCOUNTED), 0, self._now_ms())
        self._lanes.judge(ticket, Result.NEITHER, self._clock.monotonic())
        return Ending(
            delivery, as_attempt(delivery.attempts, ticket.trigger, start_ms, sent, "internal", headers)
        )

    def _write(self, ended: Ending) -> Written:
        """Write it down; the endpoint as it stands when that works."""

        def write() -> Written:
            entries = self._ledger.entries(ended.notices, self._now_ms())
            endpoint = self._terms.endpoint(ended.delivery) if ended.endpoint else None
            finished = Finished(ended.delivery, ended.attempt, entries, endpoint, ended.forget, ended.dropped)
            return Written(finished, self._store.finish(finished))

        written = self._ledger.patiently(write)
        self._count(written.finished)
        return written

    def _count(self, finished: Finished) -> None:
        delivery = finished.delivery
        if self.finished:
            self.finished.show(finished)
        if finished.attempt is not None:
            self.classes[finished.attempt.outcome] += 1
            self.seconds.note(finished.attempt.took_ms / 1000)
        if delivery.state.over:
            self.cancelled.discard(delivery.id)
            self.ended[delivery.state] += 1
            if delivery.order:
                self._teller.over(delivery.seq)
        if delivery.state is State.DEAD:
            last = finished.attempt.outcome if finished.attempt else "no attempt"
            logger.warning("delivery %s is given up: %s (%s)", delivery.id, delivery.reason, last)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
