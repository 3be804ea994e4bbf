"""Which door serves what: the WSGI applications of one port or two, put together."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hookbox.web.http import HttpServer

if TYPE_CHECKING:
    from hookbox.server import Server

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def make_doors(server: Server) -> list[HttpServer]:
    """The HTTP servers that the settings ask for, not yet started.

    Raises:
        OSError: an address cannot be listened on.
    """
    settings = server.settings
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((settings.interface, settings.port))
    listener.listen(4096)
    return [HttpServer(listener, _application(server), settings=settings, on_websocket=server.accept)]


def _application(server: Server) -> WsgiApp:
    import bottle

    from hookbox.web.comet import add_comet_routes

    root = bottle.Bottle()
    add_comet_routes(root, server.comet, lambda: server.settings)
    for name, make in (("hookbox.web.api", "make_api"), ("hookbox.web.pages", "make_pages")):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        root.merge(getattr(module, make)(server.site))
    return root  # type: ignore[no-any-return]
