"""What the consumer of a stream reads: units, as JSON lines, NDJSON or Server-Sent Events; and its positions.

Sources: HTML Standard section 9.2 (Server-Sent Events); the streaming API of Twitter for JSON lines, their
blank lines as signs of life and `delimited=length`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from hookbox.core.values import JSON
from hookbox.errors import BadRequest
from hookbox.protocol.disconnects import Disconnect
from hookbox.protocol.json_text import dump

RETRY_MS = 3000
"""How long a browser waits before it connects again."""

LARGEST = 2**63 - 1

_position = re.compile(r"([0-9A-Za-z]{8})-(0|[1-9][0-9]{0,18})", re.ASCII).fullmatch
_SEPARATORS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"} | {ord(c): " " for c in "\r\n"}


class StreamPosition(NamedTuple):
    """What a consumer has seen: everything up to a number.

    Args:
        store: epoch of the store whose numbers these are.
        seq: the number.
    """

    store: str
    seq: int

    def __str__(self) -> str:
        return f"{self.store}-{self.seq}"


def read_position(text: str) -> StreamPosition:
    """Read a position, as it stands in the `pos` of a unit.

    Raises:
        BadRequest: it cannot have been one.
    """
    found = _position(text)
    if found is None or int(found[2]) > LARGEST:
        raise BadRequest(400, "malformed position: give back the pos of a unit as it came")
    return StreamPosition(found[1], int(found[2]))


class Form(Enum):
    """How units are written; the value is the content type."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    EVENTS = "text/event-stream; charset=utf-8"


def choose_form(accept: str) -> Form:
    """The form that a request asks for.

    Args:
        accept: its Accept header, empty without one.
    """
    accept = accept.lower()
    if "text/event-stream" in accept:
        return Form.EVENTS
    return Form.NDJSON if "application/x-ndjson" in accept else Form.JSON


@dataclass(frozen=True, slots=True)
class Unit:
    """One message, before it is written. Topic, user and payload are JSON texts.

    Args:
        seq: its number on this server.
        offset: its number on the topic.
        epoch: in which its offset counts.
        time_ms: milliseconds since the Unix epoch.
        user: originator; empty or `null` for none.
        type: event type, empty for none.
    """

    seq: int
    topic: str
    offset: int
    epoch: str
    message_id: str
    time_ms: int
    user: str
    type: str
    payload: str

    def text(self, store: str) -> str:
        """The unit as JSON on one line.

        Args:
            store: its epoch, for the position.
        """
        user = f'"user":{self.user},' if self.user and self.user != "null" else ""
        kind = f'"type":"{self.type}",' if self.type else ""
        return one_line(
            f'{{"pos":"{store}-{self.seq}","topic":{self.topic},"offset":{self.offset},"epoch":"{self.epoch}",'
            f'"message_id":"{self.message_id}","time":"{timestamp(self.time_ms)}",{user}{kind}'
            f'"payload":{self.payload}}}'
        )


def one_line(text: str) -> str:
    """JSON text without anything that a reader of lines may take for the end of one."""
    if text.isascii() and "\n" not in text and "\r" not in text:
        return text
    return text.translate(_SEPARATORS)  # line ends stand between tokens only, the others in strings only


def timestamp(time_ms: int) -> str:
    """UTC as `2024-11-20T12:00:00.000Z`."""
    seconds, rest = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def gap(topic: str, asked: str, oldest: str) -> tuple[str, str]:
    """The control unit that says that something on a topic is missing: its name, and its JSON text.

    Args:
        topic: as JSON text.
        asked: the position that the consumer gave.
        oldest: position of the oldest message that is kept, which follows.
    """
    return "gap", f'{{"control":"gap","topic":{topic},"from":"{asked}","to":"{oldest}"}}'


ENDS = {1012: "shutdown", 4001: "lag", 4502: "revoked", 4504: "revoked"}


def ending(why: Disconnect) -> tuple[str, str]:
    """The control unit before the server ends a stream: its name, and its JSON text."""
    name = ENDS.get(why.code, "end")
    return name, f'{{"control":"{name}","code":{why.code},"reason":{_compact(why.reason)}}}'


def _compact(value: JSON) -> str:
    return one_line(dump(value))


class Writer:
    """Writes units in one form.

    Args:
        form: which.
        with_length: whether each unit's length in bytes stands on a line before it; not for events.
    """

    __slots__ = ("form", "sign_of_life", "with_length")

    def __init__(self, form: Form, with_length: bool = False) -> None:
        self.form = form
        self.with_length = with_length
        events = form is Form.EVENTS
        self.sign_of_life = b": hb\n\n" if events else b"\n" if form is Form.NDJSON else b"\r\n"
        """What shows that the connection lives, while there are no units."""

    def opening(self, position: str) -> bytes:
        """Write what a stream begins with; it may be empty.

        Args:
            position: from which a browser goes on that is cut off before the first message; empty if it
                has one.
        """
        if self.form is not Form.EVENTS:
            return b""
        begins = f"id: {position}\n" if position else ""
        return f"retry: {RETRY_MS}\n{begins}\n".encode()

    def message(self, position: str, text: str) -> bytes:
        """Write a message: its position, and its JSON text on one line."""
        if self.form is Form.EVENTS:
            return f"id: {position}\nevent: message\ndata: {text}\n\n".encode()
        return self._line(text)

    def control(self, name: str, text: str) -> bytes:
        """Write a control unit."""
        if self.form is Form.EVENTS:
            return f"event: {name}\ndata: {text}\n\n".encode()
        return self._line(text)

    def _line(self, text: str) -> bytes:
        line = text.encode() + (b"\n" if self.form is Form.NDJSON else b"\r\n")
        return b"%d\r\n%b" % (len(line), line) if self.with_length else line
