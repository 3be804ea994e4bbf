"""Queues of encoded frames, one per connection, and the flusher that empties them once per turn of the loop.

Publishing appends; it does no I/O, does not wait and cannot fail. What came in during one turn
leaves in one send per connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from hookbox.protocol.rtjp import EncodedFrame

logger = logging.getLogger(__name__)


class Batch:
    """What the last connection was sent in this turn: most of a channel's subscribers get the same bytes.

    Args:
        items: the queue that was encoded.
    """

    __slots__ = ("by_first_id", "items")

    def __init__(self, items: list[EncodedFrame | bytes]) -> None:
        self.items = items
        self.by_first_id: dict[int, tuple[bytes, int]] = {}
        """From the id of the first frame to the bytes and the id that follows."""


class Flusher:
    """Calls `flush` once per turn of the loop on every outbox that got something.

    Args:
        run_soon: schedules a function for the end of the current turn; gevent's `loop.run_callback`.
        total_limit: bytes that all stalled outboxes together may hold.
    """

    def __init__(self, run_soon: Callable[[Callable[[], None]], object], total_limit: int) -> None:
        self._run_soon = run_soon
        self._dirty: list[Outbox] = []
        self._total_limit = total_limit
        self.waiting: dict[Outbox, int] = {}
        """Bytes held by each outbox whose connection does not take them now."""
        self.waiting_total = 0
        self.batch = Batch([])

    @property
    def congested(self) -> bool:
        """Whether stalled connections hold so much that publishing should wait."""
        return self.waiting_total > self._total_limit * 0.8

    def fan_out(self, frame: EncodedFrame, outboxes: Iterable[Outbox]) -> None:
        """Queue one frame for many connections."""
        dirty = self._dirty
        if not dirty:
            self._run_soon(self._flush)
        for outbox in outboxes:
            queue = outbox.queue
            if not queue:
                dirty.append(outbox)
            queue.append(frame)  # a sealed outbox is in no channel any more

    def mark(self, outbox: Outbox) -> None:
        """Have an outbox flushed in this turn."""
        if not self._dirty:
            self._run_soon(self._flush)
        self._dirty.append(outbox)

    def account(self, outbox: Outbox, size: int) -> None:
        """Note how many bytes a stalled outbox holds; the fullest goes when all hold too much."""
        self.waiting_total += size - self.waiting.pop(outbox, 0)
        if size:
            self.waiting[outbox] = size
        while self.waiting_total > self._total_limit and self.waiting:
            fullest = max(self.waiting, key=self.waiting.__getitem__)
            self.waiting_total -= self.waiting.pop(fullest)
            fullest.overloaded()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for outbox in dirty:
            try:
                outbox.flush()
            except Exception:
                logger.exception("flushing an outbox failed, its connection ends")
                outbox.queue.clear()
                outbox.broken()
        self.batch = Batch([])


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
