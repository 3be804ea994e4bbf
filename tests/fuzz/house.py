"""The whole road behind the parsers, in one process: commands, channels and the memory engine, for a moment each."""

from __future__ import annotations

import json
import logging

import gevent

from hookbox.clock import ManualClock
from hookbox.commands import polling
from hookbox.commands.road import CLIENT_FAULTS, ClientRoad
from hookbox.commands.site import Site
from hookbox.core.connection import Connection
from hookbox.core.history import Budget
from hookbox.core.hub import Hub
from hookbox.engine.memory import MemoryBroker
from hookbox.settings import Settings
from hookbox.webhooks.gate import Allow

SETTINGS = Settings(protocol_errors=1000, leave_grace=0)
ERROR_WORDS = CLIENT_FAULTS | {
    "limit", "rate", "denied", "app_unavailable", "bad_option", "no_such_user", "not_found", "unavailable",
}  # fmt: skip
CODES = (None, 1008, 4500, 4503, 4505)

LOGIN = b'[1,"CONNECT",{"cookie_string":"a=1","payload":"\\"ann\\""}]\r\n'
DOINGS = (
    LOGIN
    + b'[2,"SUBSCRIBE",{"channel_name":"lobby"}]\r\n[3,"PUBLISH",{"channel_name":"lobby","payload":"[1]"}]\r\n'
    + b'[4,"MESSAGE",{"name":"ann","payload":"{}"}]\r\n[5,"UNSUBSCRIBE",{"channel_name":"lobby"}]\r\n'
)


class Complaints(logging.Handler):
    """Errors logged by Hookbox: what it did not foresee."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def check(self):
        """Raise the first one."""
        if self.records:
            record = self.records[0]
            self.records.clear()
            raise AssertionError(record.getMessage()) from (record.exc_info[1] if record.exc_info else None)


COMPLAINTS = Complaints()
logging.getLogger("hookbox").addHandler(COMPLAINTS)


class Later:
    """Keeps what is to be done at once until it is told to go on; what has a delay is never done."""

    def __init__(self):
        self._waiting = []

    def spawn(self, function, *args):
        if getattr(function, "__module__", "") != polling.__name__:  # which would go out to fetch
            self._waiting.append((function, args))
        return gevent.Greenlet()

    def spawn_later(self, seconds, function, *args):
        if not seconds:
            return self.spawn(function, *args)
        return gevent.Greenlet()

    def go_on(self):
        while self._waiting:
            function, args = self._waiting.pop(0)
            function(*args)


class Outbox:
    """Reads back every line it is given."""

    closed = False

    def __init__(self):
        self.count = 0
        self.words = set()

    def put(self, frame):
        self.count += 1
        line = frame.line(self.count)
        assert line.isascii()
        assert line.endswith(b"\r\n")
        assert line.count(b"\r\n") == 1
        number, name, args = json.loads(line)
        assert number == self.count
        if name == "ERROR":
            assert args["code"] in ERROR_WORDS, args
            self.words.add(args["code"])


class HouseTarget:
    """Feeds one client's bytes, or the application's answers, to a Hookbox of its own."""

    def __init__(self):
        self.verdict = None

    def ask(self, question):
        if isinstance(self.verdict, Exception):
            raise self.verdict
        if self.verdict is not None:
            return self.verdict
        return Allow({"name": "ann"} if question.action == "connect" else {}, ("a=1", "b=2; HttpOnly"))

    def feed(self, pieces):
        """What a client's bytes cause; the error words that it was told."""
        self.verdict = None
        return self._run(pieces)

    def answered(self, verdict):
        """What an answer causes, given to everything that is asked, and to all but the login."""
        self.verdict = verdict
        words = self._run([DOINGS])
        self.verdict = None
        return words + self._run([LOGIN, DOINGS.removeprefix(LOGIN)], then=verdict)

    def _run(self, pieces, then=None):
        kept = Budget(SETTINGS.history_total_bytes)
        broker = MemoryBroker(kept, SETTINGS.history_bytes, (SETTINGS.recovery_messages, SETTINGS.recovery_bytes))
        clock = ManualClock()
        later = Later()
        site = Site(
            settings=SETTINGS, clock=clock, hub=Hub(kept), broker=broker, app=self, fan_out=_fan_out, later=later
        )
        outbox = Outbox()
        connection = Connection("c1", outbox, "", "192.0.2.1", clock.monotonic())
        connection.transport = self
        road = ClientRoad(site, connection)
        why = None
        for piece in pieces:
            why = road.feed(piece)
            later.go_on()
            self.verdict = self.verdict or then
            if why is not None or not connection.open:
                break
        assert (why and why.code) in CODES, why
        road.gone()
        later.go_on()
        COMPLAINTS.check()
        hub = site.hub
        assert not hub.users, "a user without connections"
        assert not hub.connections, "a connection that has gone"
        return "".join(sorted(f", {word}" for word in outbox.words))

    def close(self, why):
        """A transport's; the road itself ends by its return value."""


def _fan_out(frame, outboxes):
    for outbox in outboxes:
        outbox.put(frame)
