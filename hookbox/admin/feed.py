"""The live feed: a Hookbox inside of Hookbox, with channels of its own that nobody else can name or reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import bottle

from hookbox.admin.gatekeeper import COOKIE
from hookbox.commands.connect import disconnect
from hookbox.commands.publish import publish_from_app
from hookbox.commands.road import ClientRoad
from hookbox.commands.site import Site
from hookbox.core.connection import Connection
from hookbox.core.cookies import read_cookies
from hookbox.core.history import Budget
from hookbox.core.hub import Hub
from hookbox.core.values import JSON, ChannelName, JSONObject
from hookbox.engine.memory import MemoryBroker
from hookbox.errors import CommandRefused, LimitReached
from hookbox.protocol.disconnects import REVOKED, Disconnect
from hookbox.protocol.json_text import dump
from hookbox.settings import MIB, Settings
from hookbox.transports.comet import CometSession, CometSessions
from hookbox.web.comet import add_comet_routes
from hookbox.webhooks.gate import Allow, Question, Refuse

if TYPE_CHECKING:
    from hookbox.admin.logins import Login, Logins
    from hookbox.server import Server
    from hookbox.web.http import Upgrade

OVERVIEW: Final = "overview"
WEBHOOKS: Final = "webhooks"
CONNECTIONS: Final = "connections"
CHANNELS: Final = "channels"
DELIVERIES: Final = "deliveries"
NAMED: Final = frozenset({OVERVIEW, WEBHOOKS, CONNECTIONS, CHANNELS, DELIVERIES})
FOLLOW: Final = "follow:"
_FOLLOWED: Final = re.compile(re.escape(FOLLOW) + r"[0-9a-f]{32}")

A_SECOND: Final = 50
"""Items that one channel carries in a second; the rest is counted."""
MOST_CONNECTIONS: Final = 100
OVER: Final = Disconnect(REVOKED.code, "the login has ended")
RULES: Final = Settings(
    leave_grace=0.0,  # who was cut off logs in like anybody: there is no place to resume
    connections_per_user=0,
    channels=1000,
    history_total_bytes=MIB,
)


class Feed:
    """The feed of one server.

    Args:
        server: whose loop, flusher and pulse are used.
        logins: who may see it.
    """

    def __init__(self, server: Server, logins: Logins) -> None:
        self._server = server
        self._logins = logins
        budget = Budget(RULES.history_total_bytes, RULES.history_bytes, RULES.history_messages)
        self.site = Site(
            settings=RULES,
            clock=server.clock,
            hub=Hub(budget),
            broker=MemoryBroker(budget),
            app=Door(self),
            fan_out=server.flusher.fan_out,
            later=server.greenlets,
        )
        self.comet = CometSessions(self, server.flusher, server.clock, server.greenlets.spawn)
        self.comet_app = bottle.Bottle()
        add_comet_routes(self.comet_app, self.comet, lambda: RULES)
        self._follow_settings()
        self._members: dict[str, tuple[Connection, Login]] = {}
        self._taps: dict[str, Tap] = {}
        self._names = 0

    # who comes in

    def accept(self, upgrade: Upgrade) -> None:
        """Serve an upgraded socket whose login has been looked at."""
        login = self._logins.find(_cookie(upgrade.cookies), acts=False)
        connection = self._server.carry(upgrade, self.site)
        if login is None or len(self._members) >= MOST_CONNECTIONS:
            disconnect(self.site, connection, OVER)
            return
        self._members[connection.id] = connection, login

    @property
    def settings(self) -> Settings:
        """What holds for its connections."""
        return self.site.settings

    def _follow_settings(self) -> None:
        """Ping as the server does for its clients: the operator has set that for the proxies in between."""
        given, now = self._server.settings, self.site.settings
        pings = given.ping_interval, given.pong_timeout
        if pings != (now.ping_interval, now.pong_timeout):
            self.site.settings = replace(RULES, ping_interval=pings[0], pong_timeout=pings[1])

    def welcome(self, session: CometSession, cookies: str, client_ip: str) -> None:
        """Give a new comet session its road.

        Raises:
            CommandRefused: nobody is logged in, or there are too many.
        """
        login = self._logins.find(_cookie(cookies), acts=False)
        if login is None:
            raise CommandRefused("log in first")
        if len(self._members) >= MOST_CONNECTIONS:
            raise LimitReached("too many consoles")
        connection = Connection(
            self._server.new_id(), session.outbox, "", client_ip, self.site.clock.monotonic()
        )
        connection.transport = session
        session.road = ClientRoad(self.site, connection)
        self._server.checked[session] = None
        self._members[connection.id] = connection, login

    def forget(self, session: CometSession) -> None:
        """A comet session is over."""
        self._server.forget(session)

    def owns(self, login: Login, key: str) -> bool:
        """Whether a comet session belongs to a login."""
        try:
            session = self.comet.find(key)
        except CommandRefused:
            return False
        return any(
            owner is login for connection, owner in self._members.values() if connection.transport is session
        )

    def has(self, connection: Connection) -> bool:
        """Whether a connection is one of the feed's."""
        return connection.id in self._members

    def login_of(self, connection: str) -> Login | None:
        """Who has a connection, if the login goes on."""
        _, login = self._members.get(connection, (None, None))
        return None if login is None or login.over else login

    def next_name(self) -> str:
        """A user name of its own for each connection."""
        self._names += 1
        return f"operator-{self._names}"

    # what goes out

    def wants(self, channel: str) -> bool:
        """Whether anybody listens on a channel."""
        found = self.site.hub.channels.get(ChannelName(channel))
        return found is not None and bool(found.listeners)

    def tell(self, channel: str, make: Callable[[], JSON]) -> None:
        """Publish an item, if anybody listens; made only if it goes out."""
        if not self.wants(channel):
            return
        tap = self._taps.get(channel)
        if tap is None:
            tap = self._taps[channel] = Tap()
        if tap.lets_through(self.site.clock.monotonic()):
            self._publish(channel, make())

    def _publish(self, channel: str, item: JSON) -> None:
        found = self.site.hub.channels.get(ChannelName(channel))
        if found is not None:
            publish_from_app(self.site, found, dump(item), None)

    def check(self) -> None:
        """End the connections whose logins have ended, and say what was left out; about once a second."""
        self._follow_settings()
        for name, (connection, login) in list(self._members.items()):
            if login.over and connection.open:
                disconnect(self.site, connection, OVER)
            if not connection.open:
                del self._members[name]
        for channel, tap in list(self._taps.items()):
            if not self.wants(channel):
                del self._taps[channel]
            elif left_out := tap.take_left_out():
                said: JSONObject = {"left_out": left_out}
                self._publish(channel, said)


class Tap:
    """Lets some items of a channel through in each second, and counts the others."""

    __slots__ = ("_count", "_left_out", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._count = self._left_out = 0

    def lets_through(self, now: float) -> bool:
        """Whether an item goes out."""
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= A_SECOND:
            return True
        self._left_out += 1
        return False

    def take_left_out(self) -> int:
        """How many did not since the last time."""
        left_out, self._left_out = self._left_out, 0
        return left_out


class Door:
    """A `Gate`: who is logged in may listen to what the console shows, and nothing else.

    Args:
        feed: whose door.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def ask(self, question: Question) -> Allow | Refuse:
        """Decide at once."""
        login = self._feed.login_of(question.connection)
        match question.action:
            case "unsubscribe" | "destroy_channel" | "disconnect":
                return Allow()
            case _ if login is None:
                return Refuse("the login has ended")
            case "connect":
                return Allow({"name": self._feed.next_name()})
            case "create_channel" | "subscribe" if is_channel(question.fields["channel_name"]):
                return Allow({"recovery_size": A_SECOND} if question.action == "create_channel" else {})
        return Refuse("there is nothing of this kind in the feed")


def is_channel(name: str) -> bool:
    """Whether the feed has a channel of that name."""
    return name in NAMED or bool(_FOLLOWED.fullmatch(name))


def _cookie(header: str) -> str:
    return read_cookies(header).get(COOKIE, "")
