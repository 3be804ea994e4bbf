"""The console's place at the door: nothing of it is loaded before there is a password."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from hookbox.errors import BadRequest

if TYPE_CHECKING:
    from hookbox.admin.console import Console
    from hookbox.server import Server
    from hookbox.web.caller import Caller
    from hookbox.web.http import Upgrade, WsgiApp

OFF: Final = "the console is off: set admin_password (`hookbox password` makes one)"


class Mount:
    """The console of one server, as a WSGI application and for upgrades.

    Args:
        server: that is shown.
        caller: gives whoever is logged in, towards the API.
        backlog: serves `/api/v1`.
        apart: whether the API has a port of its own.
    """

    def __init__(
        self, server: Server, caller: Callable[[], Caller], backlog: WsgiApp, *, apart: bool
    ) -> None:
        self._server = server
        self._caller = caller
        self._backlog = backlog
        self._apart = apart
        self._console: Console | None = None
        self._app: WsgiApp | None = None

    def console(self) -> Console | None:
        """The console, None without a password; made here and now if need be."""
        if not self._server.settings.admin_password:
            if self._console is not None:
                self._console.close()
            self._console = self._app = None
        elif self._console is None:
            from hookbox.admin.console import Console
            from hookbox.admin.door import make_door

            self._console = Console(self._server, self._caller(), self._backlog, apart=self._apart)
            self._app = make_door(self._console)
        return self._console

    def admit(self, environ: dict[str, Any]) -> None:
        """Look at the handshake of a WebSocket.

        Raises:
            BadRequest: 401 or 403, or 404 without a password.
        """
        console = self.console()
        if console is None:
            raise BadRequest(404, OFF)
        console.gatekeeper.admit_feed(environ)

    def accept(self, upgrade: Upgrade) -> None:
        """Serve a WebSocket that was admitted."""
        console = self.console()
        if console is None:
            upgrade.sock.close()
            self._server.admission.leave(upgrade.peer)
        else:
            console.feed.accept(upgrade)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI interface."""
        self.console()
        if self._app is not None:
            return self._app(environ, start_response)
        body = f"{OFF}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        start_response("404 Not Found", [*headers, ("X-Content-Type-Options", "nosniff")])
        return [body]
