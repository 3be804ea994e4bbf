"""The HTTP door: every request is judged here before any route sees it.

Built on `gevent.pywsgi`, whose own reading and writing of requests is replaced: it accepts what two
readers understand differently, has no limits or deadlines, and writes an answer in two small sends.
gevent-websocket answers the upgrade; then the socket leaves the handler, and the handler ends.
"""

from __future__ import annotations

import _socket
import base64
import binascii
import errno
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import format_date_time

import gevent
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

from hookbox.errors import BadRequest
from hookbox.web.admission import Admission, Refused
from hookbox.web.origin import OriginRule, ProxyRule, plain_address
from hookbox.web.reader import BREATH, ConnectionEnded, Reader
from hookbox.web.request_head import HeadLimits, RequestHead, split_list

if TYPE_CHECKING:
    from hookbox.settings import Settings

logger = logging.getLogger(__name__)
quiet = logging.getLogger("hookbox.upgrade")
quiet.setLevel(logging.CRITICAL)

NOTHING = BytesIO()
DRAIN_BYTES = 65_536
DRAIN_SECONDS = 0.5
UPGRADE = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
RETRY_SOON = (("Retry-After", "1"),)
NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
ACCEPT_PAUSE_SECONDS = 0.25
COMPLAIN_SECONDS = 1.0
MOST_TURNED_AWAY_AT_ONCE = 32
PHRASES = {int(status): status.phrase for status in HTTPStatus}

Headers = list[tuple[str, str]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A socket that has become a WebSocket, taken out of the HTTP door.

    Args:
        sock: non-blocking; a plain socket, or gevent's TLS socket.
        leftover: bytes that came in one segment with the handshake.
        cookies: Cookie header of the request, empty without one.
        client_ip: the client's address, empty if unknown.
        peer: address of the TCP connection itself, for the limits per address.
    """

    sock: Any
    leftover: bytes
    cookies: str = field(repr=False)
    client_ip: str
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One line of the access log; `duration` in seconds, `path` without its query."""

    client_ip: str
    method: str
    path: str
    status: int
    sent: int
    duration: float


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


class Handler(WebSocketHandler):  # type: ignore[misc]
    """Reads one connection's requests, one after the other."""

    server: HttpServer
    socket: Any
    environ: Any
    application: Any
    prevent_wsgi_call = True

    def __init__(self, sock: Any, address: Any, server: HttpServer) -> None:
        self.reader = Reader(sock, time.monotonic)
        super().__init__(sock, address, server, rfile=NOTHING)
        self.peer = peer_address(address)
        self.client_ip = self.peer
        self.served = 0
        self._begin()

    def _begin(self) -> None:
        self._head: RequestHead | None = None
        self._origin = ""
        self._began = time.monotonic()
        self._begun = False  # the answer

    @property
    def logger(self) -> logging.Logger:
        """Where gevent-websocket writes: nowhere, the door has its own words."""
        return quiet

    def handle(self) -> None:
        """Answer requests until the connection ends or leaves as a WebSocket."""
        try:
            while self._handle_one():
                self.served += 1
                if self.reader.has_more:
                    gevent.sleep(BREATH)  # one client's pipeline must not keep others waiting
        except (ConnectionEnded, OSError):
            pass
        finally:
            self.environ = None

    def _handle_one(self) -> bool:
        """Answer one request; says whether another may follow."""
        rules = self.server.rules
        settings = rules.settings
        self._begin()
        idle = settings.keepalive_idle if self.served else settings.header_deadline
        try:
            head = self._head = self.reader.head(rules.head, idle, settings.header_deadline)
            self._began = time.monotonic()
            self.environ = self._environ(head, rules)
            limit = self.server.body_limit(self.environ["PATH_INFO"])
            body = self.reader.body(head, limit, settings.body_deadline, self._go_on)
            self.environ["wsgi.input"] = BytesIO(body)
            if head.chunked:  # no longer
                del self.environ["HTTP_TRANSFER_ENCODING"]
                self.environ["CONTENT_LENGTH"] = str(len(body))
            if self.server.is_websocket(self.environ["PATH_INFO"]):
                return self._upgrade(head)
        except BadRequest as refusal:
            if refusal.status == 413 and self.environ is not None:
                self.server.on_too_large(self.environ)
            logger.info("refused a request from %s: %s", self.client_ip, refusal)
            self.refuse(refusal)
            return False
        return self._answer(head)

    # the request

    def _environ(self, head: RequestHead, rules: Rules) -> dict[str, Any]:
        headers = head.headers
        forwarded = headers.get("HTTP_X_FORWARDED_FOR", "")
        self.client_ip = rules.proxy.client_ip(self.peer, forwarded)
        if not rules.proxy.trusts(self.peer):
            for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"):
                headers.pop(name, None)
        environ = self.server.get_environ()
        environ.update(headers)
        path, prefix = head.path, rules.prefix
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            path = path[len(prefix) :] or "/"
            environ["SCRIPT_NAME"] = prefix
        if uses_cookies(path):
            self._judge_origin(head, rules.origin)
        environ["REQUEST_METHOD"] = head.method
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = head.query
        environ["SERVER_PROTOCOL"] = head.version
        environ["REMOTE_ADDR"] = self.client_ip
        environ["hookbox.client_ip"] = self.client_ip
        environ["hookbox.origin"] = self._origin
        environ["wsgi.input_terminated"] = True
        return environ

    def _judge_origin(self, head: RequestHead, rule: OriginRule) -> None:
        origin = head.headers.get("HTTP_ORIGIN")
        if not rule.allows(origin, head.host, head.headers.get("HTTP_SEC_FETCH_SITE")):
            raise BadRequest(403, "origin not allowed; list it with --origin")
        self._origin = origin or ""

    def _go_on(self) -> None:
        self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    # the upgrade

    def _upgrade(self, head: RequestHead) -> bool:
        check_upgrade(head)
        self.server.admit_websocket()
        self.request_version = head.version
        self.application = None
        self.websocket = None
        refused = self.upgrade_websocket()
        if refused is not None or self.websocket is None:
            raise BadRequest(400, "not a WebSocket handshake")
        # gevent-websocket's own socket object must neither write nor keep anything alive
        unused = self.websocket
        unused.closed = True
        unused.stream = unused.raw_read = unused.raw_write = unused.handler = unused.environ = None
        self.websocket = None
        _status, headers = self._started
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._send(f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1"))
        self._log(101, 0)
        self._hand_over(head.headers.get("HTTP_COOKIE", ""))
        return False

    def _hand_over(self, cookies: str) -> None:
        sock = self.socket
        if self.server.ssl_enabled:
            sock.settimeout(0)
            self.server.keep_open(sock)
        else:
            sock = _socket.socket(sock.family, sock.type, sock.proto, sock.detach())
            sock.setblocking(False)
        self.socket = None
        upgrade = Upgrade(sock, self.reader.take_rest(), cookies, self.client_ip, self.peer)
        assert self.server.on_websocket is not None
        try:
            self.server.on_websocket(upgrade)
        except Exception:
            logger.exception("nobody took over a WebSocket")
            sock.close()
            self.server.admission.leave(self.peer)

    # the answer

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """WSGI's `start_response`; what is given here goes out with the first piece of the body."""
        self._started = status, headers
        return self._refuse_write

    @staticmethod
    def _refuse_write(data: bytes) -> None:
        raise NotImplementedError("return the body, the write callable of PEP 3333 is not offered")

    def _answer(self, head: RequestHead) -> bool:
        self._started = "500 Internal Server Error", []
        result: Any = None
        try:
            result = self.server.application(self.environ, self.start_response)
            goes_on = head.keep_alive and not self.server.draining
            if isinstance(result, list) and len(result) < 2:
                self._answer_whole(head, result[0] if result else b"", goes_on)
            else:
                goes_on = self._answer_pieces(head, result, goes_on)
        except ConnectionEnded:
            raise
        except Exception:
            logger.exception("answering %s %s failed", head.method, head.raw_path)
            if self._begun:
                self._log(int(self._started[0][:3]), 0)
            else:
                self.refuse(BadRequest(500, "internal error"))
            return False
        finally:
            if hasattr(result, "close"):
                result.close()
        return goes_on and not self._closes

    @property
    def _closes(self) -> bool:
        return any(
            name.lower() == "connection" and value.lower() == "close" for name, value in self._started[1]
        )

    def _head_bytes(self, head: RequestHead, goes_on: bool, more: str) -> bytes:
        status, headers = self._started
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or not status.isprintable():
            raise ValueError("line end in a header of an answer")
        if status >= "4" and "X-Request-ID:" not in lines:
            more += f"X-Request-ID: {secrets.token_hex(8)}\r\n"
        if not goes_on and "onnection:" not in lines:
            more += "Connection: close\r\n"
        elif goes_on and head.version == "HTTP/1.0":
            more += "Connection: keep-alive\r\n"
        return f"HTTP/1.1 {status}\r\n{lines}{more}Date: {self.server.date()}\r\n\r\n".encode("latin-1")

    def _answer_whole(self, head: RequestHead, body: bytes, goes_on: bool) -> None:
        status, headers = self._started
        more = ""
        if not any(name.lower() == "content-length" for name, _ in headers) and status[:3] not in (
            "204",
            "304",
        ):
            more = f"Content-Length: {len(body)}\r\n"
        if head.method == "HEAD":
            body = b""
        self._send(self._head_bytes(head, goes_on, more) + body)
        self._log(int(status[:3]), len(body))

    def _answer_pieces(self, head: RequestHead, pieces: Iterable[bytes], goes_on: bool) -> bool:
        sized = any(name.lower() == "content-length" for name, _ in self._started[1])
        chunked = not sized and head.version == "HTTP/1.1"
        goes_on = goes_on and (sized or chunked)
        start = self._head_bytes(head, goes_on, "Transfer-Encoding: chunked\r\n" if chunked else "")
        sent = 0
        for piece in pieces:
            if not piece or head.method == "HEAD":
                continue
            sent += len(piece)
            self._send(start + (b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece))
            start = b""
        end = b"0\r\n\r\n" if chunked and head.method != "HEAD" else b""
        if start or end:
            self._send(start + end)
        self._log(int(self._started[0][:3]), sent)
        return goes_on

    def _send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            ConnectionEnded: the client is gone, or took nothing for `write_stall` seconds.
        """
        self._begun = True
        try:
            self.socket.settimeout(self.server.rules.settings.write_stall)
            sent = self.socket.send(data)
            while sent < len(data):
                data = data[sent:]
                sent = self.socket.send(data)
        except OSError:
            raise ConnectionEnded from None

    # refusing

    def refuse(self, refusal: BadRequest) -> None:
        """Answer an error, and let the client read it before the connection goes."""
        body = f"{refusal.status} {PHRASES[refusal.status]}: {refusal.reason}\n".encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in refusal.headers)
        if self._origin:
            lines += f"Access-Control-Allow-Origin: {self._origin}\r\n"
            lines += "Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
        answer = (
            f"HTTP/1.1 {refusal.status} {PHRASES[refusal.status]}\r\n{lines}"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-ID: {secrets.token_hex(8)}\r\nX-Content-Type-Options: nosniff\r\n"
            f"Connection: {'close, Upgrade' if refusal.status == 426 else 'close'}\r\n"
            f"Date: {self.server.date()}\r\n\r\n"
        ).encode("latin-1")
        self._log(refusal.status, len(body))
        try:
            self._send(answer if self._head and self._head.method == "HEAD" else answer + body)
            self._drain()
        except (OSError, ConnectionEnded):
            pass

    def _drain(self) -> None:
        """Read a little of what still comes: closing at once would reset the connection before the answer."""
        self.socket.shutdown(socket.SHUT_WR)
        left = DRAIN_BYTES
        with gevent.Timeout(DRAIN_SECONDS, False):  # type: ignore[arg-type]
            while left > 0 and (data := self.socket.recv(left)):
                left -= len(data)

    def _log(self, status: int, sent: int) -> None:
        record = self.server.on_visit
        if record is not None:
            method, path = (self._head.method, self._head.raw_path) if self._head else ("-", "-")
            duration = time.monotonic() - self._began
            record(Visit(self.client_ip, method, path, status, sent, duration))


def peer_address(address: Any) -> str:
    """The peer's IP address, from what `accept` tells; empty on a Unix socket."""
    return plain_address(address[0]) if isinstance(address, tuple) else ""


def uses_cookies(path: str) -> bool:
    """Whether a path acts for the user of a browser, so that the page's origin has to be allowed."""
    return path.startswith(("/ws", "/csp"))


def check_upgrade(head: RequestHead) -> None:
    """Refuse what is not a proper WebSocket handshake.

    Raises:
        BadRequest: with the status that RFC 6455 section 4.2 asks for.
    """
    headers = head.headers
    if head.method != "GET" or head.version != "HTTP/1.1" or head.length or head.chunked:
        raise BadRequest(400, "a WebSocket handshake is a GET without body, of HTTP/1.1")
    is_upgrade = "upgrade" in split_list(headers.get("HTTP_CONNECTION", ""))
    if not is_upgrade or "websocket" not in split_list(headers.get("HTTP_UPGRADE", "")):
        raise BadRequest(426, "this is a WebSocket address", UPGRADE)
    if headers.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise BadRequest(426, "WebSocket version 13 is spoken here", UPGRADE)
    try:
        key = base64.b64decode(headers.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 16:
        raise BadRequest(400, "Sec-WebSocket-Key is missing or malformed")
    if "HTTP_SEC_WEBSOCKET_PROTOCOL" in headers:
        raise BadRequest(400, "no WebSocket subprotocol is spoken here")


class HttpServer(WSGIServer):
    """One listening socket and its connections.

    Args:
        listener: bound and listening.
        application: WSGI.
        settings: limits, origins, proxies; replaced by `reconfigure`.
        body_limit: bytes that a body may have, by path.
        on_websocket: takes over an upgraded socket; must return at once. None serves no WebSockets.
        on_visit: called once for each answered request.
        on_too_large: called with the environ of a request whose body is over its limit.
        admission: counts connections and says when there are too many.
        ssl_context: for TLS.
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
        on_visit: Callable[[Visit], None] | None = None,
        on_too_large: Callable[[dict[str, Any]], None] = lambda environ: None,
        ssl_context: Any = None,
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
        self.on_visit = on_visit
        self.on_too_large = on_too_large
        self.draining = False
        self._date = (0, "")
        self._handed_over: set[int] = set()
        self._turning_away = 0
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

    def is_websocket(self, path: str) -> bool:
        """Whether a path is for WebSockets alone."""
        if self.on_websocket is None:
            return False
        return path in ("/ws", "/csp/ws") or path.startswith("/ws/")

    def admit_websocket(self) -> None:
        """Look whether one more connection may stay.

        Raises:
            BadRequest: it may not.
        """
        if self.draining:
            raise BadRequest(503, "server restarts", RETRY_SOON)

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
            self._turn_away(handler, refused)
            return
        self._serve(handler)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Serve one TLS connection; its handshake has a deadline, and counts as a connection."""
        peer = peer_address(address)
        try:
            self.admission.enter(peer)
        except Refused as refused:
            self._complain(str(refused))
            return
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
            return super().do_read()
        except OSError as error:
            if error.errno not in NO_MORE_FILES:
                raise
            self._complain("no more files for new connections")
            self.stop_accepting()
            self._timer: Any = self.loop.timer(ACCEPT_PAUSE_SECONDS)
            self._timer.start(self._start_accepting_if_started)  # type: ignore
            return None

    def _serve(self, handler: Handler) -> None:
        try:
            handler.handle()
        finally:
            if handler.socket is not None:  # a WebSocket leaves when it ends
                self.admission.leave(handler.peer)

    def _turn_away(self, handler: Handler, refused: Refused) -> None:
        """Tell a client that there is no place for it, as long as telling does not take too many places."""
        self._complain(str(refused))
        if self._turning_away >= MOST_TURNED_AWAY_AT_ONCE:
            return
        self._turning_away += 1
        try:
            handler.refuse(BadRequest(refused.status, str(refused), RETRY_SOON))
        finally:
            self._turning_away -= 1

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
        """Take no new connections; answer those that are open once more and close them."""
        self.draining = True
        self.close()
