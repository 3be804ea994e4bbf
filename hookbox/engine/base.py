"""What moves and keeps publications: the interface that engines implement."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName

RECOVERY_LIMIT = 300
"""Publications that one recovery may return."""

RECOVERY_BYTES = 512 * 1024
"""Bytes of payload that one recovery may return."""


class Position(NamedTuple):
    """Where a channel's numbering stands: the last offset given, in an epoch."""

    epoch: str
    offset: int


class Draft(NamedTuple):
    """A publication before it has an offset; fields as in `Publication`."""

    channel: str
    payload: str
    datetime: str
    user: str
    at: float


class Broker(Protocol):
    """Gives offsets, keeps what may be recovered, and hands publications on."""

    def open(self, channel: ChannelName) -> Position:
        """Begin a channel's life, in a new epoch unless the engine still holds the old one."""

    def close(self, channel: ChannelName) -> None:
        """End a channel's life; closing one that is not open does nothing."""

    def publish(
        self,
        channel: ChannelName,
        draft: Draft,
        keep: tuple[int, float],
        deliver: Callable[[Publication], None],
    ) -> Publication:
        """Number a draft, store it and call `deliver` with it: atomic per channel, in order of offset.

        Args:
            channel: an open channel.
            draft: what to publish.
            keep: publications and seconds that stay recoverable; 0 seconds means no limit.
            deliver: called once, before or after this returns; it does not block or raise.

        Raises:
            EngineError: it was not stored.
        """

    def position(self, channel: ChannelName) -> Position:
        """Where an open channel stands."""

    def since(
        self, channel: ChannelName, seen: Position, keep: tuple[int, float], now: float
    ) -> list[Publication] | None:
        """What came after a position, in order; None if that is not known completely.

        Args:
            channel: an open channel.
            seen: the last position the client saw.
            keep: as in `publish`.
            now: monotonic seconds.
        """
