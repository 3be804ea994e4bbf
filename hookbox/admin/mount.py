"""The console's WSGI application, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookbox.web.http import WsgiApp
from hookbox.web.lean import LeanBottle
from hookbox.web.pages import excuse

if TYPE_CHECKING:
    from hookbox.server import Server


def make_admin(server: Server, backlog: WsgiApp) -> WsgiApp:
    """The console of one server.

    Args:
        backlog: serves `/api/v1`: deliveries, endpoints, topics.
    """
    return LeanBottle(excuse)
