"""An application that answers webhooks as a test tells it to."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from hookbox.core.values import JSON
from hookbox.testing.deadline import DEADLINE
from hookbox.testing.reply import Reply, Steps


@dataclass(frozen=True, slots=True)
class Asked:
    """One webhook as the application got it.

    Args:
        action: the last part of the path.
        form: its fields.
        headers: lower-case names.
        at: monotonic seconds of its arrival.
        method: of HTTP.
    """

    action: str
    form: dict[str, str]
    headers: dict[str, str]
    at: float
    method: str = "POST"


Answer: TypeAlias = "Reply | list[Any] | Callable[[Asked], Reply | list[Any]]"

ANY_ACTION = "*"
_BACKLOG = 1024


class ScriptedApp:
    """An application on a free port that answers webhooks as told; by default it allows everything.

    `connect` names the user after the connect payload if that is a string, else after the cookie `user`.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        """What was asked, in order of arrival."""
        self.most_at_once = 0
        """How many requests were under way at once, at most."""
        self.most_sockets = 0
        """How many connections were open at once, at most."""
        self.visits = 0
        """Connections so far."""
        self._under_way = 0
        self._sockets: set[socket.socket] = set()
        self._answers: dict[str, Answer] = {}
        self._changed = threading.Condition()
        self._place = _bound(0)  # keeps the port while the application is down
        self.port: int = self._place.getsockname()[1]
        self._door: _Door | None = None
        self._hole: list[socket.socket] = []
        self.up()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    # what it answers

    def answer(self, action: str, answer: Answer) -> None:
        """Answer an action so from now on.

        Args:
            action: `subscribe` and so on; `*` for all that have no answer of their own.
            answer: a verdict, a Reply, or a function of what was asked that returns one of them.
        """
        self._answers[action] = answer

    def allow(self, action: str, **options: JSON) -> None:
        """Answer an action with yes and these options from now on."""
        self.answer(action, [True, options])

    def refuse(self, action: str, reason: str = "no") -> None:
        """Answer an action with no from now on."""
        self.answer(action, [False, {"error": reason}])

    def forget(self) -> None:
        """Allow everything again, and forget what was asked and counted."""
        with self._changed:
            self._answers.clear()
            self.asked.clear()
            self.most_at_once = self._under_way
            self.most_sockets = len(self._sockets)

    # what it was asked

    def questions(self, action: str, **form: str) -> list[Asked]:
        """What was asked of an action so far, with these form fields."""
        with self._changed:
            return [q for q in self.asked if q.action == action and form.items() <= q.form.items()]

    def wait_for(self, action: str, count: int = 1, **form: str) -> list[Asked]:
        """Wait until an action was asked that often.

        Raises:
            TimeoutError: it was not, within the deadline.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.questions(action, **form)) >= count, DEADLINE):
                seen = [q.action for q in self.asked]
                raise TimeoutError(f"{action} was not asked {count} times, only {seen}")
        return self.questions(action, **form)

    # whether it is there

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

    # one connection, one request; called by the handler

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

    def _arrived(self, asked: Asked) -> Reply:
        with self._changed:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
            self.asked.append(asked)
            self._changed.notify_all()
        otherwise = self._answers.get(ANY_ACTION, _default_answer)
        answer = self._answers.get(asked.action, otherwise)
        reply = answer(asked) if callable(answer) else answer
        return reply if isinstance(reply, Reply) else Reply(reply)

    def _left(self) -> None:
        with self._changed:
            self._under_way -= 1


class _Door(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _BACKLOG

    def __init__(self, app: ScriptedApp) -> None:
        self.app = app
        super().__init__(("127.0.0.1", app.port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away is a case under test, not an error


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Door

    def setup(self) -> None:
        super().setup()
        self.server.app._opened(self.connection, self.server)

    def finish(self) -> None:
        self.server.app._closed(self.connection)
        super().finish()

    def do_POST(self) -> None:
        asked = self._read()
        try:
            self._send(self.server.app._arrived(asked))
        finally:
            self.server.app._left()

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST

    def _read(self) -> Asked:
        size = int(self.headers.get("Content-Length") or 0)
        form = dict(urllib.parse.parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Asked(self.path.rsplit("/", 1)[-1], form, headers, time.monotonic(), self.command)

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


def _default_answer(asked: Asked) -> list[Any]:
    if asked.action != "connect":
        return [True, {}]
    name = json.loads(asked.form.get("payload", "null"))
    if not isinstance(name, str):
        match = re.search(r"user=([^;]+)", asked.headers.get("cookie", ""))
        name = match.group(1) if match else None
    return [True, {"name": name} if name else {}]
