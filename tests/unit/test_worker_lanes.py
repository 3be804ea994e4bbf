"""What may start next, by itself: no store, no greenlets."""

import random

from hypothesis import given
from hypothesis import strategies as st

from hookbox.delivery.lane import LaneRules, Result, Ticket
from hookbox.delivery.lanes import FOREVER, Lanes
from hookbox.delivery.models import DeliveryId, Trigger

LATE = 1e9


def ticket(n, lane="a", at=0.0, expires_at=LATE, **about):
    return Ticket(DeliveryId(f"dlv_{n:04}"), n, lane, round(at * 1000), at, expires_at, **about)


def lanes(**rules):
    return Lanes(lambda key: LaneRules(**rules), lambda: 0.5)


def taken(some, now=0.0):
    found = []
    while (ticket := some.take(now)) is not None:
        found.append(ticket)
    return found


def numbers(tickets):
    return [ticket.seq for ticket in tickets]


def test_R11_lanes_take_turns():
    some = lanes(cap=3)
    for n in range(6):
        some.add(ticket(n, "a"))
    some.add(ticket(10, "b"))
    some.add(ticket(11, "b"))
    assert numbers(taken(some)) == [0, 10, 1, 11, 2]


def test_it_says_when_to_look_again():
    some = lanes()
    some.add(ticket(1, at=5.0))
    some.add(ticket(2, "b", at=3.0))
    assert taken(some, 1.0) == []
    assert some.next_at() == 3.0
    assert numbers(taken(some, 3.0)) == [2]
    assert some.next_at() == 5.0
    assert numbers(taken(some, 5.0)) == [1]
    assert some.next_at() == FOREVER


def test_what_ended_makes_room():
    some = lanes(cap=1)
    some.add(ticket(1))
    some.add(ticket(2))
    (first,) = taken(some)
    some.judge(first, Result.GOOD, 0.0)
    some.ended(first)
    assert numbers(taken(some)) == [2]


def test_the_same_delivery_waits_once_and_the_newer_plan_counts():
    some = lanes()
    some.add(ticket(1, at=5.0))
    some.add(ticket(1, at=5.0))
    some.add(ticket(1, at=9.0))
    assert len(some) == 1
    assert taken(some, 6.0) == []
    assert numbers(taken(some, 9.0)) == [1]


def test_a_manual_one_is_not_held_up_by_pause_breaker_or_stop_but_by_the_cap():
    some = lanes(cap=1, stopped=True)
    assert not some.add(ticket(1))
    some.add(ticket(2, trigger=Trigger.MANUAL))
    some.add(ticket(3, trigger=Trigger.MANUAL))
    assert numbers(taken(some)) == [2]


def test_a_planned_one_does_not_replace_a_manual_one():
    some = lanes(stopped=True)
    some.add(ticket(1, trigger=Trigger.MANUAL))
    some.add(ticket(1))
    assert [t.trigger for t in taken(some)] == [Trigger.MANUAL]


def test_R05_a_pause_is_for_the_whole_lane_and_is_never_shortened():
    some = lanes()
    some.add(ticket(1))
    (first,) = taken(some)
    some.judge(first, Result.BAD, 0.0, pause=100.0)
    some.judge(first, Result.BAD, 0.0, pause=10.0)
    some.ended(first)
    some.add(ticket(2))
    assert taken(some, 99.9) == []
    assert some.next_at() == 100.0
    assert numbers(taken(some, 100.0)) == [2]


def test_R14_neither_counts_and_the_longest_gap_is_a_quarter_of_an_hour():
    some = lanes(cap=1, breaker=2)
    now, gaps = 0.0, []
    for n, result in enumerate([Result.BAD, Result.NEITHER, *[Result.BAD] * 12]):
        some.add(ticket(n))
        before = now
        while (started := some.take(now)) is None:
            now = some.next_at()
        gaps.append(now - before)
        some.judge(started, result, now)
        some.ended(started)
    assert gaps[:3] == [0, 0, 0]
    assert gaps[3:] == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]


def test_a_breaker_that_is_off_never_opens():
    some = lanes(breaker=0)
    for n in range(50):
        some.add(ticket(n))
        (started,) = taken(some)
        some.judge(started, Result.BAD, 0.0)
        some.ended(started)


def test_what_waits_too_long_is_taken_out_once():
    some = lanes(stopped=False, cap=1)
    some.add(ticket(0))
    taken(some)
    for n, expires_at in [(1, 10.0), (2, 70.0), (3, LATE), (4, 30.0)]:
        some.add(ticket(n, expires_at=expires_at))
    assert some.expired(0.0) == []
    assert some.next_expiry() == 10.0
    assert numbers(some.expired(30.0)) == [1, 4]
    assert numbers(some.expired(60.0)) == []
    assert numbers(some.expired(70.0)) == [2]
    assert len(some) == 1


def test_lanes_that_nobody_needs_are_forgotten():
    some = lanes()
    for n in range(5):
        some.add(ticket(n, f"lane {n}"))
    for started in taken(some):
        some.judge(started, Result.BAD, 0.0)
        some.ended(started)
    some.take(0.0)
    some.expired(0.0)
    assert len(list(some)) == 5, "how they went is remembered"
    some.expired(4000.0)
    assert list(some) == []


def test_R13_an_ordered_lane_remembers_only_what_was_read():
    some = lanes(ordered=True)
    assert not some.add(ticket(7)), "what is before it may be in the store"
    assert taken(some) == []
    assert some.hungry == {"a"}
    some.reading("a")
    some.add(ticket(9))
    some.fill("a", [ticket(3, at=5.0), ticket(7)], more=True)
    assert len(some) == 2, "what came meanwhile is behind the page"
    assert taken(some, 0.0) == [], "the first is not due, and holds up the rest"
    (head,) = taken(some, 5.0)
    some.ended(head)
    (head,) = taken(some, 5.0)
    some.ended(head)
    assert taken(some, 5.0) == []
    assert some.hungry == {"a"}
    some.reading("a")
    some.fill("a", [ticket(9)], more=False)
    assert numbers(taken(some, 5.0)) == [9]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 20), st.booleans()), max_size=40), st.integers(0, 9)
)
def test_everything_starts_once_in_time_and_within_its_cap(plan, seed):
    some = Lanes(lambda key: LaneRules(cap=2, breaker=0), random.Random(seed).random)
    for n, (lane, at, _) in enumerate(plan):
        some.add(ticket(n, str(lane), at))
    now, started, running = 0.0, [], []
    while len(started) < len(plan):
        for one in taken(some, now):
            assert one.at <= now
            started.append(one.seq)
            running.append(one)
        for lane in some:
            assert lane.in_flight == sum(one.lane == lane.key for one in running) <= 2
        if running:
            one = running.pop(seed % len(running))
            some.judge(one, Result.GOOD if plan[one.seq][2] else Result.BAD, now)
            some.ended(one)
        elif len(started) < len(plan):
            assert some.next_at() > now
            now = some.next_at()
    assert sorted(started) == list(range(len(plan)))
