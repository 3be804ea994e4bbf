"""Comet: sessions that outlive their HTTP requests. One is a `Transport`; a registry finds it by its key."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import gevent
from gevent.event import Event

from hookbox.clock import Clock
from hookbox.core.connection import Connection
from hookbox.errors import NotFound
from hookbox.log_context import SERVED, about
from hookbox.protocol.csp import Incoming, Packet, SentPacket
from hookbox.protocol.csp_variables import Variables
from hookbox.protocol.disconnects import (
    INTERNAL,
    NEVER_CONNECTED,
    NORMAL,
    SESSION_EXPIRED,
    TOO_MANY_MESSAGES,
    Disconnect,
)
from hookbox.settings import Settings
from hookbox.transports.base import Configured, Road
from hookbox.transports.comet_outbox import CometOutbox, SharedPackets
from hookbox.transports.outbox import Flusher

logger = logging.getLogger(__name__)

FEED_BYTES: Final = 16_384
STREAM_BYTES: Final = 1_048_576
"""Raw bytes after which a stream ends, so that what stands between recycles its buffers."""
UNCONFIRMED_SHARE: Final = 4
"""A stream ends when the client has this part of its outbox unconfirmed: its next request confirms."""
LINGER_SECONDS: Final = 10.0
"""How long a closed session is kept for a client that knows of the end, in case it missed the answer."""
POLL_SECONDS: Final = 0.5
POLL_BURST_SECONDS: Final = 5.0


class Host(Configured, Protocol):
    """What comet asks of the server."""

    def welcome(self, session: CometSession, cookies: str, client_ip: str) -> None:
        """Give a new session its `road` and `on_cookies`, and have its `check` called about once a second.

        Raises:
            CommandRefused: there are too many connections.
        """

    def forget(self, session: CometSession) -> None:
        """The session is over. Called once; must not block."""


def _nothing() -> None:
    """Do nothing."""


class CometSessions:
    """The sessions of one server, by key.

    Args:
        host: gives a session its road.
        flusher: shared by all connections.
        clock: for deadlines.
        spawn: runs a function in a greenlet of its own.
    """

    def __init__(
        self, host: Host, flusher: Flusher, clock: Clock, spawn: Callable[[Callable[[], None]], object]
    ) -> None:
        self.host = host
        self.flusher = flusher
        self.clock = clock
        self.spawn = spawn
        self.shared = SharedPackets()
        self.ended: Counter[int] = Counter()
        """Sessions that were closed so far, by code."""
        self._by_key: dict[str, CometSession] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def open_count(self) -> int:
        """How many are not closed; the others are kept for clients that may have missed it."""
        return sum(session.closing is None for session in self._by_key.values())

    def open(self, variables: Variables, cookies: str, client_ip: str, origin: str = "") -> CometSession:
        """Begin a session.

        Args:
            cookies: Cookie header of the handshake.
            origin: of the page, empty if the handshake does not say.

        Raises:
            CommandRefused: there are too many connections.
        """
        session = CometSession(self, variables, cookies, origin)
        self.host.welcome(session, cookies, client_ip)
        self._by_key[session.key] = session
        return session

    def find(self, key: str) -> CometSession:
        """The session of that key.

        Raises:
            NotFound: there is none, or none any more.
        """
        try:
            return self._by_key[key]
        except KeyError:
            raise NotFound("Session not found") from None

    def forget(self, session: CometSession) -> None:
        """Drop a session; safe to repeat."""
        if self._by_key.pop(session.key, None) is not None:
            session.outbox.unaccount()
            self.host.forget(session)


class CometSession:
    """A `Transport` over many HTTP requests.

    Its bytes are handled by a greenlet that exists only while there are some; requests never wait for it.

    Args:
        sessions: whose member it is.
        variables: of the handshake.
        cookies: of the handshake.
        origin: of the page, empty if unknown.
    """

    __slots__ = (
        "_at_work",
        "_cookies",
        "_forget_at",
        "_heard_at",
        "_holding",
        "_inbox",
        "_incoming",
        "_next_poll",
        "_sessions",
        "closing",
        "connection",
        "cut_off",
        "key",
        "on_cookies",
        "opened_at",
        "origin",
        "outbox",
        "road",
        "variables",
    )

    def __init__(self, sessions: CometSessions, variables: Variables, cookies: str, origin: str = "") -> None:
        self._sessions = sessions
        self.origin = origin
        self._cookies = cookies
        self.key = secrets.token_hex(32)
        self.variables = variables
        self.road: Road
        self.on_cookies: Callable[[str], None] = lambda cookies: None
        """Called with the Cookie header of a later request when it has changed."""
        self.outbox = CometOutbox(sessions.flusher, sessions.shared, sessions.host, self._wake, self._fail)
        self.cut_off: Callable[[], None] = _nothing
        """Ends the last answer if the client does not take it; must not block."""
        self.opened_at = self._heard_at = sessions.clock.monotonic()
        self.connection: Connection | None = None
        """Whose frames these are, for the log."""
        self.closing: Disconnect | None = None
        self._incoming = Incoming()
        self._inbox = bytearray()
        self._at_work = False
        self._holding: Event | None = None
        self._next_poll = self._forget_at = 0.0

    # what every request does

    def hear(self, variables: Variables, acknowledged: int, cookies: str) -> None:
        """Note a request of the session.

        Args:
            variables: those in force from now on.
            acknowledged: highest packet id the client has, -1 if it does not say.
            cookies: the request's Cookie header, empty if it has none.
        """
        self.variables = variables
        self._heard_at = self._sessions.clock.monotonic()
        self.outbox.acknowledge(acknowledged)
        if cookies and cookies != self._cookies:
            self._cookies = cookies
            self.on_cookies(cookies)

    def check(self, now: float) -> None:
        """Look at every deadline; called about once a second, must not block."""
        if self.closing is not None:
            if now >= self._forget_at:
                self._sessions.forget(self)
        elif now - self._heard_at >= self.variables.idle_limit:
            self.close(SESSION_EXPIRED)
        elif now - self.opened_at > self._settings.connect_deadline and not self._is_or_may_be_connected():
            self.close(NEVER_CONNECTED)

    @property
    def _settings(self) -> Settings:
        return self._sessions.host.settings

    def _is_or_may_be_connected(self) -> bool:
        return self.road.connected or self._at_work

    # client to server

    def take(self, packets: list[Packet]) -> bool:
        """Queue a client's packets for handling, without waiting for it.

        Returns:
            False if too much waits already, so that the session ends.
        """
        data = self._incoming.take(packets)
        if self.closing is None:
            if len(self._inbox) + len(data) > self._settings.client_body:
                self.close(TOO_MANY_MESSAGES)
                return False
            self._inbox += data
        if self._incoming.ended:
            self.leave()
            self._sessions.forget(self)
        if self._inbox and not self._at_work:
            self._at_work = True
            self._sessions.spawn(self._work)
        return True

    def _work(self) -> None:
        SERVED.set(self.connection)
        try:
            while self._inbox:
                data = bytes(self._inbox[:FEED_BYTES])
                del self._inbox[:FEED_BYTES]
                if why := self.road.feed(data):
                    self.close(why)
                if self._inbox:
                    gevent.sleep(1e-6)  # a sleep of 0 would not look at sockets
        except Exception:
            logger.exception("a comet session's greenlet failed, the session ends")
            self.close(INTERNAL)
        finally:
            self._at_work = False
            if self._incoming.ended:
                self.road.gone()

    # server to client

    def poll(self) -> list[SentPacket]:
        """All packets not acknowledged; waits up to `du` seconds for one, and returns none if none comes.

        Raises:
            NotFound: the session was closed, and the client has everything.
        """
        self._release()
        if self.closing is not None:
            self._forget_soon()
        if len(self.outbox.packets):
            return self.outbox.packets.show()
        self._require_open()
        with self._hold() as news:
            news.wait(self.variables.du or self._pause_between_polls())
            return self.outbox.packets.show() if self._holding is news else []

    def stream(self) -> Generator[list[SentPacket], None, None]:
        """Batch after batch, the first at once and an empty one now and then, for up to `du` seconds.

        Raises:
            NotFound: as `poll`, before the first batch.
        """
        self._release()
        if not len(self.outbox.packets):
            self._require_open()
        return self._batches(self._sessions.clock.monotonic() + self.variables.du)

    def _batches(self, end: float) -> Generator[list[SentPacket], None, None]:
        packets, clock = self.outbox.packets, self._sessions.clock
        most_unconfirmed = self._settings.outbox_bytes / UNCONFIRMED_SHARE
        most_frames = self._settings.outbox_messages / UNCONFIRMED_SHARE
        shown = sent_bytes = 0
        with self._hold() as news:
            while self._holding is news:
                news.clear()
                batch = packets.show(shown)
                shown = packets.next_id - 1
                yield batch
                sent_bytes += sum(packet.size for packet in batch)
                left = end - clock.monotonic()
                if left <= 0 or sent_bytes > STREAM_BYTES:
                    return
                if packets.size > most_unconfirmed or packets.frames > most_frames:
                    return
                if packets.next_id == shown + 1:
                    if self.closing is not None:
                        return
                    news.wait(min(self.variables.i or self._settings.ping_interval, left))

    @contextmanager
    def _hold(self) -> Iterator[Event]:
        """Be the one request that is told of news, until another takes its place."""
        news = self._holding = Event()
        try:
            yield news
        finally:
            if self._holding is news:
                self._holding = None

    def _release(self) -> None:
        """Another comet request has come: the one that is held ends."""
        held, self._holding = self._holding, None
        if held is not None:
            held.set()

    def _wake(self) -> None:
        if self._holding is not None:
            self._holding.set()

    def _require_open(self) -> None:
        if self.closing is not None:
            self._sessions.forget(self)
            raise NotFound("Session not found")

    def _pause_between_polls(self) -> float:
        """How long a request is held that does not want to be, because they come too often."""
        now = self._sessions.clock.monotonic()
        self._next_poll = max(self._next_poll, now) + POLL_SECONDS
        return min(max(0.0, self._next_poll - now - POLL_BURST_SECONDS), 1.0)

    # the end

    def leave(self) -> None:
        """The client closes: what it sent before is still handled. Safe to repeat."""
        self._incoming.ended = True
        if not self._inbox and not self._at_work:
            self.road.gone()
        if self.closing is not None:
            self._sessions.forget(self)
            return
        self._end(NORMAL)
        self._forget_soon()

    @property
    def busy(self) -> bool:
        """Whether something that the client sent is being handled."""
        return self._at_work

    @property
    def settled(self) -> bool:
        """Whether it is closed and the client was told all; only a lost answer may be asked for again."""
        return self.closing is not None and self.outbox.packets.last_shown == self.outbox.packets.next_id - 1

    def drop(self) -> None:
        """Forget what the client has not confirmed; an answer that it does not take is cut off."""
        self.outbox.drop()
        self.cut_off()

    def flush(self) -> None:
        """Give what is queued to the request that waits for it, now."""
        self.outbox.flush()

    def close(self, why: Disconnect) -> None:
        """Begin to end the session, after what is queued. Never blocks; a second call does nothing."""
        if self.closing is None:
            self._inbox.clear()
            self.road.farewell(why)
            self._end(why)

    def _end(self, why: Disconnect) -> None:
        self.closing = why
        self._sessions.ended[why.code] += 1
        if self.road.connected:
            logger.info("connection closed: %d", why.code, extra={"fields": about(self.connection)})
        self._forget_at = self._sessions.clock.monotonic() + self.variables.idle_limit
        self.outbox.seal()
        self._wake()

    def _forget_soon(self) -> None:
        self._forget_at = min(self._forget_at, self._sessions.clock.monotonic() + LINGER_SECONDS)

    def _fail(self, why: Disconnect) -> None:
        """Free the outbox at once; the goodbye takes its place."""
        self.outbox.drop()
        self.close(why)
