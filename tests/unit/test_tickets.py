"""Tickets to streams (A7): good once, for a while, for one origin."""

import pytest

from hookbox.clock import ManualClock
from hookbox.commands.stream import Guest, Nowhere
from hookbox.core.connection import Connection
from hookbox.errors import LimitReached, NotPermitted
from hookbox.protocol.disconnects import BY_API
from hookbox.transports.stream import Wanted
from hookbox.web.tickets import Tickets

PAGE = "https://pages.example"
WANTED = Wanted(("news",))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def unused():
    return []


@pytest.fixture
def tickets(clock, unused):
    return Tickets(clock, lambda: 3, unused.append)


def guest():
    return Guest(Connection("", Nowhere(), "", "", 0.0))


def test_A7_a_ticket_is_good_once(tickets):
    key = tickets.issue(WANTED, PAGE, None)
    assert tickets.take(key, PAGE).wanted == WANTED
    with pytest.raises(NotPermitted):
        tickets.take(key, PAGE)


def test_A7_a_ticket_has_256_bits(tickets):
    keys = {tickets.issue(WANTED, PAGE, None) for _ in range(3)}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {43}


def test_A7_a_ticket_is_good_for_its_origin_and_no_other_uses_it_up(tickets):
    key = tickets.issue(WANTED, PAGE, None)
    for origin in ("", "https://evil.example", "http://pages.example"):
        with pytest.raises(NotPermitted):
            tickets.take(key, origin)
    tickets.take(key, PAGE)


def test_A7_a_ticket_is_good_for_30_seconds(tickets, clock):
    first, second = tickets.issue(WANTED, PAGE, None), tickets.issue(WANTED, PAGE, None)
    clock.advance(29.9)
    tickets.take(first, PAGE)
    clock.advance(0.2)
    with pytest.raises(NotPermitted):
        tickets.take(second, PAGE)


def test_whoever_does_not_use_a_ticket_leaves(tickets, clock, unused):
    someone = guest()
    tickets.issue(WANTED, PAGE, someone)
    tickets.take(tickets.issue(WANTED, PAGE, guest()), PAGE)
    clock.advance(20)
    tickets.issue(WANTED, PAGE, guest())
    clock.advance(11)
    tickets.check(clock.monotonic())
    assert unused == [someone]
    assert len(tickets) == 1


def test_there_are_no_more_than_may_be(tickets, clock):
    for _ in range(3):
        tickets.require_room()
        tickets.issue(WANTED, PAGE, None)
    with pytest.raises(LimitReached):
        tickets.require_room()
    clock.advance(31)
    tickets.check(clock.monotonic())
    tickets.require_room()


def test_A8_a_ticket_ends_with_the_session_of_its_guest(tickets, unused):
    somebody = guest()
    key = tickets.issue(WANTED, PAGE, somebody)
    somebody.speaker.transport.drop()
    for _ in range(2):
        somebody.speaker.transport.close(BY_API)
    assert unused == [somebody]
    with pytest.raises(NotPermitted):
        tickets.take(key, PAGE)
    assert len(tickets) == 0
