"""Reads one HTTP/1.x answer, strictly and without I/O: bytes in; status, headers and body out.

Source: RFC 9112 sections 4 (status line), 5 (fields), 6.3 (length of the body), 7.1 (chunked).
Stricter than it asks for where a lenient reader could take one user's answer for another's:
one framing only, no folded fields, no bare line feeds, no compression.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hookbox.errors import BadAnswer

MOST_HEAD = 32 * 1024  # bytes of everything before the body, interim answers included
MOST_FIELDS = 100
MOST_CHUNK_LINE = 256  # bytes

_FIELDS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*(?:\r\n|\Z))*")
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")


class AnswerReader:
    """Collects the answer to one POST from bytes as they come.

    Args:
        limit: bytes the body may have.

    `status`, `reason`, `headers` (names as sent, in order), `body` and `reusable` (whether the
    connection is fit for another exchange) are final once `done`.
    """

    def __init__(self, limit: int) -> None:
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.reusable = False
        self._limit = limit
        self._step: Callable[[AnswerReader], bool] | None = AnswerReader._read_head
        self._data = bytearray()
        self._body = bytearray()
        self._left = 0  # bytes of the body or chunk still to come
        self._head_bytes = 0
        self._line_bytes = 0  # chunk lines and trailers

    @property
    def done(self) -> bool:
        """Whether the answer is complete."""
        return self._step is None

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            BadAnswer: malformed, or above a limit; the connection is of no more use.
        """
        self._data += data
        while self._step is not None and self._step(self):
            pass
        if self._step is None and self._data:
            self.reusable = False  # whatever else came would be taken for the next answer

    def end(self) -> None:
        """Take note that the application closed the connection.

        Raises:
            BadAnswer: in the middle of the answer.
        """
        if self._step is AnswerReader._read_until_close:
            self._finish()
        elif self._step is not None:
            part = "head" if self._step is AnswerReader._read_head else "body"
            raise BadAnswer(f"connection closed in the {part}")

    def values(self, name: str) -> list[str]:
        """All values of the headers with that name, given in lower case, in order."""
        return [value for key, value in self.headers if key.lower() == name]

    def each(self, *names: str) -> list[list[str]]:
        """The same for several names, in one go."""
        found: dict[str, list[str]] = {name: [] for name in names}
        for key, value in self.headers:
            values = found.get(key.lower())
            if values is not None:
                values.append(value)
        return [*found.values()]

    def _read_head(self) -> bool:
        data = self._data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._check_unfinished_head()
            return False
        self._head_bytes += end + 4
        if self._head_bytes > MOST_HEAD:
            raise BadAnswer(f"head of more than {MOST_HEAD} bytes")
        line, _, fields = _text(data[:end]).partition("\r\n")
        del data[: end + 4]
        version = self._read_status(line)
        joined = self._read_fields(fields)
        if self.status >= 200:
            self._choose_body(version, joined)
        elif self.status == 101:
            raise BadAnswer("switched protocols without being asked")
        return True

    def _check_unfinished_head(self) -> None:
        # Something that is not HTTP at all is told at once, not when the deadline comes.
        if not self._data.startswith(b"HTTP/1."[: len(self._data)]):
            raise BadAnswer("not HTTP/1.x")
        if self._head_bytes + len(self._data) > MOST_HEAD:
            raise BadAnswer(f"head of more than {MOST_HEAD} bytes")

    def _read_status(self, line: str) -> str:
        match = _STATUS.fullmatch(line)
        if not match:
            raise BadAnswer("malformed status line" if line.startswith("HTTP/1.") else "not HTTP/1.x")
        version, status, reason = match.groups("")
        self.status = int(status)
        self.reason = reason
        return version

    def _read_fields(self, text: str) -> dict[str, str]:
        if not _FIELDS.fullmatch(text):
            raise BadAnswer("malformed header")
        lines = text.split("\r\n") if text else []
        if len(lines) > MOST_FIELDS:
            raise BadAnswer(f"more than {MOST_FIELDS} headers")
        self.headers = []
        joined: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            value = value.strip(" \t")
            self.headers.append((name, value))
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        return joined

    def _choose_body(self, version: str, joined: dict[str, str]) -> None:
        coding = joined.get("transfer-encoding")
        length = joined.get("content-length")
        if joined.get("content-encoding", "identity").lower() != "identity":
            raise BadAnswer("compressed, though only identity was accepted")
        if coding is not None and length is not None:
            raise BadAnswer("both Content-Length and Transfer-Encoding")
        self.reusable = version == "1" and not _closes(joined.get("connection", ""))
        if self.status in (204, 304):
            self._finish()
        elif coding is not None:
            if version == "0" or coding.lower() != "chunked":
                raise BadAnswer("Transfer-Encoding other than chunked")
            self._step = AnswerReader._read_chunk_size
        elif length is not None:
            self._begin_sized(length)
        else:
            self.reusable = False
            self._step = AnswerReader._read_until_close

    def _begin_sized(self, length: str) -> None:
        if not _LENGTH.fullmatch(length):
            raise BadAnswer("malformed Content-Length")
        self._left = int(length)
        self._check_size(self._left)
        self._step = AnswerReader._read_sized

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise BadAnswer(f"body of more than {self._limit} bytes")

    def _read_sized(self) -> bool:
        if len(self._data) < self._left:
            return False
        self._body = self._data[: self._left]
        del self._data[: self._left]
        self._finish()
        return True

    def _read_until_close(self) -> bool:
        self._body += self._data
        self._data.clear()
        self._check_size(len(self._body))
        return False

    def _read_chunk_size(self) -> bool:
        line = self._take_line()
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if not match:
            raise BadAnswer("malformed chunk")
        self._left = int(match[1], 16)
        self._check_size(len(self._body) + self._left)
        self._step = AnswerReader._read_chunk if self._left else AnswerReader._read_trailer
        return True

    def _read_chunk(self) -> bool:
        piece = self._data[: self._left]
        del self._data[: self._left]
        self._body += piece
        self._left -= len(piece)
        if self._left:
            return False
        self._step = AnswerReader._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        if len(self._data) < 2:
            return False
        if self._data[:2] != b"\r\n":
            raise BadAnswer("malformed chunk")
        del self._data[:2]
        self._step = AnswerReader._read_chunk_size
        return True

    def _read_trailer(self) -> bool:
        line = self._take_line()
        if line is None:
            return False
        if not line:
            self._finish()
        return True

    def _take_line(self) -> bytearray | None:
        end = self._data.find(b"\r\n", 0, MOST_CHUNK_LINE + 2)
        if end < 0:
            if len(self._data) > MOST_CHUNK_LINE + 1:
                raise BadAnswer("malformed chunk")
            return None
        line = self._data[:end]
        del self._data[: end + 2]
        self._line_bytes += end + 2
        if self._line_bytes > self._limit + MOST_HEAD:
            raise BadAnswer("more chunk lines and trailers than the body may have")
        return line

    def _finish(self) -> None:
        self.body = bytes(self._body)
        self._step = None


def _text(head: bytearray) -> str:
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _closes(connection: str) -> bool:
    return bool(connection) and "close" in [word.strip() for word in connection.lower().split(",")]
