"""The WebSocket handshake: what is one, and what a connection is once it has had it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final

from hookbox.errors import BadRequest
from hookbox.web.request_head import RequestHead, split_list

UPGRADE: Final = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A socket that has become a WebSocket, taken out of the HTTP door.

    Args:
        sock: non-blocking; a plain socket, or gevent's TLS socket.
        leftover: bytes that came in one segment with the handshake.
        cookies: Cookie header of the request, empty without one.
        client_ip: the client's address, empty if unknown.
        peer: address of the TCP connection itself, for the limits per address.
        path: of the request, below the prefix.
        origin: of the page, empty if the request does not say.
    """

    sock: Any
    leftover: bytes = field(repr=False)
    cookies: str = field(repr=False)
    client_ip: str
    peer: str = ""
    path: str = ""
    origin: str = ""


def is_websocket_path(path: str) -> bool:
    """Whether a path, given below the prefix, is for WebSockets alone."""
    return path in ("/ws", "/csp/ws") or path.startswith("/ws/")


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
    except ValueError:  # malformed, or not even ASCII
        key = b""
    if len(key) != 16:
        raise BadRequest(400, "Sec-WebSocket-Key is missing or malformed")
    if "HTTP_SEC_WEBSOCKET_PROTOCOL" in headers:
        raise BadRequest(400, "no WebSocket subprotocol is spoken here")
