"""What Hookbox is tested with, offered to authors of applications: a Hookbox on a free port, a scripted
application, and a client that speaks the protocol.

Everything here is real: a server process, sockets, HTTP. Nothing is patched, so it works in any test suite.
Every wait has a deadline, `DEADLINE` seconds; HOOKBOX_TEST_DEADLINE changes it for slow machines.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_websocket

from hookbox.core.values import JSON, JSONObject

DEADLINE = float(os.environ.get("HOOKBOX_TEST_DEADLINE", "10"))
"""Seconds that any wait may take before it counts as a failure."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One webhook as the application got it.

    Args:
        action: the last part of the path.
        form: its fields.
        headers: lower-case names.
        at: monotonic seconds of its arrival.
    """

    action: str
    form: dict[str, str]
    headers: dict[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application answers: a verdict, or anything else to see how Hookbox takes it."""

    verdict: object = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    wait_for: threading.Event | None = field(default=None, compare=False)

    def encoded(self) -> bytes:
        """The body that goes out."""
        return json.dumps(self.verdict).encode() if self.body is None else self.body


Answer = Reply | list[Any] | Callable[[Asked], "Reply | list[Any]"]


class ScriptedApp:
    """An application on a free port that answers webhooks as told; by default it allows everything.

    `connect` names the user after the connect payload if that is a string, else after the cookie `user`.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[str, Answer] = {}
        self._changed = threading.Condition()
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                form = dict(urllib.parse.parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
                reply = app._reply(self.path.rsplit("/", 1)[-1], form, dict(self.headers.items()))
                body = reply.encoded()
                self.send_response(reply.status)
                for name, value in (*reply.headers, ("Content-Length", str(len(body)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Door(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that went away is a case under test, not an error

        self._server = Door(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, action: str, answer: Answer) -> None:
        """Answer an action so from now on: a verdict, a Reply, or a function of what was asked."""
        self._answers[action] = answer

    def allow(self, action: str, **options: JSON) -> None:
        """Answer an action with yes and these options from now on."""
        self.answer(action, [True, options])

    def refuse(self, action: str, reason: str = "no") -> None:
        """Answer an action with no from now on."""
        self.answer(action, [False, {"error": reason}])

    def forget(self) -> None:
        """Allow everything again, and forget what was asked."""
        with self._changed:
            self._answers.clear()
            self.asked.clear()

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

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, action: str, form: dict[str, str], headers: dict[str, str]) -> Reply:
        asked = Asked(
            action, form, {name.lower(): value for name, value in headers.items()}, time.monotonic()
        )
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
        answer = self._answers.get(action, _default_answer)
        reply = answer(asked) if callable(answer) else answer
        if not isinstance(reply, Reply):
            reply = Reply(reply)
        if reply.wait_for is not None:
            reply.wait_for.wait(DEADLINE)
        return reply


def _default_answer(asked: Asked) -> list[Any]:
    if asked.action != "connect":
        return [True, {}]
    name = json.loads(asked.form.get("payload", "null"))
    if not isinstance(name, str):
        match = re.search(r"user=([^;]+)", asked.headers.get("cookie", ""))
        name = match.group(1) if match else None
    return [True, {"name": name} if name else {}]


class HookboxProcess:
    """A real Hookbox in a process of its own, on a free port.

    Args:
        app: who answers its webhooks; None gives one that allows everything.
        flags: settings by name, e.g. `leave_grace=0.2`; True is a bare switch, a list repeats the flag.

    Raises:
        RuntimeError: it did not start; the text has its log.
    """

    TOKEN = "test-token"

    def __init__(self, app: ScriptedApp | None = None, **flags: object) -> None:
        self.app = app or ScriptedApp()
        self._clients: list[Client] = []
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="hookbox-", suffix=".log")  # noqa: SIM115
        given: dict[str, object] = {"port": 0, "cbport": self.app.port, "api_security_token": self.TOKEN}
        command = [sys.executable, "-m", "hookbox", *_as_flags(given | flags)]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self.url = self._wait_for_url()
        self.port = urllib.parse.urlsplit(self.url).port or 0

    def _wait_for_url(self) -> str:
        return self.wait_for_log(r"Listening to hookbox on (\S+)").group(1)

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """Wait for a line in the server's log.

        Raises:
            RuntimeError: it did not come, or the server has ended.
        """
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if found := re.search(pattern, self.log):
                return found
            if self.process.poll() is not None and not re.search(pattern, self.log):
                break
            time.sleep(0.01)
        raise RuntimeError(f"no log line like {pattern!r} from hookbox:\n{self.log}")

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        with open(self._log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def api(self, method: str, **params: object) -> JSONObject:
        """Call the HTTP API.

        Raises:
            ApiRefused: it answered `[false, ...]`.
        """
        request = urllib.request.Request(
            f"{self.url}/web/{method}",
            json.dumps(params).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            done, result = json.load(answer)
        if not done:
            raise ApiRefused(result)
        assert isinstance(result, dict)
        return result

    def client(self, **options: Any) -> Client:
        """A client that has not sent CONNECT; options as for `Client`."""
        client = Client(self.url, **options)
        self._clients.append(client)
        return client

    def connect(self, name: str, **options: Any) -> Client:
        """A client connected as that user; options as for `Client`."""
        client = self.client(**options)
        client.connect(name)
        return client

    def settle(self) -> JSONObject:
        """Close all its clients and wait until nothing is left of them; says how the server stands then.

        So one server can serve many tests.

        Raises:
            TimeoutError: users, connections or webhooks are left over.
        """
        while self._clients:
            self._clients.pop().cut()
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            info = self.api("get_server_info")
            counts = info["counts"]
            assert isinstance(counts, dict)
            if not (info["users"] or info["connections"] or counts["webhooks_out"]):
                return info
            time.sleep(0.01)
        raise TimeoutError(f"left over: {info}")

    def subscribed(self, channel: str, *names: str) -> list[Client]:
        """Clients connected and subscribed to a channel."""
        clients = [self.connect(name) for name in names]
        for client in clients:
            client.subscribe(channel)
        return clients

    def stop(self) -> int:
        """End the server; returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._log.close()
        return status

    def kill(self) -> None:
        """End the server without a word, as a crash does."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> HookboxProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.close()
        self.app.stop()


class ApiRefused(Exception):
    """The HTTP API answered `[false, ...]`; `result` is its object."""

    def __init__(self, result: JSONObject) -> None:
        super().__init__(str(result.get("error")))
        self.result = result


def _as_flags(settings: dict[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is True:
                yield flag
            elif item is not None and item is not False:
                yield from (flag, str(item))


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
        context: for TLS.
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
