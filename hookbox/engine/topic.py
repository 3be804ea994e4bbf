"""One topic's numbering, what is still known of it, and who follows it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

from hookbox.core.history import Budget, Stream
from hookbox.core.publication import Publication
from hookbox.engine.base import Reader


class Ring(Stream[Publication]):
    """The last publications of a topic.

    Args:
        budget: shared with others.
        gone: everything of the topic up to this number is not here.
    """

    __slots__ = ("gone",)

    def __init__(self, budget: Budget, gone: int) -> None:
        super().__init__(budget)
        self.gone = gone

    def append(self, entry: Publication, count: int, duration: float) -> None:
        """Keep one more, as every stream does."""
        if not min(count, self._budget.entries):
            self.gone = entry.seq
        super().append(entry, count, duration)

    def _give_up(self, entry: Publication) -> None:
        self.gone = max(self.gone, entry.seq)
        super()._give_up(entry)


class Place:
    """A publication that waits for its turn to be shown."""

    __slots__ = ("deliver", "keep", "on_disk", "publication")

    def __init__(
        self, publication: Publication, keep: tuple[int, float], deliver: Callable[[Publication], None]
    ) -> None:
        self.publication = publication
        self.keep = keep
        self.deliver = deliver
        self.on_disk: bool | None = None
        """None while that is not known."""


class Topic:
    """A topic; what it does is the engine's.

    Args:
        budget: what its ring may keep.
        gone: everything that was shown of it before it began has a smaller number, or this one.
    """

    __slots__ = ("earlier", "epoch", "has_channel", "lost", "offset", "pending", "readers", "ring", "shown",
                 "shown_at", "whole")  # fmt: skip

    def __init__(self, budget: Budget, gone: int) -> None:
        self.epoch = new_epoch()
        self.earlier: list[tuple[int, str]] = []
        """Epochs of what is still in the ring, each with the offset at which the next one began."""
        self.offset = 0
        """The last one given."""
        self.shown = 0
        """The last one shown ..."""
        self.shown_at = 0.0
        """... and when, in monotonic seconds."""
        self.lost = 0
        """Numbers given to what was then not kept."""
        self.whole = True
        """Whether everything in this epoch is on disk."""
        self.has_channel = False
        self.ring = Ring(budget, gone)
        self.readers: tuple[Reader, ...] = ()
        self.pending: deque[Place] = deque()

    def begin_epoch(self, offset: int) -> None:
        """Number in a new epoch from an offset on: an old position is no longer known."""
        oldest = self.ring.oldest
        self.earlier = [item for item in self.earlier if oldest is not None and item[0] > oldest.offset]
        self.earlier.append((offset, self.epoch))
        self.epoch = new_epoch()
        self.whole = False

    def epoch_of(self, offset: int) -> str:
        """The epoch in which an offset counts."""
        return next((epoch for following, epoch in self.earlier if offset < following), self.epoch)

    @property
    def is_used(self) -> bool:
        """Whether something in this process stands on its numbering."""
        return bool(self.has_channel or self.readers or self.pending or len(self.ring))

    @property
    def is_needed(self) -> bool:
        """Whether its numbering has to go on."""
        return self.is_used or bool(self.whole and self.offset)  # the store has it


def new_epoch() -> str:
    """A name for a run of numbers."""
    return secrets.token_hex(8)
