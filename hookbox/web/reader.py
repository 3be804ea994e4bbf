"""Reading one HTTP connection: heads and bodies, each under a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gevent import sleep

from hookbox.errors import BadRequest
from hookbox.web.chunked import ChunkedBody
from hookbox.web.request_head import HeadLimits, RequestHead, check_beginning, read_head

RECV_BYTES: Final = 16_384
CHUNKED_RECV_BYTES: Final = 4_096
"""Less at a time, as it may be all tiny chunks, which take their time to decode."""

BREATH: Final = 1e-6
"""Seconds; not 0, which gevent repeats up to 50 times before it looks at sockets again."""

LINE_END: Final = b"\r\n"
BLANK_LINE: Final = b"\r\n\r\n"


class ConnectionEnded(Exception):
    """The peer closed, or stayed silent between two requests."""


class Reader:
    """What a connection's handler reads from.

    Args:
        sock: a gevent socket.
        now: monotonic seconds.
    """

    __slots__ = ("_data", "_now", "_opened", "_sock")

    def __init__(self, sock: Any, now: Callable[[], float]) -> None:
        self._sock = sock
        self._now = now
        self._data = b""
        self._opened: float | None = now()
        """When the connection was, None after its first request."""

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
            deadline: seconds from its first byte to its last; for the first request, from the
                connection's beginning.

        Raises:
            BadRequest: malformed, too large, or too slow.
            ConnectionEnded: there is no further request.
        """
        if not self._data:
            self._await_first(idle)
        until = (self._now() if self._opened is None else self._opened) + deadline
        self._opened = None
        self._skip_empty_line(until)
        seen = 0
        while (end := self._data.find(BLANK_LINE, max(0, seen - 3))) < 0:
            check_beginning(self._data, seen, limits)
            seen = len(self._data)
            self._fill(until)
        end += len(BLANK_LINE)
        data, self._data = self._data[:end], self._data[end:]
        return read_head(data, limits)

    def body(self, head: RequestHead, limit: int, deadline: float, go_on: Callable[[], None]) -> bytes:
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
            return b""
        if head.length and head.length > limit:
            raise BadRequest(413, f"body larger than {limit} bytes")
        if head.expects_continue and head.version != "HTTP/1.0" and not self._data:
            go_on()
        until = self._now() + deadline
        if head.chunked:
            return self._chunks(limit, until)
        assert head.length is not None
        return self._exactly(head.length, until)

    def _skip_empty_line(self, until: float) -> None:
        """Old clients end a body with a line end that its length does not count (RFC 9112 section 2.2)."""
        if self._data == b"\r":
            self._fill(until)
        if self._data.startswith(LINE_END):
            self._data = self._data[len(LINE_END) :]
            if not self._data:
                self._fill(until)

    def _chunks(self, limit: int, until: float) -> bytes:
        body = ChunkedBody(limit)
        data = self.take_rest()
        while True:
            for start in range(0, len(data), CHUNKED_RECV_BYTES):
                body.feed(data[start : start + CHUNKED_RECV_BYTES])
                if body.done:
                    self._data = body.leftover + data[start + CHUNKED_RECV_BYTES :]
                    return body.body
                sleep(BREATH)  # a client that sends without pause must not keep others waiting
            self._fill(until)
            data = self.take_rest()

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
