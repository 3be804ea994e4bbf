"""Histograms and worst cases that a server keeps of itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hookbox.core.tally import Tally, Worst


def test_a_bound_is_part_of_what_it_bounds():
    tally = Tally(0.1, 1.0)
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        tally.note(value)
    assert tally.counts == [2, 2, 1]
    assert tally.count == 5
    assert tally.total == 8.65


@given(st.lists(st.floats(0, 10)))
def test_nothing_is_counted_twice_or_lost(values):
    tally = Tally(1.0, 2.0, 5.0)
    for value in values:
        tally.note(value)
    assert tally.count == len(values)
    assert sum(tally.counts[:2]) == sum(value <= 2.0 for value in values)


def test_the_worst_of_the_last_ten_seconds_is_known():
    worst = Worst()
    assert worst.seen(0.0) == 0.0
    worst.note(3.0, 100.0)
    worst.note(1.0, 100.9)
    worst.note(2.0, 105.0)
    assert worst.seen(109.9) == 3.0
    assert worst.seen(110.0) == 2.0
    assert worst.seen(115.0) == 0.0
