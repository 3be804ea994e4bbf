"""The whole road behind the parsers, in one process: commands, channels and the memory engine, for a moment each."""

from __future__ import annotations

import logging

import gevent
from parts import House, errors

from hookbox.commands import polling
from hookbox.commands.road import CLIENT_FAULTS
from hookbox.webhooks.gate import Allow

ERROR_WORDS = CLIENT_FAULTS | {
    "limit", "rate", "denied", "app_unavailable", "bad_option", "no_such_user", "not_found", "unavailable",
}  # fmt: skip
CODES = (1008, 4500, 4503, 4505)

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


class HouseTarget:
    """Feeds one client's bytes, or the application's answers, to a Hookbox of its own; is that application."""

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
        later = Later()
        house = House(gate=self, later=later, protocol_errors=1000, leave_grace=0)
        client = house.client()
        for piece in pieces:
            client.feed(piece)
            later.go_on()
            self.verdict = self.verdict or then
            if client.ended is not None or not client.connection.open:
                break
        client.leave()
        later.go_on()
        COMPLAINTS.check()
        assert client.ended is None or client.ended.code in CODES, client.ended
        assert not house.hub.users, "a user without connections"
        assert not house.hub.connections, "a connection that has gone"
        words = set(errors(client.frames))
        assert words <= ERROR_WORDS, words
        return "".join(sorted(f", {word}" for word in words))
