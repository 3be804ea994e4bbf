"""Bytes of a chunked request body -> the body. Pure and strict."""

from __future__ import annotations

import re
from typing import Final

from hookbox.errors import BadRequest

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_LONGEST_LINE: Final = 1024
_MOST_TRAILERS: Final = 64


class ChunkedBody:
    """Decodes a chunked body as it comes in.

    Args:
        limit: the most bytes that the decoded body may have.

    Source: RFC 9112 section 7.1. Extensions and trailers are read past.
    """

    __slots__ = ("_body", "_limit", "_pending", "_size", "_trailers", "done", "leftover")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._pending = b""
        self._size = -1  # bytes of the current chunk still to come, -1 between chunks
        self._trailers = -1  # trailer lines seen, -1 before the last chunk
        self.done = False
        self.leftover = b""

    @property
    def body(self) -> bytes:
        """What has been decoded so far; all of it once `done`."""
        return bytes(self._body)

    def feed(self, data: bytes) -> None:
        """Take in the next bytes; once `done`, what follows the body is in `leftover`.

        Raises:
            BadRequest: 400 malformed, 413 longer than the limit.
        """
        data = self._pending + data
        at = 0
        while not self.done:
            after = self._chunk(data, at) if self._size >= 0 else self._line(data, at)
            if after < 0:
                break
            at = after
        self._pending = b"" if self.done else data[at:]
        self.leftover = data[at:] if self.done else b""

    def _line(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if (end if end >= 0 else len(data)) - at > _LONGEST_LINE:
            raise BadRequest(400, "chunk line too long")
        if end < 0:
            self._check_partial_line(data[at:])
            return -1
        if self._trailers >= 0:
            self._trailer(data[at:end])
        else:
            self._begin_chunk(data[at:end])
        return end + 2

    def _check_partial_line(self, line: bytes) -> None:
        if b"\n" in line or (self._trailers < 0 and re.match(rb"[0-9A-Fa-f]{17}|[^0-9A-Fa-f]", line)):
            raise BadRequest(400, "malformed chunk size")

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BadRequest(400, "malformed chunk size")
        size = int(match[1], 16)
        if size == 0:
            self._trailers = 0
            return
        if len(self._body) + size > self._limit:
            raise BadRequest(413, "body too large")
        self._size = size

    def _chunk(self, data: bytes, at: int) -> int:
        if self._size == 0:
            return self._end_chunk(data, at)
        piece = data[at : at + self._size]
        if not piece:
            return -1
        self._body += piece
        self._size -= len(piece)
        return at + len(piece)

    def _end_chunk(self, data: bytes, at: int) -> int:
        ending = data[at : at + 2]
        if not b"\r\n".startswith(ending):
            raise BadRequest(400, "chunk is longer than its size")
        if len(ending) < 2:
            return -1
        self._size = -1
        return at + 2

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers += 1
        if not _TRAILER.fullmatch(line) or self._trailers > _MOST_TRAILERS:
            raise BadRequest(400, "malformed trailer")
