"""A TCP proxy that does what networks do: delay, trickle, freeze, cut, refuse."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any

from hookbox.testing.deadline import DEADLINE
from hookbox.testing.lane import Faults, Lane

_BACKLOG = 4096
_AFTER_FAILURE = 0.05


class Way(Enum):
    """The direction that a fault is in."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"
    BOTH = "both ways"


class FaultProxy:
    """Passes connections to a free port of 127.0.0.1 on to a server, with whatever faults it is told.

    Faults are for connections that are there and those to come, until the next word about the same fault or
    `pass_`. Every method may be called from any thread, and returns when it is so.

    It runs asyncio in one thread of its own, so it works in any test suite. Each connection through it takes
    two file descriptors.

    Args:
        target: port of the server on 127.0.0.1.
        buffer: bytes the kernel may keep in each socket; None for its default, which grows to megabytes.
            Small ones let the server soon feel a slow reader.
    """

    def __init__(self, target: int, *, buffer: int | None = None) -> None:
        self.target = target
        self.accepted = 0
        """Connections so far."""
        self._buffer = buffer
        self._faults = {Way.TO_SERVER: Faults(), Way.TO_CLIENT: Faults()}
        self._lanes: dict[asyncio.Task[None], dict[Way, Lane]] = {}
        self._place = _bound(0)  # keeps the port while connections are refused
        self.port: int = self._place.getsockname()[1]
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self.up()

    @property
    def url(self) -> str:
        """What to connect to instead of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many go through it now."""
        return len(self._lanes)

    # faults

    def pass_(self) -> None:
        """End every fault: what was held goes on, whoever connects is let through."""

        def change() -> None:
            for faults in self._faults.values():
                faults.clear()
            for lane in self._these(Way.BOTH):
                lane.left = None

        self._do(change)
        self.up()

    def latency(self, seconds: float, jitter: float = 0.0, way: Way = Way.BOTH) -> None:
        """Bring each byte that much later, and up to `jitter` seconds more; the order stays."""
        self._set(way, delay=seconds, jitter=jitter)

    def throttle(self, bytes_per_second: float | None, way: Way = Way.BOTH) -> None:
        """Let each connection carry no more than that; None ends it.

        Raises:
            ValueError: it is not above 0; `freeze` lets nothing through.
        """
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError("throttle needs more than 0 bytes per second; freeze lets nothing through")
        self._set(way, rate=bytes_per_second)

    def slice(self, size: int | None, way: Way = Way.BOTH, pause: float = 0.001) -> None:
        """Pass bytes on in pieces of at most that size; None ends it.

        Args:
            size: bytes of a piece.
            way: the direction.
            pause: seconds between two of them, for the receiver to take each on its own.
        """
        self._set(way, slice=size, pause=pause)

    def freeze(self, way: Way = Way.BOTH) -> None:
        """Pass nothing on, not even the end of a connection, as if the cable were out; see `thaw`."""

        def change() -> None:
            for faults in self._of(way):
                faults.flowing.clear()

        self._do(change)

    def thaw(self, way: Way = Way.BOTH) -> None:
        """Pass on again, beginning with what was held."""

        def change() -> None:
            for faults in self._of(way):
                faults.flowing.set()

        self._do(change)

    def limit(self, size: int | None, way: Way = Way.TO_CLIENT) -> None:
        """Let each connection carry that many bytes more, 1 at least, then reset it; None ends it."""

        def change() -> None:
            for lane in self._these(way):
                lane.left = size

        self._set(way, limit=size)
        self._do(change)

    def half_close(self, way: Way = Way.TO_SERVER) -> None:
        """End one direction of the connections there are, as if the sender had nothing more to say."""

        def change() -> None:
            for lane in self._these(way):
                lane.end()

        self._do(change)

    def reset(self) -> None:
        """Reset every connection there is, towards both ends; new ones are let through."""
        self._run(self._cut())

    def down(self) -> None:
        """Refuse new connections, until `up`; those there are stay."""
        self._run(self._stop_accepting())

    def up(self) -> None:
        """Let new connections through again."""
        self._run(self._begin_accepting())

    def stop(self) -> None:
        """Reset every connection and end the proxy."""
        if self._loop.is_closed():
            return
        self.down()
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
        self._place.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    # into the proxy's thread

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def _do(self, change: Callable[[], object]) -> None:
        async def work() -> None:
            change()

        self._run(work())

    def _set(self, way: Way, **values: float | None) -> None:
        def change() -> None:
            for faults in self._of(way):
                for name, value in values.items():
                    setattr(faults, name, value)

        self._do(change)

    # in the proxy's thread

    def _of(self, way: Way) -> list[Faults]:
        return [faults for one, faults in self._faults.items() if way in (one, Way.BOTH)]

    def _these(self, way: Way) -> list[Lane]:
        return [lane for both in self._lanes.values() for one, lane in both.items() if way in (one, Way.BOTH)]

    async def _begin_accepting(self) -> None:
        if self._accepting is None:
            listener = _bound(self.port)
            self._prepare(listener)
            listener.listen(_BACKLOG)
            self._accepting = self._loop.create_task(self._accept(listener))

    async def _stop_accepting(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.cancel()
            await asyncio.wait([accepting])

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    client, _ = await self._loop.sock_accept(listener)
                except OSError:  # no file descriptor is left, say
                    await asyncio.sleep(_AFTER_FAILURE)
                    continue
                self.accepted += 1
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        for sock in (client, server):
            self._prepare(sock)
        there, back = self._faults[Way.TO_SERVER], self._faults[Way.TO_CLIENT]
        lanes = {
            Way.TO_SERVER: Lane(client, server, there, back),
            Way.TO_CLIENT: Lane(server, client, back, there),
        }
        task = self._loop.create_task(self._carry(client, server, [*lanes.values()]))
        self._lanes[task] = lanes
        task.add_done_callback(self._lanes.pop)

    def _prepare(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer)

    async def _carry(self, client: socket.socket, server: socket.socket, lanes: list[Lane]) -> None:
        """Carry one connection until both ends have said all; a cut, or an error at one, resets both."""
        tasks: list[asyncio.Task[None]] = []
        with client, server:
            try:
                await self._loop.sock_connect(server, ("127.0.0.1", self.target))
                tasks = [self._loop.create_task(work) for lane in lanes for work in lane.tasks()]
                await asyncio.gather(*tasks)
            except (OSError, asyncio.CancelledError):
                for sock in (client, server):
                    with suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # they let go of the sockets

    async def _cut(self) -> None:
        tasks = list(self._lanes)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock
