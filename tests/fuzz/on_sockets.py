"""The same damaged inputs over sockets to a running server, beside a client that must not notice."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from engine import MOST_GROWTH, Find, Result, make
from mutate import cuts
from raw import CONNECT, Raw, line, text
from targets import TARGETS, CometTarget

from hookbox.testing import DEADLINE, HookboxProcess

SETTINGS = {"leave_grace": 0, "breaker_failures": 10**6, "breaker_calls": 10**6, "webhook_timeout": 2}
STATUSES = {101, 200, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 417, 426, 429, 431, 501, 503, 505, 508}
OUR_CODES = {1000, 1002, 1007, 1008, 1009, 4500, 4501, 4503, 4505}
ROUND = 100
"""Inputs between two looks at the control client."""
MOST_DESCRIPTORS = 2
"""How many more than before may be open afterwards."""


class RawApp:
    """An application that answers webhooks properly, but for the logins whose answer is given as bytes."""

    def __init__(self):
        app = self
        self.answers: dict[str, bytes] = {}

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                head = b"".join(iter(self.rfile.readline, b"\r\n")).decode()
                size = int(re.search(r"content-length: (\d+)", head, re.IGNORECASE)[1])
                form = dict(urllib.parse.parse_qsl(self.rfile.read(size).decode(), keep_blank_values=True))
                self.wfile.write(app.reply(head.split(" ")[1].rsplit("/", 1)[-1], form))

        class Door(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # the server does not wait for the end of what it has refused

        self._server = Door(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def reply(self, action, form):
        options = {}
        if action == "connect":
            payload = json.loads(form.get("payload", "null"))
            if isinstance(payload, str) and payload in self.answers:
                return self.answers[payload]
            options = {"name": payload if payload == "control" else "ann"}
        body = json.dumps([True, options]).encode()
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def forget(self):
        self.answers.clear()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class Control:
    """A client that is left alone, on a channel that gets a publication now and then."""

    def __init__(self, server):
        self._server = server
        self._client = server.connect("control")
        self._client.subscribe("control")
        self._count = 0

    def check(self):
        """Raise unless the next publication comes, the next in order, and a ping is answered."""
        self._count += 1
        self._server.api("publish", channel_name="control", payload=self._count)
        assert self._client.next_publication()["payload"] == self._count
        self._client.send("PING")
        self._client.expect("PONG")


class Attacker:
    """Sends one input of each kind; each method says what became of it."""

    def __init__(self, server, app):
        self._server = server
        self._app = app
        self._count = 0
        self.kinds = {name: getattr(self, name) for name in TARGETS}

    def frames(self, data, chance):
        at = chance.choice((0, len(data), chance.randrange(len(data) + 1)))
        with Raw(self._server.port, data[:at]) as raw:
            _send(raw.socket, data[at:])
            return self._ending(raw)

    def lines(self, data, chance):
        with Raw(self._server.port, CONNECT if chance.random() < 0.5 else b"") as raw:
            for piece in cuts(chance, data):
                _send(raw.socket, text(piece))
            return self._ending(raw)

    def hub(self, data, chance):
        body, question, query = data.partition(b"?")
        path = chance.choice((b"/hub", b"/hub", b"/subscribe", b"/publish"))
        target = path + question + re.sub(rb"[^!-~]", b"", query)[:4000]
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n" % (target, len(body))
        kind = chance.choice((b"", b"Content-Type: application/x-www-form-urlencoded\r\n", b"Content-Type: text/plain\r\n"))
        with self._connection() as sock:
            _send(sock, head + kind + b"\r\n" + body)
            answer = _read_all(sock)
        status = int(re.match(rb"HTTP/1\.1 (\d{3}) ", answer)[1])
        assert status in STATUSES, status
        assert b"Traceback" not in answer
        return str(status)

    @staticmethod
    def _ending(raw):
        """Read to the end; only frames, and nothing behind a close frame. A close may also be an echo."""
        _half_close(raw.socket)
        ended = "ended"
        try:
            while True:
                opcode, payload = raw.next()
                assert ended == "ended", "something behind a close frame"
                assert opcode in (1, 8, 9, 10), opcode
                if opcode == 8:
                    code = int.from_bytes(payload[:2], "big")
                    ended = f"closed {code if code in OUR_CODES else 'with its own code'}"
        except (EOFError, ConnectionResetError):
            return ended

    def requests(self, data, chance):
        with self._connection() as sock:
            for piece in cuts(chance, data)[:4]:
                _send(sock, piece)
            _half_close(sock)
            answer = _read_all(sock)
        statuses = [int(status) for status in re.findall(rb"(?:^|\n|\}|\)|>)HTTP/1\.1 (\d{3}) ", answer)]
        assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:100]
        assert set(statuses) <= STATUSES | {100}, statuses
        assert b"Traceback" not in answer
        return f"last status {statuses[-1] if statuses else 'none'}"

    def comet(self, data, chance):
        _, answer = self._post("handshake?ct=application/json", b"{}")
        key = json.loads(answer.decode().strip("()"))["session"]
        query, _, body = data.partition(b" ")
        query = bytes(byte for byte in query if byte in CometTarget.DOOR_PASSES).decode()
        status, _ = self._post(f"send?s={key}&a=0&{query}".replace("&s=", "&t="), body)
        for farewell in ("close?", "comet?a=0&", "comet?a=999999&"):  # else it is kept for who missed its end
            self._post(f"{farewell}s={key}", b"")
        assert status in (200, 400, 404, 413, 414), status
        return f"status {status}"

    def _post(self, target, body):
        request = f"POST /csp/{target} HTTP/1.1\r\nHost: 127.0.0.1:{self._server.port}\r\nConnection: close\r\n"
        with self._connection() as sock:
            _send(sock, request.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            head, _, answer = _read_all(sock).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), answer

    def _connection(self):
        sock = socket.create_connection(("127.0.0.1", self._server.port), DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def answers(self, data, chance):
        self._count += 1
        name = f"answer-{self._count}"
        self._app.answers[name] = data
        with Raw(self._server.port) as raw:
            raw.send(line(1, "CONNECT", cookie_string="", payload=json.dumps(name)))
            try:
                said = raw.next_line()
                while said[1] == "SET_COOKIE":
                    said = raw.next_line()
                word = f"{said[1]} {said[2].get('code', '')}".strip()
                assert word in ("CONNECTED", "ERROR denied", "ERROR app_unavailable", "ERROR bad_option"), said
                raw.send(line(2, "SUBSCRIBE", channel_name="lobby"), line(3, "PING"))
            finally:
                self._app.answers.pop(name)
            self._ending(raw)
        return word


def _send(sock, data):
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has heard enough


def _half_close(sock):
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _read_all(sock):
    parts = []
    try:
        while part := sock.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def run(seed: int, count: int, progress: Callable[[Result], None] = lambda result: None) -> Result:
    """Send inputs of all kinds in turn, then look at what is left of them."""
    result, app = Result("server"), RawApp()
    targets = {name: target() for name, target in TARGETS.items()}
    began = time.monotonic()
    with HookboxProcess(app, **SETTINGS) as server:
        attacker, control = Attacker(server, app), Control(server)
        control.check()
        pid = server.process.pid
        open_before, size_before = descriptors(pid), resident(pid)
        names = list(attacker.kinds)
        for number in range(count):
            name = names[number % len(names)]
            data, chance = make(targets[name], seed, number)
            trace = _attempt(attacker.kinds[name], data, chance, name, result)
            if number % ROUND == ROUND - 1 or trace:
                trace += _attempt(lambda data, chance: control.check() or "control", data, chance, "control", result)
                progress(result)
            if trace:
                result.finds.append(Find(f"server-{name}", seed, number, data, trace))
            result.count += 1
        _attempt_end(server, (open_before, size_before), seed, result)
    result.seconds = time.monotonic() - began
    return result


def _attempt(send, data, chance, name, result):
    began = time.monotonic()
    try:
        outcome = send(data, chance)
    except Exception:
        return traceback.format_exc()
    result.slowest = max(result.slowest, time.monotonic() - began)
    if name != "control":
        result.outcomes[f"{name}: {outcome}"] += 1
    return ""


def _attempt_end(server, before, seed, result):
    try:
        server.api("get_server_info")
        after_end(server, before, result)
    except Exception:
        result.finds.append(Find("server-afterwards", seed, -1, b"", traceback.format_exc() + server.log[-5000:]))


def after_end(server, before, result):
    """Raise unless nothing is left over and nothing went wrong inside."""
    open_before, size_before = before
    pid = server.process.pid
    eventually(lambda: descriptors(pid) <= open_before + MOST_DESCRIPTORS, "more descriptors are open than before")
    result.grown = resident(pid) - size_before
    assert result.grown < MOST_GROWTH, f"it grew by {result.grown} bytes"
    server.settle()
    eventually(lambda: not server.settle()["counts"]["comet_sessions"], "comet sessions are left over")
    assert "Traceback" not in server.log, "a traceback in the log"
    assert not re.search(r"^\S+ \S+ ERROR ", server.log, re.MULTILINE), "an error in the log"
    assert server.stop() == 0, "it did not stop properly"


def eventually(check, otherwise):
    """Wait until something holds."""
    until = time.monotonic() + DEADLINE
    while not check():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


