"""An outbox for comet: frames wait as packets until one request takes and a later one confirms them."""

from __future__ import annotations

from collections.abc import Callable

from hookbox.protocol.csp import Outgoing, SentPacket, encode_packets, null_packet
from hookbox.protocol.disconnects import INTERNAL, OVERLOAD, SLOW_CONSUMER, Disconnect
from hookbox.protocol.rtjp import EncodedFrame
from hookbox.transports.base import Configured
from hookbox.transports.outbox import Flusher, Outbox

WORTH_ACCOUNTING = 16_384
"""Bytes below which a waiting outbox is not counted among the stalled ones."""
SHARED_IDS = 8
"""Copies of one batch, under different ids, that are kept for the next session to come along."""


class SharedPackets:
    """The packets made last: sessions on one channel often get the same frames under the same ids."""

    __slots__ = ("_by_ids", "_items")

    def __init__(self) -> None:
        self._items: list[EncodedFrame | bytes] = []
        self._by_ids: dict[tuple[int, int], tuple[list[SentPacket], int]] = {}

    def encode(
        self, items: list[EncodedFrame | bytes], frame_id: int, packet_id: int
    ) -> tuple[list[SentPacket], int]:
        """The packets of some queued items, and the id of the frame that will follow them.

        Args:
            items: not empty.
            frame_id: of the first frame.
            packet_id: of the first packet.
        """
        if self._items != items:
            self._items, self._by_ids = items.copy(), {}
        known = self._by_ids.get((frame_id, packet_id))
        if known is None:
            data, next_id = _join(items, frame_id)
            known = encode_packets(packet_id, data, len(items)), next_id
            if len(self._by_ids) < SHARED_IDS:
                self._by_ids[frame_id, packet_id] = known
        return known


def _join(items: list[EncodedFrame | bytes], frame_id: int) -> tuple[bytes, int]:
    lines = []
    for item in items:
        if isinstance(item, EncodedFrame):
            lines.append(item.line(frame_id))
            frame_id += 1
        else:
            lines.append(item)
    return b"".join(lines), frame_id


class CometOutbox(Outbox):
    """Frames for one comet session.

    Args:
        flusher: shared by all connections.
        shared: packets made for other sessions.
        configured: by its settings so many bytes and frames may wait for an acknowledgement (`outbox_bytes`,
            `outbox_messages`).
        on_news: called when there is something to fetch; must not block.
        on_fault: called when the session cannot go on; must not block.
    """

    __slots__ = ("_configured", "_on_fault", "_on_news", "_shared", "packets")

    def __init__(
        self,
        flusher: Flusher,
        shared: SharedPackets,
        configured: Configured,
        on_news: Callable[[], None],
        on_fault: Callable[[Disconnect], None],
    ) -> None:
        super().__init__(flusher)
        self._shared = shared
        self._configured = configured
        self._on_news = on_news
        self._on_fault = on_fault
        self.packets = Outgoing()

    def flush(self) -> None:
        """Turn the queue into packets and wake the request that waits for them."""
        if not self.queue or self.closed:
            self.queue.clear()
            return
        settings = self._configured.settings
        if self.packets.size > settings.outbox_bytes or self.packets.frames > settings.outbox_messages:
            self._on_fault(SLOW_CONSUMER)
            return
        self._pack()
        self._on_news()

    def _pack(self) -> None:
        packets, self.next_id = self._shared.encode(self.queue, self.next_id, self.packets.next_id)
        self.queue.clear()
        self.packets.append(packets)
        if self.packets.size > WORTH_ACCOUNTING:
            self.flusher.account(self, self.packets.size)

    def acknowledge(self, packet_id: int) -> None:
        """The client has everything up to that packet."""
        self.packets.acknowledge(packet_id)
        if self in self.flusher.waiting:
            size = self.packets.size
            self.flusher.account(self, size if size > WORTH_ACCOUNTING else 0)

    @property
    def waiting(self) -> tuple[int, int]:
        """Bytes and messages that the client has not confirmed, about."""
        return self.packets.size, self.packets.frames + len(self.queue)

    def seal(self) -> None:
        """Take nothing more; the null packet follows what is queued."""
        if self.closed:
            return
        self.closed = True
        if self.queue:
            self._pack()
        self.packets.append([null_packet(self.packets.next_id)])

    def drop(self) -> None:
        """Free what waits."""
        self.queue.clear()
        self.packets.drop()
        self.unaccount()

    def unaccount(self) -> None:
        """Nothing waits here any more that anybody could fetch."""
        self.flusher.account(self, 0)

    def broken(self) -> None:
        """Flushing failed: the session ends."""
        self._on_fault(INTERNAL)

    def overloaded(self) -> None:
        """All outboxes together hold too much, and this one is the fullest."""
        self._on_fault(OVERLOAD)
