"""Many clients in one thread, over WebSocket and comet, that come back whatever happens and keep book of it.

A client subscribes, publishes and leaves at random. It knows its position in every channel, asks for what it
missed when it comes back, and complains of what must never happen: a hole that it was not told of, a publication
twice, or out of order.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import threading
from collections import Counter

from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import WebSocketException

from hookbox.testing import DEADLINE

SILENCE = 15.0
"""Seconds after which a client takes its connection for dead."""
COMET_HOLD = 2
ENDINGS = (OSError, EOFError, WebSocketException, TimeoutError, ValueError)
FORGIVEN = {"app_unavailable", "rate", "unavailable", "limit", "denied", "no_such_user", "already_connected"}


class Journal:
    """What one client saw of its channels.

    Args:
        name: of the client.
        wrong: takes what must not happen.
    """

    def __init__(self, name, wrong):
        self.name = name
        self.positions = {}
        self.kept = self.holes = self.recovered = 0
        self._wrong = wrong

    def since(self):
        """The positions as CONNECT takes them."""
        return {
            channel: {"epoch": epoch, "offset": offset} for channel, (epoch, offset) in self.positions.items()
        }

    def began(self, args):
        """An own SUBSCRIBE frame has come."""
        channel, epoch, offset = args["channel_name"], args["epoch"], args["offset"]
        if args.get("recovered") is True:
            last = self.positions[channel][1]  # it may have gone on since it was sent
            for missed in args["missed"]:
                if missed["offset"] > last:
                    self.published(missed | {"channel_name": channel})
            self.recovered += 1
            if self.positions[channel] != (epoch, offset):
                self._complain(f"{channel}: recovered up to {self.positions[channel]}, not {epoch, offset}")
        elif channel in self.positions:
            self.holes += 1
        self.positions[channel] = (epoch, offset)

    def published(self, args):
        """A PUBLISH frame has come."""
        channel, offset = args["channel_name"], args.get("offset")
        if offset is None:
            return
        epoch, last = self.positions.get(channel, ("", offset - 1))
        if offset != last + 1:
            self._complain(f"{channel}: {offset} came after {last}")
        self.kept += 1
        self.positions[channel] = (epoch, offset)

    def _complain(self, text):
        self._wrong.append(f"{self.name}: {text}")


class WebSocketSession:
    """Frames over a WebSocket."""

    def __init__(self, socket):
        self._socket = socket
        self._sent = 0

    @classmethod
    async def open(cls, port):
        return cls(
            await open_websocket(
                f"ws://127.0.0.1:{port}/ws",
                compression=None,
                ping_interval=None,
                proxy=None,
                max_size=None,
                open_timeout=DEADLINE,
                close_timeout=1,
            )
        )

    async def send(self, name, /, **args):
        self._sent += 1
        await self._socket.send(json.dumps([self._sent, name, args]) + "\r\n")

    async def frames(self):
        async with asyncio.timeout(SILENCE):
            text = await self._socket.recv()
        return [json.loads(line)[1:] for line in text.split("\r\n") if line]

    async def close(self):
        self._socket.transport.abort()


class CometSession:
    """Frames over comet, a request at a time; a poll whose answer is lost is repeated."""

    def __init__(self, port):
        self._port = port
        self._key = ""
        self._frame = self._sent = self._received = 0
        self._stream = b""

    @classmethod
    async def open(cls, port):
        session = cls(port)
        answer = await session._ask("handshake", f"ct=application%2Fjavascript&du={COMET_HOLD}", b"{}")
        session._key = answer["session"]
        return session

    async def _ask(self, action, query, body=b""):
        if self._key:
            query = f"s={self._key}&a={self._received}&{query}"
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                head = f"POST /csp/{action}?{query} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
                head += (
                    f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                answer = await reader.read()
            finally:
                writer.transport.abort()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or body[:1] + body[-1:] != b"()":
            raise EOFError("the session or the answer is gone")
        return json.loads(body[1:-1])

    async def send(self, name, /, **args):
        self._frame += 1
        self._sent += 1
        line = json.dumps([self._frame, name, args]) + "\r\n"
        packet = [self._sent, 1, base64.urlsafe_b64encode(line.encode()).decode().rstrip("=")]
        await self._ask("send", "", json.dumps([packet]).encode())

    async def frames(self):
        try:
            packets = await self._ask("comet", "")
        except (OSError, TimeoutError):
            packets = await self._ask("comet", "")
        for packet_id, encoding, data in packets:
            if packet_id <= self._received:
                continue
            self._received = packet_id
            if data is None:
                raise EOFError("the server ended the session")
            if encoding:
                data = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
            self._stream += data if isinstance(data, bytes) else data.encode()
        *lines, self._stream = self._stream.split(b"\r\n")
        return [json.loads(line)[1:] for line in lines if line]

    async def close(self):
        pass  # it is left to expire, as the session of a browser that is closed


class Wanderer:
    """One client: connects, acts at random, and comes back.

    Args:
        swarm: whose member it is.
        kind: `WebSocketSession` or `CometSession`.
        port: where it connects to.
        user: its name.
    """

    def __init__(self, swarm, kind, port, user):
        self.swarm = swarm
        self.kind = kind
        self.port = port
        self.user = user
        self.journal = Journal(f"{user} by {kind.__name__}", swarm.wrong)
        self.connected = False
        self._chance = random.Random(f"{swarm.seed} {user}")

    async def live(self):
        """Until it is cancelled."""
        while True:
            session = None
            try:
                session = await self.kind.open(self.port)
                await self._stay(session)
            except ENDINGS as error:
                self.swarm.counts[f"ended: {type(error).__name__}"] += 1
            finally:
                self.connected = False
                if session:
                    await session.close()
            await asyncio.sleep(self._chance.uniform(0.1, 1.5))

    async def _stay(self, session):
        await session.send(
            "CONNECT",
            cookie_string="",
            payload=json.dumps(self.user),
            features=["recover", "ack", "close"],
            since=self.journal.since(),
        )
        async with asyncio.TaskGroup() as both:
            acting = both.create_task(self._act(session))
            try:
                while True:
                    for name, args in await session.frames():
                        self._take(name, args)
            except ENDINGS as error:
                acting.cancel()
                self.swarm.counts[f"lost: {type(error).__name__}"] += 1

    def _take(self, name, args):
        self.swarm.counts[name] += 1
        if name == "CONNECTED":
            self.connected = True
        elif name == "SUBSCRIBE" and "epoch" in args:
            self.journal.began(args)
        elif name == "PUBLISH":
            self.journal.published(args)
        elif name == "ERROR":
            self.swarm.counts[f"ERROR {args['code']}"] += 1
            if args["code"] not in FORGIVEN and not (args["code"] == "not_connected" and not self.connected):
                self.swarm.wrong.append(f"{self.user}: {args}")
            if not self.connected:
                raise EOFError("not let in")

    async def _act(self, session):
        chance = self._chance
        try:
            while True:
                if self.connected:
                    await self._do_something(session, chance.choice(self.swarm.channels), chance.random())
                await asyncio.sleep(chance.expovariate(1 / self.swarm.pause))
        except ENDINGS:
            await session.close()  # and the reader sees the end

    async def _do_something(self, session, channel, dice):
        subscribed = self.journal.positions
        if dice < 0.1 or len(subscribed) < 2:
            since = self.journal.since().get(channel)
            await session.send("SUBSCRIBE", channel_name=channel, **({"since": since} if since else {}))
        elif dice < 0.15:
            await session.send("UNSUBSCRIBE", channel_name=self._chance.choice(list(subscribed)))
        elif dice < 0.2:
            await session.send("MESSAGE", name=self._chance.choice(self.swarm.users), payload='"psst"')
        elif dice < 0.22:
            raise EOFError("leaves on a whim")
        else:
            size = self._chance.choice([10, 100, 1000, 10_000])
            await session.send("PUBLISH", channel_name=channel, payload=json.dumps("x" * size))


class Swarm:
    """Clients that wander until `stop`, in a thread of their own.

    Args:
        ports: of the server and of proxies to it; the clients take turns.
        websockets: how many.
        comets: how many.
        channels: names.
        seed: of what they do.
        pause: seconds between two acts of one, on average.
    """

    def __init__(self, ports, *, websockets, comets, channels, seed, pause=1.5):
        self.seed = seed
        self.pause = pause
        self.channels = channels
        self.wrong = []
        """What must not have happened."""
        self.counts = Counter()
        """Frames by name, errors by code, ends by kind."""
        kinds = [WebSocketSession] * websockets + [CometSession] * comets
        self.users = [f"user{n}" for n in range(len(kinds))]
        self.members = [
            Wanderer(self, kind, ports[n % len(ports)], self.users[n]) for n, kind in enumerate(kinds)
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="swarm", daemon=True)
        self._thread.start()

    @property
    def connected(self):
        """How many take themselves for connected."""
        return sum(member.connected for member in self.members)

    def _run(self):
        try:
            self._loop.run_until_complete(self._live())
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _live(self):
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as all_of_them:
            for member in self.members:
                all_of_them.create_task(member.live())

    def stop(self):
        """Let all of them leave without a word.

        Raises:
            AssertionError: one failed by an error of its own, or does not end.
        """
        alive = self._thread.is_alive()
        if alive:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(DEADLINE)
        assert alive, "a client failed by an error of its own; see above"
        assert not self._thread.is_alive()
