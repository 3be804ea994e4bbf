"""The query variables of a comet session: what is put around its answers, how long an idle one waits.

What a client has echoed goes into an answer of ours, so it is held to an allow-list: no reflected script.
Source: Comet Session Protocol, draft 0.3, "Variables".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from hookbox.protocol.csp import SentPacket

LONGEST_HOLD: Final = 40
"""Seconds; the original client gives a session up after 45 without an answer."""
MOST_PADDING: Final = 4096
HOLDLESS_IDLE_SECONDS: Final = 60.0

CONTENT_TYPES: Final = frozenset(
    ("application/javascript", "text/javascript", "text/plain", "application/json", "text/event-stream")
)
_EVENT_STREAM_PREFIX: Final = "data: "

_prefix = re.compile(r"[A-Za-z0-9_.$]{0,64}").fullmatch
_suffix = re.compile(r"[A-Za-z0-9_.$;\r\n]{0,64}").fullmatch
_integer = re.compile(r"-?[0-9]{1,18}", re.ASCII).fullmatch


def read_query(text: str) -> dict[str, bytes]:
    """The variables of a query string, percent-decoded; of a repeated name the last one."""
    query = {}
    for item in text.split("&"):
        name, _, value = item.partition("=")
        query[name] = unquote_to_bytes(value.replace("+", " ").encode("latin-1"))
    return query


def read_acknowledged(value: bytes) -> int:
    """The highest packet id a client says it has; -1 if it does not say."""
    number = _read_integer(value.decode("latin-1"))
    return -1 if number is None else number


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables a session keeps, under their names on the wire but `streaming`, which is `is`.

    Args:
        rp: text before an answer of handshake, send or close; `rs` follows it.
        bp: text before each batch; `bs` follows it.
        p: text at the start of each comet answer, after `ps` spaces.
        du: seconds an idle comet request is held, 0-40.
        streaming: 1 to get several batches in one answer.
        i: seconds between empty batches of an idle stream, 0 for the server's own interval.
        se: 1 to have a line with the last packet's id after each batch.
        ct: content type of the session's answers.
    """

    rp: str = ""
    rs: str = ""
    bp: str = ""
    bs: str = ""
    p: str = ""
    ps: int = 0
    du: int = 30
    streaming: int = 0
    i: int = 0
    se: int = 0
    ct: str = "text/plain"

    @property
    def idle_limit(self) -> float:
        """Seconds without a request after which the session ends."""
        return 2.0 * self.du or HOLDLESS_IDLE_SECONDS

    def updated(self, query: Mapping[str, bytes]) -> Variables:
        """With what a request's query sets; a value that does not parse is passed over."""
        changes = {}
        for name in query.keys() & _READERS.keys():
            field, read = _READERS[name]
            value = read(query[name].decode("latin-1"))
            if value is not None:
                changes[field] = value
        return replace(self, **changes) if changes else self

    def reply(self, value: str) -> bytes:
        """The answer of a handshake, send or close to one JSON value."""
        return f"{self.rp}({value}){self.rs}".encode("ascii")

    def preamble(self) -> bytes:
        """What a comet answer begins with."""
        return (" " * self.ps + self.p).encode("ascii")

    def batch(self, packets: Sequence[SentPacket]) -> bytes:
        """One batch of packets, dressed; none give the empty batch."""
        joined = b", ".join([packet.text for packet in packets])
        body = b"%b([%b])%b" % (self.bp.encode(), joined, self.bs.encode())
        if not self.se:
            return body
        return body + (b"id: %d\r\n\r\n" % packets[-1].id if packets else b"\r\n")


def _read_integer(text: str) -> int | None:
    return int(text) if _integer(text) else None


def _read_prefix(text: str) -> str | None:
    return text if text == _EVENT_STREAM_PREFIX or _prefix(text) else None


def _read_suffix(text: str) -> str | None:
    return text if _suffix(text) else None


def _read_content_type(text: str) -> str:
    return text if text in CONTENT_TYPES else "text/plain"


def _between(low: int, high: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        number = _read_integer(text)
        return None if number is None else min(max(number, low), high)

    return read


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = MappingProxyType(
    {
        "rp": ("rp", _read_prefix),
        "rs": ("rs", _read_suffix),
        "bp": ("bp", _read_prefix),
        "bs": ("bs", _read_suffix),
        "p": ("p", _read_prefix),
        "ps": ("ps", _between(0, MOST_PADDING)),
        "du": ("du", _between(0, LONGEST_HOLD)),
        "is": ("streaming", _between(0, 1)),
        "i": ("i", _between(0, LONGEST_HOLD)),
        "se": ("se", _between(0, 1)),
        "ct": ("ct", _read_content_type),
    }
)
