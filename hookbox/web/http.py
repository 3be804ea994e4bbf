"""The HTTP door: every request is judged here before any route sees it.

Built on `gevent.pywsgi`, whose own reading and writing of requests is replaced: it accepts what two
readers understand differently, has no limits or deadlines, and writes an answer in two small sends.
gevent-websocket answers the upgrade; then the socket leaves the handler, and the handler ends.
This module accepts connections; `handler` serves them, `reader` and `request_head` read them.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import format_date_time

import gevent
from gevent.pywsgi import WSGIServer

from hookbox.errors import BadRequest
from hookbox.web.admission import Admission, Refused
from hookbox.web.handler import Handler, Visit, peer_address
from hookbox.web.listen import BACKLOG
from hookbox.web.origin import OriginRule, ProxyRule
from hookbox.web.request_head import HeadLimits
from hookbox.web.upgrade import Upgrade, is_websocket_path

if TYPE_CHECKING:
    from hookbox.settings import Settings

__all__ = ["Handler", "HttpServer", "Upgrade", "Visit", "WsgiApp"]

logger = logging.getLogger(__name__)

TCP_INFO = getattr(socket, "TCP_INFO", -1)
"""Of a listening socket, `tcpi_unacked` is the length of its accept queue (`tcp_get_info` in Linux)."""
RETRY_SOON = (("Retry-After", "1"),)
NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
ACCEPT_PAUSE_SECONDS = 0.25
COMPLAIN_SECONDS = 1.0

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Rules:
    """What the door goes by, worked out once from the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.origin = OriginRule(settings.origin)
        self.proxy = ProxyRule(settings.trusted_proxy)
        self.prefix = settings.path_prefix.rstrip("/")
        self.head = HeadLimits(
            settings.request_line, settings.header_line, settings.headers_total, settings.header_count
        )


class HttpServer(WSGIServer):
    """One listening socket and its connections.

    Args:
        listener: bound and listening.
        application: WSGI.
        settings: limits, origins, proxies; replaced by `reconfigure`.
        body_limit: bytes that a body may have, by path.
        on_websocket: takes over an upgraded socket; must return at once. None serves no WebSockets.
        websocket_path: whether a path is for WebSockets alone.
        before_upgrade: is shown the environ of a handshake; raises BadRequest to refuse it.
        on_visit: called once for each answered request.
        on_too_large: called with the environ of a request whose body is over its limit.
        admission: counts connections and says when there are too many.
        ssl_context: for TLS.
        shared: whether another process holds the listener, too, so that its queue goes on without this one.
    """

    handler_class = Handler
    max_accept = 100

    def __init__(
        self,
        listener: Any,
        application: WsgiApp,
        *,
        settings: Settings,
        admission: Admission,
        body_limit: Callable[[str], int] | None = None,
        on_websocket: Callable[[Upgrade], None] | None = None,
        websocket_path: Callable[[str], bool] = is_websocket_path,
        before_upgrade: Callable[[dict[str, Any]], None] = lambda environ: None,
        on_visit: Callable[[Visit], None] | None = None,
        on_too_large: Callable[[dict[str, Any]], None] = lambda environ: None,
        ssl_context: Any = None,
        shared: bool = False,
    ) -> None:
        tls = {"ssl_context": ssl_context} if ssl_context is not None else {}
        super().__init__(
            listener, application, log=None, error_log=logger, environ={"SERVER_NAME": "hookbox"}, **tls
        )
        self.ssl_context = ssl_context
        self.rules = Rules(settings)
        self.admission = admission
        self.body_limit = body_limit or (lambda path: self.rules.settings.client_body)
        self.on_websocket = on_websocket
        self.before_upgrade = before_upgrade
        self._websocket_path = websocket_path
        self.on_visit = on_visit
        self.on_too_large = on_too_large
        self.draining = False
        self.shared = shared
        self.awaited: set[Handler] = set()
        """Connections that have not had the answer to their first request yet, or to a later one."""
        self.idle: set[Handler] = set()
        """Connections that were kept alive, between two requests."""
        self.statuses: Counter[int] = Counter()
        """Answers so far, by status."""
        self._date = (0, "")
        self._handed_over: set[int] = set()
        self._complained_at = -COMPLAIN_SECONDS

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from the next request on."""
        self.rules = Rules(settings)

    @property
    def url(self) -> str:
        """Where it can be reached, as far as the listener knows."""
        if self.socket.family == socket.AF_UNIX:
            return f"unix:{self.socket.getsockname()}"
        host, port = self.socket.getsockname()[:2]
        scheme = "https" if self.ssl_enabled else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def queue(self) -> int:
        """Connections that wait to be accepted, as far as the system tells (Linux, TCP; else 0)."""
        try:
            return int.from_bytes(
                self.socket.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 28)[24:], sys.byteorder
            )
        except (AttributeError, OSError):
            return 0

    def is_websocket(self, path: str) -> bool:
        """Whether a path is for WebSockets alone."""
        return self.on_websocket is not None and self._websocket_path(path)

    def date(self) -> str:
        """The Date header's value, worked out once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, format_date_time(now))
        return self._date[1]

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection, in its own greenlet."""
        handler = Handler(sock, address, self)
        try:
            self.admission.enter(handler.peer)
        except Refused as refused:
            self._complain(str(refused))
            handler.refuse(BadRequest(refused.status, str(refused), RETRY_SOON))
            return
        finally:
            self.admission.pass_on()
        self._serve(handler)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Serve one TLS connection; its handshake has a deadline, and counts as a connection."""
        peer = peer_address(address)
        try:
            self.admission.enter(peer)
        except Refused as refused:
            self._complain(str(refused))
            return
        finally:
            self.admission.pass_on()
        try:
            with gevent.Timeout(self.rules.settings.header_deadline):
                sock = self.ssl_context.wrap_socket(client_socket, server_side=True)
        except (OSError, ValueError, gevent.Timeout) as error:
            logger.info("TLS handshake with %s failed: %s", peer, type(error).__name__)
            self.admission.leave(peer)
            return
        try:
            self._serve(Handler(sock, address, self))
        finally:
            self.do_close(sock)

    def do_read(self) -> Any:
        """Accept a connection; without files for it, wait a little, and say so once instead of each time."""
        try:
            accepted = super().do_read()
            if accepted is None or self.admission.arrive():
                return accepted
            accepted[0].close()  # what files are left is not for those who come, however many
            self._complain("too many connections")
            return None
        except OSError as error:
            if error.errno not in NO_MORE_FILES:
                raise
            self._complain("no more files for new connections")
            self.stop_accepting()
            self._timer: Any = self.loop.timer(ACCEPT_PAUSE_SECONDS)
            self._timer.start(self._start_accepting_if_started)  # type: ignore
            return None

    def _serve(self, handler: Handler) -> None:
        self.awaited.add(handler)
        try:
            handler.handle()
        finally:
            self.awaited.discard(handler)
            self.idle.discard(handler)
            if handler.socket is not None:  # a WebSocket leaves when it ends
                self.admission.leave(handler.peer)

    def _complain(self, text: str) -> None:
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = now
            logger.warning("turning clients away: %s", text)

    def keep_open(self, sock: Any) -> None:
        """A TLS socket has left as a WebSocket: whoever has it now closes it."""
        self._handed_over.add(id(sock))

    def do_close(self, sock: Any, *args: Any) -> None:
        """Close a connection that is over."""
        if id(sock) in self._handed_over:
            self._handed_over.discard(id(sock))
        else:
            sock.close()

    def begin_draining(self) -> None:
        """Take no new connections; answer those that are open once more and close them.

        Who waits in the queue of the listener is let in before it closes, as closing resets them, unless
        the queue outlives this process and somebody else will let them in.
        """
        self.draining = True
        if not self.shared:
            self._accept_waiting()
        self.close()

    def hang_up_idle(self) -> None:
        """End the connections that wait between two requests, so that the next ones go to a successor."""
        for handler in list(self.idle):
            handler.hang_up()

    def _accept_waiting(self) -> None:
        for _ in range(BACKLOG):
            try:
                accepted = self.do_read()
            except OSError:
                return
            if not accepted:
                return
            self.do_handle(*accepted)
