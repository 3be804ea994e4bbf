"""One WebSocket: a greenlet that reads, an outbox that the flusher empties."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import Event as Signal

from hookbox.clock import Clock
from hookbox.core.limits import Bucket
from hookbox.protocol.disconnects import (
    INTERNAL,
    NEVER_CONNECTED,
    NO_PONG,
    NORMAL,
    POLICY,
    TOO_MANY_PINGS,
    TOO_SLOW_MESSAGE,
    Disconnect,
)
from hookbox.protocol.websocket import Codecs, Event, Received, ServerProtocol, close_frame, ping_frame
from hookbox.transports.base import Configured, Road
from hookbox.transports.outbox import Flusher
from hookbox.transports.socket_outbox import RESET, WOULD_BLOCK, Owner, SocketOutbox, has_unsent

logger = logging.getLogger(__name__)

CUT_OFF = 1006
"""Never sent: how an end without a goodbye is counted (RFC 6455 section 7.4.1)."""
READ = 1
READ_BYTES = 16_384
PING_EARLY = 0.92
"""Share of `ping_interval` after which a silent client is pinged. Deadlines are looked at once a second, so
each of the two waits may last a second longer: with the defaults a lost client is missed within 35 s."""
LINGER_FOR_PEER = 5.0
LINGER_AFTER_CLOSE = 1.0


class WebSocket(Owner):
    """A `Transport` over one upgraded socket.

    Args:
        sock: non-blocking, owned from now on.
        flusher: shared by all connections.
        codecs: shared by all connections.
        configured: whose settings, those in force, are the limits and intervals.
        clock: for deadlines.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_closing_until",
        "_codec",
        "_codecs",
        "_configured",
        "_heard_at",
        "_message_since",
        "_pinged_at",
        "_pings",
        "_sock",
        "_watcher",
        "busy",
        "closing",
        "left",
        "opened_at",
        "outbox",
        "road",
    )

    def __init__(
        self, sock: socket.socket, flusher: Flusher, codecs: Codecs, configured: Configured, clock: Clock
    ) -> None:
        self._sock = sock
        self._configured = configured
        self._clock = clock
        self._codecs = codecs
        self._codec: ServerProtocol | None = None
        self.outbox = SocketOutbox(flusher, sock, clock, configured, self)
        self.road: Road
        self.opened_at = self._heard_at = clock.monotonic()
        self._pinged_at = 0.0
        self._message_since = 0.0
        self._closing_until = 0.0
        self._pings: Bucket | None = None
        self._watcher: Any = None
        self.busy = False
        self.closing: Disconnect | None = None
        self.left = False
        """Whether the client said goodbye first."""

    def serve(self, leftover: bytes) -> None:
        """Read until the connection ends; runs in the connection's own greenlet.

        Args:
            leftover: bytes that came in one segment with the handshake.
        """
        self._watcher = get_hub().loop.io(self._sock.fileno(), READ)
        try:
            goes_on = self._take(leftover) if leftover else True
            while goes_on and not self.outbox.dead:
                goes_on = self._take(self._receive())
        except Exception:
            logger.exception("a WebSocket's greenlet failed, the connection ends")
            self.close(INTERNAL)
        finally:
            self._end()

    def _receive(self) -> bytes:
        """Wait for bytes; empty when there will be none. Always lets others run first."""
        if not _has_decrypted(self._sock):
            get_hub().wait(self._watcher)
        while True:
            try:
                return self._sock.recv(READ_BYTES)
            except WOULD_BLOCK:
                get_hub().wait(self._watcher)
            except OSError:
                return b""

    def _take(self, data: bytes) -> bool:
        """Handle some bytes; says whether there is more to read."""
        if not data:
            return False
        now = self._heard_at = self._clock.monotonic()
        self._pinged_at = 0.0
        if self._codec is None and (text := self._codecs.read_whole(data)) is not None:
            return self._handle(text)
        received, echo = self._decode(data, now)
        for item in received.items:
            if item is Event.CLOSE:
                self.outbox.put(echo)  # behind what the messages before it caused
                self.left = self.closing is None
                return False
            if not self._handle(item):
                return False
        if received.fault:
            self.close(received.fault)
            return False
        return True

    def _decode(self, data: bytes, now: float) -> tuple[Received, bytes]:
        """What some bytes hold, and the answer to a close frame among them; pings are answered at once."""
        codec = self._codec or self._codecs.take()
        was_inside = codec.inside_message
        received = codec.receive(data)
        answers = [answer for answer in codec.data_to_send() if answer]
        echo = answers.pop() if Event.CLOSE in received.items else b""
        for answer in answers:
            self.outbox.put(answer)
        self._time_message(codec, received, was_inside, now)
        if codec.reusable:
            self._codec = None
            self._codecs.give_back(codec)
        else:
            self._codec = codec
        return received, echo

    def _time_message(self, codec: ServerProtocol, received: Received, was_inside: bool, now: float) -> None:
        """Note when the message that is under way began; pings between its fragments change nothing."""
        if not codec.unfinished:
            self._message_since = 0.0
        elif not self._message_since or (received.items and not was_inside) or _has_message(received):
            self._message_since = now

    def _handle(self, item: bytes | Event) -> bool:
        """Handle one item; says whether to read on."""
        if self.closing is not None:
            return True
        if isinstance(item, bytes):
            self.busy = True
            why = self.road.feed(item)
            self.busy = False
            self._heard_at = self._clock.monotonic()
        else:
            why = self._count_ping()
        if why is None:
            return True
        self.close(why)
        return why.code != POLICY.code  # a flood is not decoded to its end

    def _count_ping(self) -> Disconnect | None:
        settings = self._configured.settings
        if self._pings is None:
            self._pings = Bucket(settings.ping_burst, self._heard_at)
        in_time = self._pings.take(self._heard_at, settings.ping_rate, settings.ping_burst)
        return None if in_time else TOO_MANY_PINGS

    def close(self, why: Disconnect) -> None:
        """Begin to end the connection, after what is queued. Never blocks; a second call does nothing."""
        if self.closing is not None or self.outbox.closed:
            return
        self.closing = why
        self._closing_until = self._clock.monotonic() + LINGER_FOR_PEER
        self.road.farewell(why)
        self.outbox.put(close_frame(why))
        self.outbox.closed = True

    @property
    def end_code(self) -> int:
        """The code that its end counts as, whoever ended it; `CUT_OFF` if nobody said goodbye."""
        if self.closing is not None:
            return self.closing.code
        return NORMAL.code if self.left else CUT_OFF

    def drop(self) -> None:
        """Forget what is queued, and what the kernel holds for a client that does not take it."""
        self.outbox.queue.clear()
        if self.outbox.stalled_at or has_unsent(self._sock):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._drop()
            if self.busy:
                self._sock.close()  # at once: nobody waits for it now

    def flush(self) -> None:
        """Send what is queued now, as far as it goes without waiting."""
        self.outbox.flush()

    def lost(self) -> None:
        """The peer is gone: wake the reader, which cleans up."""
        self._shut(socket.SHUT_RDWR)

    def overfull(self, why: Disconnect) -> None:
        """Free the outbox at once; the close frame follows what the kernel has begun to take."""
        self.outbox.drop_backlog()
        self.close(why)

    def check(self, now: float) -> None:
        """Look at every deadline; called about once a second, must not block."""
        settings = self._configured.settings
        stalled_at = self.outbox.stalled_at
        if stalled_at and now - stalled_at > settings.write_stall:
            self.outbox.flusher.stalls += 1
            self._drop()
        elif self._closing_until and now > self._closing_until:
            self._drop()
        elif self.busy:
            self._look_for_peer()
        elif self.closing is not None:
            return
        elif self._message_since and now - self._message_since > settings.message_deadline:
            self.close(TOO_SLOW_MESSAGE)
        elif not self.road.connected and now - self.opened_at > settings.connect_deadline:
            self.close(NEVER_CONNECTED)
        elif self._pinged_at:
            if now - self._pinged_at > settings.pong_timeout:
                self.close(NO_PONG)
        elif now - self._heard_at > PING_EARLY * settings.ping_interval:
            self._pinged_at = now
            self.outbox.put(ping_frame())

    def _drop(self) -> None:
        self.outbox.discard()
        self._shut(socket.SHUT_RDWR)

    def _look_for_peer(self) -> None:
        """Nobody reads while a frame is handled: see whether the peer has gone, so that all learn of it."""
        if isinstance(self._sock, ssl.SSLSocket):
            return  # what is readable there need not be the client's
        try:
            gone = not self._sock.recv(1, socket.MSG_PEEK)
        except WOULD_BLOCK:
            return
        except OSError:
            gone = True
        if gone:
            self.outbox.discard()
            self.road.gone()

    def _end(self) -> None:
        try:
            self.road.gone()
            self._linger()
        finally:
            self.outbox.discard()
            if self._watcher is not None:
                self._watcher.close()
            self._sock.close()

    def _linger(self) -> None:
        """Let the close frame leave and the peer read it before the socket goes (RFC 6455 section 7.1.1)."""
        if self.outbox.dead:
            return
        with gevent.Timeout(LINGER_AFTER_CLOSE, False):  # type: ignore[arg-type]
            drained = Signal()
            self.outbox.seal(drained.set)
            drained.wait()
            self._shut(socket.SHUT_WR)
            while self._receive():
                pass

    def _shut(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError:
            pass


def _has_message(received: Received) -> bool:
    return any(isinstance(item, bytes) for item in received.items)


def _has_decrypted(sock: socket.socket) -> bool:
    """Whether a TLS socket holds bytes that its file descriptor does not tell of."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
