"""Which door serves what: the WSGI applications of one port or two, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookbox.server import Server
    from hookbox.web.http import HttpServer


def make_doors(server: Server) -> list[HttpServer]:
    """The HTTP servers that the settings ask for, not yet started.

    Raises:
        OSError: an address cannot be listened on.
    """
    raise NotImplementedError
