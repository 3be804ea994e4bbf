"""After a start: the topics of which everything is on disk go on where they were."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Final

from hookbox.clock import Clock
from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName
from hookbox.delivery.models import Message, Source
from hookbox.delivery.store.base import PAGE, Store
from hookbox.engine.base import Position
from hookbox.engine.memory import MemoryBroker
from hookbox.protocol.json_text import dump

MOST_TOPICS: Final = 100_000
MOST_MESSAGES: Final = 5_000
"""Messages that are taken back into memory, so that browsers that come back get what they missed."""


def recall(store: Store, broker: MemoryBroker, clock: Clock, utc: bool) -> None:
    """Give a broker back what it knew of the topics that are wholly on disk. Blocks.

    Args:
        utc: whether publications say the time in UTC.

    Raises:
        DeliveryStoreError: the store cannot be read.
    """
    latest = _latest(store, int((clock.now() - broker.ring[1]) * 1000))
    for end in store.ends(MOST_TOPICS):
        if end.whole:
            kept = _without_a_hole([m for m in latest.get(end.topic, ()) if m.epoch == end.epoch and m.whole])
            gone = kept[0].seq - 1 if kept else end.seq
            shown = [_publication(message, clock, utc) for message in kept]
            position = Position(end.epoch, end.offset)
            broker.restore(ChannelName(end.topic), position, gone, shown, _steady(end.time_ms, clock))


def _latest(store: Store, since_ms: int) -> dict[str, list[Message]]:
    """The newest messages by topic, oldest first, without a hole in a topic."""
    found: list[Message] = []
    before: int | None = None
    while len(found) < MOST_MESSAGES:
        page = store.newest("", PAGE, before)
        found += [m for m in page if m.time_ms >= since_ms and m.source is not Source.RESEND]
        if len(page) < PAGE or page[-1].time_ms < since_ms:
            break
        before = page[-1].seq
    by_topic: dict[str, list[Message]] = defaultdict(list)
    for message in reversed(found):
        by_topic[message.topic].append(message)
    return by_topic


def _without_a_hole(messages: list[Message]) -> list[Message]:
    """The last ones whose offsets follow each other: what is missing between two others may have failed."""
    first = len(messages) - 1
    while first > 0 and messages[first - 1].offset == messages[first].offset - 1:
        first -= 1
    return messages[max(first, 0) :]


def _publication(message: Message, clock: Clock, utc: bool) -> Publication:
    seconds = message.time_ms // 1000
    moment = time.gmtime(seconds) if utc else time.localtime(seconds)
    return Publication(
        message.offset,
        message.seq,
        dump(message.topic),
        message.payload,
        time.strftime("%Y-%m-%dT%H:%M:%S", moment),
        dump(message.originator or None),
        _steady(message.time_ms, clock),
        message.time_ms,
        message.type,
        message.id,
    )


def _steady(time_ms: int, clock: Clock) -> float:
    """A time of the store on the steady clock."""
    return clock.monotonic() - (clock.now() - time_ms / 1000)
