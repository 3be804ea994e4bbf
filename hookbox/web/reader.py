"""Reading one HTTP connection: heads and bodies, each under a deadline."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

from hookbox.errors import BadRequest
from hookbox.web.request_head import HeadLimits, RequestHead, check_beginning, read_head

RECV_BYTES = 16_384
CHUNK_LINE_BYTES = 256
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?")


class ConnectionEnded(Exception):
    """The peer closed, or stayed silent between two requests."""


class Reader:
    """What a connection's handler reads from.

    Args:
        sock: a gevent socket.
        now: monotonic seconds.
    """

    __slots__ = ("_data", "_now", "_sock")

    def __init__(self, sock: Any, now: Callable[[], float]) -> None:
        self._sock = sock
        self._now = now
        self._data = b""

    @property
    def has_more(self) -> bool:
        """Whether something of the next request has come already."""
        return bool(self._data)

    def take_rest(self) -> bytes:
        """What has been read and not been used: it belongs to whoever takes over the socket."""
        rest, self._data = self._data, b""
        return rest

    def head(self, limits: HeadLimits, idle: float, deadline: float) -> RequestHead:
        """Read the next request's head.

        Args:
            limits: sizes that are allowed.
            idle: seconds that may pass before its first byte.
            deadline: seconds from its first byte to its last.

        Raises:
            BadRequest: malformed, too large, or too slow.
            ConnectionEnded: there is no further request.
        """
        self._data = self._data.lstrip(b"\r\n") if self._data[:1] in (b"\r", b"\n") else self._data
        if not self._data:
            self._await_first(idle)
        until = self._now() + deadline
        seen = 0
        while (end := self._data.find(b"\r\n\r\n", max(0, seen - 3))) < 0:
            check_beginning(self._data, seen, limits)
            seen = len(self._data)
            self._fill(until)
        end += 4
        data, self._data = self._data[:end], self._data[end:]
        return read_head(data, limits)

    def body(self, head: RequestHead, limit: int, deadline: float, go_on: Callable[[], None]) -> BytesIO:
        """Read a request's whole body.

        Args:
            limit: bytes it may have.
            deadline: seconds it may take in total.
            go_on: called once before reading, when the client waits to be told to go on.

        Raises:
            BadRequest: too large (413), malformed (400), or too slow (408).
            ConnectionEnded: the peer closed in the middle.
        """
        if not head.length and not head.chunked:
            return BytesIO()
        if head.length and head.length > limit:
            raise too_large(limit)
        if head.expects_continue:
            go_on()
        until = self._now() + deadline
        if head.chunked:
            return BytesIO(self._chunks(limit, until))
        assert head.length is not None
        return BytesIO(self._exactly(head.length, until))

    def _chunks(self, limit: int, until: float) -> bytes:
        parts: list[bytes] = []
        total = 0
        while size := self._chunk_size(until):
            total += size
            if total > limit:
                raise too_large(limit)
            parts.append(self._exactly(size, until))
            if self._exactly(2, until) != b"\r\n":
                raise BadRequest(400, "malformed chunk")
        while self._line(until):  # trailers carry nothing that we use
            total += 1
            if total > limit + 64:
                raise BadRequest(400, "too many trailers")
        return b"".join(parts)

    def _chunk_size(self, until: float) -> int:
        match = _CHUNK_SIZE.fullmatch(self._line(until))
        if match is None:
            raise BadRequest(400, "malformed chunk size")
        return int(match.group(1), 16)

    def _line(self, until: float) -> bytes:
        while (end := self._data.find(b"\n")) < 0:
            if len(self._data) > CHUNK_LINE_BYTES:
                raise BadRequest(400, "malformed chunk")
            self._fill(until)
        line, self._data = self._data[:end], self._data[end + 1 :]
        if not line.endswith(b"\r") or len(line) > CHUNK_LINE_BYTES:
            raise BadRequest(400, "malformed chunk")
        return line[:-1]

    def _exactly(self, count: int, until: float) -> bytes:
        data = self._data
        if len(data) < count:
            parts, have = [data], len(data)
            self._data = b""
            while have < count:
                self._fill(until)
                parts.append(self._data)
                have += len(self._data)
                self._data = b""
            data = b"".join(parts)
        self._data = data[count:]
        return data[:count]

    def _await_first(self, idle: float) -> None:
        self._sock.settimeout(idle)
        try:
            self._data = self._sock.recv(RECV_BYTES)
        except OSError:
            self._data = b""
        if not self._data:
            raise ConnectionEnded

    def _fill(self, until: float) -> None:
        left = until - self._now()
        if left <= 0:
            raise BadRequest(408, "request took too long")
        self._sock.settimeout(left)
        try:
            data = self._sock.recv(RECV_BYTES)
        except TimeoutError:
            raise BadRequest(408, "request took too long") from None
        except OSError:
            data = b""
        if not data:
            raise ConnectionEnded
        self._data = self._data + data if self._data else data


def too_large(limit: int) -> BadRequest:
    """A body is over its limit."""
    return BadRequest(413, f"body larger than {limit} bytes")
