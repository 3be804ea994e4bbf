"""Second readers of the same formats, written from the rules alone and slow: what the real ones are held to."""

from __future__ import annotations

import json
import math
import re
from typing import Any

CLOSE_CODES = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}


class Refused(Exception):
    """Not valid."""


# JSON: RFC 8259, with what Hookbox does not take


def read_json(data: bytes, depth: int) -> Any:
    """The value, or Refused."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Refused from None
    _check_json(value, depth)
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)


def _check_json(value: Any, depth: int) -> None:
    if isinstance(value, list | dict) and depth <= 0:
        raise Refused
    match value:
        case dict():
            for key, item in value.items():
                _check_json(key, 1)
                _check_json(item, depth - 1)
        case list():
            for item in value:
                _check_json(item, depth - 1)
        case str():
            if re.search("[\ud800-\udfff]", value):
                raise Refused
        case float():
            if not math.isfinite(value):
                raise Refused
        case int():
            if abs(value) >= 2**63:
                raise Refused


# WebSocket frames: RFC 6455 section 5, with the project's rows W1-W14


def masked_by(key: bytes, payload: bytes) -> bytes:
    """A payload with the mask put on, or taken off."""
    keys = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")


class Frames:
    """What comes of a whole stream of frames.

    Afterwards: `items` (bytes, or "ping", "pong", "close"), `answers`, `code` of the fault or None, and
    `clean`, whether the stream ended between two messages.
    """

    def __init__(self, data: bytes, max_message: int, max_fragments: int) -> None:
        self.items: list[bytes | str] = []
        self.answers = b""
        self.code: int | None = None
        self.clean = True
        self._data, self._at = data, 0
        self._most, self._most_fragments = max_message, max_fragments
        self._fragments: list[bytes] | None = None
        try:
            while self._at < len(data) and "close" not in self.items:
                self.clean = False
                self._frame()
                self.clean = self._fragments is None
        except EOFError:
            pass
        except Refused as fault:
            (self.code,) = fault.args

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise EOFError
        self._at += count
        return taken

    def _frame(self) -> None:
        first, second = self._take(2)
        opcode, length, control = first & 15, second & 127, bool(first & 8)
        if first & 0x70 or opcode not in (0, 1, 2, 8, 9, 10) or not second & 128:
            raise Refused(1002)
        if control and (length > 125 or first < 128):
            raise Refused(1002)
        if not control and (opcode == 0) == (self._fragments is None):
            raise Refused(1002)
        if length > 125:
            size, least = (2, 126) if length == 126 else (8, 65_536)
            length = int.from_bytes(self._take(size), "big")
            if not least <= length < 2**63:
                raise Refused(1002)
        if not control and sum(map(len, self._fragments or ())) + length > self._most:
            raise Refused(1009)
        key = self._take(4)
        masked = self._take(length)
        payload = masked_by(key, masked)
        if control:
            self._control(opcode, payload)
        else:
            self._fragment(payload, first >= 128)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == 8:
            self._check_close(payload)
        if opcode != 10:
            self.answers += bytes([0x8A if opcode == 9 else 0x88, len(payload)]) + payload
        self.items.append({8: "close", 9: "ping", 10: "pong"}[opcode])

    def _check_close(self, payload: bytes) -> None:
        if len(payload) == 1:
            raise Refused(1002)
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            raise Refused(1007) from None
        if payload and int.from_bytes(payload[:2], "big") not in CLOSE_CODES:
            raise Refused(1002)

    def _fragment(self, payload: bytes, final: bool) -> None:
        self._fragments = [*(self._fragments or ()), payload]
        whole = b"".join(self._fragments)
        if not (_is_text(whole) or (not final and _may_become_text(whole))):
            raise Refused(1007)
        if len(self._fragments) > self._most_fragments:
            raise Refused(1008)
        if final:
            self.items.append(whole)
            self._fragments = None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_become_text(data: bytes) -> bool:
    return any(_is_text(data + byte * count) for byte in (b"\x80", b"\xbf") for count in (0, 1, 2, 3))


# HTTP messages: RFC 9112, of which only what is beyond doubt

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")


def read_fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Header lines as names in lower case and values; Refused unless each is beyond doubt."""
    fields = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if not found:
            raise Refused(f"header line {line[:40]!r}")
        fields.append((found[1].lower(), found[2]))
    return fields


def framing(fields: list[tuple[bytes, bytes]]) -> int | str | None:
    """How a body ends: its length, "chunked", or None when nothing says so. Refused unless beyond doubt."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise Refused("framed twice")
    if lengths:
        if not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
            raise Refused("length")
        return int(lengths[0])
    if codings:
        if codings[0].lower() != b"chunked":
            raise Refused("coding")
        return "chunked"
    return None


def read_chunks(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body that `data` begins with, and what follows it. Raises EOFError or Refused."""
    body = b""
    while True:
        found = _CHUNK.match(data)
        if not found:
            raise Refused("chunk")
        size, data = int(found[1], 16), data[found.end() :]
        if not size:
            break
        if len(data) < size + 2:
            raise EOFError
        if data[size : size + 2] != b"\r\n":
            raise Refused("chunk end")
        body, data = body + data[:size], data[size + 2 :]
    while not data.startswith(b"\r\n"):
        _, ending, data = data.partition(b"\r\n")
        if not ending:
            raise EOFError
    return body, data[2:]
