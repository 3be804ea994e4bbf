"""A Hookbox in one process without sockets: real commands, hub and memory engine, a scripted application."""

import json
from dataclasses import dataclass

import gevent
from gevent.event import Event

from hookbox.clock import ManualClock
from hookbox.commands.road import ClientRoad
from hookbox.commands.site import Cause, Site
from hookbox.core.connection import Connection
from hookbox.core.history import Budget
from hookbox.core.hub import Hub
from hookbox.engine.memory import MemoryBroker
from hookbox.settings import Settings
from hookbox.webhooks.gate import Allow, AllowAll, Refuse

NOW = "2026-01-02T03:04:05"
"""What the clock of a House says at its beginning, in UTC."""


class ScriptedGate:
    """An application that answers as told, and can be made to think until it is let go."""

    def __init__(self):
        self.asked = []
        self._answers = {}
        self._thinking = {}

    def answer(self, action, answer):
        """Answer so from now on: a verdict, an error to raise, or a function of the question."""
        self._answers[action] = answer

    def allow(self, action, *set_cookies, **options):
        self.answer(action, Allow(options, set_cookies))

    def refuse(self, action, reason="no", *set_cookies):
        self.answer(action, Refuse(reason, {}, set_cookies))

    def think(self, action, **fields):
        """Let the next questions of that kind wait; returns what lets them go."""
        go = Event()
        self._thinking[action, tuple(fields.items())] = go
        return go

    def ask(self, question):
        self.asked.append(question)
        for (action, fields), go in list(self._thinking.items()):
            if action == question.action and dict(fields).items() <= question.fields.items():
                assert go.wait(10)
        answer = self._answers.get(question.action, _allow)
        if callable(answer):
            answer = answer(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def questions(self, action, **fields):
        return [q for q in self.asked if q.action == action and fields.items() <= q.fields.items()]


def _allow(question):
    if question.action == "connect":
        return Allow({"name": json.loads(question.fields["payload"])})
    return Allow({})


class Turned:
    """Runs things later, when the clock is turned there."""

    def __init__(self, clock):
        self._clock = clock
        self._due = []
        self.started = []

    def spawn(self, function, *args):
        return self.spawn_later(0, function, *args)

    def spawn_later(self, seconds, function, *args):
        if not seconds:
            greenlet = gevent.spawn(function, *args)
            self.started.append(greenlet)
            return greenlet
        self._due.append((self._clock.monotonic() + seconds, function, args))
        return None

    def run_due(self):
        now = self._clock.monotonic()
        due = [item for item in self._due if item[0] <= now]
        self._due = [item for item in self._due if item[0] > now]
        for _, function, args in due:
            self.spawn(function, *args)


@dataclass(frozen=True)
class Frame:
    name: str
    args: dict


class Recorder:
    """An outbox that remembers."""

    def __init__(self):
        self.frames = []
        self.lines = []
        self.closed = False

    def put(self, frame):
        if not self.closed:
            self.received(frame)

    def received(self, frame):
        self.lines.append(frame.line(len(self.lines) + 1))
        assert self.lines[-1].isascii()
        _, name, args = json.loads(self.lines[-1])
        self.frames.append(Frame(name, args))


class House:
    """Everything between bytes and bytes.

    Args:
        gate: the application; None gives one that answers as told.
        later: what runs things later; None gives one that goes by the house's clock.
        clock: None gives a new one.
        settings: by name.
    """

    def __init__(self, *, gate=None, later=None, clock=None, **settings):
        self.clock = clock or ManualClock()
        self.gate = gate or ScriptedGate()
        self.later = later or Turned(self.clock)
        chosen = Settings(**settings)
        kept = Budget(chosen.history_total_bytes, chosen.history_bytes, chosen.history_messages)
        self.site = Site(
            settings=chosen,
            clock=self.clock,
            hub=Hub(kept),
            broker=MemoryBroker(kept, (chosen.recovery_messages, chosen.recovery_bytes)),
            app=self.gate,
            fan_out=self._fan_out,
            later=self.later,
        )
        self._made = 0

    @staticmethod
    def _fan_out(frame, outboxes):
        for outbox in outboxes:
            assert not outbox.closed, "a connection that is gone still listens"
            outbox.received(frame)

    @property
    def hub(self):
        return self.site.hub

    def client(self, cookies="", ip="192.0.2.1"):
        """A client that has not sent CONNECT."""
        self._made += 1
        return Client(self, f"c{self._made}", cookies, ip)

    def connected(self, *names, **args):
        """Clients connected as these users; what they got is forgotten."""
        clients = []
        for name in names:
            client = self.client()
            client.connect(name, **args)
            client.frames.clear()
            clients.append(client)
        return clients if len(clients) != 1 else clients[0]

    def subscribed(self, channel, *names, **args):
        """Clients connected and subscribed; what they got is forgotten."""
        clients = [self.connected(name, **args) for name in names]
        for client in clients:
            client.send("SUBSCRIBE", channel_name=channel)
        for client in clients:
            client.frames.clear()
        return clients if len(clients) != 1 else clients[0]

    def channel(self, name, **options):
        """How the application answers create_channel from now on; returns nothing yet."""
        self.gate.answer("create_channel", Allow(options))

    def advance(self, seconds):
        """Let time pass, and what falls due run."""
        self.clock.advance(seconds)
        self.later.run_due()
        self.settle()

    def settle(self):
        """Let everything run that does not wait for the application."""
        for _ in range(20):
            gevent.sleep(0)

    def from_app(self):
        """The cause of the application's own calls."""
        return Cause(AllowAll())


class Client:
    """One client: what it sends goes through the whole road."""

    def __init__(self, house, identity, cookies, ip):
        self.house = house
        self.outbox = Recorder()
        self.connection = Connection(identity, self.outbox, cookies, ip, house.clock.monotonic())
        self.connection.transport = self
        self.road = ClientRoad(house.site, self.connection)
        self.sent = 0
        self.ended = None

    @property
    def frames(self):
        return self.outbox.frames

    def take(self):
        """The frames since the last time."""
        taken, self.outbox.frames = self.outbox.frames, []
        return taken

    def names(self):
        return [frame.name for frame in self.take()]

    def feed(self, data):
        """Send bytes; returns why the connection has to end, if it has to."""
        why = self.road.feed(data)
        if why is not None:
            self.close(why)
        return why

    def send(self, name, /, **args):
        """Send a frame and wait until it is handled; returns its id."""
        self.sent += 1
        self.feed(json.dumps([self.sent, name, args]).encode() + b"\r\n")
        return self.sent

    def sending(self, name, /, **args):
        """Send a frame, in a greenlet that may have to wait."""
        greenlet = gevent.spawn(self.send, name, **args)
        self.house.settle()
        return greenlet

    def connect(self, name, **args):
        args.setdefault("cookie_string", "")
        return self.send("CONNECT", payload=json.dumps(name), **args)

    def publish(self, channel, payload):
        return self.send("PUBLISH", channel_name=channel, payload=json.dumps(payload))

    def answer(self):
        """The only frame since the last time."""
        (frame,) = self.take()
        return frame

    def close(self, why):
        """Ends the connection, as a transport does."""
        if self.ended is not None:
            return
        self.ended = why
        self.road.farewell(why)
        self.outbox.closed = True

    def drop(self):
        """Nothing is queued here: everything has arrived."""

    flush = drop

    def leave(self):
        """The client goes without a word."""
        self.road.gone()
        self.outbox.closed = True


def position(client, channel):
    """Where a channel stands."""
    return client.house.site.broker.position(channel)


def errors(frames):
    """Codes of the ERROR frames."""
    return [frame.args["code"] for frame in frames if frame.name == "ERROR"]
