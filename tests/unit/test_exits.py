"""Who is owed what: numbers, wanting, pages of deliveries, and writing before showing."""

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from post_office import Refusing
from store_values import NOW, endpoint, is_ulid

from hookbox.core.publication import Publication
from hookbox.delivery.content import Content
from hookbox.delivery.exits import FIRST_PAGE, Exits, MemoryOnly, Parcel
from hookbox.delivery.match import wants
from hookbox.delivery.models import EndpointId, Source, State, Wishes
from hookbox.delivery.numbers import BLOCK, LEAP, Numbers
from hookbox.delivery.store.base import Remembered, Search
from hookbox.delivery.store.sqlite import Limits, SqliteStore
from hookbox.delivery.wanting import Wanting
from hookbox.errors import DeliveryStoreError, QueueFull

# numbers


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def open_store(path=None, **limits):
        opened.append(SqliteStore(path or str(tmp_path / "hookbox.db"), Limits(**limits)))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def test_P08_numbers_are_never_given_twice_over_starts_whatever_was_lent_meanwhile(open_store, tmp_path):
    given = set()
    for start in range(3):
        store = Refusing(open_store())
        numbers = Numbers(store)
        numbers.begin()
        taken = [numbers.take() for _ in range(10)]
        store.refuses.add("reserve")
        taken += [numbers.take() for _ in range(3 * BLOCK)]  # lent: the store knows nothing of them
        assert taken == list(range(taken[0], taken[0] + len(taken)))
        assert not given & set(taken), start
        assert numbers.last == taken[-1]
        given |= set(taken)
        numbers.stop()
        store.close()


def test_P08_lent_numbers_are_made_up_for_when_the_store_works_again(open_store, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.numbers.AGAIN", 0.001)
    store = Refusing(open_store())
    numbers = Numbers(store)
    numbers.begin()
    store.refuses.add("reserve")
    lent = [numbers.take() for _ in range(2 * BLOCK)]
    gevent.sleep(0.01)
    store.refuses.clear()
    with gevent.Timeout(10):
        while numbers._reserving:
            gevent.sleep(0.001)
    more = [numbers.take() for _ in range(BLOCK)]
    assert len({*lent, *more}) == 3 * BLOCK
    assert store.reserve(1) > max(more)


def test_P08_whoever_waits_and_whoever_does_not_share_one_row(open_store):
    numbers = Numbers(open_store())
    numbers.begin()
    taken = []

    def wait():
        taken.extend(numbers.next() for _ in range(BLOCK))

    def take():
        for n in range(BLOCK):
            taken.append(numbers.take())
            if n % 100 == 0:
                gevent.sleep(0)

    gevent.joinall([gevent.spawn(work) for work in (wait, take, wait)], raise_error=True)
    assert sorted(taken) == list(range(1, 3 * BLOCK + 1))


def test_the_first_start_leaps_over_nothing(open_store):
    numbers = Numbers(open_store())
    numbers.begin()
    assert (numbers.last, numbers.take()) == (0, 1)
    second = Numbers(open_store(":memory:"))
    second.begin()
    assert second.take() == 1
    assert LEAP > 0


# wanting

NAMES = st.sampled_from(["a", "b", "a.b", "a.c", "a.b.c", "b.b", "x"])
PATTERNS = st.sampled_from(["a", "a.b", "a.*", "*.b", "*", "**", "a.**", "a.b.c", "x"])
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 4), st.none() | st.lists(PATTERNS, min_size=1, max_size=3, unique=True), st.booleans()
    )
)


@given(CHANGES, st.lists(NAMES, min_size=1))
def test_the_index_knows_what_asking_each_would_say(changes, topics):
    index, there = Wanting(), {}
    for number, patterns, looked_at in changes:
        name = EndpointId(f"ep_{number}")
        now = None if patterns is None else endpoint(name, topics=tuple(patterns))
        index.change(there.get(name), now)
        there.pop(name, None)
        if now is not None:
            there[name] = now
        for topic in topics if looked_at else ():
            index.of(topic)  # so that it is remembered
    for topic in topics:
        asked = sorted(name for name, end in there.items() if any(wants(p, topic) for p in end.topics))
        assert list(index.of(topic)) == asked
        assert index.of(topic) is index.of(topic)


def test_the_index_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr("hookbox.delivery.wanting.MOST_REMEMBERED", 10)
    index = Wanting()
    index.change(None, endpoint(topics=("**",)))
    for n in range(100):
        index.of(f"t{n}")
    assert len(index._known) <= 10


# pages


class Office:
    """What `Exits` asks a worker."""

    def __init__(self, ends=()):
        self.endpoints = {end.id: end for end in ends}
        self.woken = []
        self.fanned = 0

    def tell_changes(self, changed):
        for end in self.endpoints.values():
            changed(None, end)

    def endpoint(self, name):
        return self.endpoints.get(name)

    def wake(self, delivery):
        self.woken.append(delivery.id)

    def fan_out(self):
        self.fanned += 1


def exits(store, *ends):
    office = Office(ends)
    return Exits(store, office), office


def published(topic="news", seq=7, payload='{"a":1}', message_id="msg_" + "0" * 26):
    return Publication(3, seq, f'"{topic}"', payload, "", '"ann"', 1.0, NOW, "t", message_id)


def write(exits, parcel=None, topic="news"):
    writing = exits.writing(topic, parcel or Parcel(Source.REST))
    settled = []
    writing.begin(published(topic), "epoch", True, settled.append)
    writing.wait()
    assert settled == [None]
    return writing


def test_what_is_owed_comes_in_pages_ordered_ones_first_and_everybody_is_there_once(open_store):
    ends = [endpoint(f"ep_{n:04}", ordered=n % 7 == 0) for n in range(1234)]
    late = endpoint("ep_zzz", created_ms=NOW + 1)
    store = open_store()
    out, _ = exits(store, *ends, late)
    for end in (*ends, late):
        store.keep_endpoint(end)
    message = write(out).entry.message
    page, after, count = out.owed(message, Wishes(tag="t"))
    assert (len(page), count) == (FIRST_PAGE, 1235)
    found = list(page)
    while after is not None:
        page, after = out.owed_after(message, after, Wishes(tag="t"))
        assert 0 < len(page) <= FIRST_PAGE
        found += page
    expected = sorted(ends, key=lambda end: (not end.ordered, end.id))
    assert [owed.endpoint for owed in found] == [end.id for end in expected]
    assert len({owed.id for owed in found}) == len(ends)
    assert {owed.wishes.tag for owed in found} == {"t"}
    assert [owed.state for owed in found] == [State.WAITING if e.ordered else State.SCHEDULED for e in expected]


def test_a_page_that_is_just_full_is_the_last(open_store):
    ends = [endpoint(f"ep_{n:04}") for n in range(FIRST_PAGE)]
    out, _ = exits(open_store(), *ends)
    assert out.owed(_message(out))[1:] == (None, FIRST_PAGE)
    (_, after) = out.owed_after(_message(out), "", most=499)
    assert after is not None
    (page, last) = out.owed_after(_message(out), after, most=499)
    assert (len(page), last) == (1, None)


def _message(out):
    writing = out.writing("news", Parcel(Source.REST))
    seen = []
    out.keep = lambda entry, done: seen.append(entry.message)
    writing.begin(published(), "epoch", True, lambda error: None)
    return seen[0]


def test_wishes_reach_the_later_pages_too(open_store):
    ends = [endpoint(f"ep_{n:04}") for n in range(FIRST_PAGE + 3)]
    store = open_store()
    for end in ends:
        store.keep_endpoint(end)
    out, office = exits(store, *ends)
    wishes = Wishes(retry=(1.0,), headers=(("X-A", "1"),), errback="http://a/", expires_ms=NOW + 5)
    write(out, Parcel(Source.DISPATCH, wishes=wishes))
    assert office.fanned == 1
    (fanout,) = store.fanouts()
    page, _ = out.owed_after(fanout.message, fanout.after, fanout.wishes)
    assert [owed.wishes for owed in page] == [wishes] * 3


def test_filters_see_the_payload_and_what_is_not_enabled_is_held(open_store):
    ends = [
        endpoint("ep_1", filter={"a": 1}),
        endpoint("ep_2", filter={"a": 2}),
        endpoint("ep_3", state="paused"),
        endpoint("ep_4", topics=("other",)),
        endpoint("ep_5", tag="own"),
    ]
    out, _ = exits(open_store(), *ends)
    owed, _, count = out.owed(_message(out))
    assert [(each.endpoint, each.state.value, each.wishes.tag) for each in owed] == [
        ("ep_1", "scheduled", ""), ("ep_3", "held", ""), ("ep_5", "scheduled", "own"),
    ]  # fmt: skip
    assert count == 3
    assert out.to_endpoint(_message(out), EndpointId("ep_4")).endpoint == "ep_4"
    assert out.to_endpoint(_message(out), EndpointId("ep_none")) is None


# writing


def test_what_is_published_is_kept_in_both_forms_and_those_it_is_for_are_woken(open_store):
    store = open_store()
    end = endpoint()
    store.keep_endpoint(end)
    out, office = exits(store, end)
    assert out.keeps("news", False)
    assert not out.keeps("other", False)
    assert out.keeps("other", True)
    writing = write(out)
    message = store.message(writing.entry.message.id)
    assert message == writing.entry.message
    assert (message.body, message.payload, message.content_type) == (b'{"a":1}', '{"a":1}', "application/json")
    assert (message.seq, message.topic, message.offset, message.epoch, message.whole) == (7, "news", 3, "epoch", True)
    assert (message.source, message.type, message.originator) == (Source.REST, "t", "")
    assert writing.callbacks == 1
    (owed,) = store.search(Search())
    assert office.woken == [owed.id]
    assert is_ulid(owed.id.removeprefix("dlv_"))


def test_callbacks_may_get_other_bytes_than_browsers(open_store):
    store = open_store()
    out, _ = exits(store)
    content = Content("text/plain", b"\xff", '"\\ufffd"')
    kept = store.message(write(out, Parcel(Source.DISPATCH, content, "ann", 2)).entry.message.id)
    assert (kept.body, kept.payload, kept.originator, kept.hops) == (b"\xff", '"\\ufffd"', "ann", 2)


def test_an_answer_is_kept_with_what_it_answers(open_store):
    store = open_store()
    out, _ = exits(store, endpoint())
    store.keep_endpoint(endpoint())
    told = []

    def remember(entry, callbacks):
        told.append((entry.message.seq, callbacks))
        return Remembered("k", "f", "{}", NOW)

    write(out, Parcel(Source.DISPATCH, remember=remember))
    assert told == [(7, 1)]
    assert out.recall("k", NOW).answer == "{}"


def test_what_the_store_refuses_is_settled_so_and_nobody_is_woken(open_store):
    store = open_store(queue=0)
    store.keep_endpoint(endpoint())
    out, office = exits(store, endpoint())
    writing, settled = out.writing("news", Parcel(Source.REST)), []
    writing.begin(published(), "epoch", True, settled.append)
    with pytest.raises(QueueFull):
        writing.wait()
    assert [type(error) for error in settled] == [QueueFull]
    assert office.woken == []
    assert store.newest("", 5) == []


def test_a_fault_while_something_is_shown_holds_up_nobody(open_store, caplog):
    out, _ = exits(open_store())
    writings = []
    for seq in (1, 2):
        writings.append(out.writing("news", Parcel(Source.REST)))
        shown = published(seq=seq, message_id=f"msg_{seq:026}")
        writings[-1].begin(shown, "epoch", True, lambda error: 1 / 0)
    with gevent.Timeout(10):
        for writing in writings:
            writing.wait()
    assert caplog.text.count("ZeroDivisionError") == 2


def test_a_closed_store_refuses_at_once(open_store):
    store = open_store()
    out, _ = exits(store)
    store.close()
    settled = []
    with pytest.raises(DeliveryStoreError):
        out.writing("news", Parcel(Source.REST)).begin(published(), "epoch", True, settled.append)
    assert settled == []


def test_what_was_begun_is_settled_in_order(open_store):
    out, _ = exits(open_store())
    settled = []
    writings = []
    for seq in range(20):
        writings.append(out.writing("news", Parcel(Source.REST)))
        message_id = f"msg_{seq:026}"
        publication = published(seq=seq + 1, message_id=message_id)
        writings[-1].begin(publication, "epoch", True, lambda error, seq=seq: settled.append((seq, error)))
    writings[-1].wait()
    assert settled == [(seq, None) for seq in range(20)]


def test_without_a_store_nothing_is_kept():
    nothing = MemoryOnly()
    assert not nothing.keeps("news", True)
    assert nothing.recall("k", 0) is None
    with pytest.raises(DeliveryStoreError):
        nothing.writing("news", Parcel(Source.REST))
