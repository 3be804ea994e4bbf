"""After a start: durable topics go on where they were, and nobody is told less or more than was missed."""

import pytest
from store_values import NOW, message

from hookbox.clock import ManualClock
from hookbox.core.history import Budget
from hookbox.delivery.memory import recall
from hookbox.delivery.store.base import Entry
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.engine.base import Position
from hookbox.engine.memory import MemoryBroker

KEEP = (100, 300.0)


def after_start(*kept):
    """A broker that was given back messages: (offset, epoch, whole) each."""
    store = SqliteStore(":memory:")
    for seq, (offset, epoch, whole) in enumerate(kept, 1):
        about = {"offset": offset, "epoch": epoch, "whole": whole, "payload": str(offset)}
        store.accept(Entry(message(seq, "news", **about)))
    broker = MemoryBroker(Budget(10**6), ring=KEEP)
    clock = ManualClock(NOW / 1000)
    recall(store, broker, clock, True)
    broker.now = clock.monotonic()
    store.close()
    return broker


def missed(broker, epoch, offset):
    found = broker.since("news", Position(epoch, offset), KEEP, broker.now)
    return None if found is None else [publication.offset for publication in found]


def test_a_topic_that_is_wholly_on_disk_goes_on():
    broker = after_start(*[(n, "e", True) for n in range(1, 6)])
    assert broker.open("news") == Position("e", 5)
    assert missed(broker, "e", 2) == [3, 4, 5]
    assert broker.complete_since("news") == 0


@pytest.mark.parametrize("kept", [[(n, "e", True) for n in (1, 2, 3)] + [(4, "f", False)], []])
def test_one_that_is_not_begins_anew(kept):
    broker = after_start(*kept)
    assert broker.open("news").offset == 0


def test_nobody_is_given_what_came_before_a_hole_as_if_it_had_come_after():
    broker = after_start(*[(n, "e", True) for n in (1, 2, 3, 5, 6)])  # the write of 4 failed
    assert missed(broker, "e", 3) is None
    assert missed(broker, "e", 2) is None
    assert missed(broker, "e", 5) == [6]
    assert missed(broker, "e", 6) == []


def test_a_topic_of_an_earlier_start_is_not_known_for_ever_either():
    broker = after_start((1, "e", True))
    broker.disk_seconds = 3600.0
    broker.sweep(broker.now + 3500)
    assert len(broker) == 1
    broker.sweep(broker.now + 3700)
    assert len(broker) == 0
