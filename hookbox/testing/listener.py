"""An HTTP server on a free port that hands every request to one method, and can go away and come back."""

from __future__ import annotations

import json
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hookbox.testing.deadline import DEADLINE
from hookbox.testing.reply import Reply, Steps

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Received:
    """One HTTP request as it arrived.

    Args:
        target: path and query.
        headers: by lower-case name; of a repeated one the last.
        body: its bytes.
        at: monotonic seconds of its arrival.
        method: of HTTP.
        peer: address and port of who sent it.
    """

    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    at: float
    method: str = "POST"
    peer: tuple[str, int] = ("", 0)

    @property
    def json(self) -> Any:
        """The body, read as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)


class Listener(ABC):
    """Takes requests on a free port of 127.0.0.1, each connection in a thread of its own."""

    def __init__(self) -> None:
        self.most_at_once = 0
        """How many requests were under way at once, at most."""
        self.most_sockets = 0
        """How many connections were open at once, at most."""
        self.visits = 0
        """Connections so far."""
        self._under_way = 0
        self._sockets: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._place = _bound(0)  # keeps the port while it is down
        self.port: int = self._place.getsockname()[1]
        self._door: _Door | None = None
        self._hole: list[socket.socket] = []
        self.up()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def _take(self, received: Received) -> Callable[[], Reply]:
        """Note a request, while no other is being noted; returns what makes its answer, which may block."""

    def down(self) -> None:
        """Cut every connection and refuse new ones, until `up`."""
        self._fill_hole()
        door, self._door = self._door, None
        if door is not None:
            door.shutdown()
            door.server_close()
        with self._changed:
            sockets = list(self._sockets)
        for sock in sockets:
            with suppress(OSError):  # it has ended already
                sock.shutdown(socket.SHUT_RDWR)

    def up(self) -> None:
        """Serve again, on the same port."""
        self._fill_hole()
        if self._door is None:
            self._door = _Door(self)
            threading.Thread(target=self._door.serve_forever, args=(0.05,), daemon=True).start()

    def vanish(self) -> None:
        """Like `down`, but who connects gets no word at all, as from a machine that is gone."""
        self.down()
        hole = _bound(self.port)
        hole.listen(0)
        self._hole.append(hole)
        for _ in range(8):  # more than the backlog takes, so that the kernel drops what comes then
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._hole.append(filler)

    def stop(self) -> None:
        """End it for good, and free the port."""
        self.down()
        self._place.close()

    def _fill_hole(self) -> None:
        while self._hole:
            self._hole.pop().close()

    def _opened(self, sock: socket.socket, door: _Door) -> None:
        with self._changed:
            if door is not self._door:
                raise ConnectionAbortedError("accepted just before the end")
            self.visits += 1
            self._sockets.add(sock)
            self.most_sockets = max(self.most_sockets, len(self._sockets))

    def _closed(self, sock: socket.socket) -> None:
        with self._changed:
            self._sockets.discard(sock)

    def _arrived(self, received: Received) -> Reply:
        with self._changed:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            reply = self._take(received)
            self._changed.notify_all()
        return reply()

    def _left(self) -> None:
        with self._changed:
            self._under_way -= 1


class _Door(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _BACKLOG

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        super().__init__(("127.0.0.1", listener.port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away is a case under test, not an error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Door

    def setup(self) -> None:
        super().setup()
        self.server.listener._opened(self.connection, self.server)

    def finish(self) -> None:
        self.server.listener._closed(self.connection)
        super().finish()

    def do_POST(self) -> None:
        received = self._read()
        try:
            self._send(self.server.listener._arrived(received))
        finally:
            self.server.listener._left()

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST

    def _read(self) -> Received:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Received(self.path, headers, body, time.monotonic(), self.command, self.client_address)

    def _send(self, reply: Reply) -> None:
        if reply.wait_for is not None:
            reply.wait_for.wait(DEADLINE)
        if reply.steps is not None:
            self.close_connection = True
            self._take(reply.steps())
            return
        if ("connection", "close") in {(name.lower(), value) for name, value in reply.headers}:
            self.close_connection = True
        self.connection.sendall(reply.message())

    def _take(self, steps: Steps) -> None:
        for step in steps:
            if isinstance(step, bytes):
                self.connection.sendall(step)
            elif not self._pause(step):
                return

    def _pause(self, seconds: float) -> bool:
        """Wait; says whether the other side is still there."""
        self.connection.settimeout(None if seconds == float("inf") else seconds)
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return True
        finally:
            self.connection.settimeout(None)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock
