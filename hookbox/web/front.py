"""Which door serves what: the WSGI applications of one port or two, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import bottle

from hookbox.web.api import body_limit, make_api, serves
from hookbox.web.beside import Beside
from hookbox.web.caller import Callers, Parts
from hookbox.web.comet import add_comet_routes, end_session_over_body
from hookbox.web.demo import DemoApplication, add_demo
from hookbox.web.handover import Listening, Predecessor, address_wanted
from hookbox.web.health import states_of
from hookbox.web.http import HttpServer, Visit, WsgiApp
from hookbox.web.inherited import DoorName
from hookbox.web.listen import listen, tls_context
from hookbox.web.outside import Access
from hookbox.web.pages import make_pages
from hookbox.web.paths import (
    ADMIN_API,
    ADMIN_FEED,
    HUB,
    serves_admin,
    serves_backlog,
    serves_cookies,
    serves_dispatch,
    serves_hub,
    serves_metrics,
    serves_streams,
)
from hookbox.web.upgrade import Upgrade, is_websocket_path

if TYPE_CHECKING:
    from hookbox.server import Server
    from hookbox.settings import Settings

Part = tuple[Callable[[str], bool], WsgiApp]
"""An application, and which paths it serves."""

access_log = logging.getLogger("hookbox.access")


def make_doors(server: Server, predecessor: Predecessor | None) -> list[HttpServer]:
    """The HTTP servers that the settings ask for, not yet started.

    Args:
        predecessor: whose listening sockets are used where they are for the same address.

    Raises:
        OSError: an address cannot be listened on.
    """
    settings = server.settings
    transports = bottle.Bottle()
    transports.default_error_handler = _plain_error
    add_comet_routes(transports, server.comet, lambda: server.settings)
    callers = Callers(
        Parts(
            server.site,
            server.change,
            lambda: server.flusher.congested,
            server.counts,
            server.clock.monotonic(),
            server.webhook_log,
        )
    )
    apart = settings.api_address is not None or DoorName.API in server.inherited
    beside = Beside(server, Access(lambda: server.settings, callers), apart=apart)
    server.late = beside.all
    api = make_api(server.site, apply_settings=server.change, callers=callers, hub=beside.hub_for_api)
    pages = make_pages(
        server.site,
        lack=lambda: "degraded" if server.storeroom.fault else "",
        states=lambda: states_of(server),
    )
    if isinstance(server.site.app, DemoApplication):
        add_demo(pages)
    inside: list[Part] = [
        (serves, api),
        (serves_dispatch, beside.dispatch),
        (serves_backlog, beside.backlog),
        (serves_metrics, beside.metrics),
        (serves_admin, beside.admin),
    ]
    outside: list[Part] = [
        (_serves_comet, transports),
        (serves_streams, beside.streams),
        (serves_hub, beside.hub),
        (serves_cookies, beside.cookies),
    ]
    public = _listener(server, DoorName.PUBLIC, settings.address, predecessor)
    if not apart:
        everything = by_path([*inside, *outside], pages)
        return [_door(server, public, everything, _upgrades(server, beside, True, True))]
    private = _listener(server, DoorName.API, settings.api_address or settings.address, predecessor)
    return [
        _door(server, public, by_path(outside, pages), _upgrades(server, beside, True, False)),
        _door(server, private, by_path(inside, pages), _upgrades(server, beside, False, True)),
    ]


class Upgrades(NamedTuple):
    """Which WebSockets a door serves, and who takes them over."""

    serves: Callable[[str], bool]
    judge: Callable[[dict[str, Any]], None]
    take: Callable[[Upgrade], None]


def _upgrades(server: Server, beside: Beside, clients: bool, console: bool) -> Upgrades:
    """Those of a door.

    Args:
        clients: whether it serves those of browsers.
        console: whether it serves the console's.
    """

    def serves_path(path: str) -> bool:
        return (clients and is_websocket_path(path)) or (console and path == ADMIN_FEED)

    def judge(environ: dict[str, Any]) -> None:
        if environ["PATH_INFO"] == ADMIN_FEED:
            beside.console().admit(environ)

    def take(upgrade: Upgrade) -> None:
        if upgrade.path == ADMIN_FEED:
            beside.console().accept(upgrade)
        else:
            server.accept(upgrade)

    return Upgrades(serves_path, judge, take)


def _listener(
    server: Server, name: DoorName, address: tuple[str, int], predecessor: Predecessor | None
) -> Listening:
    """A door's listening socket: the one given for it, else the predecessor's, else one of its own."""
    given = server.inherited.get(name)
    if given is not None:
        return Listening(given, shared=True)
    taken = predecessor.take(address_wanted(*address)) if predecessor else None
    return taken or Listening(listen(*address))


def by_path(parts: Sequence[Part], otherwise: WsgiApp) -> WsgiApp:
    """One application out of several: the first that serves a path."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        for serves_path, part in parts:
            if serves_path(path):
                return part(environ, start_response)
        return otherwise(environ, start_response)

    return application


def _serves_comet(path: str) -> bool:
    return path.startswith("/csp/")


def _door(server: Server, listener: Listening, app: WsgiApp, upgrades: Upgrades) -> HttpServer:
    settings = server.settings
    return HttpServer(
        listener.sock,
        app,
        shared=listener.shared,
        settings=settings,
        admission=server.admission,
        body_limit=lambda path: limit_of(server.settings, path),
        on_websocket=upgrades.take,
        websocket_path=upgrades.serves,
        before_upgrade=upgrades.judge,
        on_too_large=lambda environ: _end_comet_session(server, environ),
        on_visit=_log_visit if settings.log_file_access else None,
        ssl_context=tls_context(settings.certfile, settings.keyfile),
    )


def limit_of(settings: Settings, path: str) -> int:
    """Bytes that the body of a request to a path may have."""
    if serves_dispatch(path) or serves_backlog(path) or path == HUB or path.startswith(ADMIN_API):
        return settings.api_body
    return body_limit(settings, path) or settings.client_body


def _end_comet_session(server: Server, environ: dict[str, Any]) -> None:
    """The old client would send a body that is too large again and again."""
    if environ["PATH_INFO"] in ("/csp/send", "/csp/csp/send"):
        end_session_over_body(server.comet, environ["QUERY_STRING"])


def _plain_error(error: bottle.HTTPError) -> str:
    bottle.response.content_type = "text/plain; charset=utf-8"
    return f"{error.status_line}\n"


def _log_visit(visit: Visit) -> None:
    access_log.info(
        '%s "%s %s" %d %d %.4f',
        visit.client_ip or "-",
        visit.method,
        visit.path,
        visit.status,
        visit.sent,
        visit.duration,
        extra={"fields": visit._asdict()},
    )
