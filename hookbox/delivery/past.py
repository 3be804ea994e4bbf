"""What is kept of topics: the newest in memory, older ones in the store; read as one row, by number."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName
from hookbox.delivery.models import Message
from hookbox.delivery.store.base import PAGE, Store
from hookbox.engine.base import Broker, Numbers, Position
from hookbox.errors import EngineError

Kept = Publication | Message
FIRST_PAGE: Final = 10
PAGE_BYTES: Final = 256 * 1024
"""About what a page may have: the next one is larger or smaller by what the last one had."""
ENDLESS: Final = 2**63

by_seq: Callable[[Kept], int] = attrgetter("seq")


class Page(NamedTuple):
    """Some of what is kept, by number.

    Args:
        items: what comes next of all topics.
        until: up to which number that is everything; `ENDLESS` if there is nothing behind it now.
    """

    items: list[Kept]
    until: int


class Past:
    """Reads what is kept of topics. What blocks says so; then everything has to be looked at again.

    Args:
        broker: has the newest.
        store: has what is on disk.
        numbers: gives messages their numbers.
    """

    def __init__(self, broker: Broker, store: Store, numbers: Numbers) -> None:
        self.broker = broker
        self._store = store
        self._numbers = numbers
        self.epoch = store.epoch

    @property
    def last(self) -> int:
        """The last number given."""
        return self._numbers.last

    def barrier(self, topics: Iterable[ChannelName]) -> int:
        """What must not be shown yet: this number and all above it."""
        waiting = [seq for topic in topics if (seq := self.broker.pending(topic)) is not None]
        return min(waiting, default=ENDLESS)

    def now(self, topics: Iterable[ChannelName]) -> int:
        """The position from which on nothing has been shown yet."""
        return min(self._numbers.last, self.barrier(topics) - 1)

    def before_newest(self, topics: Sequence[ChannelName], count: int) -> int:
        """The position before the newest messages that are kept. Blocks.

        Args:
            count: how many of them, of all topics together; at least one.
        """
        newest = heapq.nlargest(count, (item.seq for topic in topics for item in self.broker.kept(topic)))
        everything_since = max(map(self.broker.complete_since, topics))
        if len(newest) < count or newest[-1] <= everything_since:
            stored = [seq for topic in topics for seq in self._store.newest_numbers(topic, count)]
            newest = heapq.nlargest(count, {*newest, *stored})
        return newest[-1] - 1 if newest else self.now(topics)

    def is_complete(self, topic: ChannelName, after: int, until: int) -> bool:
        """Whether everything of a topic between two numbers is in the store. Blocks.

        It is if the offsets follow each other in one epoch, from the newest message before (or from 1) up to
        what memory has. Where the store has nothing at all, nothing is known.

        Args:
            until: memory has everything above it.
        """
        memory = self._begins_behind(topic, until)  # before anything waits: it moves on
        stands = self._stands(topic, after)
        run = self._store.stretch(topic, after, until)
        if run is not None:
            if not run.consecutive or (stands or Position(run.epoch, 0)) != (run.epoch, run.first - 1):
                return False
            stands = Position(run.epoch, run.last)
        return stands is not None and stands == memory

    def _stands(self, topic: ChannelName, until: int) -> Position | None:
        """Where the store's newest message up to a number stands."""
        for seq in self._store.newest_numbers(topic, 1, until):
            if run := self._store.stretch(topic, seq - 1, seq):
                return Position(run.epoch, run.last)
        return None

    def _begins_behind(self, topic: ChannelName, until: int) -> Position | None:
        """Behind which position that begins what memory has of a topic above a number; None if not known."""
        for item in self.broker.kept(topic):
            if item.seq > until:
                return Position(self.broker.epoch(topic, item.offset), item.offset - 1)
        try:
            return self.broker.position(topic)
        except EngineError:
            return None

    def oldest(self, topic: ChannelName, after: int) -> int:
        """The number of the oldest message kept of a topic after a number, else the last given. Blocks."""
        stored = self._store.messages(topic, after, 1)
        found = [item.seq for item in stored]
        found += [item.seq for item in self.broker.kept(topic) if item.seq > after]
        return min(found, default=self._numbers.last)

    def page(
        self, topics: Sequence[ChannelName], after: int, judged: Mapping[ChannelName, int], most: int = PAGE
    ) -> Page:
        """What comes next after a number, whatever the barrier. Blocks where memory does not have it.

        Args:
            judged: up to which number of each topic the store is to be read; memory has what is above.
            most: messages of each topic that are read from the store.
        """
        found: list[Kept] = []
        horizon = ENDLESS
        for topic in topics:
            if judged[topic] > after:
                messages = self._store.messages(topic, after, most, judged[topic])
                found += messages
                if len(messages) == most:
                    horizon = min(horizon, messages[-1].seq)
        for topic in topics:  # nothing waits from here on
            above = max(after, judged[topic])
            if self.broker.complete_since(topic) > above:  # some of it has left memory meanwhile
                horizon = min(horizon, above)
            found += [item for item in self.broker.kept(topic) if item.seq > above]
        found.sort(key=by_seq)
        return Page([item for item in found if item.seq <= horizon], horizon)

    def epoch_of(self, publication: Publication) -> str:
        """In which epoch the offset of a publication counts."""
        return self.broker.epoch(ChannelName(json.loads(publication.channel)), publication.offset)


def next_count(items: Sequence[Kept]) -> int:
    """How many messages the next page may have, by the size of those of the last one."""
    size = sum(len(item.payload) for item in items) // max(1, len(items))
    return max(1, min(PAGE, PAGE_BYTES // (size + 200)))
