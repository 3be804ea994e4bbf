"""The engine of one process: publications live in memory, and a restart begins a new epoch.

What has to be on disk first is handed to a `Keeper` and shown when that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

from hookbox.core.history import Budget
from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName
from hookbox.engine.base import (
    RECOVERY_BYTES,
    RECOVERY_LIMIT,
    Broken,
    Draft,
    Keeper,
    Numbers,
    Position,
    Reader,
)
from hookbox.engine.topic import Place, Topic
from hookbox.errors import EngineError, HookboxError

RING = (0, 0.0)


class Counted:
    """Numbers that begin anew with each process; for engines without a store."""

    def __init__(self) -> None:
        self.last = 0

    def take(self) -> int:
        """The next one."""
        self.last += 1
        return self.last


class MemoryBroker:
    """A `Broker` that never blocks and shows what needs no disk before `publish` returns.

    Args:
        budget: what topics may keep.
        recovery: publications, and bytes of them, that one recovery may return; may be changed at any time.
        ring: publications and seconds that are kept of each topic, whatever its channel keeps; likewise.
        numbers: gives the numbers.
    """

    def __init__(
        self,
        budget: Budget,
        recovery: tuple[int, int] = (RECOVERY_LIMIT, RECOVERY_BYTES),
        ring: tuple[int, float] = RING,
        numbers: Numbers | None = None,
    ) -> None:
        self.recovery = recovery
        self.ring = ring
        self.on_broken: Broken = lambda topic, epoch: None
        self.disk_seconds = float("inf")
        """For how long a topic is known that nobody uses, as it is on disk; longer it need not be there."""
        self._budget = budget
        self.numbers = numbers or Counted()
        self._topics: dict[ChannelName, Topic] = {}
        self._alone: dict[ChannelName, None] = {}
        """Topics without a channel, in the order in which they will be looked at."""

    @property
    def numbers(self) -> Numbers:
        """Gives the numbers. They are set once, before anything is published."""
        return self._numbers

    @numbers.setter
    def numbers(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._forgotten = numbers.last  # by an earlier process
        """Everything that was ever shown on a topic which is not known has a smaller number, or this one."""

    def open(self, channel: ChannelName) -> Position:
        """Begin a channel's life, in a new epoch unless the topic is still known."""
        topic = self._begin(channel)
        topic.has_channel = True
        self._alone.pop(channel, None)
        return Position(topic.epoch, topic.shown)

    def close(self, channel: ChannelName) -> None:
        """End a channel's life; the topic is forgotten when nothing of it is left."""
        topic = self._topics.get(channel)
        if topic is not None:
            topic.has_channel = False
            self._forget_or_look_again(channel)

    def restore(
        self,
        name: ChannelName,
        position: Position,
        gone: int,
        kept: Iterable[Publication] = (),
        at: float = float("inf"),
    ) -> None:
        """Go on with the numbers of a topic that is wholly on disk.

        Args:
            position: of its last publication.
            gone: everything of it up to this number is not among `kept`.
            kept: its last publications, oldest first.
            at: when the last one was shown, in monotonic seconds; endless for not to be forgotten.
        """
        topic = self._begin(name)
        topic.epoch, topic.offset = position
        topic.shown = topic.offset
        topic.shown_at = at
        topic.ring.gone = gone
        for publication in kept:
            topic.ring.append(publication, *self._keep((0, 0.0)))

    def _begin(self, name: ChannelName) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(self._budget, self._forgotten)
            self._alone[name] = None
        return topic

    def publish(
        self,
        topic: ChannelName,
        draft: Draft,
        keep: tuple[int, float],
        deliver: Callable[[Publication], None],
        keeper: Keeper | None = None,
    ) -> Publication:
        """Number a draft, and show it; at once, or in its turn.

        Raises:
            HookboxError: it cannot be put on disk; nothing happened.
        """
        line = self._topics.get(topic) or self._begin(topic)
        if keeper is None and line.whole:
            if line.offset:
                self.on_broken(topic, line.epoch)
                line.begin_epoch(line.offset + 1)  # what is on disk has a hole from now on
            line.whole = False
        line.offset += 1
        publication = Publication(line.offset, self._numbers.take(), *draft)
        if keeper is None and not line.pending:
            self._show(line, publication, keep, deliver)
        else:
            self._queue(line, Place(publication, keep, deliver), keeper)
        return publication

    def _queue(self, topic: Topic, place: Place, keeper: Keeper | None) -> None:
        """Have a publication wait for its turn."""
        topic.pending.append(place)
        if keeper is None:
            place.on_disk = True  # it need not be
            return
        try:
            keeper.begin(place.publication, topic.epoch, topic.whole, partial(self._settle, topic, place))
        except BaseException as error:
            failed = error if isinstance(error, HookboxError) else EngineError("it could not be written")
            self._settle(topic, place, failed)
            raise

    def _settle(self, topic: Topic, place: Place, error: HookboxError | None) -> None:
        """It is known what became of one that waits; show what may be shown now."""
        place.on_disk = error is None
        pending = topic.pending
        while pending and pending[0].on_disk is not None:
            first = pending.popleft()
            if not first.on_disk:
                topic.lost += 1
                continue
            if topic.lost:
                # else its subscribers would look for what is not there
                topic.begin_epoch(first.publication.offset)
                topic.lost = 0
            self._show(topic, first.publication, first.keep, first.deliver)
        if not pending:
            topic.offset -= topic.lost
            topic.lost = 0
        for reader in topic.readers:
            reader.settled()

    def _show(
        self,
        topic: Topic,
        publication: Publication,
        keep: tuple[int, float],
        deliver: Callable[[Publication], None],
    ) -> None:
        topic.shown = publication.offset
        topic.shown_at = publication.at
        topic.ring.append(publication, *self._keep(keep))
        deliver(publication)
        for reader in topic.readers:
            reader.put(publication)

    def _keep(self, keep: tuple[int, float]) -> tuple[int, float]:
        """How much of a topic is kept where its channel wants so much."""
        count, seconds = keep
        least, least_seconds = self.ring
        if not count:
            return self.ring
        if not least:
            return keep
        return max(count, least), max(seconds, least_seconds) if seconds and least_seconds else 0.0

    def position(self, topic: ChannelName) -> Position:
        """Where a topic stands.

        Raises:
            EngineError: it is not known.
        """
        line = self._known(topic)
        return Position(line.epoch, line.shown)

    def epoch(self, topic: ChannelName, offset: int) -> str:
        """In which epoch an offset of a topic counts.

        Raises:
            EngineError: the topic is not known.
        """
        return self._known(topic).epoch_of(offset)

    def since(
        self, topic: ChannelName, seen: Position, keep: tuple[int, float], now: float
    ) -> list[Publication] | None:
        """What came after a position, or None if some of it is no longer kept."""
        line = self._known(topic)
        missing = line.shown - seen.offset
        if seen.epoch != line.epoch or not 0 <= missing <= line.shown:
            return None
        count, seconds = keep
        most, most_bytes = self.recovery
        if missing > min(len(line.ring), count, most):
            return None
        missed = list(islice(line.ring, len(line.ring) - missing, None))
        if missed and seconds and missed[0].at < now - seconds:
            return None
        return missed if sum(item.size for item in missed) <= most_bytes else None

    def follow(self, topic: ChannelName, reader: Reader) -> None:
        """Show a reader everything from now on."""
        line = self._begin(topic)
        line.readers = (*line.readers, reader)

    def unfollow(self, topic: ChannelName, reader: Reader) -> None:
        """Show it nothing more."""
        line = self._topics.get(topic)
        if line is not None:
            line.readers = tuple(other for other in line.readers if other is not reader)
            if not line.has_channel:
                self._forget_or_look_again(topic)

    def followed(self, topic: ChannelName) -> bool:
        """Whether any reader follows it."""
        line = self._topics.get(topic)
        return line is not None and bool(line.readers)

    def kept(self, topic: ChannelName) -> Sequence[Publication]:
        """What is still known of a topic, oldest first."""
        line = self._topics.get(topic)
        return [] if line is None else list(line.ring)

    def complete_since(self, topic: ChannelName) -> int:
        """Everything of a topic with a greater `seq` is among what is kept."""
        line = self._topics.get(topic)
        return self._forgotten if line is None else line.ring.gone

    def pending(self, topic: ChannelName) -> int | None:
        """The smallest `seq` given on a topic and not shown yet; None if there is none."""
        line = self._topics.get(topic)
        return line.pending[0].publication.seq if line is not None and line.pending else None

    def sweep(self, now: float, most: int = 200) -> None:
        """Give up what is too old of topics without a channel, and forget those of which nothing is left.

        Args:
            now: monotonic seconds.
            most: topics looked at; the others come next time.
        """
        for name in list(islice(self._alone, most)):
            topic = self._topics[name]
            topic.ring.prune(*self._keep((0, 0.0)), now)
            if not topic.is_used and topic.shown_at < now - self.disk_seconds:
                self._leave_to_the_store(name, topic)
            self._forget_or_look_again(name)

    def _leave_to_the_store(self, name: ChannelName, topic: Topic) -> None:
        """What follows will be in another epoch, which nobody may take for the rest of this one."""
        if topic.whole and topic.offset:
            self.on_broken(name, topic.epoch)
        topic.whole = False

    def _forget_or_look_again(self, name: ChannelName) -> None:
        self._alone.pop(name, None)
        if not self.ring[0]:
            self._topics[name].ring.clear()
        if self._topics[name].is_needed:
            self._alone[name] = None
        else:
            self._forgotten = max(self._forgotten, self._topics.pop(name).ring.gone)

    def __len__(self) -> int:
        """How many topics are known."""
        return len(self._topics)

    def _known(self, topic: ChannelName) -> Topic:
        try:
            return self._topics[topic]
        except KeyError:
            raise EngineError("channel is not open") from None
