"""What is never taken is given up, what has ended goes, and what is too much for one commit is written in pages."""

import json
from dataclasses import replace

import pytest
from post_office import PostOffice
from store_values import NOW, delivery, endpoint, entry, message

from hookbox.delivery.models import DeliveryId, State
from hookbox.delivery.store import tables
from hookbox.delivery.store.base import Entry, Remembered
from hookbox.delivery.store.sqlite import Limits, SqliteStore
from hookbox.delivery.terms import WorkerRules
from hookbox.errors import QueueFull

BACK = "http://operator.example/"
DAY = 24 * 3600


@pytest.fixture
def open_office(tmp_path):
    opened = []

    def open_office(**about):
        opened.append(PostOffice(path=str(tmp_path / "hookbox.db"), **about).start())
        return opened[-1]

    yield open_office
    for office in opened:
        office.close()


def told(office):
    return [json.loads(sent.body)["type"] for sent in office.receivers.to(BACK)]


# held for ever


def test_more_than_max_held_is_given_up_oldest_first_and_told_once_a_day(open_office, complaints):
    office = open_office(max_held=20, errback_url=BACK)
    paused = office.endpoint(state="paused")
    names = [office.accept(to=paused) for _ in range(30)]
    office.settle()
    assert [office.state(name) for name in names] == [("cancelled", "overflow")] * 10 + ["held"] * 20
    assert told(office) == ["endpoint.overflow"]
    about_it = [line for line in complaints() if line.startswith(f"endpoint {paused.id}:")]
    assert about_it
    assert all(line.endswith("held deliveries are given up (overflow)") for line in about_it)
    office.accept(to=paused)
    office.advance(3601)
    assert office.state(names[10]) == ("cancelled", "overflow")
    assert told(office) == ["endpoint.overflow"]
    office.advance(DAY)
    office.accept(to=paused)
    office.advance(3601)
    assert told(office) == ["endpoint.overflow"] * 2
    office.endpoint(state="enabled")
    office.settle()
    assert len(office.receivers.to(paused.url)) == 20


def test_what_is_held_for_a_month_is_given_up(open_office):
    office = open_office()
    paused = office.endpoint(state="paused")
    old, young = office.accept(to=paused), None
    office.advance(15 * DAY)
    young = office.accept(to=paused)
    office.advance(15 * DAY + 3601)
    assert office.state(old) == ("cancelled", "overflow")
    assert office.state(young) == "held"


def test_the_overflow_of_one_endpoint_touches_no_other(open_office):
    office = open_office(max_held=10)
    one, other = office.endpoint("ep_1", state="paused"), office.endpoint("ep_2", state="disabled")
    names = [office.accept(to=other) for _ in range(9)]
    for _ in range(15):
        office.accept(to=one)
    office.settle()
    assert {office.state(name) for name in names} == {"held"}


# what has ended


def test_what_has_ended_goes_after_its_time_and_keys_with_it(open_office):
    office = open_office(schedule=())
    good = office.accepted("http://good.example/")
    office.receivers.answers("http://bad.example/", 500)
    bad = office.accepted("http://bad.example/")
    key = Remembered("key", "f", "a", office.now_ms)
    office.store.accept(Entry(message(office.numbers.next()), remembered=key))
    office.advance(23 * 3600)
    assert office.state(good) == "succeeded"
    office.advance(2 * 3600)
    assert office.store.delivery(DeliveryId(good)) is None
    assert office.store.recall("key", 0) is None
    assert office.state(bad)[0] == "dead"
    office.advance(30 * DAY)
    assert office.store.delivery(DeliveryId(bad)) is None
    assert [m.seq for m in office.store.newest("", 10)] == []


def test_thousands_go_in_one_look(open_office):
    office = open_office()
    store = office.store._store
    ended = [delivery(seq, state=State.SUCCEEDED, done_ms=NOW) for seq in range(1, 2501)]
    entries = [Entry(message(each.seq), (each,)) for each in ended]
    store._thread.call(lambda db: store._insert_all(db, entries))
    office.advance(25 * 3600)
    assert office.store.newest("", 1) == []


def test_D14_when_space_is_short_what_ended_goes_within_a_minute(tmp_path):
    office = PostOffice(path=str(tmp_path / "hookbox.db"))
    office.store._store.limits = Limits(bytes=300_000)
    office.start()
    try:
        with pytest.raises(QueueFull, match="max_store"):
            for _ in range(100):
                office.accepted(body=b"x" * 10_000)
        office.advance(61)
        office.accepted(body=b"x" * 10_000)
        assert len(office.everything()) < 30
    finally:
        office.close()


def test_D14_where_the_disk_is_nearly_full_nothing_is_accepted(tmp_path):
    store = SqliteStore(str(tmp_path / "hookbox.db"), Limits(free=2**62))
    with pytest.raises(QueueFull, match="the disk has"):
        store.accept(entry(1))
    assert store.standing().states == {}
    store.close()


# pages


def town(office, count):
    """So many endpoints, by their ids."""
    ends = [endpoint(f"ep_{n:05}", url=f"http://h{n}.example/") for n in range(count)]
    office.store._store._thread.call(lambda db: [tables.keep_endpoint(db, end) for end in ends])
    office.worker._terms.learn(ends)
    return ends


def rest_of(ends, made):
    """What `Exits` does: the next deliveries to endpoints after one."""

    def rest(message, after, wishes):
        made.append(after)
        later = [end for end in ends if end.id > after and end.created_ms <= message.time_ms]
        page = [delivery(message.seq, url=end.url, endpoint=end.id) for end in later[:500]]
        return page, page[-1].endpoint if len(later) > 500 else None

    return rest


def fan_out(office, ends, first=500):
    """Accept a message for all of them; the first are rows of the same commit."""
    seq = office.numbers.next()
    now = [delivery(seq, url=end.url, endpoint=end.id) for end in ends[:first]]
    office.store.accept(Entry(message(seq, "news"), tuple(now), rest_after=ends[first - 1].id))
    if office.worker:
        for each in now:
            office.worker.wake(each)
        office.worker.fan_out()
    return seq


def test_P03_what_is_too_much_for_one_commit_reaches_everybody_once(open_office):
    office, made = open_office(), []
    ends = town(office, 1100)
    office.worker.write_rest(rest_of(ends, made))
    fan_out(office, ends)
    office.pass_(10)
    assert made == [ends[499].id, ends[999].id]
    assert sorted(sent.url for sent in office.receivers.sent) == sorted(end.url for end in ends)
    assert office.store.fanouts() == []


def test_P03_a_crash_between_pages_leaves_nobody_out_and_nobody_twice(open_office):
    office, made = open_office(), []
    ends = town(office, 1100)
    rest = rest_of(ends, made)
    with office.restarted():
        seq = fan_out(office, ends)
        (first,) = office.store.fanouts()
        office.store.fan_out(seq, rest(first.message, first.after, first.wishes)[0], ends[999].id)
    assert [fanout.after for fanout in office.store.fanouts()] == [ends[999].id]
    office.worker.write_rest(rest)
    office.pass_(60)
    assert sorted(sent.url for sent in office.receivers.sent) == sorted(end.url for end in ends)


def test_P03_a_page_never_doubles_what_is_there_and_leaves_out_what_is_gone(open_office):
    office = open_office()
    ends = town(office, 30)
    seq = fan_out(office, ends, 10)
    office.worker.endpoint_dropped(ends[15].id)
    again, _ = rest_of(ends, [])(message(seq), "", None)
    written = office.store.fan_out(seq, again, None)
    assert [each.endpoint for each in written] == [e.id for n, e in enumerate(ends) if n >= 10 and n != 15]
    assert office.store.fan_out(seq, again, None) == []


def test_a_message_is_not_removed_before_its_last_page(open_office):
    office = open_office()
    ends = town(office, 20)
    seq = fan_out(office, ends, 10)
    office.advance(3 * DAY)
    assert [m.seq for m in office.store.newest("", 5)] == [seq]


# other rules


def test_other_rules_hold_from_now_on(open_office):
    office = open_office(schedule=(10.0,))
    door = office.receivers.think("http://a.example/")
    for _ in range(9):
        office.accept()
    office.settle()
    assert office.receivers.thinking == 4
    office.worker.change(WorkerRules(schedule=(1.0,), per_origin=7))
    office.settle()
    assert office.receivers.thinking == 7
    office.receivers.answers("http://b.example/", 500)
    failed = office.accepted("http://b.example/")
    assert 0.7 < office.wait(failed) < 1.3
    door.set()
    office.settle()
    assert len(office.receivers.sent) == 10


def test_a_breaker_that_is_turned_off_lets_everything_go(open_office):
    office = open_office(breaker=2, schedule=(5.0,) * 20)
    office.receivers.answers("http://a.example/", 500)
    for _ in range(3):
        office.accepted()
    assert office.worker.counts().stopped == 1
    office.receivers.answers("http://a.example/", 200)
    office.worker.change(replace(office.worker._terms.rules, breaker=0))
    assert office.worker.counts().stopped == 0
    office.pass_(10)
    assert all(office.state(each.id) == "succeeded" for each in office.everything())
