"""A reconnect storm: thousands of clients are cut in one moment while the application is down, and then slow.

    python tests/live/storm.py [CLIENTS]          default: 5000

Two storms against a real server. In the first the network is back at once: every client takes its place again,
and nobody is asked. In the second it is away for longer than `leave_grace`: every client has to be asked about
anew, by an application that is down at first and then slow. All the while one publishes to them.
"""

from __future__ import annotations

import base64
import json
import os
import random
import resource
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import gevent
from gevent import socket
from gevent.event import Event
from gevent.pool import Group

sys.path[:0] = [str(Path(__file__).parents[1])]  # as pytest does, for when this is run by itself

from raw import client_frame, line  # noqa: E402

from hookbox.testing import HookboxProcess, ScriptedApp  # noqa: E402

CHANNEL = "storm"
FEATURES = ["ack", "recover", "ping", "close", "resume"]
HEAD = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nCookie: session={number}\r\n\r\n"
)
FIRST_CEILING, LAST_CEILING = 0.5, 30.0
RESET = struct.pack("ii", 1, 0)


class Cut(Exception):
    """The connection ended, or could not be used."""


class Member:
    """A client with the manners of the bundled one: full jitter, its ticket, its positions.

    Args:
        storm: what it is part of.
        number: of it; its user and its session are named after that.
    """

    def __init__(self, storm: Storm, number: int) -> None:
        self.storm = storm
        self.number = number
        self.ticket: dict[str, str] | None = None
        self.position: dict[str, object] | None = None
        self.present = False
        self._appointment = 0.0
        self._sock: socket.socket | None = None
        self._rest = b""

    def live(self) -> None:
        """Stay connected until the storm is over."""
        tries = 0
        while True:
            self._appointment = 0.0
            try:
                self.storm.network.wait()
                self._open()
                self._read()
            except (OSError, Cut):
                tries = 0 if self.present else tries + 1
                self._close()
            gevent.sleep(self._appointment or random.random() * min(LAST_CEILING, FIRST_CEILING * 2**tries))

    def cut(self) -> None:
        """As a network does it: a reset, no goodbye."""
        if self._sock is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._close()

    def _close(self) -> None:
        if self.present:
            self.present = False
            self.storm.here -= 1
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _open(self) -> None:
        self.storm.attempts += 1
        self._sock = socket.create_connection(("127.0.0.1", self.storm.port), timeout=30)
        self._sock.settimeout(None)
        key = base64.b64encode(os.urandom(16)).decode()
        args: dict[str, object] = {
            "cookie_string": "",
            "payload": json.dumps(f"u{self.number}"),
            "features": FEATURES,
        }
        if self.ticket:
            args |= {"resume": self.ticket, "since": {CHANNEL: self.position}}
        self._sock.sendall(HEAD.format(key=key, number=self.number).encode() + line(1, "CONNECT", **args))
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            self.storm.turned_away += 1
            raise Cut("turned away")

    def _more(self) -> None:
        data = self._sock.recv(65536) if self._sock is not None else b""
        if not data:
            raise Cut("closed")
        self._rest += data

    def _read(self) -> None:
        while True:
            opcode, payload = self._frame()
            if opcode == 9:
                self._send(client_frame(10, payload))
            elif opcode == 8:
                raise Cut(f"close {payload!r}")
            else:
                for text in payload.split(b"\r\n"):
                    if text:
                        _, name, args = json.loads(text)
                        self._take(name, args)

    def _frame(self) -> tuple[int, bytes]:
        """The next message of the server, which sends none in pieces."""
        while True:
            rest = self._rest
            start, size = 2, rest[1] if len(rest) > 1 else 0
            if size == 126 and len(rest) > 3:
                start, size = 4, int.from_bytes(rest[2:4], "big")
            elif size == 127 and len(rest) > 9:
                start, size = 10, int.from_bytes(rest[2:10], "big")
            if len(rest) >= max(2, start + size) and not (size > 125 and start == 2):
                self._rest = rest[start + size :]
                return rest[0] & 15, rest[start : start + size]
            self._more()

    def _send(self, data: bytes) -> None:
        if self._sock is not None:
            self._sock.sendall(data)

    def _take(self, name: str, args: dict) -> None:
        if name == "CONNECTED":
            self.ticket = {"conn_id": args["conn_id"], "key": args["resume"]}
            self.storm.resumed += args.get("resumed", False)
            if CHANNEL not in args.get("channels", ()):
                self._subscribe(self._sock)
        elif name == "SUBSCRIBE":
            self._subscribed(args)
        elif name == "PUBLISH":
            self._published(args)
        elif name == "ERROR":
            self.storm.refusals[args["code"]] = self.storm.refusals.get(args["code"], 0) + 1
            if args["id"] == 1:
                self._appointment = args.get("retry_ms", 0) / 1000
                raise Cut(args["code"])
            gevent.spawn_later(args.get("retry_ms", 1000) / 1000, self._subscribe, self._sock)

    def _subscribe(self, sock: socket.socket | None) -> None:
        """Send SUBSCRIBE, if this is still the connection that it was meant for."""
        if sock is not None and sock is self._sock and not self.present:
            since = {"since": self.position} if self.position else {}
            with suppress(OSError):
                sock.sendall(line(2, "SUBSCRIBE", channel_name=CHANNEL, **since))

    def _subscribed(self, args: dict) -> None:
        if self.position and args.get("recovered") is not True:
            self.storm.holes += 1
        for publication in args.get("missed", ()):
            self._published(publication)
        self.position = {"epoch": args["epoch"], "offset": args["offset"]}
        if not self.present:
            self.present = True
            self.storm.here += 1
            self.storm.last_back = time.monotonic()

    def _published(self, args: dict) -> None:
        if self.position and args["offset"] != self.position["offset"] + 1:
            self.storm.out_of_order += 1
        self.position = {**(self.position or {}), "offset": args["offset"]}


@dataclass
class Storm:
    """The members, and what happened to them."""

    port: int
    members: list[Member] = field(default_factory=list)
    network: Event = field(default_factory=Event)
    lives: Group = field(default_factory=Group)
    here: int = 0
    last_back: float = 0.0
    attempts: int = 0
    resumed: int = 0
    holes: int = 0
    out_of_order: int = 0
    turned_away: int = 0
    refusals: dict[str, int] = field(default_factory=dict)

    def gather(self, count: int, seconds: float) -> None:
        """Let members come, a hundred at a time; wait until all are there."""
        self.network.set()
        self.members = [Member(self, number) for number in range(count)]
        for start in range(0, count, 100):
            for member in self.members[start : start + 100]:
                self.lives.spawn(member.live)
            self.wait(min(start + 100, count), seconds)

    def wait(self, count: int, seconds: float) -> bool:
        """Wait until so many are there; says whether they are."""
        until = time.monotonic() + seconds
        while self.here < count and time.monotonic() < until:
            gevent.sleep(0.02)
        return self.here >= count

    def end(self) -> None:
        """Everybody goes."""
        self.lives.kill()
        for member in self.members:
            member.cut()

    def strike(self) -> float:
        """Cut everybody; returns the moment. Nobody gets anywhere until `network` is set again."""
        self.network.clear()
        self.attempts = self.resumed = self.turned_away = 0
        self.refusals.clear()
        for member in self.members:
            member.cut()
        return time.monotonic()


@dataclass(frozen=True)
class Outcome:
    """What one storm came to."""

    name: str
    clients: int
    back: int
    seconds: float
    resumed: int
    holes: int
    out_of_order: int
    attempts: int
    refusals: dict[str, int]
    asked: int
    most_at_once: int

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.back} of {self.clients} back after {self.seconds:.1f} s, {self.resumed} resumed, "
            f"{self.holes} not recovered, {self.out_of_order} out of order, {self.attempts} attempts, "
            f"refused {self.refusals}, {self.asked} webhooks, {self.most_at_once} at once at most"
        )


class Publisher:
    """Publishes to the members' channel all the time, from a thread of its own."""

    def __init__(self, server: HookboxProcess, per_second: float) -> None:
        self.published = 0
        self._server = server
        self._pause = 1 / per_second
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.wait(self._pause):
            self._server.api("publish", channel_name=CHANNEL, payload=self.published)
            self.published += 1

    def stop(self) -> None:
        """Publish nothing more."""
        self._over.set()
        self._thread.join(10)


def slow(seconds: float):
    """An application's answer that takes a while."""

    def answer(asked) -> list:
        time.sleep(seconds)
        return [True, {"name": json.loads(asked.form["payload"])} if asked.action == "connect" else {}]

    return answer


def short_cut(storm: Storm, app: ScriptedApp, patience: float) -> Outcome:
    """Cut everybody while the application is down; the network is back at once."""
    app.down()
    app.forget()
    began = storm.strike()
    storm.network.set()
    storm.wait(len(storm.members), patience)
    return _outcome("a short cut, the application down", storm, app, began)


def long_cut(
    storm: Storm, app: ScriptedApp, *, away: float, down: float, answer_seconds: float, patience: float
) -> Outcome:
    """Cut everybody for longer than the grace; then the application is down for a while, then slow."""
    app.down()
    app.forget()
    storm.strike()
    gevent.sleep(away)
    began = time.monotonic()
    storm.network.set()
    gevent.sleep(down)
    app.answer("*", slow(answer_seconds))
    app.up()
    storm.wait(len(storm.members), patience - down)
    return _outcome(
        f"{away:g} s away, the application down for {down:g} s more, then slow", storm, app, began
    )


def _outcome(name: str, storm: Storm, app: ScriptedApp, began: float) -> Outcome:
    return Outcome(
        name,
        len(storm.members),
        storm.here,
        storm.last_back - began,
        storm.resumed,
        storm.holes,
        storm.out_of_order,
        storm.attempts,
        dict(storm.refusals),
        len(app.asked),
        app.most_at_once,
    )


def check(outcome: Outcome, *, nobody_asked: bool, limit: int = 32) -> None:
    """What a storm must have come to.

    Raises:
        AssertionError: it did not; with all figures.
    """
    assert outcome.back == outcome.clients, outcome
    assert outcome.holes == outcome.out_of_order == 0, outcome
    assert outcome.most_at_once <= limit, outcome
    if nobody_asked:
        assert outcome.asked == 0, outcome
        assert outcome.resumed == outcome.clients, outcome


def main(count: int) -> int:
    """Run both storms and say what they came to."""
    app = ScriptedApp()
    app.allow("create_channel", history_size=0, recovery_size=1000, recovery_duration=600)
    with HookboxProcess(app) as server:
        storm = Storm(server.port)
        began = time.monotonic()
        storm.gather(count, 60)
        print(f"{storm.here} clients connected in {time.monotonic() - began:.1f} s", flush=True)
        publisher = Publisher(server, 1)
        outcomes = [short_cut(storm, app, 60)]
        print(outcomes[-1], flush=True)
        app.up()
        outcomes.append(long_cut(storm, app, away=8, down=10, answer_seconds=0.02, patience=60))
        print(outcomes[-1], flush=True)
        publisher.stop()
        counts = server.api("get_server_info")["counts"]
        print({name: counts[name] for name in counts if name.startswith("webhooks")})
    try:
        check(outcomes[0], nobody_asked=True)
        check(outcomes[1], nobody_asked=False)
    except AssertionError as failed:
        print(f"NOT as it must be: {failed}")
        return 1
    return 0


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
