"""Bounded streams and the budget they share."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hookbox.core.history import Budget, Stream


@dataclass(frozen=True)
class Entry:
    size: int
    at: float
    name: int = 0


def filled(count, *, budget=None, byte_limit=10_000, keep=100, duration=0, size=10):
    stream = Stream(budget or Budget(1_000_000, byte_limit))
    for n in range(1, count + 1):
        stream.append(Entry(size, float(n), n), keep, duration)
    return stream


def names(stream):
    return [entry.name for entry in stream]


def test_D5_the_oldest_go_when_there_are_too_many():
    assert names(filled(10, keep=3)) == [8, 9, 10]


def test_D5_the_oldest_go_when_they_are_too_old():
    assert names(filled(10, duration=3)) == [7, 8, 9, 10]
    stream = filled(10, duration=3)
    stream.prune(100, 3, 12.5)
    assert names(stream) == [10]


def test_D5_the_oldest_go_when_there_are_too_many_bytes():
    assert names(filled(10, byte_limit=45)) == [7, 8, 9, 10]


def test_an_entry_larger_than_the_stream_leaves_nothing():
    stream = filled(3, byte_limit=45)
    stream.append(Entry(46, 4.0), 100, 0)
    assert names(stream) == []


def test_a_duration_of_0_keeps_for_ever():
    stream = filled(3)
    stream.prune(100, 0, 1e12)
    assert len(stream) == 3


def test_a_count_of_0_keeps_nothing_not_even_what_was_there():
    stream = filled(3)
    stream.append(Entry(10, 4.0, 4), 0, 0)
    assert names(stream) == []


def test_a_stream_over_the_common_budget_gives_up_its_own():
    budget = Budget(100)
    other = filled(6, budget=budget)
    mine = filled(6, budget=budget)
    assert (len(other), len(mine)) == (6, 4)
    assert budget.used == 100


def test_what_is_given_up_is_free_for_others():
    budget = Budget(100)
    other = filled(10, budget=budget)
    mine = filled(1, budget=budget)
    assert len(mine) == 0
    other.clear()
    assert budget.used == 0
    mine.append(Entry(10, 1.0), 100, 0)
    assert len(mine) == 1


def test_replacing_keeps_the_newest_that_fit():
    stream = filled(5)
    stream.replace([Entry(10, 1.0, n) for n in range(100, 110)], 4, 0, 1.0)
    assert names(stream) == [106, 107, 108, 109]


@pytest.mark.parametrize("count", [0, 3])
def test_the_oldest_entry_can_be_asked_for(count):
    stream = filled(count)
    assert (stream.oldest.name if stream.oldest else 0) == (1 if count else 0)


class Streams(RuleBasedStateMachine):
    """Two streams on one budget: what is kept is always a run of the newest, and the bytes add up."""

    limit, byte_limit = 120, 90

    @initialize()
    def begin(self):
        self.budget = Budget(self.limit, self.byte_limit)
        self.streams = [Stream(self.budget), Stream(self.budget)]
        self.appended = [[], []]
        self.now = 0.0

    @rule(which=st.integers(0, 1), size=st.integers(1, 40), count=st.integers(0, 6), duration=st.sampled_from([0, 1, 3]))
    def append(self, which, size, count, duration):
        self.now += 0.5
        entry = Entry(size, self.now, len(self.appended[which]))
        self.appended[which].append(entry)
        self.streams[which].append(entry, count, duration)
        assert len(self.streams[which]) <= count
        assert all(not duration or kept.at >= self.now - duration for kept in self.streams[which])

    @rule(which=st.integers(0, 1), count=st.integers(0, 6))
    def prune(self, which, count):
        self.streams[which].prune(count, 0, self.now)
        assert len(self.streams[which]) <= count

    @rule(which=st.integers(0, 1))
    def clear(self, which):
        self.streams[which].clear()

    @rule(which=st.integers(0, 1), sizes=st.lists(st.integers(1, 40), max_size=5))
    def replace(self, which, sizes):
        entries = [Entry(size, self.now, len(self.appended[which]) + n) for n, size in enumerate(sizes)]
        self.appended[which] += entries
        self.streams[which].replace(entries, 3, 0, self.now)

    @invariant()
    def the_newest_without_a_hole(self):
        for stream, appended in zip(self.streams, self.appended, strict=True):
            kept = list(stream)
            assert kept == appended[len(appended) - len(kept) :]

    @invariant()
    def bytes_add_up(self):
        sizes = [sum(entry.size for entry in stream) for stream in self.streams]
        assert self.budget.used == sum(sizes) <= self.limit
        assert max(sizes) <= self.byte_limit


Streams.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestStreams = Streams.TestCase


@given(st.lists(st.integers(1, 20)), st.integers(1, 50))
def test_a_stream_alone_keeps_as_much_as_fits(sizes, byte_limit):
    stream = Stream(Budget(1000, byte_limit))
    for n, size in enumerate(sizes):
        stream.append(Entry(size, 0.0, n), 1000, 0)
    kept = names(stream)
    if len(kept) < len(sizes):
        assert sum(sizes[len(sizes) - len(kept) - 1 :]) > byte_limit


def test_changed_limits_hold_for_streams_that_are_there_already():
    budget = Budget(1000)
    stream = filled(10, budget=budget)
    assert len(stream) == 10
    budget.change(1000, each=1000, entries=4)
    stream.append(Entry(10, 11.0, 11), 100, 0)
    assert names(stream) == [8, 9, 10, 11]
    budget.change(1000, each=25, entries=100)
    stream.prune(100, 0, 12.0)
    assert names(stream) == [10, 11]
    budget.change(1000, each=1000, entries=0)
    stream.append(Entry(10, 13.0, 12), 100, 0)
    assert names(stream) == []
