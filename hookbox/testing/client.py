"""A client that speaks Hookbox's protocol over WebSocket, for tests."""

from __future__ import annotations

import json
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Any

from hookbox.core.values import JSON
from hookbox.testing.deadline import DEADLINE

try:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection
    from websockets.sync.client import connect as open_websocket
except ImportError as error:
    raise ImportError(
        "the client of hookbox.testing needs the package `websockets`: pip install 'websockets>=14'"
    ) from error


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame from the server."""

    id: int
    name: str
    args: dict[str, Any]


class Client:
    """A WebSocket client that speaks Hookbox frames, for tests.

    Args:
        url: of the server, `http://...`.
        headers: for the upgrade request.
        features: extensions to ask for in CONNECT; None sends no `features`.
        path: of the WebSocket.
        context: for TLS; best with 1.2 at most. The client reads and writes in two threads, and what a server
            sends after the handshake of 1.3 then stops Python's `ssl` for good, once in a thousand times.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        features: list[str] | None = None,
        path: str = "/ws",
        context: ssl.SSLContext | None = None,
    ) -> None:
        opening = open_websocket(
            url.replace("http", "ws", 1) + path,
            additional_headers=headers or {},
            open_timeout=DEADLINE,
            max_size=None,
            compression=None,
            ping_interval=None,
            proxy=None,
            ssl=context,
        )
        self.socket: ClientConnection = opening.__enter__()
        self.features = features
        self.sent = 0
        self._received = 0
        self._inbox: deque[Frame] = deque()

    def send(self, name: str, /, **args: Any) -> int:
        """Send a frame; returns its id."""
        self.sent += 1
        self.send_text(json.dumps([self.sent, name, args], separators=(",", ":")) + "\r\n")
        return self.sent

    def send_text(self, text: str) -> None:
        """Send text as one message."""
        self.socket.send(text)

    def next(self) -> Frame:
        """The next frame.

        Raises:
            TimeoutError: none came within the deadline.
            websockets.exceptions.ConnectionClosed: the server closed the connection.
        """
        while not self._inbox:
            text = self.socket.recv(DEADLINE)
            assert isinstance(text, str), "the server must send text frames only"
            assert text.isascii(), "the server must send ASCII only"
            self._inbox.extend(Frame(*json.loads(line)) for line in text.split("\r\n") if line)
        frame = self._inbox.popleft()
        self._received += 1
        assert frame.id == self._received, "the server must number its frames 1, 2, 3 ..."
        return frame

    def expect(self, name: str, /, **args: Any) -> dict[str, Any]:
        """The arguments of the next frame, which has to bear that name and these arguments.

        Raises:
            AssertionError: it does not.
        """
        frame = self.next()
        wrong = {key: frame.args.get(key) for key, value in args.items() if frame.args.get(key) != value}
        if frame.name != name or wrong:
            raise AssertionError(f"expected {name} {args}, got {frame}")
        return frame.args

    def skip_to(self, name: str, /, **args: Any) -> dict[str, Any]:
        """The arguments of the next frame of that name and with these arguments; drops others before it."""
        while True:
            frame = self.next()
            if frame.name == name and all(frame.args.get(key) == value for key, value in args.items()):
                return frame.args

    def connect(self, name: str | None, **args: Any) -> dict[str, Any]:
        """Send CONNECT with the name as payload and wait for CONNECTED."""
        if self.features is not None:
            args.setdefault("features", self.features)
        self.send("CONNECT", cookie_string=args.pop("cookie_string", ""), payload=json.dumps(name), **args)
        return self.skip_to("CONNECTED")

    def subscribe(self, channel: str, **args: Any) -> dict[str, Any]:
        """Send SUBSCRIBE and wait for the own SUBSCRIBE frame."""
        self.send("SUBSCRIBE", channel_name=channel, **args)
        while True:
            found = self.skip_to("SUBSCRIBE", channel_name=channel)
            if "presence" in found:
                return found

    def publish(self, channel: str, payload: JSON) -> int:
        """Send PUBLISH; returns the frame's id."""
        return self.send("PUBLISH", channel_name=channel, payload=json.dumps(payload))

    def next_publication(self) -> dict[str, Any]:
        """The arguments of the next PUBLISH frame; other frames before it are dropped."""
        return self.skip_to("PUBLISH")

    def wait_closed(self) -> tuple[int, str]:
        """Wait for the end of the connection; the code and reason of the server's close frame."""
        try:
            while True:
                self.next()
        except ConnectionClosed as closed:
            received = closed.rcvd
            return (received.code, received.reason) if received else (1006, "")

    def close(self) -> None:
        """Close properly."""
        self.socket.close()

    def cut(self) -> None:
        """Drop the TCP connection without a word."""
        try:
            self.socket.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended already
        self.socket.socket.close()
