"""The memory engine: numbering, and what of it can be recovered."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hookbox.core.history import Budget
from hookbox.engine.base import RECOVERY_BYTES, RECOVERY_LIMIT, Draft, Position
from hookbox.engine.memory import MemoryBroker
from hookbox.errors import EngineError

KEEP = (100, 0.0)


def make(limit=10**7, byte_limit=10**6):
    broker = MemoryBroker(Budget(limit, byte_limit))
    broker.open("news")
    return broker


def draft(payload="1", at=1000.0):
    return Draft('"news"', payload, "2026-01-02T03:04:05", '"ann"', at)


def publish(broker, count=1, keep=KEEP, **what):
    delivered = []
    for _ in range(count):
        broker.publish("news", draft(**what), keep, delivered.append)
    return delivered


def offsets(publications):
    return publications if publications is None else [publication.offset for publication in publications]


def since(broker, offset, keep=KEEP, now=1000.0, epoch=None):
    return offsets(broker.since("news", Position(epoch or broker.position("news").epoch, offset), keep, now))


def test_D1_offsets_count_from_1_without_a_gap():
    broker = make()
    assert offsets(publish(broker, 5)) == [1, 2, 3, 4, 5]
    assert broker.position("news").offset == 5


def test_D1_a_publication_is_delivered_once_before_publish_returns():
    broker, delivered = make(), []
    returned = broker.publish("news", draft(), KEEP, delivered.append)
    assert delivered == [returned]


def test_D1_the_number_counts_even_where_nothing_is_kept():
    broker = make()
    assert offsets(publish(broker, 3, keep=(0, 0.0))) == [1, 2, 3]


def test_channels_are_numbered_apart():
    broker = make()
    broker.open("other")
    publish(broker, 3)
    assert broker.publish("other", draft(), KEEP, lambda publication: None).offset == 1
    assert broker.position("other").epoch != broker.position("news").epoch


def test_D3_what_came_after_is_given_back_in_order():
    broker = make()
    publish(broker, 5)
    assert [since(broker, n) for n in range(6)] == [[1, 2, 3, 4, 5], [2, 3, 4, 5], [3, 4, 5], [4, 5], [5], []]


def test_M11_a_position_that_cannot_be_is_not_recovered():
    broker = make()
    publish(broker, 5)
    assert since(broker, -1) is None
    assert since(broker, 6) is None
    assert since(broker, 2**63 - 1) is None
    assert since(broker, 3, epoch="another") is None


def test_D5_what_went_by_count_cannot_be_recovered():
    broker = make()
    publish(broker, 10, keep=(3, 0.0))
    assert since(broker, 7, keep=(3, 0.0)) == [8, 9, 10]
    assert since(broker, 6, keep=(3, 0.0)) is None
    assert since(broker, 10, keep=(3, 0.0)) == []


def test_D5_what_went_by_age_cannot_be_recovered():
    broker = make()
    for at in (1000.0, 1010.0, 1020.0):
        publish(broker, at=at, keep=(100, 15.0))
    assert since(broker, 1, keep=(100, 15.0), now=1020.0) == [2, 3]
    assert since(broker, 0, keep=(100, 15.0), now=1020.0) is None
    assert since(broker, 1, keep=(100, 15.0), now=1030.0) is None
    assert since(broker, 2, keep=(100, 15.0), now=1030.0) == [3]
    assert since(broker, 3, keep=(100, 15.0), now=9999.0) == []


def test_D5_what_went_by_bytes_cannot_be_recovered():
    broker = make(byte_limit=1000)
    publish(broker, 10, payload='"' + "x" * 100 + '"')
    assert since(broker, 7) == [8, 9, 10]
    assert since(broker, 6) is None


def test_D5_what_went_by_the_common_budget_cannot_be_recovered():
    broker = make(limit=1000)
    broker.open("other")
    publish(broker, 3, payload='"' + "x" * 100 + '"')
    for _ in range(5):
        broker.publish("other", draft(), KEEP, lambda publication: None)
    publish(broker, 1, payload='"' + "x" * 1000 + '"')
    assert since(broker, 3) is None
    assert since(broker, 4) == []


def test_D5_turning_recovery_off_and_on_leaves_no_hole():
    broker = make()
    publish(broker, 3)
    publish(broker, 2, keep=(0, 0.0))
    publish(broker, 2)
    assert since(broker, 3) is None
    assert since(broker, 4) is None
    assert since(broker, 5) == [6, 7]


def test_D3_one_recovery_gives_back_no_more_than_its_limits():
    broker = make()
    keep = (10_000, 0.0)
    publish(broker, RECOVERY_LIMIT + 1, keep=keep)
    assert since(broker, 0, keep=keep) is None
    assert len(since(broker, 1, keep=keep)) == RECOVERY_LIMIT
    publish(broker, 5, keep=keep, payload='"' + "x" * (RECOVERY_BYTES // 5) + '"')
    last = broker.position("news").offset
    assert since(broker, last - 5, keep=keep) is None
    assert len(since(broker, last - 4, keep=keep)) == 4


def test_D6_a_new_life_is_a_new_epoch():
    broker = make()
    publish(broker, 3)
    old = broker.position("news")
    broker.close("news")
    new = broker.open("news")
    assert new.offset == 0
    assert new.epoch != old.epoch
    assert since(broker, 0, epoch=old.epoch) is None
    assert make().position("news").epoch not in (old.epoch, new.epoch)


def test_opening_twice_changes_nothing():
    broker = make()
    publish(broker, 3)
    assert broker.open("news") == broker.position("news")
    assert broker.position("news").offset == 3


def test_closing_frees_what_was_kept():
    budget = Budget(10**6)
    broker = MemoryBroker(budget)
    broker.open("news")
    publish(broker, 3)
    assert budget.used
    broker.close("news")
    broker.close("news")
    assert budget.used == 0


def test_a_topic_that_nobody_knows_has_no_position():
    with pytest.raises(EngineError):
        make().position("no")


class OnDisk:
    """Says at once that something is on disk."""

    def begin(self, publication, epoch, whole, settle):
        settle(None)


def test_the_epoch_of_everything_kept_is_known():
    broker, epochs = MemoryBroker(Budget(10**7), ring=(3, 0.0)), {}
    for keeper in (OnDisk(), OnDisk(), None, None):
        publication = broker.publish("news", draft(), (0, 0.0), lambda publication: None, keeper)
        epochs[publication.offset] = broker.position("news").epoch
    assert epochs[2] != epochs[3]
    for publication in broker.kept("news"):
        assert broker.epoch("news", publication.offset) == epochs[publication.offset]


def test_of_a_topic_that_is_not_known_only_what_was_forgotten_may_be_missing():
    broker = MemoryBroker(Budget(10**7))
    assert broker.complete_since("news") == 0
    for _ in range(3):
        broker.open("news")
        publication = broker.publish("news", draft(), KEEP, lambda publication: None)
    assert broker.complete_since("news") == 0
    broker.close("news")
    assert broker.complete_since("news") == broker.complete_since("other") == publication.seq
    broker.open("other")
    assert broker.complete_since("other") == publication.seq


class Recovery(RuleBasedStateMachine):
    """Whatever is published and evicted: an answer has no hole, and what must be there is there."""

    @initialize()
    def begin(self):
        self.broker = MemoryBroker(Budget(3000, 2000))
        self.broker.open("news")
        self.published = {}
        self.epochs = [self.broker.position("news").epoch]
        self.kept_at_most = 0
        self.now = 1000.0

    @rule(size=st.integers(0, 300), count=st.sampled_from([0, 2, 5, 100]), duration=st.sampled_from([0.0, 3.0]))
    def publish(self, size, count, duration):
        self.keep = (count, duration)
        at = self.broker.publish("news", draft("x" * size, self.now), self.keep, lambda publication: None)
        assert at.offset == len(self.published) + 1
        self.published[at.offset] = at
        self.kept_at_most = min(self.kept_at_most + 1, count)

    @rule(seconds=st.floats(0.1, 5))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def restart(self):
        self.broker.close("news")
        self.broker.open("news")
        assert self.broker.position("news").epoch not in self.epochs
        self.epochs.append(self.broker.position("news").epoch)
        self.published, self.kept_at_most = {}, 0

    @rule(back=st.integers(-2, 20), epoch=st.integers(-3, -1), count=st.sampled_from([0, 3, 100]), duration=st.sampled_from([0.0, 3.0]))
    def ask(self, back, epoch, count, duration):
        seen = Position(self.epochs[max(epoch, -len(self.epochs))], len(self.published) - back)
        answer = self.broker.since("news", seen, (count, duration), self.now)
        current = seen.epoch == self.epochs[-1]
        if answer is None:
            assert not (current and back == 0), "somebody who missed nothing can always go on"
            return
        assert current
        assert 0 <= back <= self.kept_at_most
        assert answer == [self.published[n] for n in range(seen.offset + 1, len(self.published) + 1)]
        assert all(not duration or publication.at >= self.now - duration for publication in answer)

    @invariant()
    def position_is_the_last(self):
        assert self.broker.position("news") == Position(self.epochs[-1], len(self.published))


Recovery.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestRecovery = Recovery.TestCase
