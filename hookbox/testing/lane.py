"""One direction of one connection through the proxy, and the faults it obeys."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

PIECE = 65_536
IN_FLIGHT = 64
"""Pieces that may be on their way at once where they take their time."""
TICKS = 20
"""Pieces a second that a throttled stream is cut into, where it has so many bytes."""


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Faults:
    """What is wrong with one direction of all connections; None and 0 mean nothing."""

    delay: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    slice: int | None = None
    pause: float = 0.0
    limit: int | None = None
    flowing: asyncio.Event = field(default_factory=_open)
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def clear(self) -> None:
        """Let all be well."""
        self.delay = self.jitter = 0.0
        self.rate = self.slice = self.limit = None
        self.flowing.set()

    def draw_delay(self) -> float:
        """Seconds that the next piece takes."""
        return self.delay + self.chance.random() * self.jitter

    def read_size(self) -> int:
        """How much to take from the sender at once: little when it leaves slowly, so that it is felt."""
        return PIECE if self.rate is None else max(1, min(PIECE, int(self.rate)))

    def piece_size(self) -> int:
        """How much to pass on at once."""
        sizes = [PIECE, self.slice or PIECE]
        if self.rate is not None:
            sizes.append(max(1, int(self.rate / TICKS)))
        return min(sizes)


class Lane:
    """Carries what one socket says to another.

    Args:
        source: is read.
        sink: is written to.
        faults: of this direction.
        back: of the other one, in which the news travels that the sink is gone.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, faults: Faults, back: Faults) -> None:
        self.source = source
        self.sink = sink
        self.faults = faults
        self.back = back
        self.left = faults.limit
        """Bytes until the connection is cut, or None."""
        self._ended = False
        self._due = 0.0
        self._loop = asyncio.get_running_loop()
        self._flying: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)

    def tasks(self) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """What is to be run until both end.

        Raises:
            OSError: one end failed, and the other should know by now.
        """
        return self._take(), self._give()

    def end(self) -> None:
        """Say to the sink that there is no more, and drop what comes."""
        self._ended = True
        with suppress(OSError):  # it has ended already
            self.sink.shutdown(socket.SHUT_WR)

    async def _take(self) -> None:
        data = b"?"
        while data:
            try:
                data = await self._loop.sock_recv(self.source, self.faults.read_size())
            except OSError:
                await self.faults.flowing.wait()
                raise
            delay = self.faults.draw_delay()
            self._due = max(self._due, self._loop.time() + delay)
            await self._flying.put((self._due, data))
            if not delay:
                await self._flying.join()  # so that the sender soon feels a slow reader

    async def _give(self) -> None:
        data = b"?"
        while data:
            due, data = await self._flying.get()
            while (early := due - self._loop.time()) > 0:
                await asyncio.sleep(early)
            await self._pass_on(data)
            self._flying.task_done()
        await self.faults.flowing.wait()
        self.end()

    async def _pass_on(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._ended:
            await self.faults.flowing.wait()
            piece = data[at : at + self.faults.piece_size()]
            if self.left is not None:
                piece = piece[: self.left]
                self.left -= len(piece)
            await self._send(piece)
            at += len(piece)
            if self.left == 0:
                raise ConnectionAbortedError("cut at its limit")
            await self._rest(len(piece))

    async def _rest(self, size: int) -> None:
        if self.faults.rate is not None:
            await asyncio.sleep(size / self.faults.rate)
        elif self.faults.slice is not None:
            await asyncio.sleep(self.faults.pause)

    async def _send(self, piece: bytes) -> None:
        try:
            await self._loop.sock_sendall(self.sink, piece)
        except OSError:
            await self.back.flowing.wait()
            raise
