"""RTJP: a byte stream cut at CRLF into lines, each a JSON array `[id, name, args]`.

Server to client is pure ASCII, because the original client hands the bytes on undecoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hookbox.core.values import JSON, JSONObject
from hookbox.errors import ProtocolError
from hookbox.protocol.json_text import MAX_DEPTH, BadJSON, dump, load

DELIMITER = b"\r\n"
ID_TEXTS = [b"%d" % number for number in range(10_000)]
"""Most frame ids as text: looking one up costs a fifth of formatting it."""


class ClientFrame(NamedTuple):
    """One decoded line from a client; `id` is the client's own counter."""

    id: int
    name: str
    args: JSONObject


class EncodedFrame:
    """A frame on its way to clients, encoded once however many they are.

    Only the number in front differs between connections, so it is put on last.

    Args:
        name: upper-case frame name.
        args: JSON text of the arguments, ASCII.
    """

    __slots__ = ("_heads", "size", "tail")

    def __init__(self, name: str, args: str) -> None:
        self.tail = f', "{name}", {args}]\r\n'.encode("ascii")
        self.size = len(self.tail) + 8
        """Bytes it takes on the wire, about: for accounting."""
        self._heads: dict[int, bytes] = {}

    def line(self, frame_id: int) -> bytes:
        """The whole line, CRLF included, numbered for one connection."""
        return b"[%d%b" % (frame_id, self.tail)

    def message(self, frame_id: int) -> bytes:
        """The line as one unmasked WebSocket text message.

        Source: RFC 6455 section 5.2.
        """
        number = ID_TEXTS[frame_id] if frame_id < len(ID_TEXTS) else b"%d" % frame_id
        head = self._heads.get(len(number)) or self.head(len(number))
        return head + number + self.tail

    def head(self, digits: int) -> bytes:
        """What stands before an id of that many digits in a WebSocket message; made once for each."""
        head = self._heads.get(digits)
        if head is None:
            head = self._heads[digits] = text_header(1 + digits + len(self.tail)) + b"["
        return head


def frame(name: str, args: JSONObject) -> EncodedFrame:
    """Encode a frame from a dict of arguments."""
    return EncodedFrame(name, dump(args))


def text_header(size: int) -> bytes:
    """Header of a final, unmasked text frame with `size` bytes of payload (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes((0x81, size))
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


class LineBuffer:
    """Cuts a byte stream into lines."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, limit: int) -> Iterator[bytes]:
        """The lines completed by `data`, without their delimiters.

        Args:
            limit: bytes a line may have, delimiter included.

        Raises:
            ProtocolError: while iterating, after the lines before it: a line, finished or not, is
                over the limit (`too_large`).
        """
        *lines, self._rest = (self._rest + data if self._rest else data).split(DELIMITER)
        return self._within(limit, lines)

    def _within(self, limit: int, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            if len(line) + len(DELIMITER) > limit:
                raise _too_long(limit)
            yield line
        if len(self._rest) > limit:
            raise _too_long(limit)


def _too_long(limit: int) -> ProtocolError:
    return ProtocolError("too_large", f"line longer than {limit} bytes")


def read_frame(line: bytes, max_depth: int = MAX_DEPTH) -> ClientFrame:
    """Read one line from a client.

    Raises:
        ProtocolError: with the exact message that the original server gave.
    """
    try:
        value = load(line, max_depth)
    except BadJSON:
        raise ProtocolError("bad_json", "Invalid json") from None
    match value:
        case [int() as frame_id, str() as name, dict() as args] if name and not isinstance(frame_id, bool):
            return ClientFrame(frame_id, name, args)
    raise _fault(value)


def _fault(value: JSON) -> ProtocolError:
    if not isinstance(value, list):
        return ProtocolError("bad_frame", "Invalid frame (not a list)")
    first = value[0] if value else None
    frame_id = first if isinstance(first, int) and not isinstance(first, bool) else None
    if len(value) != 3:
        return ProtocolError("bad_frame", "Invalid frame length", frame_id)
    if frame_id is None:
        return ProtocolError("bad_frame", "Invalid frame id (must be int)")
    if not isinstance(value[1], str) or not value[1]:
        return ProtocolError("bad_frame", "Invalid frame name (must be string)", frame_id)
    return ProtocolError("bad_frame", "Invalid frame keyword arguments (must be dictionary)", frame_id)


def error_frame(
    frame_id: int | None, message: str, code: str, retry_seconds: float | None = None
) -> EncodedFrame:
    """An ERROR frame.

    Args:
        frame_id: of the client frame at fault, None if it had no usable id.
        retry_seconds: when to try again, None where nothing is known of that.
    """
    args: JSONObject = {"id": frame_id, "msg": message, "code": code}
    if retry_seconds is not None:
        args["retry_ms"] = int(retry_seconds * 1000)
    return frame("ERROR", args)
