"""WebSocket frames for a server: the codec of `websockets`, with what it leaves open checked around it.

Source: RFC 6455 sections 5 and 7. The library looks at a frame's flags and form only after its payload
has arrived and judges control frames by the room left in a message; here the header alone decides.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import SERVER, Protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # the package was installed without a compiler
    from websockets.utils import apply_mask

from hookbox.protocol.disconnects import (
    BAD_TEXT,
    MESSAGE_TOO_BIG,
    PROTOCOL_ERROR,
    TOO_MANY_FRAGMENTS,
    Disconnect,
)

quiet = logging.getLogger("hookbox.websockets")
quiet.addHandler(logging.NullHandler())
quiet.propagate = False
quiet.setLevel(logging.CRITICAL)


FINAL_TEXT = 0x81
MASKED = 0x80
LENGTH_OF_16_BITS = 126


class Event(Enum):
    """What a client's frame was, besides text."""

    PING = "ping"
    PONG = "pong"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Received:
    """What came of some bytes: whole messages and events in order, and why the connection must end."""

    items: list[bytes | Event]
    fault: Disconnect | None


class _Fault(Exception):
    def __init__(self, why: Disconnect) -> None:
        super().__init__(why.reason)
        self.why = why


class ServerProtocol(Protocol):
    """The receiving half of one server-side connection, after the upgrade.

    Args:
        max_message: bytes of a message, summed over its fragments, inclusive.
        max_fragments: frames one message may be cut into.
    """

    def __init__(self, max_message: int, max_fragments: int) -> None:
        super().__init__(SERVER, max_size=max_message, logger=quiet)
        self.fragments_limit = max_fragments
        self._inside_frame = False
        self._items: list[bytes | Event] = []
        self._fault: Disconnect | None = None
        self._fragments: list[bytes | bytearray] | None = None
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def inside_message(self) -> bool:
        """Whether fragments of a message have come, but not the last one."""
        return self._fragments is not None

    @property
    def unfinished(self) -> bool:
        """Whether a message or a frame has begun and not ended."""
        return self._inside_frame or bool(self.reader.buffer) or self._fragments is not None

    @property
    def reusable(self) -> bool:
        """Whether nothing of this connection is left in it."""
        return not self.unfinished and self._fault is None and self.close_rcvd is None

    def receive(self, data: bytes) -> Received:
        """Take bytes from the network.

        After a CLOSE event or a fault nothing further is read; `data_to_send` has what must be answered,
        to a CLOSE last.
        """
        self.receive_data(data)
        self.events.clear()
        items, self._items = self._items, []
        return Received(items, self._fault)

    def _item(self, frame: Frame) -> bytes | Event | None:
        match frame.opcode:
            case Opcode.PING:
                return Event.PING
            case Opcode.PONG:
                return Event.PONG
            case Opcode.CLOSE:
                return Event.CLOSE
        return self._text(frame)

    def _text(self, frame: Frame) -> bytes | None:
        data = frame.data
        assert not isinstance(data, memoryview)
        if frame.fin and self._fragments is None:
            try:
                str(data, "utf-8")
            except UnicodeDecodeError:
                raise _Fault(BAD_TEXT) from None
            return bytes(data)
        return self._fragment(data, frame.fin)

    def _fragment(self, data: bytes | bytearray, final: bool) -> bytes | None:
        if self._fragments is None or self._decoder is None:
            self._fragments = []
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._fragments.append(data)
        try:
            self._decoder.decode(data, final)
        except UnicodeDecodeError:
            raise _Fault(BAD_TEXT) from None
        pending = self._decoder.getstate()[0]
        # half a surrogate: Python waits for the rest
        if len(pending) == 2 and b"\xed\xa0" <= pending < b"\xee":
            raise _Fault(BAD_TEXT)
        if len(self._fragments) > self.fragments_limit:
            raise _Fault(TOO_MANY_FRAGMENTS)
        if not final:
            return None
        message = b"".join(self._fragments)
        self._fragments = self._decoder = None
        return message

    def parse(self) -> Generator[None, None, None]:
        """Read frames as the library does, judging each by its header first."""
        try:
            while not (yield from self.reader.at_eof()):
                is_control = yield from self._judge_header()
                room = None
                if self.max_message_size is not None and not is_control:
                    room = self.max_message_size - (self.current_size or 0)
                self._inside_frame = True  # the header leaves the buffer before the payload is there
                frame = yield from Frame.parse(self.reader.read_exact, mask=True, max_size=room)
                self._inside_frame = False
                if frame.opcode is Opcode.CLOSE:
                    self.current_size = None  # may stand between fragments (RFC 6455 section 5.4)
                item = self._item(frame)
                self.recv_frame(frame)
                if item is not None:
                    self._items.append(item)
        except _Fault as fault:
            self._fault = fault.why
        except PayloadTooBig:
            self._fault = MESSAGE_TOO_BIG
        except UnicodeDecodeError:
            self._fault = BAD_TEXT
        except (ProtocolError, EOFError):
            self._fault = PROTOCOL_ERROR
        self.parser = self._ignore()
        next(self.parser)
        yield

    def _ignore(self) -> Generator[None, None, None]:
        while True:
            self.reader.discard()
            yield

    def _judge_header(self) -> Generator[None, None, bool]:
        buffer = self.reader.buffer
        yield from self._await(2)
        first, second = buffer[0], buffer[1]
        opcode, length = first & 0x0F, second & 0x7F
        if first & 0x70:
            raise ProtocolError("reserved bits must be 0")
        if opcode in (3, 4, 5, 6, 7) or opcode > 10:
            raise ProtocolError("invalid opcode")
        if not second & 0x80:
            raise ProtocolError("client frames must be masked")
        is_control = opcode >= 8
        if is_control and (length > 125 or not first & 0x80):
            raise ProtocolError("control frame too long or fragmented")
        if not is_control and (opcode == 0) != (self.current_size is not None):
            raise ProtocolError("continuation without a start, or a new message inside one")
        if length == 126:
            yield from self._await(4)
            if int.from_bytes(buffer[2:4], "big") < 126:
                raise ProtocolError("length not in its shortest form")
        elif length == 127:
            yield from self._await(10)
            if not 65536 <= int.from_bytes(buffer[2:10], "big") < 2**63:
                raise ProtocolError("length not in its shortest form, or its first bit set")
        return is_control

    def _await(self, count: int) -> Generator[None, None, None]:
        while len(self.reader.buffer) < count:
            if self.reader.eof:
                raise EOFError("stream ended inside a frame")
            yield


class Codecs:
    """Codecs for connections to borrow while a message is under way.

    Between two messages a codec holds nothing, so an idle connection needs none: over a kilobyte saved.

    Args:
        max_message: bytes of a message, summed over its fragments, inclusive.
        max_fragments: frames one message may be cut into.
    """

    def __init__(self, max_message: int, max_fragments: int) -> None:
        self.change(max_message, max_fragments)

    def change(self, max_message: int, max_fragments: int) -> None:
        """Have other limits for every message that begins from now on."""
        self._max_message = max_message
        self._max_fragments = max_fragments
        self._idle: list[ServerProtocol] = []

    def take(self) -> ServerProtocol:
        """A codec between messages."""
        return self._idle.pop() if self._idle else ServerProtocol(self._max_message, self._max_fragments)

    def give_back(self, codec: ServerProtocol) -> None:
        """Take back a codec that is between messages again."""
        if codec.max_message_size == self._max_message and codec.fragments_limit == self._max_fragments:
            self._idle.append(codec)

    def read_whole(self, data: bytes) -> bytes | None:
        """The message that `data` is, if it is one whole ASCII text frame and nothing else, as nearly always.

        Returns:
            None if a codec has to look; it judges everything that is in any way special.
        """
        if len(data) < 6 or data[0] != FINAL_TEXT or not data[1] & MASKED:
            return None
        start, size = 6, data[1] & ~MASKED
        if size == LENGTH_OF_16_BITS:
            start, size = 8, int.from_bytes(data[2:4], "big")
            if size < LENGTH_OF_16_BITS:
                return None
        elif size > LENGTH_OF_16_BITS:
            return None
        if len(data) != start + size or size > self._max_message:
            return None
        text = apply_mask(data[start:], data[start - 4 : start])
        return text if text.isascii() else None


def close_frame(why: Disconnect) -> bytes:
    """A server's close frame with code and reason."""
    return Frame(Opcode.CLOSE, Close(why.code, why.reason).serialize()).serialize(mask=False)


def ping_frame() -> bytes:
    """A server's ping, without payload."""
    return b"\x89\x00"


__all__ = ["Codecs", "Event", "Received", "ServerProtocol", "close_frame", "ping_frame"]
