"""Streams without HTTP: a real broker and a real store, publishers, and readers as slow as one likes."""

import json
import time
from collections import deque

import gevent
from gevent.event import Event

from hookbox.clock import ManualClock
from hookbox.core.history import Budget
from hookbox.delivery.models import Message, MessageId, Source
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.past import Past
from hookbox.delivery.store.base import Entry
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.engine.base import Draft
from hookbox.engine.memory import MemoryBroker
from hookbox.errors import DeliveryStoreError
from hookbox.protocol.units import Form, read_position
from hookbox.settings import Settings
from hookbox.transports.stream import Streams, Wanted

TIME_MS = 1_732_104_000_000


class OnDisk:
    """Puts one publication on disk, and says so when it is let go; or says that it failed."""

    def __init__(self, spring, topic, held=False, fails=False):
        self.spring = spring
        self.topic = topic
        self.held = held
        self.fails = fails
        self.stored = False
        self.settle = None

    def begin(self, publication, epoch, whole, settle):
        self.settle = settle
        self.publication = publication
        if self.fails:
            self.stored = True
        else:
            p = publication
            message = Message(
                p.seq, MessageId(f"msg_{p.seq}"), p.time_ms, Source.DISPATCH, "application/json",
                p.payload.encode(), p.payload, self.topic, p.offset, epoch, "ann", p.type, whole=whole,
            )  # fmt: skip
            self.spring.store.begin_accept(Entry(message), self._done)
        self._tell()

    def _done(self, error):
        assert error is None
        self.stored = True
        self._tell()

    def let_go(self):
        self.held = False
        self._tell()

    def _tell(self):
        if self.stored and not self.held and self.settle is not None:
            settle, self.settle = self.settle, None
            if self.fails:
                self.spring.lost.add(self.publication.seq)
            settle(DeliveryStoreError("no space") if self.fails else None)


class BusyStore:
    """A store that is asked while the world goes on: between question and answer something happens."""

    def __init__(self, store):
        self._store = store
        self.epoch = store.epoch
        self.meanwhile = deque()
        """What happens, one after the other."""

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def ask(*args):
            answer = method(*args)
            if self.meanwhile:
                self.meanwhile.popleft()()
            return answer

        return ask


class Spring:
    """What is published, kept and streamed.

    Args:
        ring: publications that memory keeps of each topic.
        path: of the store.
    """

    def __init__(self, ring=1000, path=":memory:", **settings):
        self.settings = Settings(**settings)
        self.clock = ManualClock()
        self.store = SqliteStore(str(path))
        self.numbers = Numbers(self.store)
        self.numbers.begin()
        self.broker = MemoryBroker(Budget(10**8), ring=(ring, 300.0), numbers=self.numbers)
        self.busy = BusyStore(self.store)
        self.past = Past(self.broker, self.busy, self.numbers)
        self.streams = Streams(self, self.past, self.clock)
        self.checked = {}
        self.shown = []
        """Number and topic of everything that was shown, in that order."""
        self.lost = set()
        self.readers = []

    def watch(self, consumer):
        self.checked[consumer] = None

    def forget_stream(self, consumer):
        self.checked.pop(consumer, None)

    def publish(self, topic="news", payload=None, *, durable=False, held=False, fails=False, type=""):
        """Publish; returns what lets it go if it is held."""
        text = json.dumps(self.numbers.last + 1 if payload is None else payload)
        draft = Draft(
            json.dumps(topic), text, "", '"ann"', self.clock.monotonic(), TIME_MS, type,
            "msg_disk" if durable else "",
        )  # fmt: skip
        keeper = OnDisk(self, topic, held, fails) if durable or held or fails else None
        self.broker.publish(topic, draft, (0, 0.0), lambda p: self.shown.append((p.seq, topic)), keeper)
        return keeper

    def settle(self):
        """Let everything happen that need not be waited for."""
        for _ in range(4):
            self.store.standing()  # behind everything that the store was given before
            gevent.sleep(1e-6)

    def reader(self, *topics, since=None, form=Form.JSON, pace=10**9, **wanted):
        """A consumer that takes so many pieces, and more when it is told to."""
        position = read_position(since) if isinstance(since, str) else since
        wanted = Wanted(topics or ("news",), since=position, **wanted)
        reader = Reading(self, self.streams.open(wanted, form), pace)
        self.readers.append(reader)
        return reader

    def seqs(self, *topics, after=0):
        """The numbers of everything that was shown on some topics."""
        return sorted(seq for seq, topic in self.shown if seq > after and (not topics or topic in topics))

    def close(self):
        for reader in self.readers:
            reader.close()
        assert not len(self.streams)
        assert not self.checked
        self.store.close()


class Reading:
    """A client of one stream."""

    def __init__(self, spring, consumer, pace):
        self.spring = spring
        self.consumer = consumer
        self.pieces = []
        self.left = pace
        self.news = Event()
        consumer.begin()
        self.greenlet = gevent.spawn(self._run)
        gevent.sleep(1e-6)

    def _run(self):
        try:
            for piece in self.consumer.pieces():
                self.pieces.append(piece)
                self.left -= 1
                while self.left < 0:
                    self.news.wait()
                    self.news.clear()
        finally:
            self.consumer.stop()

    def more(self, count=10**9):
        """Take so many more pieces."""
        self.left += count
        self.news.set()

    @property
    def units(self):
        """What came, read as JSON lines."""
        return [json.loads(piece) for piece in self.pieces if piece.strip()]

    @property
    def seqs(self):
        return [read_position(unit["pos"]).seq for unit in self.units if "pos" in unit]

    @property
    def controls(self):
        return [unit for unit in self.units if "control" in unit]

    @property
    def position(self):
        return next(unit["pos"] for unit in reversed(self.units) if "pos" in unit)

    def until(self, condition, seconds=5):
        """Wait until something holds; returns this."""
        end = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < end, self.pieces[-5:]
            gevent.sleep(0.001)
        return self

    def has(self, count):
        """Wait until so many messages came."""
        return self.until(lambda reader: len(reader.seqs) >= count)

    def ended(self):
        """Wait for the end."""
        return self.until(lambda reader: reader.greenlet.dead)

    def close(self):
        self.consumer.gone()
        self.more()
        self.greenlet.join(10)
        assert self.greenlet.dead
