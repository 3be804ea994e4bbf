"""What the door does with one connection: judge each request, pass it on, write the answer."""

from __future__ import annotations

import _socket
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gevent
from gevent import get_hub
from geventwebsocket.handler import WebSocketHandler

from hookbox.errors import BadRequest
from hookbox.log_context import REQUEST
from hookbox.transports.socket_outbox import RESET, WOULD_BLOCK, has_unsent
from hookbox.web.origin import OriginRule, plain_address
from hookbox.web.paths import COOKIES, loggable
from hookbox.web.reader import BREATH, ConnectionEnded, Reader
from hookbox.web.request_head import RequestHead
from hookbox.web.upgrade import Upgrade, check_upgrade

if TYPE_CHECKING:
    from hookbox.web.http import HttpServer, Rules

logger = logging.getLogger(__name__)
quiet = logging.getLogger("hookbox.upgrade")
quiet.setLevel(logging.CRITICAL)

NOTHING: Final = BytesIO()
READ: Final = 1
DRAIN_BYTES: Final = 65_536
DRAIN_SECONDS: Final = 0.5
PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}

Headers = list[tuple[str, str]]


class Visit(NamedTuple):
    """One line of the access log; `duration` in seconds, `path` without its query and its secrets."""

    client_ip: str
    method: str
    path: str
    status: int
    sent: int
    duration: float


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
        self._request_id = ""
        self._sending = False

    @property
    def logger(self) -> logging.Logger:
        """Where gevent-websocket writes: nowhere, the door has its own words."""
        return quiet

    def handle(self) -> None:
        """Answer requests until the connection ends or leaves as a WebSocket."""
        REQUEST.set(self)
        try:
            while self._handle_one():
                self.served += 1
                self.server.awaited.discard(self)
                self.server.idle.add(self)
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
            self.server.idle.discard(self)
            self.server.awaited.add(self)
            self._began = time.monotonic()
            self.environ = self._environ(head, rules)
            limit = self.server.body_limit(self.environ["PATH_INFO"])
            body = self.reader.body(head, limit, settings.body_deadline, self._go_on)
            self.environ["wsgi.input"] = BytesIO(body)
            if head.chunked:  # no longer
                del self.environ["HTTP_TRANSFER_ENCODING"]
                self.environ["CONTENT_LENGTH"] = str(len(body))
            if self.server.is_websocket(self.environ["PATH_INFO"]):
                self.server.before_upgrade(self.environ)
                return self._upgrade(head)
        except BadRequest as refusal:
            if refusal.status == 413 and self.environ is not None:
                self.server.on_too_large(self.environ)
            logger.info("refused a request from %s: %s", self.client_ip, refusal)
            self.refuse(refusal)
            return False
        return self._answer(head)

    @property
    def request_id(self) -> str:
        """What the log calls the request under way, and the client when it gets an error."""
        self._request_id = self._request_id or secrets.token_hex(8)
        return self._request_id

    @property
    def answering(self) -> bool:
        """Whether a request has come and its answer has not gone."""
        return self._head is not None

    def hang_up(self) -> None:
        """End a connection between two requests. Without TLS, a request that is here already is answered."""
        if self.server.ssl_enabled:  # its end in the middle would be an error of the protocol
            self.socket.close()
            return
        # through a twin: gevent would cancel the wait of the one who reads
        with suppress(OSError), socket.socket(fileno=os.dup(self.socket.fileno())) as twin:
            twin.shutdown(socket.SHUT_RD)

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
        environ["hookbox.direct_peer"] = "" if forwarded or "HTTP_FORWARDED" in headers else self.peer
        environ["hookbox.origin"] = self._origin
        environ["hookbox.watch"] = self.watch
        environ["hookbox.cut_off"] = partial(self._cut_off, self.served)
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
        self._hand_over(head.headers.get("HTTP_COOKIE", ""), self.environ["PATH_INFO"])
        return False

    def _hand_over(self, cookies: str, path: str) -> None:
        sock = self.socket
        if self.server.ssl_enabled:
            sock.settimeout(0)
            self.server.keep_open(sock)
        else:
            sock = _socket.socket(sock.family, sock.type, sock.proto, sock.detach())
            sock.setblocking(False)
        self.socket = None
        rest = self.reader.take_rest()
        upgrade = Upgrade(sock, rest, cookies, self.client_ip, self.peer, path, self._origin)
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
            logger.exception("answering %s %s failed", head.method, loggable(head.raw_path, head.path))
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
            more += f"X-Request-ID: {self.request_id}\r\n"
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
            if head.method == "HEAD":
                continue
            if not piece:  # the head is not to wait for what comes later
                if start:
                    self._send(start)
                    start = b""
                continue
            sent += len(piece)
            self._send(start + (b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece))
            start = b""
        end = b"0\r\n\r\n" if chunked and head.method != "HEAD" else b""
        if start or end:
            self._send(start + end)
        self._log(int(self._started[0][:3]), sent)
        return goes_on

    def watch(self, gone: Callable[[], None]) -> Callable[[], None]:
        """See whether the peer closes while it is answered. What it sends meanwhile is dropped, so the answer
        has to end the connection.

        Args:
            gone: called once then, in the hub; must not block.

        Returns:
            what ends the watching; to be called before the answer's end.
        """
        watcher = get_hub().loop.io(self.socket.fileno(), READ)

        def look() -> None:
            if self._has_closed():
                watcher.stop()
                gone()

        def end() -> None:
            watcher.stop()
            watcher.close()

        watcher.start(look)
        return end

    def _has_closed(self) -> bool:
        sock = self.socket
        timeout = sock.gettimeout()
        sock.settimeout(0)
        try:
            return not sock.recv(DRAIN_BYTES)
        except WOULD_BLOCK:
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(timeout)

    def _send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            ConnectionEnded: the client is gone, or took nothing for `write_stall` seconds.
        """
        self._begun = self._sending = True
        try:
            self.socket.settimeout(self.server.rules.settings.write_stall)
            sent = self.socket.send(data)
            while sent < len(data):
                data = data[sent:]
                sent = self.socket.send(data)
        except OSError:
            raise ConnectionEnded from None
        finally:
            self._sending = False

    def _cut_off(self, number: int) -> None:
        """End the connection if the client does not take an answer; forget what has not left. Never blocks.

        Args:
            number: of the answer; when the next request has come, it is over.
        """
        is_last = number == self.served or (number == self.served - 1 and not self.answering)
        if is_last and self.socket is not None and (self._sending or has_unsent(self.socket)):
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.socket.shutdown(socket.SHUT_RDWR)

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
            f"X-Request-ID: {self.request_id}\r\nX-Content-Type-Options: nosniff\r\n"
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
        self.server.statuses[status] += 1
        record = self.server.on_visit
        if record is not None:
            head = self._head
            method, path = (head.method, loggable(head.raw_path, head.path)) if head else ("-", "-")
            duration = time.monotonic() - self._began
            record(Visit(self.client_ip, method, path, status, sent, duration))


def peer_address(address: Any) -> str:
    """The peer's IP address, from what `accept` tells; empty on a Unix socket."""
    return plain_address(address[0]) if isinstance(address, tuple) else ""


def uses_cookies(path: str) -> bool:
    """Whether a path acts for the user of a browser, so that the page's origin has to be allowed."""
    return path.startswith(("/ws", "/csp", "/stream", COOKIES))
