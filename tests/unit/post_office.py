"""A worker without sockets: a real store in memory, receivers that answer as told, a clock turned by hand."""

import time
from contextlib import contextmanager
from dataclasses import replace

import gevent
from gevent.event import Event
from store_values import NOW, delivery, endpoint, message

from hookbox.clock import ManualClock
from hookbox.delivery.models import DeliveryId, State
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.sender import Sent
from hookbox.delivery.store.base import Entry, Search
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.delivery.terms import WorkerRules
from hookbox.delivery.worker import Worker
from hookbox.errors import DeliveryStoreError

DEADLINE = 20.0
URL = "http://a.example/"


def answer(status, *headers, body=b"said", **about):
    """An answer of a receiver."""
    return Sent("ok", status, headers, body, address="192.0.2.1", **about)


class Receivers:
    """Answers by URL, one after another; the last one for ever. They can be made to think."""

    def __init__(self, clock):
        self.clock = clock
        self.sent = []
        self.times = []
        self.thinking = 0
        self.most = 0
        self._answers = {}
        self._doors = {}

    def answers(self, url, *answers):
        self._answers[url] = [answer(item) if isinstance(item, int) else item for item in answers]

    def think(self, url):
        """Let everything to a URL wait from now on; returns what lets it go."""
        self._doors[url] = Event()
        return self._doors[url]

    def send(self, outgoing):
        self.sent.append(outgoing)
        self.times.append(self.clock.monotonic())
        door = self._doors.get(outgoing.url)
        if door is not None and not door.is_set():
            self.thinking += 1
            self.most = max(self.most, self.thinking)
            try:
                door.wait()
            finally:
                self.thinking -= 1
        answers = self._answers.get(outgoing.url, [answer(200)])
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(said, Exception):
            raise said
        return said

    def to(self, url):
        return [outgoing for outgoing in self.sent if outgoing.url == url]

    @property
    def bodies(self):
        return [outgoing.body for outgoing in self.sent]


class Turning:
    """Waits by a clock that is turned by hand."""

    def __init__(self, clock):
        self.clock = clock
        self._waiting = []

    def wait(self, event, seconds):
        until = None if seconds is None else self.clock.monotonic() + seconds
        bell = (event, until, Event())
        self._waiting.append(bell)
        try:
            while not event.is_set() and (until is None or self.clock.monotonic() < until):
                gevent.wait([event, bell[2]], count=1)
                bell[2].clear()
        finally:
            self._waiting.remove(bell)

    def turn(self, seconds):
        self.clock.advance(seconds)
        self.ring()

    def ring(self):
        for _, until, turned in self._waiting:
            if until is not None and self.clock.monotonic() >= until:
                turned.set()

    @property
    def next_at(self):
        return min(until for _, until, _ in self._waiting if until is not None)

    @property
    def quiet(self):
        """How many wait for something that has not happened."""
        now = self.clock.monotonic()
        return sum(not event.is_set() and (until is None or now < until) for event, until, _ in self._waiting)


class Refusing:
    """A store that refuses when it is told to."""

    def __init__(self, store):
        self._store = store
        self.refuses = set()

    def __getattr__(self, name):
        if name in self.refuses:
            raise_it = DeliveryStoreError(f"no {name} today")

            def refuse(*args):
                raise raise_it

            return refuse
        return getattr(self._store, name)


class PostOffice:
    """Everything between what was accepted and what receivers get.

    Args:
        chance: what every draw gives; 0.5 is no jitter.
        rules: of the worker.
    """

    def __init__(self, chance=0.5, path=":memory:", **rules):
        self.clock = ManualClock(NOW / 1000)
        self.rules = rules
        self.chance = chance
        self.path = path
        self.worker = None
        self.teller = None
        self.opened = []
        self.others = []  # groups of greenlets that wait by the same clock
        self.open()

    def open(self):
        """Open the store, with nobody who delivers."""
        self.store = Refusing(SqliteStore(self.path))
        self.opened.append(self.store)
        self.numbers = Numbers(self.store)
        self.receivers = Receivers(self.clock)

    def start(self):
        self.turning = Turning(self.clock)
        self.worker = Worker(
            self.store, self.receivers, self.clock, WorkerRules(**self.rules), self.numbers,
            lambda: self.chance, self.turning.wait, self.teller,
        )  # fmt: skip
        self.worker.start()
        self.settle()
        return self

    def close(self):
        if self.worker is not None:
            self.worker.stop(0)
        for store in self.opened:
            store.close()

    @property
    def now_ms(self):
        return int(self.clock.now() * 1000)

    def endpoint(self, name="ep_1", **about):
        made = endpoint(name, **{"url": URL, "created_ms": self.now_ms, **about})
        self.worker.endpoint_changed(made)
        return made

    def accept(self, *urls, to=None, delay=0, about=None, body=b"hello", **wishes):
        """Accept a message for URLs or an endpoint; returns its deliveries' ids."""
        now = self.now_ms
        seq = self.numbers.next()
        told = replace(message(seq), time_ms=now, body=body, **(about or {}))
        owed = []
        for url in urls or ((to.url,) if to else (URL,)):
            made = delivery(seq, now + round(delay * 1000), url=url, created_ms=now)
            state = State.WAITING if to and to.ordered else State.SCHEDULED
            if to and not self.worker.endpoint(to.id).enabled:
                state = State.HELD
            owed.append(
                replace(
                    made, wishes=replace(made.wishes, **wishes), endpoint=to.id if to else None, state=state
                )
            )
        self.store.accept(Entry(told, tuple(owed)))
        if self.worker is not None:
            for each in owed:
                self.worker.wake(each)
        return [each.id for each in owed] if len(owed) > 1 else owed[0].id

    def accepted(self, *urls, **about):
        """The same, and let it go on as far as it can now."""
        made = self.accept(*urls, **about)
        self.settle()
        return made

    def settle(self):
        """Let everything go on until it waits for the clock, or for a receiver that thinks."""
        until = time.monotonic() + DEADLINE
        still = 0
        while still < 2:
            assert time.monotonic() < until, "it does not come to rest"
            for _ in range(5):
                gevent.sleep(0)
            gevent.sleep(0.0005)
            running = len(self.worker._group) + sum(map(len, self.others))
            at_rest = running == self.turning.quiet + self.receivers.thinking
            still = still + 1 if at_rest else 0

    def advance(self, seconds):
        """Let time pass at once, and what falls due happen."""
        self.turning.turn(seconds)
        self.settle()

    def pass_(self, seconds):
        """Let time pass from one appointment to the next."""
        end = self.clock.monotonic() + seconds
        self.settle()
        while self.turning.next_at < end:
            self.advance(max(self.turning.next_at - self.clock.monotonic(), 0) + 1e-6)
        self.advance(max(end - self.clock.monotonic(), 0))

    def wait(self, name):
        """Seconds until a delivery is due."""
        return (self.store.delivery(DeliveryId(name)).due_ms - self.now_ms) / 1000

    def until_due(self, name):
        """Let time pass until a delivery is due; returns the seconds."""
        seconds = self.wait(name)
        self.advance(seconds + 0.001)
        return seconds

    def state(self, name):
        found = self.store.delivery(name)
        return (found.state.value, found.reason) if found.reason else found.state.value

    def attempts(self, name):
        return [attempt.outcome for attempt in self.store.attempts(name)]

    def notices(self, url):
        """What a URL was told."""
        return self.receivers.to(url)

    @contextmanager
    def restarted(self):
        """Crash, and start again."""
        self.worker._group.kill()
        self.worker = None
        yield
        self.start()

    def everything(self):
        return self.store.search(Search())
