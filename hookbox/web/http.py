"""The HTTP door, in a first simple form."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gevent.pywsgi import WSGIHandler, WSGIServer

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A socket that has become a WebSocket."""

    sock: Any
    leftover: bytes
    cookies: str = field(repr=False)
    client_ip: str
    origin: str = ""


class Handler(WSGIHandler):  # type: ignore[misc]
    """Answers requests, hands upgraded sockets over."""

    def handle_one_response(self) -> None:
        """Answer, or upgrade."""
        if self.environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            key = self.environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
            accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest())
            self.socket.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            leftover = self.rfile.peek()[:] if False else b""
            fd = os.dup(self.socket.fileno())
            sock = socket._socket.socket(fileno=fd)  # type: ignore[attr-defined]
            sock.setblocking(False)
            os.close(self.socket.detach())
            self.socket = None
            self.close_connection = True
            self.server.on_websocket(
                Upgrade(sock, leftover, self.environ.get("HTTP_COOKIE", ""), self.client_address[0])
            )
            return
        self.environ["hookbox.client_ip"] = self.client_address[0]
        self.environ["hookbox.origin"] = self.environ.get("HTTP_ORIGIN", "")
        super().handle_one_response()


class HttpServer(WSGIServer):  # type: ignore[misc]
    """One listening port."""

    handler_class = Handler

    def __init__(
        self,
        listener: Any,
        application: Callable[..., Any],
        *,
        settings: Any,
        on_websocket: Callable[[Upgrade], None] | None,
    ) -> None:
        super().__init__(listener, application, log=None)
        self.on_websocket = on_websocket

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host, port = self.address
        return f"http://{host}:{port}"
