"""Receipts: what was answered once is answered again, for a while."""

import gevent
import pytest
from api_site import turn_over

from hookbox.clock import ManualClock
from hookbox.commands.receipts import Receipts
from hookbox.errors import EngineError, NotPermitted


@pytest.fixture
def clock():
    return ManualClock()


def counting():
    done = []

    def function():
        done.append(len(done) + 1)
        return done[-1]

    return function, done


def test_a_repeat_gets_the_first_outcome_until_it_is_forgotten(clock):
    receipts, (function, done) = Receipts(clock), counting()
    assert [receipts.once("k", 10, function) for _ in range(3)] == [1, 1, 1]
    clock.advance(9.99)
    assert receipts.once("k", 10, function) == 1
    clock.advance(0.02)
    assert receipts.once("k", 10, function) == 2
    assert done == [1, 2]


def test_old_receipts_make_room_without_being_asked_for(clock):
    receipts, (function, _) = Receipts(clock), counting()
    for number in range(100):
        receipts.once(number, 10, function)
        clock.advance(1)
    assert len(receipts) <= 11


def test_the_oldest_go_first_when_there_are_too_many(clock):
    receipts, (function, done) = Receipts(clock, most=3), counting()
    for key in "abcd":
        receipts.once(key, 10, function)
    assert len(receipts) == 3
    receipts.once("d", 10, function)
    assert len(done) == 4
    receipts.once("a", 10, function)
    assert len(done) == 5


def test_a_failure_reaches_everybody_who_waited_and_is_forgotten(clock):
    receipts = Receipts(clock)
    go_on = gevent.event.Event()

    def fail():
        go_on.wait()
        raise NotPermitted("no")

    def call():
        with pytest.raises(NotPermitted, match="no"):
            receipts.once("k", 10, fail)

    calls = [gevent.spawn(call) for _ in range(3)]
    turn_over()
    go_on.set()
    gevent.joinall(calls, timeout=10, raise_error=True)
    assert receipts.once("k", 10, lambda: 7) == 7


def test_those_who_wait_for_a_call_that_is_cut_off_are_told(clock):
    receipts = Receipts(clock)
    first = gevent.spawn(receipts.once, "k", 10, gevent.event.Event().wait)
    turn_over()

    def call():
        with pytest.raises(EngineError):
            receipts.once("k", 10, lambda: 7)

    second = gevent.spawn(call)
    turn_over()
    first.kill()
    gevent.joinall([second], timeout=10, raise_error=True)
    assert receipts.once("k", 10, lambda: 7) == 7
