"""What is served beside the API and the transports: dispatching, the backlog, streams, the hub, topics.

Each is loaded late. See `hookbox.web.paths` for what belongs to which.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hookbox.web.http import WsgiApp
from hookbox.web.late import LateApp
from hookbox.web.lean import Answer, Environ
from hookbox.web.outside import Access

if TYPE_CHECKING:
    from hookbox.admin.mount import Mount
    from hookbox.server import Server
    from hookbox.web.hub import HubDoor


class Beside:
    """The late applications of one server.

    Args:
        access: who may use them.
        apart: whether the API has a port of its own.
    """

    def __init__(self, server: Server, access: Access, *, apart: bool) -> None:
        self._server = server
        self._access = access
        self._apart = apart
        self._hub = cache(self._make_hub_door)
        self.dispatch = LateApp(self._make_dispatch)
        self.backlog = LateApp(self._make_backlog)
        self.streams = LateApp(self._make_streams)
        self.hub = LateApp(self._make_hub)
        self.metrics = LateApp(self._make_metrics)
        self.cookies = LateApp(self._make_cookies)
        self.console = cache(self._make_console)
        """The console's place, for upgrades too; loads nothing before there is a password."""
        self.admin = LateApp(self._make_admin)

    def hub_for_api(self, environ: Environ, body: bytes | None) -> Answer | None:
        """Answer a request with `hub.mode` at a path that is the API's otherwise; None if the hub is off."""
        return self._hub().for_api(environ, body)

    @property
    def all(self) -> tuple[LateApp, ...]:
        """All of them."""
        first = self.dispatch, self.streams, self.hub, self.backlog
        return *first, self.metrics, self.cookies, self.admin

    def _make_dispatch(self) -> WsgiApp:
        from hookbox.web.dispatch import make_dispatch

        return make_dispatch(self._server.site, self._server.storeroom.deliveries, self._access)

    def _make_backlog(self) -> WsgiApp:
        from hookbox.web.backlog.mount import backlog_of

        server = self._server
        return backlog_of(
            server.storeroom.deliveries,
            lambda: server.settings,
            self._access,
            lambda subscription: server.storeroom.hub().end(subscription.id),
        )

    def _make_streams(self) -> WsgiApp:
        from hookbox.commands.stream import leave
        from hookbox.web.stream import StreamDoor
        from hookbox.web.tickets import Tickets

        server = self._server
        tickets = Tickets(
            server.clock, lambda: server.settings.max_streams, lambda guest: leave(server.site, guest)
        )
        server.checked[tickets] = None
        return StreamDoor(server.site, server.storeroom.streams, self._access, tickets)

    def _make_metrics(self) -> WsgiApp:
        from hookbox.web.metrics import make_metrics

        return make_metrics(self._server, self._access)

    def _make_cookies(self) -> WsgiApp:
        from hookbox.web.cookie import make_cookie_door

        return make_cookie_door(self._server.site)

    def _make_console(self) -> Mount:
        from hookbox.admin.mount import Mount

        return Mount(self._server, self._access.operator, self.backlog, apart=self._apart)

    def _make_admin(self) -> WsgiApp:
        mount = self.console()
        mount.console()
        return mount

    def _make_hub_door(self) -> HubDoor:
        from hookbox.web.hub import HubDoor

        room = self._server.storeroom
        return HubDoor(self._server.site, room.hub, room.deliveries, self._access)

    def _make_hub(self) -> WsgiApp:
        from hookbox.web.hub import add_hub
        from hookbox.web.lean import LeanBottle
        from hookbox.web.pages import excuse
        from hookbox.web.topic import TopicDoor, add_topics

        app = LeanBottle(excuse)
        add_topics(app, TopicDoor(self._server.site, self._server.storeroom.deliveries, self._access))
        add_hub(app, self._hub(), shared=self._apart)
        return app
