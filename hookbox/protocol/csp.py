"""CSP: a byte stream each way out of HTTP requests, cut into packets that the other side acknowledges.

A packet is `[id, encoding, data]`, a batch a JSON array of packets. Encoding 0 is text, 1 is base64;
data `null` is the null packet, the end of the stream. Source: Comet Session Protocol, draft 0.3.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

from hookbox.core.values import JSON
from hookbox.errors import ProtocolError
from hookbox.protocol.json_text import BadJSON, load

PACKET_BYTES = 32_768
"""Raw bytes per packet: the original client decodes base64 by a call with one argument per byte."""

TEXT, BASE64 = 0, 1
_BATCH_DEPTH = 2
_TO_STANDARD = str.maketrans("-_", "+/")


class Packet(NamedTuple):
    """A packet from a client; `data` is None for the null packet."""

    id: int
    data: bytes | None


def read_batch(body: bytes) -> list[Packet]:
    """The packets of a `send`.

    Raises:
        ProtocolError: the body is not a batch, or one of its packets cannot be decoded.
    """
    try:
        batch = load(body, _BATCH_DEPTH)
    except BadJSON:
        raise ProtocolError("bad_json", "batch is not JSON") from None
    if not isinstance(batch, list):
        raise ProtocolError("bad_frame", "batch is not a list")
    return [_read_packet(item) for item in batch]


def _read_packet(item: JSON) -> Packet:
    match item:
        case [int() as packet_id, _, None] if not isinstance(packet_id, bool):
            return Packet(packet_id, None)
        case [int() as packet_id, int() as encoding, str() as data] if not isinstance(packet_id, bool):
            return Packet(packet_id, _decode(encoding, data))
    raise ProtocolError("bad_frame", "packet is not [id, encoding, data]")


def _decode(encoding: int, data: str) -> bytes:
    if encoding == TEXT:
        return data.encode("utf-8")
    if encoding == BASE64:
        return _decode_base64(data)
    raise ProtocolError("bad_frame", "unknown packet encoding")


def _decode_base64(data: str) -> bytes:
    """Either alphabet, with any padding or none."""
    digits = data.rstrip("=").translate(_TO_STANDARD)
    try:
        return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)
    except ValueError:
        raise ProtocolError("bad_frame", "packet is not base64") from None


class Incoming:
    """Which of a client's packets are news.

    The client repeats a `send` whose answer it missed, with the same ids; gaps are let pass.
    """

    __slots__ = ("ended", "last_id")

    def __init__(self) -> None:
        self.last_id = 0
        self.ended = False
        """Whether the client's null packet has come."""

    def take(self, packets: Iterable[Packet]) -> bytes:
        """The bytes that these packets add to the stream; what follows a null packet is not read."""
        pieces = []
        for packet in packets:
            if self.ended or packet.data is None:
                self.ended = True
                break
            if packet.id > self.last_id:
                self.last_id = packet.id
                pieces.append(packet.data)
        return b"".join(pieces)


class SentPacket(NamedTuple):
    """A packet to a client: its JSON text, and how much of the stream it stands for."""

    id: int
    text: bytes
    size: int
    frames: int


def encode_packets(first_id: int, data: bytes, frames: int) -> list[SentPacket]:
    """Cut bytes into packets; the last one accounts for the `frames` that end in them."""
    packets = []
    for start in range(0, len(data), PACKET_BYTES):
        piece = data[start : start + PACKET_BYTES]
        text = b'[%d, 1, "%b"]' % (first_id, urlsafe_b64encode(piece))
        last = start + PACKET_BYTES >= len(data)
        packets.append(SentPacket(first_id, text, len(piece), frames if last else 0))
        first_id += 1
    return packets


def null_packet(packet_id: int) -> SentPacket:
    """The end of the stream to a client."""
    return SentPacket(packet_id, b"[%d, 0, null]" % packet_id, 0, 0)


class Outgoing:
    """Packets on their way to a client, each kept until the client acknowledges it."""

    __slots__ = ("_packets", "frames", "last_shown", "next_id", "size")

    def __init__(self) -> None:
        self._packets: deque[SentPacket] = deque()
        self.next_id = 1
        self.last_shown = 0
        """Id of the last packet that was in an answer."""
        self.size = 0
        """Raw bytes not acknowledged."""
        self.frames = 0
        """Frames not acknowledged."""

    def __len__(self) -> int:
        return len(self._packets)

    def append(self, packets: Iterable[SentPacket]) -> None:
        """Queue packets, numbered from `next_id` on."""
        for packet in packets:
            self._packets.append(packet)
            self.next_id = packet.id + 1
            self.size += packet.size
            self.frames += packet.frames

    def acknowledge(self, packet_id: int) -> None:
        """Forget packets up to that id; one that was never shown cannot be acknowledged."""
        upto = min(packet_id, self.last_shown)
        packets = self._packets
        while packets and packets[0].id <= upto:
            packet = packets.popleft()
            self.size -= packet.size
            self.frames -= packet.frames

    def show(self, after: int = 0) -> list[SentPacket]:
        """All packets kept, in order; only those after some id to continue a stream."""
        packets = self._packets
        if not packets:
            return []
        self.last_shown = max(self.last_shown, packets[-1].id)
        if packets[0].id > after:
            return list(packets)
        news = list(takewhile(lambda packet: packet.id > after, reversed(packets)))
        news.reverse()
        return news

    def drop(self) -> None:
        """Free all packets. Ids of those never shown are used again, so no gap betrays the others."""
        self._packets.clear()
        self.size = self.frames = 0
        self.next_id = self.last_shown + 1
