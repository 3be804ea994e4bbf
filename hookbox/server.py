"""The composition root: builds the parts, starts them, drains and stops them in order."""

from __future__ import annotations

import logging
import random
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import gevent
from gevent import get_hub
from gevent.event import Event

from hookbox.clock import SystemClock
from hookbox.commands.cookies import take_request_cookies
from hookbox.commands.recheck import Recheck
from hookbox.commands.road import ClientRoad
from hookbox.commands.site import Site, watcher_failed
from hookbox.core.connection import Connection
from hookbox.core.cookies import from_wsgi
from hookbox.core.history import Budget
from hookbox.core.hub import Hub
from hookbox.core.values import ConnectionId
from hookbox.core.watchers import Watchers
from hookbox.engine.memory import MemoryBroker
from hookbox.errors import CommandRefused, DeliveryStoreError, LimitReached
from hookbox.greenlets import Greenlets, run_later, see_deaths
from hookbox.notify import Notifier
from hookbox.protocol.disconnects import NORMAL, RESTART
from hookbox.protocol.websocket import Codecs
from hookbox.pulse import Checked, Pulse
from hookbox.storeroom import StoreRoom
from hookbox.transports.comet import CometSession, CometSessions
from hookbox.transports.outbox import Flusher
from hookbox.transports.websocket import WebSocket
from hookbox.web.admission import Admission, connection_limit, files_allowed, reserve
from hookbox.web.handover import Listening, Offer, Predecessor, address_of, address_wanted, find_predecessor
from hookbox.webhooks.asked import Asked, WebhookLog
from hookbox.webhooks.gate import Gate
from hookbox.webhooks.late import LateClient
from hookbox.webhooks.resolve import Resolver
from hookbox.webhooks.tallies import HookTallies

if TYPE_CHECKING:
    import socket

    from hookbox.drain import Drain
    from hookbox.settings import Settings
    from hookbox.transports.stream import Consumer
    from hookbox.web.http import HttpServer, Upgrade
    from hookbox.web.inherited import DoorName
    from hookbox.web.late import LateApp

logger = logging.getLogger(__name__)

Reload: TypeAlias = "Callable[[Settings], tuple[Settings, tuple[str, ...], tuple[str, ...]]]"

WARM_UP_AGAIN_SECONDS = 1.0
LATE_PARTS_SECONDS = 1.0
"""When everything else is made ready that nobody has needed so far."""
WARM_UP_SECONDS = 0.1
"""When webhooks are made ready: after whoever waited for the port, before most have asked anything."""

LATE_SECONDS = 0.05
"""Lateness of the pulse from which the server counts as too busy to let clients in."""
TAKEOVER_SECONDS = 2.0
"""How long a successor waits for what is being delivered."""
MOST_AT_THE_DOOR = 32
"""Clients at most that are being told that there is no place for them."""


class WarmsUp(Protocol):
    """Something that can be made ready before it is needed."""

    def warm_up(self) -> None:
        """Get ready; may take its time, and be repeated."""


class Server:
    """Hookbox, built from settings.

    Args:
        settings: what the operator chose.
        gate: who decides instead of the application at `cbhost`; for `hookbox dev` and tests.
        reload: reads the configuration anew on SIGHUP; returns the settings to go on with, the names of
            those that changed and of those that wait for a restart.
        lines_dropped: how many log lines were lost so far.
        inherited: listening sockets that somebody else has opened.
        notify: who wants to know how far it is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        gate: Gate | None = None,
        reload: Reload | None = None,
        lines_dropped: Callable[[], int] = lambda: 0,
        inherited: Mapping[DoorName, socket.socket] = MappingProxyType({}),
        notify: Notifier | None = None,
    ) -> None:
        self.settings = settings
        self.inherited = inherited
        self.notify = notify or Notifier()
        self._reload = reload
        self.lines_dropped = lines_dropped
        self.clock = SystemClock()
        loop = get_hub().loop
        self.flusher = Flusher(loop.run_callback, run_later, self.clock.monotonic, settings.outbox_total)
        self.codecs = Codecs(settings.max_message, settings.max_fragments)
        self.greenlets = Greenlets()
        self.asked: Watchers[Asked] = Watchers(watcher_failed)
        """Those who look on when the application is asked."""
        self.webhook_log = WebhookLog(lambda: self.settings.webhook_log)
        self.asked.add(self.webhook_log.keep)
        self.webhooks = LateClient(settings, self.clock, self.asked)
        self.kept = Budget(settings.history_total_bytes, settings.history_bytes, settings.history_messages)
        self.broker = MemoryBroker(
            self.kept,
            (settings.recovery_messages, settings.recovery_bytes),
            (settings.stream_ring, settings.stream_ring_duration),
        )
        self.resolver = Resolver(self.clock)
        self.site = Site(
            settings=settings,
            clock=self.clock,
            hub=Hub(self.kept),
            broker=self.broker,
            app=gate or self.webhooks,
            fan_out=self.flusher.fan_out,
            later=self.greenlets,
            resolver=self.resolver,
        )
        self.admission = Admission(
            connection_limit(settings),
            settings.connections_per_ip,
            settings.accept_rate,
            self.clock.monotonic,
            spare=min(MOST_AT_THE_DOOR, reserve(files_allowed()) // 4),
        )
        self.checked: dict[Checked, None] = {}
        self.pulse = Pulse(self.checked, self.clock, self._each_slice, self._look_at_queue)
        self.websockets = 0
        """How many are open."""
        self.checked[Recheck(self.site, random.random)] = None
        self.comet = CometSessions(self, self.flusher, self.clock, self.greenlets.spawn)
        self.doors: list[HttpServer] = []
        self._offer = Offer({}, self.greenlets.spawn, lambda: None)
        self.storeroom = StoreRoom(self)
        self.hooks = HookTallies()
        """How long the application took for its answers."""
        self.asked.add(self.hooks.note)
        self.reloads = [0, 0]
        """How often settings were read again in vain, and with success."""
        self.late: tuple[LateApp, ...] = ()
        """What is loaded soon after the start."""
        self._told_to_stop = False
        self._stopped = Event()

    # starting

    def start(self) -> None:
        """Listen, and accept connections from now on; with `replace`, instead of the server that did.

        Raises:
            OSError: an address cannot be listened on, or the other server does not hand it over.
            DeliveryStoreError: the store cannot be used.
        """
        from hookbox.web.front import make_doors

        predecessor = self._find_predecessor()
        try:
            self.doors = make_doors(self, predecessor)
            if predecessor is not None:
                predecessor.release_store()
            self.storeroom.open()
            for door in self.doors:
                door.start()
            self.greenlets.spawn(self.pulse.run)
            if predecessor is not None:
                predecessor.dismiss()
        except BaseException:
            self.storeroom.close(0)  # before the predecessor wants the store back
            raise
        finally:
            if predecessor is not None:
                predecessor.leave()
        self._offer = Offer(
            {address_of(door.socket): Listening(door.socket, door.shared) for door in self.doors},
            self.greenlets.spawn,
            self._hand_over,
            release=lambda: self.storeroom.close(min(TAKEOVER_SECONDS, self.settings.shutdown_grace)),
            take_back=self._take_store_back,
        )
        self._offer.open()

    def _find_predecessor(self) -> Predecessor | None:
        if not self.settings.replace:
            return None
        wanted = filter(None, (self.settings.address, self.settings.api_address))
        given = [address_of(sock) for sock in self.inherited.values()]
        return find_predecessor(filter(None, [*given, *(address_wanted(*address) for address in wanted)]))

    def _take_store_back(self) -> None:
        self.storeroom.take_back()
        self.greenlets.spawn(self.warm_up)  # it has jobs, leases and fetches to go on with

    def _hand_over(self) -> None:
        logger.info("another process has taken over; draining")
        self.drain(succeeded=True)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends it at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._on_stop_signal)
        if hasattr(signal, "SIGHUP"):
            gevent.signal_handler(signal.SIGHUP, self._on_reload_signal)
        see_deaths()
        self.start()
        for door in self.doors:
            logger.info("Listening to hookbox on %s", door.url)
        self.notify.ready()
        get_hub().loop.update_now()  # it still has the time before everything was imported
        self.greenlets.spawn_later(WARM_UP_SECONDS, self.webhooks.warm_up)
        self.greenlets.spawn_later(LATE_PARTS_SECONDS, self.warm_up)
        self._stopped.wait()

    def warm_up(self) -> None:
        """Load what was not needed to begin, and let others run in between. Blocks; safe to repeat."""
        parts: tuple[WarmsUp, ...] = (self.storeroom, *self.late)
        for part in parts:
            while not self._is_warm(part):
                gevent.sleep(WARM_UP_AGAIN_SECONDS)
            gevent.sleep(1e-6)

    def _is_warm(self, part: WarmsUp) -> bool:
        try:
            part.warm_up()
        except DeliveryStoreError as error:
            logger.warning("what an earlier start left undone has to wait: %s", error)
            return False
        return True

    def _on_stop_signal(self) -> None:
        if self._told_to_stop:
            logger.warning("stopped at once, by a second signal")
            self._stopped.set()
            return
        self._told_to_stop = True
        logger.info("draining: clients are told to come back")
        self.greenlets.spawn(self.drain)

    def _on_reload_signal(self) -> None:
        if self._reload is not None:
            self.greenlets.spawn(self._take_reload)

    def _take_reload(self) -> None:
        assert self._reload is not None
        self.notify.reloading()
        settings, _changed, _ignored = self._reload(self.settings)
        self.reloads[settings is not self.settings] += 1
        self.apply(settings)
        self.notify.ready()

    def apply(self, settings: Settings) -> None:
        """Go on with other settings; what is bound at the start stays as it is."""
        self.settings = self.site.settings = settings
        self.codecs.change(settings.max_message, settings.max_fragments)
        self.flusher.total_limit = settings.outbox_total
        self.kept.change(settings.history_total_bytes, settings.history_bytes, settings.history_messages)
        self.broker.recovery = settings.recovery_messages, settings.recovery_bytes
        self.broker.ring = settings.stream_ring, settings.stream_ring_duration
        self.admission.limit = connection_limit(settings)
        self.admission.per_address, self.admission.rate = settings.connections_per_ip, settings.accept_rate
        self.webhooks.reconfigure(settings)
        self.storeroom.reconfigure()
        for door in self.doors:
            door.reconfigure(settings)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change single settings while running (`set_config`)."""
        self.apply(replace(self.settings, **changes))

    def counts(self) -> dict[str, int]:
        """What has happened and how things stand, for `get_server_info`."""
        return {
            "comet_sessions": len(self.comet),
            "streams": self.storeroom.open_streams,
            "open_connections": self.admission.open,
            "refused_connections": self.admission.refused,
            "stalled_bytes": self.flusher.waiting_total,
            "stalled_connections": self.flusher.stalls,
            "background_tasks": len(self.greenlets),
            "log_lines_dropped": self.lines_dropped(),
            "untold_events": self.site.tellings.untold(),
            **{f"webhooks_{name}": count for name, count in self.webhooks.counts().items()},
        }

    # connections

    def accept(self, upgrade: Upgrade) -> None:
        """Serve an upgraded socket in a fresh, shallow greenlet of its own."""
        connection = self.carry(upgrade, self.site)
        self.site.journal.note(
            "opened",
            connection,
            transport="websocket",
            address=upgrade.client_ip,
            origin=upgrade.origin,
        )

    def carry(self, upgrade: Upgrade, site: Site) -> Connection:
        """Serve an upgraded socket on a site; returns at once, before anything of it was read."""
        websocket = WebSocket(upgrade.sock, self.flusher, self.codecs, site, self.clock)
        connection = Connection(
            new_connection_id(),
            websocket.outbox,
            from_wsgi(upgrade.cookies),
            upgrade.client_ip,
            self.clock.monotonic(),
        )
        connection.transport = websocket
        websocket.road = ClientRoad(site, connection)
        self.checked[websocket] = None
        self.websockets += 1
        gevent.spawn(self._serve, websocket, connection, upgrade.leftover, upgrade.peer)
        if self.site.draining:  # it came in time, and goes at once: the code tells it to come back
            websocket.close(RESTART)
        return connection

    def new_id(self) -> ConnectionId:
        """A name for a connection that nobody can guess."""
        return new_connection_id()

    def _serve(self, websocket: WebSocket, connection: Connection, leftover: bytes, peer: str) -> None:
        """Run a WebSocket; by `connection` the log knows whose greenlet this is."""
        try:
            websocket.serve(leftover)
        finally:
            self.checked.pop(websocket, None)
            self.websockets -= 1
            self.admission.leave(peer)
            self.site.counters.sent += websocket.outbox.next_id - 1
            self.site.counters.ended[websocket.end_code] += 1
            if connection.user is not None:
                logger.info("connection closed: %d", websocket.end_code)

    def welcome(self, session: CometSession, cookies: str, client_ip: str) -> None:
        """Give a new comet session its road.

        Raises:
            CommandRefused: there are too many connections, or the server restarts.
        """
        if self.site.draining:
            raise CommandRefused("the server restarts", "unavailable")
        if len(self.comet) >= self.admission.limit:
            raise LimitReached("too many connections")
        connection = Connection(
            new_connection_id(), session.outbox, from_wsgi(cookies), client_ip, self.clock.monotonic()
        )
        connection.transport = session
        session.connection = connection
        session.road = ClientRoad(self.site, connection)
        session.on_cookies = lambda fresh: take_request_cookies(self.site, connection, fresh)
        self.checked[session] = None
        self.site.journal.note(
            "opened", connection, transport="comet", address=client_ip, origin=session.origin
        )

    def forget(self, session: CometSession) -> None:
        """A comet session is over."""
        self.checked.pop(session, None)
        self.site.counters.sent += session.outbox.next_id - 1

    def watch(self, consumer: Consumer) -> None:
        """Look at the deadlines of a stream."""
        self.checked[consumer] = None

    def forget_stream(self, consumer: Consumer) -> None:
        """A stream is over."""
        self.checked.pop(consumer, None)
        self.site.counters.ended[(consumer.closing or NORMAL).code] += 1

    @property
    def loop_lag(self) -> float:
        """How late the loop was at worst in the last ten seconds, in seconds."""
        return self.pulse.worst_lag

    def _each_slice(self, now: float) -> None:
        self.broker.sweep(now)
        self.notify.alive(now)

    def _look_at_queue(self, seconds: float, late: float) -> None:
        """Note for how long clients have been waiting at the door, or the whole server was late."""
        if late > LATE_SECONDS or any(door.queue for door in self.doors):
            self.site.queued_seconds += seconds

    # stopping

    def drain(self, *, succeeded: bool = False) -> None:
        """Stop accepting, tell clients to come back, let what is in flight finish, then stop.

        Stops accepting before it waits for anything. A second call does nothing.

        Args:
            succeeded: whether another process accepts on the same listeners already.
        """
        if self.site.draining:
            return
        from hookbox.drain import Drain

        drain = Drain(self, succeeded=succeeded)
        self._offer.close()
        drain.stop_accepting()
        self.notify.stopping()
        self.greenlets.spawn(self._finish, drain)

    def _finish(self, drain: Drain) -> None:
        try:
            drain.finish()
        finally:
            try:
                self.storeroom.close(self.settings.shutdown_grace)
            finally:
                self._stopped.set()

    def stop(self) -> None:
        """Stop at once, without goodbye."""
        self._offer.close()
        for door in self.doors:
            door.stop(timeout=0)
        self.greenlets.stop(1)
        self.webhooks.stop(0)
        self.storeroom.close(0)
        self._stopped.set()


def new_connection_id() -> ConnectionId:
    """A name for a connection that nobody can guess: 128 random bits."""
    return ConnectionId(secrets.token_hex(16))
