"""Which door serves what: the WSGI applications of one port or two, put together."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import bottle

from hookbox.web.comet import add_comet_routes
from hookbox.web.http import HttpServer, Visit
from hookbox.web.listen import listen, tls_context

if TYPE_CHECKING:
    from hookbox.server import Server

access_log = logging.getLogger("hookbox.access")


def make_doors(server: Server) -> list[HttpServer]:
    """The HTTP servers that the settings ask for, not yet started.

    Raises:
        OSError: an address cannot be listened on.
    """
    settings = server.settings
    client, api = bottle.Bottle(), bottle.Bottle()
    client.default_error_handler = api.default_error_handler = _plain_error
    add_comet_routes(client, server.comet, lambda: server.settings)
    apps = [(settings.address, client, True)]
    if settings.api_address is None:
        client.merge(api)
    else:
        apps.append((settings.api_address, api, False))
    return [_door(server, address, app, public) for address, app, public in apps]


def _door(server: Server, address: tuple[str, int], app: bottle.Bottle, public: bool) -> HttpServer:
    settings = server.settings
    return HttpServer(
        listen(*address),
        app,
        settings=settings,
        admission=server.admission,
        on_websocket=server.accept if public else None,
        on_visit=_log_visit if settings.log_file_access else None,
        ssl_context=tls_context(settings.certfile, settings.keyfile),
    )


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
    )
