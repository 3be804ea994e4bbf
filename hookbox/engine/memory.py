"""The engine of one process: publications live in memory, and a restart begins a new epoch."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import islice

from hookbox.core.history import Budget, Stream
from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName
from hookbox.engine.base import RECOVERY_BYTES, RECOVERY_LIMIT, Draft, Position
from hookbox.errors import EngineError


class _Line:
    """One channel's numbering and what of it can be recovered."""

    __slots__ = ("epoch", "kept", "offset")

    def __init__(self, budget: Budget) -> None:
        self.epoch = secrets.token_hex(8)
        self.offset = 0
        self.kept: Stream[Publication] = Stream(budget)


class MemoryBroker:
    """A `Broker` that never blocks and calls `deliver` before `publish` returns.

    Args:
        budget: what channels may keep.
        recovery: publications, and bytes of them, that one recovery may return; may be changed at any time.
    """

    def __init__(self, budget: Budget, recovery: tuple[int, int] = (RECOVERY_LIMIT, RECOVERY_BYTES)) -> None:
        self.recovery = recovery
        self._budget = budget
        self._lines: dict[ChannelName, _Line] = {}

    def open(self, channel: ChannelName) -> Position:
        """Begin a channel's life in a new epoch, unless it is open already."""
        if channel not in self._lines:
            self._lines[channel] = _Line(self._budget)
        return self.position(channel)

    def close(self, channel: ChannelName) -> None:
        """Forget a channel and its publications."""
        if line := self._lines.pop(channel, None):
            line.kept.clear()

    def publish(
        self,
        channel: ChannelName,
        draft: Draft,
        keep: tuple[int, float],
        deliver: Callable[[Publication], None],
    ) -> Publication:
        """Number, keep and deliver a draft.

        Raises:
            EngineError: the channel is not open.
        """
        line = self._line(channel)
        line.offset += 1
        publication = Publication(line.offset, *draft)
        line.kept.append(publication, *keep)
        deliver(publication)
        return publication

    def position(self, channel: ChannelName) -> Position:
        """Where an open channel stands.

        Raises:
            EngineError: the channel is not open.
        """
        line = self._line(channel)
        return Position(line.epoch, line.offset)

    def since(
        self, channel: ChannelName, seen: Position, keep: tuple[int, float], now: float
    ) -> list[Publication] | None:
        """What came after a position, or None if some of it is no longer kept."""
        line = self._line(channel)
        if seen.epoch != line.epoch or not 0 <= seen.offset <= line.offset:
            return None
        line.kept.prune(*keep, now)
        missing = line.offset - seen.offset
        most, most_bytes = self.recovery
        if missing > min(len(line.kept), most):
            return None
        missed = list(islice(line.kept, len(line.kept) - missing, None))
        return missed if sum(item.size for item in missed) <= most_bytes else None

    def _line(self, channel: ChannelName) -> _Line:
        try:
            return self._lines[channel]
        except KeyError:
            raise EngineError("channel is not open") from None
