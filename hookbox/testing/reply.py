"""What a scripted application answers, well or badly."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from itertools import repeat
from typing import TypeAlias

Steps: TypeAlias = "Iterable[bytes | float]"
"""What to do one after the other: bytes to send, or seconds to pause."""

FOR_EVER = float("inf")
PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application answers: a verdict, or anything else to see how Hookbox takes it.

    Args:
        verdict: goes out as JSON.
        status: of the HTTP answer.
        headers: further ones.
        body: goes out instead of the verdict.
        wait_for: the answer begins when this is set, or after `DEADLINE`.
        steps: makes what is done instead of an HTTP answer; afterwards the connection is closed.
    """

    verdict: object = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    wait_for: threading.Event | None = field(default=None, compare=False)
    steps: Callable[[], Steps] | None = field(default=None, compare=False)

    def encoded(self) -> bytes:
        """The body that goes out."""
        return json.dumps(self.verdict).encode() if self.body is None else self.body

    def message(self) -> bytes:
        """The whole HTTP answer."""
        body = self.encoded()
        return _head(self.status, (*self.headers, ("Content-Length", str(len(body))))) + body

    @classmethod
    def never(cls) -> Reply:
        """No answer; the connection stays open until Hookbox, or `down`, ends it."""
        return cls(steps=lambda: [FOR_EVER])

    @classmethod
    def hang_up(cls) -> Reply:
        """The connection is closed before any answer."""
        return cls(steps=list)

    @classmethod
    def raw(cls, data: bytes) -> Reply:
        """These bytes instead of HTTP, then the connection is closed."""
        return cls(steps=lambda: [data])

    @classmethod
    def drip(cls, size: int, seconds: float, verdict: object = None, *, from_body: bool = False) -> Reply:
        """A proper answer, but slowly: so many bytes, a pause, so many bytes ...

        Args:
            size: bytes at a time.
            seconds: of each pause.
            verdict: default: yes.
            from_body: whether the head comes at once and only the body drips.
        """
        whole = cls([True, {}] if verdict is None else verdict).message()
        start = whole.index(b"\r\n\r\n") + 4 if from_body else 0

        def steps() -> Iterator[bytes | float]:
            if start:
                yield whole[:start]
            for at in range(start, len(whole), size):
                yield whole[at : at + size]
                yield seconds

        return cls(steps=steps)

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Reply:
        """Go there instead."""
        return cls([True, {}], status, (("Location", url),))

    @classmethod
    def huge(cls, size: int) -> Reply:
        """A body of so many bytes, as long as its Content-Length says."""
        head = _head(200, (("Content-Length", str(size)),))
        return cls(steps=lambda: (head, *repeat(b" " * PIECE, size // PIECE), b" " * (size % PIECE)))

    @classmethod
    def endless(cls) -> Reply:
        """A chunked body without end."""

        def steps() -> Iterator[bytes]:
            yield _head(200, (("Transfer-Encoding", "chunked"),))
            yield from repeat(b"%x\r\n%s\r\n" % (PIECE, b" " * PIECE))

        return cls(steps=steps)

    @classmethod
    def bomb(cls, size: int = 200 * 1024 * 1024) -> Reply:
        """A gzip body that is a thousand times as long, `size` bytes, once it is unpacked."""
        return cls(headers=(("Content-Encoding", "gzip"),), body=_bomb(size))


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@lru_cache(maxsize=2)
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(level=9, wbits=31)  # 31: gzip
    pieces = [packer.compress(bytes(PIECE)) for _ in range(size // PIECE)]
    return b"".join([*pieces, packer.compress(bytes(size % PIECE)), packer.flush()])
