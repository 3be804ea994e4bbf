"""Topics: longer-lived than channels, on disk first where that is wanted, followed by readers."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hookbox.core.history import Budget
from hookbox.engine.base import Draft, Position
from hookbox.engine.memory import MemoryBroker
from hookbox.errors import DeliveryStoreError, EngineError

NONE = (0, 0.0)
RING = (100, 300.0)


class Disk:
    """A keeper for each publication, whose commits end when the test says so."""

    def __init__(self):
        self.pending = []

    def begin(self, publication, epoch, whole, settle):
        self.pending.append((publication, epoch, whole, settle))

    def commit(self, at=0):
        self.pending.pop(at)[-1](None)

    def fail(self, at=0):
        self.pending.pop(at)[-1](DeliveryStoreError("disk full"))


class Follower:
    """A reader that remembers."""

    def __init__(self):
        self.got = []
        self.settlings = 0

    def put(self, publication):
        self.got.append(publication)

    def settled(self):
        self.settlings += 1


def make(ring=RING):
    return MemoryBroker(Budget(10**7), ring=ring)


def draft(payload="1", at=1000.0):
    return Draft('"news"', payload, "", "", at, int(at * 1000))


def publish(broker, keeper=None, topic="news", keep=NONE, at=1000.0, shown=None):
    return broker.publish(topic, draft(at=at), keep, (shown if shown is not None else []).append, keeper)


def seqs(publications):
    return [publication.seq for publication in publications]


# a topic and its channel


def test_X06_a_topic_outlives_its_channel_and_can_be_recovered():
    broker = make()
    before = broker.open("news")
    publish(broker)
    broker.close("news")
    publish(broker)
    assert broker.open("news") == Position(before.epoch, 2)
    assert seqs(broker.since("news", before, RING, 1000.0)) == [1, 2]


def test_a_topic_of_which_nothing_is_left_is_forgotten():
    broker = make()
    publish(broker, at=1000.0)
    first = broker.position("news")
    broker.sweep(1000.0 + 299)
    assert broker.position("news") == first
    broker.sweep(1000.0 + 301)
    assert len(broker) == 0
    with pytest.raises(EngineError):
        broker.position("news")
    assert broker.open("news").epoch != first.epoch


def test_without_a_ring_a_topic_ends_with_its_channel():
    broker = make(ring=NONE)
    before = broker.open("news")
    publish(broker, keep=(5, 0.0))
    broker.close("news")
    assert len(broker) == 0
    assert broker.open("news") != before


@pytest.mark.parametrize("holds", ["channel", "reader", "pending", "disk"])
def test_a_topic_that_something_holds_is_not_swept_away(holds):
    broker, disk, reader = make(), Disk(), Follower()
    if holds == "channel":
        broker.open("news")
    if holds == "reader":
        broker.follow("news", reader)
    publish(broker, disk if holds in ("pending", "disk") else None)
    if holds == "disk":
        disk.commit()
    before = broker.position("news")
    broker.sweep(10_000.0)
    assert broker.position("news") == before
    if holds == "channel":
        broker.close("news")
    if holds == "reader":
        broker.unfollow("news", reader)
    if holds == "pending":
        disk.fail()
    broker.sweep(10_000.0)
    assert len(broker) == (holds == "disk")


@pytest.mark.parametrize("used", [False, True])
def test_what_is_on_disk_only_keeps_a_topic_known_no_longer_than_the_store_keeps_it(used):
    broker, disk = make(), Disk()
    broker.disk_seconds = 3600.0
    broken = []
    broker.on_broken = lambda topic, epoch: broken.append((topic, epoch))
    publish(broker, disk)
    disk.commit()
    before = broker.position("news")
    if used:
        broker.follow("news", Follower())
    broker.sweep(1000.0 + 3599)
    assert broker.position("news") == before
    broker.sweep(1000.0 + 3601)
    assert len(broker) == used
    assert broken == ([] if used else [("news", before.epoch)]), "it does not come back after a restart"
    assert broker.complete_since("news") == 1
    if used:
        publish(broker, disk, at=9000.0)
        disk.commit()
        assert broker.position("news") == (before.epoch, 2)


def test_a_sweep_looks_at_all_of_them_in_turn():
    broker = make()
    for n in range(50):
        publish(broker, topic=f"t{n}")
    for _ in range(6):
        broker.sweep(10_000.0, most=10)
    assert len(broker) == 0


def test_a_channel_that_comes_back_is_not_swept():
    broker = make()
    publish(broker)
    broker.open("news")
    broker.sweep(10_000.0)
    assert broker.position("news").offset == 1


# on disk first


def test_nothing_is_shown_before_it_is_on_disk_and_what_follows_waits_behind():
    broker, disk, shown, reader = make(), Disk(), [], Follower()
    broker.open("news")
    broker.follow("news", reader)
    first = publish(broker, disk, shown=shown)
    second = publish(broker, shown=shown)
    third = publish(broker, disk, shown=shown)
    assert (shown, reader.got, broker.kept("news")) == ([], [], [])
    assert broker.position("news").offset == 0
    assert broker.pending("news") == first.seq
    disk.commit()
    assert shown == reader.got == [first, second]
    assert broker.pending("news") == third.seq
    disk.commit()
    assert shown == reader.got == list(broker.kept("news")) == [first, second, third]
    assert [publication.offset for publication in shown] == [1, 2, 3]
    assert broker.pending("news") is None


def test_commits_out_of_order_change_no_order():
    broker, disk, shown = make(), Disk(), []
    for _ in range(3):
        publish(broker, disk, shown=shown)
    disk.commit(2)
    disk.commit(1)
    assert shown == []
    disk.commit(0)
    assert seqs(shown) == [1, 2, 3]


def test_topics_do_not_wait_for_each_other():
    broker, disk, shown = make(), Disk(), []
    publish(broker, disk)
    publish(broker, topic="other", shown=shown)
    assert len(shown) == 1


def test_what_failed_last_leaves_no_gap():
    broker, disk, shown = make(), Disk(), []
    epoch = broker.open("news").epoch
    publish(broker, disk, shown=shown)
    disk.commit()
    publish(broker, disk, shown=shown)
    publish(broker, disk, shown=shown)
    disk.fail()
    disk.fail()
    assert broker.position("news") == Position(epoch, 1)
    publish(broker, disk, shown=shown)
    disk.commit()
    assert broker.position("news") == Position(epoch, 2)
    assert [publication.offset for publication in shown] == [1, 2]


@pytest.mark.parametrize("keeper", [True, False], ids=["durable", "in memory"])
def test_what_failed_before_another_begins_a_new_epoch(keeper):
    broker, disk, shown = make(), Disk(), []
    before = broker.open("news")
    publish(broker, disk, shown=shown)
    later = publish(broker, disk if keeper else None, shown=shown)
    disk.fail()
    if keeper:
        disk.commit()
    assert shown == [later]
    after = broker.position("news")
    assert after.epoch != before.epoch
    assert broker.since("news", before, RING, 1000.0) is None
    assert broker.epoch("news", later.offset) == after.epoch


def test_what_cannot_even_begin_is_refused_and_nothing_happened():
    class Closed:
        def begin(self, publication, epoch, whole, settle):
            raise DeliveryStoreError("closed")

    broker, shown, reader = make(), [], Follower()
    before = broker.open("news")
    broker.follow("news", reader)
    with pytest.raises(DeliveryStoreError):
        publish(broker, Closed(), shown=shown)
    assert (shown, reader.got, broker.pending("news")) == ([], [], None)
    assert reader.settlings == 1
    publish(broker, shown=shown)
    assert broker.position("news") == Position(before.epoch, 1)


def test_the_keeper_knows_whether_everything_before_it_is_on_disk():
    broker, disk, broken = make(), Disk(), []
    broker.on_broken = lambda topic, epoch: broken.append((topic, epoch))
    publish(broker, disk)
    disk_first = disk.pending[0]
    disk.commit()
    publish(broker)  # in memory only
    publish(broker, disk)
    (_, epoch, whole, _) = disk.pending[0]
    assert disk_first[2] is True
    assert broken == [("news", disk_first[1])]
    assert whole is False
    assert epoch != disk_first[1]


def test_what_is_in_memory_only_from_the_start_breaks_nothing():
    broker, broken = make(), []
    broker.on_broken = lambda *what: broken.append(what)
    before = broker.open("news")
    publish(broker)
    publish(broker)
    assert broken == []
    assert broker.position("news").epoch == before.epoch


# readers


def test_a_reader_gets_what_comes_while_it_follows():
    broker, reader, other = make(), Follower(), Follower()
    publish(broker)
    broker.follow("news", reader)
    broker.follow("news", other)
    publish(broker)
    broker.unfollow("news", reader)
    broker.unfollow("news", reader)
    publish(broker)
    assert (seqs(reader.got), seqs(other.got)) == ([2], [2, 3])


def test_a_reader_is_told_when_what_waited_was_lost():
    broker, disk, reader = make(), Disk(), Follower()
    broker.follow("news", reader)
    publish(broker, disk)
    disk.fail()
    assert (reader.got, reader.settlings, broker.pending("news")) == ([], 1, None)


def test_it_is_known_from_where_on_everything_is_kept():
    broker = make(ring=(3, 300.0))
    assert broker.complete_since("news") == 0
    for _ in range(5):
        publish(broker)
    assert seqs(broker.kept("news")) == [3, 4, 5]
    assert broker.complete_since("news") == 2
    publish(broker, topic="other", at=2000.0)
    broker.sweep(2000.0)
    assert broker.complete_since("news") == 5
    assert broker.complete_since("other") < 6


# whatever happens


class Topics(RuleBasedStateMachine):
    """Durable and other publications on two topics, commits in any order: all that was promised holds."""

    @initialize()
    def begin(self):
        self.broker = make(ring=(4, 300.0))
        self.disk = Disk()
        self.topics = ("news", "other")
        self.shown = {topic: [] for topic in self.topics}
        self.places = {topic: [] for topic in self.topics}
        self.given = {topic: [] for topic in self.topics}
        self.lost = set()
        self.followers = []
        self.now = 1000.0

    @rule(topic=st.sampled_from(["news", "other"]), durable=st.booleans())
    def publish(self, topic, durable):
        shown = self.shown[topic]
        given = self.broker.publish(
            topic, draft(at=self.now), (3, 0.0), shown.append, self.disk if durable else None
        )
        self.given[topic].append(given)

    @precondition(lambda self: self.disk.pending)
    @rule(chance=st.randoms(use_true_random=False), works=st.booleans())
    def settle(self, chance, works):
        at = chance.randrange(len(self.disk.pending))
        if works:
            self.disk.commit(at)
        else:
            self.lost.add(self.disk.pending[at][0].seq)
            self.disk.fail(at)

    @rule(topic=st.sampled_from(["news", "other"]))
    def follow(self, topic):
        follower = Follower()
        self.broker.follow(topic, follower)
        self.followers.append((topic, follower, len(self.shown[topic])))

    @rule(topic=st.sampled_from(["news", "other"]))
    def open(self, topic):
        self.broker.open(topic)

    @rule(topic=st.sampled_from(["news", "other"]))
    def close(self, topic):
        self.broker.close(topic)

    @rule(seconds=st.sampled_from([1.0, 200.0, 400.0]))
    def sweep(self, seconds):
        self.now += seconds
        self.broker.sweep(self.now)

    @rule(topic=st.sampled_from(["news", "other"]))
    def note_position(self, topic):
        try:
            self.places[topic].append((self.broker.position(topic), len(self.shown[topic])))
        except EngineError:
            pass

    @invariant()
    def what_is_shown_was_not_lost_and_is_in_order(self):
        for topic in self.topics:
            numbers = seqs(self.shown[topic])
            assert numbers == sorted(set(numbers))
            assert not self.lost & set(numbers)
            waiting = [p.seq for p in self.given[topic] if p.seq not in numbers and p.seq not in self.lost]
            pending = self.broker.pending(topic)
            assert numbers == [n for n in seqs(self.given[topic]) if n not in self.lost and n not in waiting]
            assert not waiting or (pending is not None and pending <= waiting[0])

    @invariant()
    def readers_got_what_was_shown_since(self):
        for topic, follower, began in self.followers:
            assert follower.got == self.shown[topic][began:]

    @invariant()
    def what_is_recovered_is_just_what_was_missed(self):
        for topic in self.topics:
            for place, count in self.places[topic][-8:]:
                try:
                    missed = self.broker.since(topic, place, (3, 0.0), self.now)
                except EngineError:
                    continue
                assert missed is None or missed == self.shown[topic][count:]

    @invariant()
    def what_is_kept_is_complete_from_there_on(self):
        for topic in self.topics:
            kept = list(self.broker.kept(topic))
            since = self.broker.complete_since(topic)
            assert [p for p in self.shown[topic] if p.seq > since] == [p for p in kept if p.seq > since]
            assert kept == self.shown[topic][len(self.shown[topic]) - len(kept) :]


Topics.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestTopics = Topics.TestCase
