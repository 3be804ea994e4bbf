"""What the application is told of, kept in the store before it is told, and told until it hears it.

A telling is a message of the system with one delivery. Its URL is for operators to see: the request is made
from the settings that are in force when it is sent, as all webhooks are.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gevent.event import Event as Bell

from hookbox.clock import Clock
from hookbox.commands.tellings import NOTHING, Event
from hookbox.core.values import UserName
from hookbox.delivery.ids import ulid
from hookbox.delivery.ledger import Ledger, Stopped, Wait, wait_on
from hookbox.delivery.models import (
    TELLING,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    Source,
    State,
    Wishes,
)
from hookbox.delivery.notices import masked
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.outcome import End
from hookbox.delivery.sender import Sent
from hookbox.delivery.store.base import Entry, Store
from hookbox.errors import NotAsked, UnusableAnswer, WebhookError
from hookbox.webhooks.gate import Allow, Gate

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 200
"""Leavings that share a transaction."""


class Runs(Protocol):
    """Runs functions in greenlets of their own."""

    def spawn(self, function: Callable[..., object], *args: Any) -> object:
        """Run it as soon as the caller waits."""


@dataclass(frozen=True, slots=True)
class Application:
    """Who is told.

    Args:
        gate: hears it.
        url_of: where a webhook of an action goes, for operators to see.
        is_still_so: whether an event that an earlier start kept may be told.
        later: runs what writes them down.
    """

    gate: Gate
    url_of: Callable[[str], str]
    is_still_so: Callable[[Event], bool]
    later: Runs


class StoredTellings:
    """Tells the application by way of the store.

    Args:
        wait: how to wait until the store is tried again.
    """

    def __init__(
        self, store: Store, numbers: Numbers, clock: Clock, application: Application, wait: Wait = wait_on
    ) -> None:
        self.wake: Callable[[Delivery], None] = lambda delivery: None
        """Has a delivery begun that the store has now; whoever delivers puts itself here."""
        self._store = store
        self._numbers = numbers
        self._clock = clock
        self._application = application
        self._stopping = Bell()
        self._written = Bell()
        self._written.set()
        self._ledger = Ledger(numbers, self._stopping, wait)
        self._unwritten: deque[tuple[UserName, Sequence[Event]]] = deque()
        self._events: dict[int, Event] = {}
        self._fresh: set[int] = set()

    def untold(self) -> int:
        """How many have been told to this process, but not yet, not even in vain, to the application."""
        return sum(len(events) for _, events in self._unwritten) + len(self._fresh)

    # keeping

    def tell(self, user: UserName, events: Sequence[Event]) -> None:
        """Tell what happened to a user, in this order and after everything before. Does not block.

        Written down by a greenlet, all that is there at once; if the store refuses, again and again.
        """
        self._unwritten.append((user, events))
        if self._written.is_set():
            self._written.clear()
            self._application.later.spawn(self._write_all)

    def stop(self, timeout: float) -> None:
        """Let everything be written down that was told so far; blocks up to `timeout` seconds."""
        if not self._written.wait(timeout):
            self._stopping.set()
            self._written.wait(timeout)

    def _write_all(self) -> None:
        try:
            while self._unwritten:
                self._write_some()
        except Stopped:
            logger.error("the application will not hear that %s users have gone", len(self._unwritten))
            self._unwritten.clear()
        finally:
            self._written.set()

    def _write_some(self) -> None:
        some = list(self._unwritten)[:MOST_AT_ONCE]

        def write() -> tuple[list[tuple[Entry, Event]], list[Delivery]]:
            entries = [(self._entry(user, event), event) for user, events in some for event in events]
            return entries, self._store.tell([entry for entry, _ in entries])

        entries, begin = self._ledger.patiently(write)
        for _ in some:
            self._unwritten.popleft()
        for entry, event in entries:
            self._fresh.add(entry.message.seq)
            if event.follows is not NOTHING:
                self._events[entry.message.seq] = event
        for delivery in begin:
            self.wake(delivery)

    def _entry(self, user: UserName, event: Event) -> Entry:
        now_ms = int(self._clock.now() * 1000)
        seq = self._numbers.next()
        shown = {"action": event.action, "fields": event.fields}
        caused = {name: getattr(event, name) for name in ("cookies", "client_ip", "connection", "session")}
        body = json.dumps({**shown, **caused}).encode()
        message = Message(
            seq, MessageId(f"msg_{ulid(now_ms)}"), now_ms, Source.SYSTEM, TELLING, body,
            json.dumps(shown), originator=user, type=f"webhook.{event.action}",
        )  # fmt: skip
        delivery = Delivery(
            DeliveryId(f"dlv_{ulid(now_ms)}"), seq, masked(self._application.url_of(event.action)), Wishes(),
            State.SCHEDULED, now_ms, now_ms, order=f"user:{user}",
        )  # fmt: skip
        return Entry(message, (delivery,))

    # telling

    def send(self, message: Message) -> Sent:
        """Tell the application once. Blocks up to `webhook_timeout`; raises nothing for what it does."""
        event = self._events.get(message.seq)
        if event is None:
            event = _read(message.body)
            so = self._application.is_still_so(event)
        else:
            so = event.follows.begin()
        if not so:
            return Sent(End.NEEDLESS.value)
        try:
            return self._send(event, message.id)
        finally:
            self._fresh.discard(message.seq)

    def over(self, seq: int) -> None:
        """A message will not be told any more."""
        self._events.pop(seq, None)
        self._fresh.discard(seq)

    def _send(self, event: Event, key: str) -> Sent:
        began = self._clock.monotonic()
        agreed = None
        try:
            agreed = isinstance(self._application.gate.ask(event.question(key)), Allow)
        except WebhookError as error:
            return _failed(error, self._clock.monotonic() - began)
        finally:
            event.follows.end(agreed)
        return Sent("ok", 200, took=self._clock.monotonic() - began)


def _read(body: bytes) -> Event:
    return Event(**json.loads(body))


def _failed(error: WebhookError, took: float) -> Sent:
    detail = error.detail or str(error)
    match error:
        case NotAsked():
            return Sent(End.NOT_ASKED.value, detail=detail)
        case UnusableAnswer(status=200):
            return Sent("protocol", 200, took=took, detail=detail)
        case UnusableAnswer(status=status):
            outcome = "http_3xx" if 300 <= status < 400 else f"http_{status}"
            return Sent(outcome, status, took=took, detail=detail)
        case _:
            return Sent(error.outcome, took=took, detail=detail)
