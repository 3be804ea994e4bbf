"""Servers that follow one another on the same listening socket, and clients that never stop coming."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from raw import Raw

from hookbox.testing import DEADLINE


class Arrivals:
    """Clients that connect all the time: each new connection asks once, and what goes wrong is kept.

    Args:
        asks: each connects anew and asks once, and raises if there is no proper answer.
        threads: that do so, for each of them.
    """

    def __init__(self, *asks, threads=2):
        self.answered = 0
        self.faults = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(ask,)) for ask in asks for _ in range(threads)]

    def _run(self, ask):
        while not self._stop.is_set():
            try:
                ask()
                self.answered += 1
            except (OSError, EOFError, AssertionError) as error:
                self.faults.append(f"{type(error).__name__}: {error}")

    def wait_for_more(self, count=20):
        """Wait until that many more have been answered."""
        until, goal = time.monotonic() + DEADLINE, self.answered + count
        while self.answered < goal:
            assert time.monotonic() < until, f"only {self.answered} of {goal}; {self.faults[:3]}"
            time.sleep(0.005)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE)


def asks_by_http(address):
    """A new connection, one request, a whole answer with status 200."""
    host = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def ask():
        with contextlib.closing(dial(address)) as sock:
            sock.sendall(host)
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:100] or "closed without an answer"

    return ask


def asks_by_websocket(port):
    """A new WebSocket, the handshake answered with 101."""

    def ask():
        with Raw(port):
            pass

    return ask


def dial(address):
    """A connection to a port, or to the path of a Unix socket."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), timeout=DEADLINE)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE)
    sock.connect(str(address))
    return sock


def listener():
    """A listening socket on a free port, as systemd or a supervisor would open it."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


