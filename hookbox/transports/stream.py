"""Streams: one consumer of some topics, written to by the greenlet of its own request.

Whoever publishes never waits for a consumer. One that reads too slowly gets what it lacks from memory or the
store, at its own pace, as long as that is kept.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import gevent
from gevent.event import Event

from hookbox.clock import Clock
from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName
from hookbox.delivery.ids import message_id
from hookbox.delivery.models import Message
from hookbox.delivery.past import ENDLESS, FIRST_PAGE, Kept, Past, next_count
from hookbox.delivery.store.base import PAGE
from hookbox.errors import DeliveryStoreError, LimitReached
from hookbox.protocol.disconnects import SLOW_CONSUMER, Disconnect
from hookbox.protocol.json_text import dump
from hookbox.protocol.units import Form, StreamPosition, Unit, Writer, ending, gap
from hookbox.transports.base import Configured

logger = logging.getLogger(__name__)

BUFFER_BYTES: Final = 1_048_576
BUFFER_UNITS: Final = 1000
SHARED_BYTES: Final = 4 * BUFFER_BYTES
PULSE: Final = 1.0
"""Seconds between two looks at the deadlines: a sign of life is sent at the last one that is in time."""
BREATH: Final = 64
"""Units that one consumer is sent in a row while others wait."""
UNIT_BYTES: Final = 300
"""Bytes of a unit besides its payload, about."""
UNREADABLE: Final = Disconnect(SLOW_CONSUMER.code, "what was missed cannot be read now")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a consumer asked for.

    Args:
        topics: at least one.
        since: what it has seen, None if it has seen nothing.
        backlog: how many of the newest messages come first; looked at without `since` only.
        heartbeat: seconds of silence at most; None for the setting.
        limit: messages after which the stream ends, None for none.
        wait: whether it goes on when everything that is kept has been sent.
        with_length: whether lines of JSON are preceded by their length.
    """

    topics: tuple[ChannelName, ...]
    since: StreamPosition | None = None
    backlog: int = 0
    heartbeat: float | None = None
    limit: int | None = None
    wait: bool = True
    with_length: bool = False


class Encoder:
    """Writes what is kept in one form, once for all consumers.

    Args:
        writer: of the form.
        past: knows the epochs.
    """

    def __init__(self, writer: Writer, past: Past) -> None:
        self.writer = writer
        self._past = past
        self._shared: dict[int, bytes] = {}
        self._bytes = 0

    def encode(self, item: Kept) -> bytes:
        """One message as bytes."""
        data = self._shared.get(item.seq)
        if data is None:
            data = self._encode(item)
            self._share(item.seq, data)
        return data

    def _encode(self, item: Kept) -> bytes:
        unit = of_message(item) if isinstance(item, Message) else self._of_publication(item)
        store = self._past.epoch
        return self.writer.message(f"{store}-{item.seq}", unit.text(store))

    def _of_publication(self, item: Publication) -> Unit:
        epoch = self._past.epoch_of(item)
        return Unit(
            item.seq, item.channel, item.offset, epoch, message_id(item), item.time_ms, item.user, item.type,
            item.payload,
        )  # fmt: skip

    def _share(self, seq: int, data: bytes) -> None:
        shared = self._shared
        shared[seq] = data
        self._bytes += len(data)
        while len(shared) > BUFFER_UNITS or (self._bytes > SHARED_BYTES and len(shared) > 1):
            self._bytes -= len(shared.pop(next(iter(shared))))


def of_message(message: Message) -> Unit:
    """The unit of a message from the store."""
    user = dump(message.originator) if message.originator else ""
    return Unit(
        message.seq, dump(message.topic), message.offset, message.epoch, message.id, message.time_ms, user,
        message.type, message.payload,
    )  # fmt: skip


class Host(Configured, Protocol):
    """What streams ask of the server."""

    def watch(self, consumer: Consumer) -> None:
        """Have the `check` of a consumer called about once a second."""

    def forget_stream(self, consumer: Consumer) -> None:
        """It is over. Safe to repeat."""


class Streams:
    """All streams of one server.

    Args:
        host: has the settings, and calls `check`.
        past: what is kept.
        clock: for deadlines.
    """

    def __init__(self, host: Host, past: Past, clock: Clock) -> None:
        self.host = host
        self.past = past
        self.clock = clock
        self.sent = 0
        """Messages so far, but for the last few of those who are served just now."""
        self._open: dict[Consumer, None] = {}
        self._encoders: dict[tuple[Form, bool], Encoder] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, wanted: Wanted, form: Form) -> Consumer:
        """Begin a stream; whoever gets it must `stop` it in the end.

        Raises:
            LimitReached: there are too many.
        """
        self.require_room()
        consumer = Consumer(self, wanted, self._encoder(form, wanted.with_length))
        self._open[consumer] = None
        self.host.watch(consumer)
        return consumer

    def require_room(self) -> None:
        """Look whether one more may begin.

        Raises:
            LimitReached: there are too many.
        """
        if len(self._open) >= self.host.settings.max_streams:
            raise LimitReached("too many streams, the limit is the setting max_streams")

    def _encoder(self, form: Form, with_length: bool) -> Encoder:
        encoder = self._encoders.get((form, with_length))
        if encoder is None:
            encoder = self._encoders[form, with_length] = Encoder(Writer(form, with_length), self.past)
        return encoder

    def end(self, why: Disconnect) -> None:
        """End all of them; does not block."""
        for consumer in list(self._open):
            consumer.close(why)

    def forget(self, consumer: Consumer) -> None:
        """A stream is over; safe to repeat."""
        if consumer in self._open:
            del self._open[consumer]
            self.host.forget_stream(consumer)


class Consumer:
    """A `Reader` of topics, and the pieces of an answer.

    Args:
        streams: whose member it is.
        wanted: what was asked for.
        encoder: of its form.
    """

    __slots__ = ("_beat", "_behind", "_buffer", "_bytes", "_encoder", "_ended", "_gaps", "_gone", "_judged",
                 "_left", "_news", "_page_count", "_run", "_shown", "_starts_at", "_streams", "_wanted",
                 "_why", "_written_at", "cut_off")  # fmt: skip

    busy = False
    """Whether a decision is waited for; the application is asked before there is a consumer."""

    def __init__(self, streams: Streams, wanted: Wanted, encoder: Encoder) -> None:
        self._streams = streams
        self._wanted = wanted
        self._encoder = encoder
        self._news = Event()
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._shown = 0
        """Everything up to this number was shown, or was not wanted."""
        self._behind = True
        """Whether more is kept than the buffer holds; then what is published is not put there."""
        self._judged: dict[ChannelName, int] = {}
        """Up to which number of each topic it is known whether the store has everything."""
        self._page_count = FIRST_PAGE
        self._gaps: Sequence[bytes] = ()
        self._starts_at = ""
        self._left = wanted.limit
        self._run = 0
        self._beat = self._gone = self._ended = False
        self._why: Disconnect | None = None
        self.cut_off: Callable[[], None] = lambda: None
        """Ends the answer if the client does not take what was sent last; must not block."""
        self._written_at = streams.clock.monotonic()

    # what publishers and the pulse call: nothing here waits

    def put(self, publication: Publication) -> None:
        """Something is shown on a topic."""
        if not self._behind:
            data = self._encoder.encode(publication)
            self._bytes += len(data)
            buffer = self._buffer
            if buffer and (self._bytes > BUFFER_BYTES or len(buffer) >= BUFFER_UNITS):
                self._fall_behind()
            elif buffer and buffer[-1][0] > publication.seq:  # it waited for the disk while others did not
                insort(buffer, (publication.seq, data))
            else:
                buffer.append((publication.seq, data))
        self._news.set()

    def settled(self) -> None:
        """What waited on a topic no longer does."""
        self._news.set()

    def check(self, now: float) -> None:
        """Send a sign of life when it is due; called about once a second."""
        seconds = self._wanted.heartbeat or self._streams.host.settings.heartbeat
        if now - self._written_at > seconds - PULSE:
            self._beat = True
            self._news.set()

    def gone(self) -> None:
        """The client is gone."""
        self._gone = True
        self._news.set()

    def end(self, code: int, reason: str) -> None:
        """End the stream, telling the client why. Never blocks; a second call does nothing."""
        self.close(Disconnect(code, reason))

    def close(self, why: Disconnect) -> None:
        """The same, as transports do it."""
        if self._why is None:
            self._why = why
            self._news.set()

    def drop(self) -> None:
        """Forget what is buffered; an answer that the client does not take is cut off."""
        self._fall_behind()
        self.cut_off()

    def flush(self) -> None:
        """Do nothing: whoever is told to go gets nothing more."""

    def _fall_behind(self) -> None:
        self._behind = True
        self._buffer.clear()
        self._bytes = 0

    # what its own greenlet does

    def begin(self) -> None:
        """Find out where to begin; call this once, before `pieces`. Blocks.

        Raises:
            DeliveryStoreError: what is kept cannot be read now.
        """
        past, wanted = self._streams.past, self._wanted
        for topic in wanted.topics:
            past.broker.follow(topic, self)
        if wanted.since is not None:
            self._gaps = self._begin_behind(wanted.since)
        elif wanted.backlog:
            self._shown = past.before_newest(wanted.topics, wanted.backlog)
            self._judged = {topic: past.broker.complete_since(topic) for topic in wanted.topics}
        else:
            self._shown = past.now(wanted.topics)
            self._behind = False
        if wanted.since is None:
            self._starts_at = str(StreamPosition(past.epoch, self._shown))

    @property
    def closing(self) -> Disconnect | None:
        """Why the server ends it; None if it does not."""
        return self._why

    def stop(self) -> None:
        """Free everything; safe to repeat."""
        self._count()
        for topic in self._wanted.topics:
            self._streams.past.broker.unfollow(topic, self)
        self._fall_behind()
        self._streams.forget(self)

    def pieces(self) -> Iterator[bytes]:
        """The answer, piece after piece: each is to be sent at once, the first although it may be empty."""
        yield self._encoder.writer.opening(self._starts_at)
        yield from self._gaps
        while (piece := self._next()) is not None:
            yield piece
            self._written_at = self._streams.clock.monotonic()

    def _begin_behind(self, since: StreamPosition) -> list[bytes]:
        past = self._streams.past
        known = since.store == past.epoch and since.seq <= past.last
        self._shown = since.seq if known else 0
        gaps = []
        for topic in self._wanted.topics:
            if self._judge(topic) and known:
                continue
            oldest = StreamPosition(past.epoch, past.oldest(topic, self._shown))
            gaps.append(self._encoder.writer.control(*gap(dump(topic), str(since), str(oldest))))
        return gaps

    def _judge(self, topic: ChannelName) -> bool:
        """Whether everything of a topic that is not in memory any more is in the store. Blocks."""
        past = self._streams.past
        until = past.broker.complete_since(topic)
        judged = max(self._shown, self._judged.get(topic, 0))
        self._judged[topic] = max(judged, until)
        return until <= judged or past.is_complete(topic, judged, until)

    def _catch_up(self) -> None:
        """Put into the buffer what comes next of what is kept; all of it, if that is little enough."""
        past, topics = self._streams.past, self._wanted.topics
        while not self._buffer:
            if not all(map(self._judge, topics)):
                self.close(SLOW_CONSUMER)
                return
            page = past.page(topics, self._shown, self._judged, self._page_count)
            if page.until == ENDLESS and self._fits(page.items):
                self._behind = False  # nothing has waited since: what is published now comes behind this
                self._fill(page.items)
                return
            barrier = past.barrier(topics)
            items = [item for item in page.items[:PAGE] if item.seq < barrier]
            if items:
                self._page_count = next_count(items)
                self._fill(items)
            elif page.until < barrier - 1:
                self._shown = max(self._shown, page.until)  # what comes next has left memory meanwhile
            else:
                return  # until something is settled

    def _fits(self, items: Sequence[Kept]) -> bool:
        size = sum(len(item.payload) + UNIT_BYTES for item in items)
        return size <= BUFFER_BYTES // 2 and len(items) <= BUFFER_UNITS // 2

    def _fill(self, items: Sequence[Kept]) -> None:
        for item in items:
            data = self._encoder.encode(item)
            self._buffer.append((item.seq, data))
            self._bytes += len(data)

    def _next(self) -> bytes | None:
        """Wait for the next piece; None at the end."""
        while True:
            if self._gone or self._ended or self._left == 0:
                return None
            if self._why is not None:
                self._ended = True
                return self._encoder.writer.control(*ending(self._why))
            data = self._take()
            if self._why is not None:
                continue  # it waited meanwhile: whoever is told to go gets nothing more
            if data is not None:
                return data
            if self._beat:
                self._beat = False
                return self._encoder.writer.sign_of_life
            if not self._behind and not self._wanted.wait:
                return None
            self._count()
            self._news.wait()
            self._news.clear()

    def _count(self) -> None:
        self._streams.sent += self._run
        self._run = 0

    def _take(self) -> bytes | None:
        """The next unit that may be shown now."""
        if self._behind and not self._buffer:
            try:
                self._catch_up()
            except DeliveryStoreError as error:
                logger.warning("a stream cannot read what it missed: %s", error)
                self.close(UNREADABLE)
        buffer = self._buffer
        if not buffer:
            return None
        seq, data = buffer[0]
        topics = self._wanted.topics
        if len(topics) > 1 and seq >= self._streams.past.barrier(topics):
            return None
        buffer.popleft()
        self._bytes -= len(data)
        self._shown = seq
        self._beat = False
        if self._left is not None:
            self._left -= 1
        self._run += 1
        if self._run == BREATH:
            self._count()
            gevent.sleep(1e-6)  # not 0, which would not look at sockets
        return data
