"""What moves and keeps publications: the interface that engines implement.

A *topic* is what has numbers: it carries the name of a channel, but may have begun before it and outlive it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName
from hookbox.errors import HookboxError

RECOVERY_LIMIT = 300
"""Publications that one recovery may return."""

RECOVERY_BYTES = 512 * 1024
"""Bytes of payload that one recovery may return."""


class Position(NamedTuple):
    """Where a topic's numbering stands: the last offset shown, in an epoch."""

    epoch: str
    offset: int


class Draft(NamedTuple):
    """A publication before it has its numbers; fields as in `Publication`."""

    channel: str
    payload: str
    datetime: str
    user: str
    at: float
    time_ms: int = 0
    type: str = ""
    message_id: str = ""


class Numbers(Protocol):
    """Gives what has been accepted its numbers on this server."""

    @property
    def last(self) -> int:
        """The last one given; before the first, one less than that."""

    def take(self) -> int:
        """The next one. Does not block."""


Broken = Callable[[ChannelName, str], None]
"""Told that an epoch of a topic, of which something is on disk, is not whole or has ended. Must not block."""

Settle = Callable[[HookboxError | None], None]
"""Says whether a publication is on disk; called once, in the hub or before `begin` returns."""


class Keeper(Protocol):
    """Puts a publication on disk before anybody sees it."""

    def begin(self, publication: Publication, epoch: str, whole: bool, settle: Settle) -> None:
        """Begin to write it; does not block.

        Args:
            epoch: of its offset.
            whole: whether everything so far in this epoch was put on disk.

        Raises:
            HookboxError: it cannot be written; then `settle` is not called.
        """


class Reader(Protocol):
    """Follows topics. Nothing here may block or raise."""

    def put(self, publication: Publication) -> None:
        """Something is shown on a topic; in the order of its numbers there."""

    def settled(self) -> None:
        """What waited to be shown on a topic no longer does (see `Broker.pending`)."""


class Broker(Protocol):
    """Gives numbers, keeps what may be recovered, and hands publications on."""

    def open(self, channel: ChannelName) -> Position:
        """Begin a channel's life; its numbering goes on if the topic is still known, else in a new epoch."""

    def close(self, channel: ChannelName) -> None:
        """End a channel's life; the topic is known as long as anything of it is kept, or it is followed."""

    def publish(
        self,
        topic: ChannelName,
        draft: Draft,
        keep: tuple[int, float],
        deliver: Callable[[Publication], None],
        keeper: Keeper | None = None,
    ) -> Publication:
        """Number a draft and show it: atomic per topic, in order of offset. Does not block.

        Args:
            draft: what to publish.
            keep: publications and seconds that stay recoverable; 0 seconds means no limit.
            deliver: called once when it is shown; it does not block or raise.
            keeper: puts it on disk first; what follows on the topic waits behind it. If that fails it is
                never shown.

        Raises:
            EngineError: it was not stored.
        """

    def position(self, topic: ChannelName) -> Position:
        """Where a topic stands.

        Raises:
            EngineError: it is not known.
        """

    def epoch(self, topic: ChannelName, offset: int) -> str:
        """In which epoch an offset of a topic counts, if it is among what is kept.

        Raises:
            EngineError: the topic is not known.
        """

    def since(
        self, topic: ChannelName, seen: Position, keep: tuple[int, float], now: float
    ) -> list[Publication] | None:
        """What came after a position, in order; None if that is not known completely.

        Args:
            seen: the last position the client saw.
            keep: as in `publish`.
            now: monotonic seconds.
        """

    def follow(self, topic: ChannelName, reader: Reader) -> None:
        """Show a reader everything from now on."""

    def unfollow(self, topic: ChannelName, reader: Reader) -> None:
        """Show it nothing more; safe to repeat."""

    def followed(self, topic: ChannelName) -> bool:
        """Whether any reader follows it."""

    def kept(self, topic: ChannelName) -> Sequence[Publication]:
        """What is still known of a topic, oldest first."""

    def complete_since(self, topic: ChannelName) -> int:
        """Everything of a topic with a greater `seq` is among what is kept."""

    def pending(self, topic: ChannelName) -> int | None:
        """The smallest `seq` given on a topic and not shown yet; None if there is none.

        Who shows several topics in one row shows nothing above it: a reader that has seen a number expects
        nothing below it any more.
        """
