"""An outbox in front of a socket: one non-blocking send per turn, a writable watcher for the rest."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from fcntl import ioctl
from typing import Any

from gevent import get_hub

from hookbox.clock import Clock
from hookbox.protocol.disconnects import OVERLOAD, SLOW_CONSUMER, Disconnect
from hookbox.protocol.rtjp import EncodedFrame
from hookbox.transports.base import Configured
from hookbox.transports.outbox import Batch, Flusher, Outbox, encode, size_of

WRITE = 2
RESEND_BYTES = 65_536
BURST_BYTES = 4 * RESEND_BYTES
"""Bytes beyond which a queue of several frames leaves in pieces: what the kernel leaves over of one piece
is this connection's own, while frames that wait are shared with all others."""
WORTH_SHARING = 4096
"""Bytes from which a lone frame's text is made once for all connections, instead of quickly for each."""
SIOCOUTQNSD = 0x894B
RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: the end of the socket is a reset, and what the kernel has not sent yet is forgotten."""
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def has_unsent(sock: socket.socket) -> bool:
    """Whether the kernel holds bytes that have not left, because the client takes them too slowly.

    Source: tcp(7), SIOCOUTQ; SIOCOUTQNSD counts only what was not sent once. Elsewhere than on Linux: no.
    """
    try:
        return any(ioctl(sock.fileno(), SIOCOUTQNSD, bytes(4)))
    except (OSError, ValueError):  # not a TCP socket, or closed
        return False


class SocketOutbox(Outbox):
    """Frames waiting for one socket.

    Args:
        flusher: shared by all connections.
        sock: a non-blocking socket to which nobody else writes.
        clock: for `stalled_at`.
        configured: by its settings so many bytes and frames may wait behind the piece of which the kernel has
            taken a part (`outbox_bytes`, `outbox_messages`).
        owner: told when the peer is gone, reads too slowly, or has taken the last byte.
    """

    __slots__ = (
        "_backlog",
        "_clock",
        "_configured",
        "_on_drained",
        "_owner",
        "_partial",
        "_send",
        "_sock",
        "_watcher",
        "dead",
        "stalled_at",
        "waiting_bytes",
    )

    def __init__(
        self, flusher: Flusher, sock: socket.socket, clock: Clock, configured: Configured, owner: Owner
    ) -> None:
        super().__init__(flusher)
        self._sock = sock
        self._send = sock.send
        self._clock = clock
        self._configured = configured
        self._owner = owner
        self._watcher: Any = None
        self._partial: bytes | memoryview = b""
        self._backlog: list[EncodedFrame | bytes] | None = None
        self._on_drained: Callable[[], None] | None = None
        self.dead = False
        self.waiting_bytes = 0
        self.stalled_at = 0.0
        """Monotonic seconds when the kernel last took bytes, while it refuses more; else 0."""

    def flush(self) -> None:
        """Send the queue in one call; what the kernel refuses waits for a writable watcher."""
        if self._watcher is not None:
            self._stow()
            return
        if self.dead:
            self.queue.clear()
            return
        queue = self.queue
        if len(queue) == 1 and isinstance(only := queue[0], EncodedFrame) and only.size < WORTH_SHARING:
            data = only.message(self.next_id)
            self.next_id += 1
        else:
            batch = self.flusher.batch
            if batch.items != queue:
                batch = self.flusher.batch = Batch(queue.copy())
            if batch.size > BURST_BYTES and len(queue) > 1:
                self._send_in_pieces()
                return
            data, self.next_id = batch.encode(self.next_id)
        queue.clear()
        try:
            sent = self._send(data)
        except WOULD_BLOCK:
            sent = 0
        except OSError:
            self.broken()
            return
        if sent != len(data):
            self._stall(memoryview(data)[sent:])
        elif self._on_drained is not None:
            self._on_drained()

    def _stow(self) -> None:
        if self._backlog is None:
            self._backlog = []
        self._backlog.extend(self.queue)
        self._account(self.waiting_bytes + sum(map(size_of, self.queue)))
        self.queue.clear()
        self._look_at_limits()

    def _look_at_limits(self) -> None:
        if self._backlog is None or self.closed:
            return
        settings = self._configured.settings
        behind = self.waiting_bytes - len(self._partial)
        if behind > settings.outbox_bytes or len(self._backlog) > settings.outbox_messages:
            self._owner.overfull(SLOW_CONSUMER)

    def _send_in_pieces(self) -> None:
        self._backlog = self.queue.copy()
        self.queue.clear()
        self._stall(b"")
        self._resume()
        self._look_at_limits()

    def _stall(self, rest: bytes | memoryview) -> None:
        self._partial = rest
        self._watcher = get_hub().loop.io(self._sock.fileno(), WRITE)
        self._watcher.start(self._resume)
        self.stalled_at = self._clock.monotonic()
        self._account(len(rest))

    def _resume(self) -> None:
        """The kernel takes bytes again: send what waits, in pieces."""
        try:
            while self._partial or self._backlog:
                if not self._partial:
                    self._partial = memoryview(self._next_piece())
                sent = self._send(self._partial)
                self._partial = self._partial[sent:]
                self.stalled_at = self._clock.monotonic()
        except WOULD_BLOCK:
            backlog = self._backlog or ()
            self._account(len(self._partial) + sum(map(size_of, backlog)))
            return
        except OSError:
            self.broken()
            return
        self._unstall()
        if self._on_drained is not None:
            self._on_drained()

    def _next_piece(self) -> bytes:
        assert self._backlog is not None
        size = count = 0
        while count < len(self._backlog) and size < RESEND_BYTES:
            size += size_of(self._backlog[count])
            count += 1
        piece, self.next_id = encode(self._backlog[:count], self.next_id)
        del self._backlog[:count]
        return piece

    def _account(self, size: int) -> None:
        self.waiting_bytes = size
        self.flusher.account(self, size)

    def _unstall(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
            self._account(0)
        self._partial, self._backlog, self.stalled_at = b"", None, 0.0

    @property
    def waiting(self) -> tuple[int, int]:
        """Bytes and messages that have not left, about."""
        messages = len(self.queue) + len(self._backlog or ()) + bool(self._partial)
        return self.waiting_bytes + sum(map(size_of, self.queue)), messages

    def drop_backlog(self) -> None:
        """Free what waits, but for the piece of which the kernel has taken a part."""
        self.queue.clear()
        self._backlog = None
        if self._watcher is not None:
            self._account(len(self._partial))

    def seal(self, on_drained: Callable[[], None]) -> None:
        """Take nothing more; call back, in the hub's greenlet, when the kernel has taken the last byte."""
        self.closed = True
        if not self.queue and self._watcher is None:
            on_drained()
        else:
            self._on_drained = on_drained

    def discard(self) -> None:
        """Free everything at once and take nothing more."""
        self.closed = self.dead = True
        self.queue.clear()
        self._unstall()

    def broken(self) -> None:
        """The peer is gone."""
        self.discard()
        self._owner.lost()

    def overloaded(self) -> None:
        """All outboxes together hold too much, and this one is the fullest."""
        self._owner.overfull(OVERLOAD)


class Owner:
    """Whom an outbox tells of its end. Both run in the hub's greenlet and must not block."""

    __slots__ = ()

    def lost(self) -> None:
        """The peer is gone."""
        raise NotImplementedError

    def overfull(self, why: Disconnect) -> None:
        """The peer reads too slowly."""
        raise NotImplementedError
