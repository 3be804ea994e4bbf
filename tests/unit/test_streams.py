"""Streams: what a consumer is sent, whatever it lacks and however slowly it reads."""

from functools import partial

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_parts import Spring

import hookbox.transports.stream as stream_module
from hookbox.errors import LimitReached
from hookbox.protocol.disconnects import RESTART
from hookbox.protocol.units import Form


@pytest.fixture
def spring():
    spring = Spring()
    yield spring
    spring.close()


@pytest.fixture
def little():
    """Memory that keeps five publications of a topic."""
    spring = Spring(ring=5)
    yield spring
    spring.close()


def test_what_is_published_comes_as_it_is(spring):
    reader = spring.reader("news", "sport")
    spring.publish("news", {"a": 1}, type="sign.up")
    spring.publish("other", 2)
    spring.publish("sport", 3)
    first, second = reader.has(2).units
    assert first["payload"] == {"a": 1}
    assert first["type"] == "sign.up"
    assert first["user"] == "ann"
    assert (first["topic"], first["offset"]) == ("news", 1)
    assert first["epoch"] == spring.broker.position("news").epoch
    assert (second["topic"], second["payload"]) == ("sport", 3)


def test_what_was_published_before_does_not_come(spring):
    spring.publish()
    reader = spring.reader()
    spring.publish(payload="marker")
    assert [unit["payload"] for unit in reader.has(1).units] == ["marker"]


class TestResuming:
    def test_T04_what_was_missed_comes_before_what_is_new(self, spring):
        first = spring.reader().until(lambda reader: reader.pieces)
        spring.publish()
        position = first.has(1).position
        first.close()
        for _ in range(5):
            spring.publish()
        reader = spring.reader(since=position)
        spring.publish()
        assert reader.has(6).seqs == spring.seqs()[1:]
        assert not reader.controls

    def test_T05_one_position_is_for_all_topics(self, spring):
        first = spring.reader("news", "sport")
        spring.publish("news")
        spring.publish("sport")
        position = first.has(2).position
        first.close()
        for topic in ("sport", "news", "weather", "sport"):
            spring.publish(topic)
        reader = spring.reader("news", "sport", since=position)
        assert reader.has(3).seqs == spring.seqs("news", "sport")[2:]
        assert not reader.controls

    def test_T06_a_position_of_another_store_is_a_gap_and_all_that_is_kept_follows(self, spring):
        for _ in range(3):
            spring.publish()
        reader = spring.reader(since="zzzzzzzz-7")
        spring.publish()
        assert reader.has(4).seqs == spring.seqs()
        assert reader.units[0] == {
            "control": "gap",
            "topic": "news",
            "from": "zzzzzzzz-7",
            "to": reader.units[1]["pos"],
        }

    def test_T06_a_position_in_the_future_is_a_gap(self, spring):
        spring.publish()
        reader = spring.reader(since=f"{spring.store.epoch}-{spring.numbers.last + 1}")
        assert reader.has(1).units[0]["control"] == "gap"

    def test_T06_a_position_older_than_what_is_kept_is_a_gap_and_the_oldest_kept_follow(self, little):
        first = little.reader("news", "sport")
        little.publish("sport")
        position = first.has(1).position
        first.close()
        for _ in range(7):
            little.publish("news")
        little.publish("sport")
        reader = little.reader("news", "sport", since=position).has(6)
        assert [unit["topic"] for unit in reader.controls] == ["news"]
        assert reader.units[0]["to"] == reader.units[1]["pos"]
        assert reader.seqs == little.seqs()[3:]

    def test_where_nothing_is_kept_a_gap_goes_up_to_now(self, little):
        reader = little.reader(since="zzzzzzzz-7").until(lambda reader: reader.controls)
        assert reader.controls[0]["to"] == f"{little.store.epoch}-{little.numbers.last}"

    def test_a_position_that_was_never_passed_is_no_gap_on_a_topic_without_messages(self, spring):
        first = spring.reader("quiet", "news")
        spring.publish("news")
        position = first.has(1).position
        first.close()
        reader = spring.reader("quiet", since=position)
        spring.publish("quiet")
        assert reader.has(1).controls == []

    def test_a_topic_forgotten_with_its_messages_is_a_gap(self):
        spring = Spring(ring=0)
        first = spring.reader("news", "sport")
        spring.publish("news")
        position = first.has(1).position
        first.close()
        spring.publish("sport")
        spring.broker.sweep(0.0)
        assert spring.reader("sport", since=position).until(lambda reader: reader.controls)
        spring.close()

    def test_what_memory_lost_comes_from_the_store(self, little):
        first = little.reader()
        little.publish(durable=True)
        position = first.has(1).position
        first.close()
        for _ in range(450):
            little.publish(durable=True)
        little.settle()
        reader = little.reader(since=position)
        little.publish(durable=True)
        assert reader.has(451).seqs == little.seqs()[1:]
        assert not reader.controls
        assert {unit["epoch"] for unit in reader.units} == {little.broker.position("news").epoch}

    def test_a_hole_in_what_is_on_disk_is_a_gap(self, little):
        first = little.reader()
        little.publish(durable=True)
        position = first.has(1).position
        first.close()
        little.publish()
        for _ in range(8):
            little.publish(durable=True)
        little.settle()
        reader = little.reader(since=position).has(8)
        assert reader.units[0]["control"] == "gap"
        assert reader.seqs == little.seqs()[2:]

    def test_the_store_is_asked_after_a_restart(self, tmp_path):
        before = Spring(path=tmp_path / "store.db")
        reader = before.reader()
        before.publish(durable=True)
        position = reader.has(1).position
        before.publish(durable=True)
        reader.has(2)
        stands, seqs = before.broker.position("news"), before.seqs()
        before.close()
        after = Spring(path=tmp_path / "store.db")
        after.broker.restore("news", stands, seqs[-1])
        again = after.reader(since=position)
        after.publish(durable=True)
        assert again.has(2).seqs == [seqs[1], *after.seqs()]
        assert not again.controls
        after.close()


class TestChoices:
    @pytest.mark.parametrize("durable", [False, True])
    @pytest.mark.parametrize("count", [1, 5, 7, 9])
    def test_T13_the_newest_come_first(self, little, durable, count):
        for number in range(8):
            little.publish(("news", "sport")[number % 2], durable=durable)
        little.settle()
        reader = little.reader("news", "sport", backlog=count)
        marker = little.publish("news", durable=durable)
        reader.has(1 + min(count, 8))
        assert reader.seqs == little.seqs()[-1 - count :]
        assert not reader.controls
        assert bool(marker) is durable

    def test_T13_who_does_not_wait_gets_what_is_kept_and_no_more(self, spring):
        for _ in range(3):
            spring.publish()
        assert spring.reader(backlog=2, wait=False).ended().seqs == spring.seqs()[1:]
        assert spring.reader(wait=False).ended().seqs == []

    @pytest.mark.parametrize("backlog", [0, 3])
    def test_T13_a_limit_counts_messages(self, spring, backlog):
        for _ in range(3):
            spring.publish()
        reader = spring.reader(limit=2, backlog=backlog)
        for _ in range(3):
            spring.publish()
        assert len(reader.ended().seqs) == 2

    def test_there_are_no_more_streams_than_the_setting_allows(self):
        spring = Spring(max_streams=1)
        first = spring.reader()
        with pytest.raises(LimitReached):
            spring.reader()
        first.close()
        spring.reader()
        spring.close()


class TestLife:
    def test_T03_a_sign_of_life_comes_in_time(self, spring):
        reader = spring.reader(heartbeat=5.0)
        for _ in range(4):
            spring.clock.advance(1)
            reader.consumer.check(spring.clock.monotonic())
        assert reader.pieces == [b""]
        spring.clock.advance(0.5)
        reader.consumer.check(spring.clock.monotonic())
        reader.until(lambda reader: reader.pieces == [b"", b"\r\n"])

    def test_messages_are_signs_of_life(self, spring):
        reader = spring.reader(heartbeat=5.0)
        for _ in range(8):
            spring.clock.advance(1)
            spring.publish()
            gevent.sleep(0.001)
            reader.consumer.check(spring.clock.monotonic())
        assert b"\r\n" not in reader.has(8).pieces

    def test_T12_an_end_says_why(self, spring):
        for why, name in ((RESTART, "shutdown"),):
            reader = spring.reader()
            reader.consumer.close(why)
            reader.consumer.end(4502, "too late")
            assert reader.ended().controls == [{"control": name, "code": 1012, "reason": why.reason}]
        reader = spring.reader()
        reader.consumer.end(4502, "revoked by the application")
        assert reader.ended().controls[0]["control"] == "revoked"

    def test_a_client_that_goes_leaves_nothing(self, spring):
        reader = spring.reader("a", "b")
        reader.close()
        assert len(spring.broker) == 0
        assert not spring.checked

    def test_a_unit_is_written_once_for_all(self, spring):
        readers = [spring.reader() for _ in range(3)]
        events = spring.reader(form=Form.EVENTS)
        spring.publish()
        first, second, third = [reader.has(1).pieces[-1] for reader in readers]
        assert first is second is third
        events.until(lambda reader: len(reader.pieces) == 2)
        assert events.pieces[1].startswith(b"id: ")


class TestPending:
    """What waits for the disk: nothing above it is shown, or it could not be resumed."""

    def test_what_waits_on_one_topic_holds_up_the_others(self, spring):
        reader = spring.reader("news", "sport")
        held = spring.publish("news", held=True)
        spring.publish("sport")
        other = spring.reader("sport").until(lambda reader: reader.pieces)
        spring.publish("sport")
        other.has(1)
        assert reader.seqs == []
        held.let_go()
        spring.settle()
        assert reader.has(3).seqs == spring.seqs() == sorted(spring.seqs())

    def test_what_fails_to_be_kept_lets_the_others_go(self, spring):
        reader = spring.reader("news", "sport")
        held = spring.publish("news", held=True, fails=True)
        spring.publish("sport")
        held.let_go()
        assert reader.has(1).seqs == spring.seqs()

    def test_a_reader_that_comes_meanwhile_begins_below_it(self, spring):
        held = spring.publish("news", held=True)
        spring.publish("sport")
        reader = spring.reader("news", "sport", since=f"{spring.store.epoch}-{spring.numbers.last - 2}")
        held.let_go()
        spring.settle()
        assert reader.has(2).seqs == sorted(spring.seqs())


class TestSlowReaders:
    """T09"""

    def test_what_did_not_fit_comes_from_memory(self, spring, monkeypatch):
        monkeypatch.setattr(stream_module, "BUFFER_UNITS", 10)
        reader = spring.reader(pace=0)
        for _ in range(500):
            spring.publish()
        reader.more()
        assert reader.has(500).seqs == spring.seqs()
        spring.publish()
        assert reader.has(501).seqs == spring.seqs()

    def test_what_left_memory_comes_from_the_store(self, little, monkeypatch):
        monkeypatch.setattr(stream_module, "BUFFER_UNITS", 10)
        reader = little.reader(pace=0)
        for _ in range(500):
            little.publish(durable=True)
        little.settle()
        reader.more()
        assert reader.has(500).seqs == little.seqs()
        assert not reader.controls

    def test_what_is_kept_nowhere_ends_the_stream(self, little, monkeypatch):
        monkeypatch.setattr(stream_module, "BUFFER_UNITS", 10)
        reader = little.reader(pace=0)
        for _ in range(50):
            little.publish()
        reader.more()
        assert reader.ended().units[-1] == {"control": "lag", "code": 4001, "reason": "reads too slowly"}

    def test_the_buffer_is_bounded_by_bytes(self, spring):
        reader = spring.reader(pace=0)
        for _ in range(3):
            spring.publish(payload="x" * 600_000)
        assert reader.consumer._bytes <= stream_module.BUFFER_BYTES
        reader.more()
        assert reader.has(3).seqs == spring.seqs()

    def test_one_unit_larger_than_the_buffer_is_sent(self, spring):
        reader = spring.reader()
        spring.publish(payload="x" * 2_000_000)
        assert reader.has(1).seqs == spring.seqs()


PUBLISHING = st.tuples(st.sampled_from(["publish", "durable", "burst", "held", "let go"]), st.integers(0, 8))
OPERATIONS = st.lists(
    PUBLISHING | st.tuples(st.sampled_from(["read", "reconnect"]), st.integers(0, 8)),
    min_size=1,
    max_size=60,
)
MEANWHILE = st.lists(st.lists(PUBLISHING, max_size=8), max_size=30)


class TestAnyOrder:
    """T04, T05, T09: whatever happens in whatever order, what is sent is what was shown, once, in order."""

    topics = ("a", "b", "c")

    @settings(max_examples=150)
    @given(OPERATIONS, MEANWHILE, st.sampled_from([2, 1000]))
    def test_of_what_is_on_disk_nothing_is_ever_missing(self, operations, meanwhile, units):
        self.run(operations, meanwhile, units, lossless=True)

    @settings(max_examples=150)
    @given(OPERATIONS, MEANWHILE, st.sampled_from([2, 1000]))
    def test_of_everything_nothing_is_missing_unsaid(self, operations, meanwhile, units):
        self.run(operations, meanwhile, units, lossless=False)

    def run(self, operations, meanwhile, units, lossless):
        before, stream_module.BUFFER_UNITS = stream_module.BUFFER_UNITS, units
        self.spring = Spring(ring=4)
        self.held, self.lossless = [], lossless
        self.spring.busy.meanwhile.extend([partial(self.publish_all, some) for some in meanwhile])
        try:
            self.happen(operations)
        finally:
            stream_module.BUFFER_UNITS = before
            self.spring.close()

    def publish_all(self, operations):
        for what, number in operations:
            self.publish(what, number)
        self.spring.settle()

    def publish(self, what, number):
        topic = self.topics[number % 3]
        if what == "let go":
            if self.held:
                self.held.pop(number % len(self.held)).let_go()
        elif what == "held":
            fails = not self.lossless and number == 8
            self.held.append(self.spring.publish(topic, durable=True, held=True, fails=fails))
        else:
            for _ in range(6 if what == "burst" else 1):
                self.spring.publish(topic, durable=self.lossless or what == "durable")

    def happen(self, operations):
        spring, got, started = self.spring, [], self.spring.numbers.last
        reader = spring.reader(*self.topics, pace=0)
        for what, number in operations:
            if what == "read":
                reader.more(number)
                spring.settle()
            elif what == "reconnect":
                reader.close()
                got += reader.seqs
                since = f"{spring.store.epoch}-{got[-1] if got else started}"
                reader = spring.reader(*self.topics, since=since, pace=number)
            else:
                self.publish(what, number)
        spring.busy.meanwhile.clear()
        for keeper in self.held:
            keeper.let_go()
        spring.settle()
        reader.more()
        spring.publish("a", "marker", durable=True)
        reader.until(lambda reader: reader.greenlet.dead or '"marker"' in str(reader.pieces[-1]))
        got += reader.seqs
        shown = spring.seqs(after=started)
        controls = [control for reading in spring.readers for control in reading.controls]
        assert got == sorted(set(got)), "twice, or out of order"
        assert set(got) <= set(shown)
        assert got == shown or (controls and not self.lossless)
        assert not (controls and self.lossless)
