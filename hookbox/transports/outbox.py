"""Queues of encoded frames, one per connection, and the flusher that empties them once per turn of the loop.

Publishing appends; it does no I/O, does not wait and cannot fail. What came in during one turn
leaves in one send per connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import repeat

from hookbox.protocol.rtjp import ID_TEXTS, EncodedFrame

logger = logging.getLogger(__name__)


WORTH_WAITING = 0.001
"""Seconds a flush takes before the next one is delayed at all."""

WORTH_REMEMBERING = 8
"""Outboxes below which an audience is walked again for the next frame."""

LONGEST_REST = 0.01
"""Seconds that a flush is delayed at most."""


class Batch:
    """A queue's items as WebSocket messages, encoded for one connection after the other.

    Most connections of a channel have the same items queued in a turn, and many are to give them the
    same ids: those share the bytes. For the others only the numbers are filled in.

    Args:
        items: the queue; not changed afterwards.
    """

    __slots__ = ("_shared", "_templates", "items", "size")

    def __init__(self, items: list[EncodedFrame | bytes]) -> None:
        self.items = items
        self.size = sum(map(size_of, items))
        """Bytes it takes on the wire, about."""
        self._shared: dict[int, tuple[bytes, int]] = {}
        self._templates: dict[int, list[bytes]] = {}

    def encode(self, first_id: int) -> tuple[bytes, int]:
        """The items' bytes when the first frame has that id, and the id of the frame that will follow."""
        known = self._shared.get(first_id)
        if known is None:
            known = self._encode(first_id)
            if len(self._shared) < SHARED_IDS:  # each holds its own copy until the turn ends
                self._shared[first_id] = known
        return known

    def _encode(self, first_id: int) -> tuple[bytes, int]:
        following = first_id + len(self.items)
        digits = len(str(first_id))
        if len(str(following)) != digits or following > len(ID_TEXTS):
            return encode(self.items, first_id)
        template = self._templates.get(digits)
        if template is None:
            template = self._templates[digits] = self._template(digits)
        if not template:
            return encode(self.items, first_id)
        parts = template.copy()
        parts[1::3] = ID_TEXTS[first_id:following]
        return b"".join(parts), following

    def _template(self, digits: int) -> list[bytes]:
        parts: list[bytes] = []
        for item in self.items:
            if isinstance(item, bytes):
                return []
            parts += (item.head(digits), b"", item.tail)
        return parts


SHARED_IDS = 64


def encode(items: list[EncodedFrame | bytes], first_id: int) -> tuple[bytes, int]:
    """The bytes of some queued items, and the id of the frame that will follow them."""
    parts = []
    for item in items:
        if isinstance(item, EncodedFrame):
            parts.append(item.message(first_id))
            first_id += 1
        else:
            parts.append(item)
    return b"".join(parts), first_id


def size_of(item: EncodedFrame | bytes) -> int:
    """Bytes a queued item takes, about."""
    return len(item) if isinstance(item, bytes) else item.size


class Audience:
    """Outboxes that have all got something in this turn, and so are all to be flushed.

    Args:
        outboxes: kept, so that no other tuple takes their place in memory before the turn ends.
    """

    __slots__ = ("_outboxes", "_queues")

    def __init__(self, outboxes: tuple[Outbox, ...]) -> None:
        self._outboxes = outboxes
        self._queues: tuple[list[EncodedFrame | bytes], ...] | None = None

    @property
    def queues(self) -> tuple[list[EncodedFrame | bytes], ...]:
        """Their queues."""
        if self._queues is None:
            self._queues = tuple([outbox.queue for outbox in self._outboxes])
        return self._queues


class Flusher:
    """Calls `flush` once per turn of the loop on every outbox that got something.

    Under a stream of publications a flush of many connections is worth delaying for a moment: more leaves
    in the same sends. So after a flush that took a while the next one waits as long again. When things are
    calm, or the audience is small, nothing waits.

    Args:
        run_soon: schedules a function for the end of the current turn; gevent's `loop.run_callback`.
        run_later: schedules a function after some seconds.
        now: monotonic seconds.
        total_limit: bytes that all stalled outboxes together may hold.
    """

    def __init__(
        self,
        run_soon: Callable[[Callable[[], None]], object],
        run_later: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float],
        total_limit: int,
    ) -> None:
        self._run_soon = run_soon
        self._run_later = run_later
        self._now = now
        self._rested_at = 0.0
        self._dirty: list[Outbox] = []
        self._audiences: dict[int, Audience] = {}
        self.total_limit = total_limit
        self.waiting: dict[Outbox, int] = {}
        """Bytes held by each outbox whose connection does not take them now."""
        self.waiting_total = 0
        self.stalls = 0
        """Connections dropped so far because they took no byte for `write_stall` seconds."""
        self._relieving = False
        self.batch = Batch([])

    @property
    def congested(self) -> bool:
        """Whether stalled connections hold so much that publishing should wait."""
        return self.waiting_total > self.total_limit * 0.8

    def fan_out(self, frame: EncodedFrame, outboxes: Iterable[Outbox]) -> None:
        """Queue one frame for many connections.

        A tuple is taken for an audience that gets several frames in a turn: once all its outboxes are to
        be flushed, nothing has to be looked at any more.
        """
        audience = self._audiences.get(id(outboxes))
        if audience is not None:
            any(map(list.append, audience.queues, repeat(frame)))
            return
        dirty = self._dirty
        if not dirty:
            self._schedule()
        if type(outboxes) is tuple and len(outboxes) >= WORTH_REMEMBERING:
            self._audiences[id(outboxes)] = Audience(outboxes)
        for outbox in outboxes:
            queue = outbox.queue
            if not queue:
                dirty.append(outbox)
            queue.append(frame)  # a sealed outbox is in no channel any more

    def mark(self, outbox: Outbox) -> None:
        """Have an outbox flushed in this turn."""
        if not self._dirty:
            self._schedule()
        self._dirty.append(outbox)

    def account(self, outbox: Outbox, size: int) -> None:
        """Note how many bytes a stalled outbox holds; the fullest goes when all hold too much."""
        self.waiting_total += size - self.waiting.pop(outbox, 0)
        if size:
            self.waiting[outbox] = size
        if self.waiting_total > self.total_limit and not self._relieving:
            self._relieving = True
            try:
                self._relieve()
            finally:
                self._relieving = False

    def _relieve(self) -> None:
        """End the connections that hold most; one that frees nothing when told goes at once."""
        while self.waiting_total > self.total_limit and self.waiting:
            fullest = max(self.waiting, key=self.waiting.__getitem__)
            held = self.waiting[fullest]
            fullest.overloaded()
            if self.waiting.get(fullest, 0) >= held:
                _end(fullest)
                self.waiting_total -= self.waiting.pop(fullest, 0)

    def _schedule(self) -> None:
        rest = self._rested_at - self._now()
        if rest > 0:
            self._run_later(rest, self._flush)
        else:
            self._run_soon(self._flush)

    def _flush(self) -> None:
        began = self._now()
        dirty, self._dirty = self._dirty, []
        self._audiences.clear()
        for outbox in dirty:
            try:
                outbox.flush()
            except Exception:
                logger.exception("flushing an outbox failed, its connection ends")
                _end(outbox)
        self._audiences.clear()  # what came in meanwhile may have been flushed already
        self.batch = Batch([])
        ended = self._now()
        took = ended - began
        if took > WORTH_WAITING:
            self._rested_at = ended + min(took, LONGEST_REST)


def _end(outbox: Outbox) -> None:
    outbox.queue.clear()
    try:
        outbox.broken()
    except Exception:
        logger.exception("ending a connection failed")


class Outbox:
    """Frames waiting for one connection. Subclasses know what carries them.

    Items of the queue are `EncodedFrame`s, numbered when they leave, or bytes that leave as they are.
    """

    __slots__ = ("closed", "flusher", "next_id", "queue")

    def __init__(self, flusher: Flusher) -> None:
        self.flusher = flusher
        self.queue: list[EncodedFrame | bytes] = []
        self.next_id = 1
        self.closed = False

    def put(self, frame: EncodedFrame | bytes) -> None:
        """Queue a frame. Never blocks and never raises; after the end it does nothing."""
        if self.closed:
            return
        if not self.queue:
            self.flusher.mark(self)
        self.queue.append(frame)

    def flush(self) -> None:
        """Send what is queued, as far as it goes without waiting. Called in the hub's greenlet."""
        raise NotImplementedError

    def broken(self) -> None:
        """The connection cannot go on; called in the hub's greenlet, must not block."""
        raise NotImplementedError

    def overloaded(self) -> None:
        """This outbox is the fullest while all together hold too much (1013); must not block."""
        raise NotImplementedError
