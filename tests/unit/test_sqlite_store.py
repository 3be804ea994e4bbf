"""The store in a file: all of an entry or nothing, and everything is there again after a restart."""

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from store_values import NOW, attempt, delivery, endpoint, entry, message

from hookbox.delivery.models import State, Wishes
from hookbox.delivery.store.base import FIRST, Entry, Finished, Remembered, Run, Search
from hookbox.delivery.store.sqlite import Limits, SqliteStore
from hookbox.errors import DeliveryStoreError, QueueFull


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "hookbox.db")


@pytest.fixture
def open_store(path):
    opened = []

    def open_store(**limits):
        opened.append(SqliteStore(path, Limits(**limits)))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


WISHES = Wishes(("whsec_x", "old"), (("X-A", "1"),), (), 7.5, NOW + 1, "http://e/", "http://c/", "tag")


def test_what_was_accepted_is_there_again_after_a_restart(store, open_store):
    full = message(1, "news", offset=7, epoch="e", originator="ann", type="t", hops=2, body=bytes(range(256)))
    owed = delivery(1, wishes=WISHES, endpoint=None)
    store.accept(Entry(full, (owed,)))
    store.close()
    store = open_store()
    assert store.message(full.id) == full
    assert store.delivery(owed.id) == owed
    assert store.due(NOW, 10) == [owed]


def test_an_entry_is_kept_whole_or_not_at_all(store):
    taken = delivery(1)
    store.accept(entry(1, taken))
    with pytest.raises(DeliveryStoreError):
        store.accept(entry(2, delivery(2), replace(taken, seq=2)))
    assert [m.seq for m in store.newest("", 10)] == [1]
    assert [d.seq for d in store.search(Search())] == [1]


def test_P08_sequence_numbers_are_never_given_twice(store, open_store):
    assert [store.reserve(10), store.reserve(1)] == [1, 11]
    store.close()
    assert open_store().reserve(5) == 12


def test_what_is_due_comes_in_order(store):
    late, early, second = delivery(1, NOW + 2), delivery(2, NOW), delivery(3, NOW)
    store.accept(entry(1, late))
    store.accept(entry(3, second))
    store.accept(entry(2, early))
    assert store.due(NOW - 1, 10) == []
    assert sorted(store.due(NOW + 1, 10), key=lambda owed: owed.seq) == [early, second]
    assert store.due(NOW + 2, 10)[-1] == late


def test_what_is_due_can_be_read_in_pages(store):
    all_of_it = [delivery(1) for _ in range(5)]
    store.accept(entry(1, *all_of_it))
    read, place = [], FIRST
    while page := store.due(NOW, 2, place):
        read += page
        place = (page[-1].due_ms, page[-1].id)
    assert read == sorted(all_of_it, key=lambda owed: owed.id)


def test_what_is_owed_to_an_endpoint_comes_by_number_whatever_is_due(store):
    ours = endpoint()
    store.keep_endpoint(ours)
    third = delivery(3, NOW, endpoint=ours.id, state=State.WAITING)
    first = delivery(1, NOW + 9, endpoint=ours.id)
    second = delivery(2, NOW, endpoint=ours.id, state=State.WAITING)
    for owed in (third, first, second, delivery(4), delivery(5, endpoint=ours.id, state=State.HELD)):
        store.accept(entry(owed.seq, owed))
    assert store.owed(ours.id, 10) == [first, second, third]
    assert store.owed(ours.id, 1, (first.seq, first.id)) == [second]


def test_R15_what_is_owed_to_an_endpoint_is_held_while_it_is_not_enabled(store):
    ours = endpoint()
    store.keep_endpoint(ours)
    owed, waiting = delivery(1, endpoint=ours.id), delivery(2, endpoint=ours.id, state=State.WAITING)
    busy, done = delivery(3, endpoint=ours.id), delivery(4, endpoint=ours.id, state=State.DEAD, done_ms=NOW)
    for each in (owed, waiting, busy, done, delivery(5)):
        store.accept(entry(each.seq, each))
    store.begin(busy.id, busy.due_ms)
    store.keep_endpoint(replace(ours, state="disabled"), [entry(6)])
    states = [store.delivery(each.id).state for each in (owed, waiting, busy, done)]
    assert states == [State.HELD, State.HELD, State.IN_FLIGHT, State.DEAD]
    assert {each.seq for each in store.due(NOW, 10)} == {5, 6}
    store.keep_endpoint(ours)
    assert [each.state for each in store.owed(ours.id, 10)] == [State.SCHEDULED, State.SCHEDULED]
    store.keep_endpoint(replace(ours, state="paused"))
    store.keep_endpoint(replace(ours, ordered=True))
    assert [each.state for each in store.owed(ours.id, 10)] == [State.WAITING, State.WAITING]


def test_an_attempt_is_written_before_and_after(store):
    owed = delivery(1)
    store.accept(entry(1, owed))
    assert store.begin(owed.id, owed.due_ms - 1) is None, "it is due at another time now"
    begun = store.begin(owed.id, owed.due_ms)
    assert (begun.delivery.id, begun.message.body) == (owed.id, b"hello")
    assert store.delivery(owed.id).state is State.IN_FLIGHT
    assert store.begin(owed.id, owed.due_ms) is None, "an attempt is under way"
    tried = attempt(request=(("A", "b"),), response=(("C", "d"), ("C", "e")), body=b"\xff", detail="why")
    store.finish(Finished(replace(owed, attempts=1, failures=1, due_ms=NOW + 5000, last_status=500), tried))
    assert store.attempts(owed.id) == [tried]
    assert store.due(NOW + 5000, 1)[0].failures == 1
    done = replace(owed, state=State.SUCCEEDED, attempts=2, done_ms=NOW)
    store.finish(Finished(done, attempt(2, "ok")))
    assert store.due(NOW + 5000, 1) == []
    assert store.begin(owed.id, done.due_ms) is None, "it is over"
    assert [a.outcome for a in store.attempts(owed.id)] == ["http_500", "ok"]


def test_B07_state_attempt_and_notice_are_one_transaction(store):
    owed = delivery(1)
    store.accept(entry(1, owed))
    store.begin(owed.id, owed.due_ms)
    dead = replace(owed, state=State.DEAD, reason="exhausted", attempts=1, done_ms=NOW)
    with pytest.raises(DeliveryStoreError):
        store.finish(Finished(dead, attempt(), (entry(1),)))  # a number that was given already
    assert store.delivery(owed.id).state is State.IN_FLIGHT
    assert store.attempts(owed.id) == []
    store.finish(Finished(dead, attempt(), (entry(2),)))
    assert store.delivery(owed.id) == dead
    assert len(store.due(NOW, 10)) == 1


def test_P02_what_a_crash_interrupted_is_due_again_and_says_so(store, open_store):
    owed = delivery(1)
    store.accept(entry(1, owed))
    store.begin(owed.id, owed.due_ms)
    assert store.interrupted(NOW + 9) == 0, "by this start it may still end"
    store.close()
    store = open_store()
    assert store.boot == 2
    assert store.interrupted(NOW + 9) == 1
    (again,) = store.due(NOW + 9, 10)
    assert (again.id, again.attempts, again.failures) == (owed.id, 1, 0)
    assert [a.outcome for a in store.attempts(owed.id)] == ["interrupted"]


def test_D14_more_than_the_limit_is_not_accepted_and_held_ones_do_not_count(open_store):
    store = open_store(queue=2)
    store.accept(entry(1, delivery(1), delivery(1, state=State.HELD), delivery(1)))
    with pytest.raises(QueueFull, match="2 deliveries are unfinished"):
        store.accept(entry(2))
    first = store.due(NOW, 1)[0]
    store.begin(first.id, first.due_ms)
    store.finish(Finished(replace(first, state=State.SUCCEEDED, done_ms=NOW), attempt()))
    store.accept(entry(2))
    with pytest.raises(QueueFull):
        store.accept(entry(3))


def test_what_failed_does_not_count(open_store):
    store = open_store(queue=2)
    taken = delivery(1)
    store.accept(entry(1, taken))
    for _ in range(3):
        with pytest.raises(DeliveryStoreError):
            store.accept(entry(1, delivery(1)))
    store.accept(entry(2))


def test_P09_when_there_is_no_space_nothing_is_accepted_and_work_goes_on(open_store):
    store = open_store(bytes=210_000)
    accepted = []
    with pytest.raises(QueueFull, match="max_store"):
        for seq in range(1, 100):
            store.accept(Entry(message(seq, body=b"x" * 10_000), (delivery(seq),)))
            accepted.append(seq)
    (first,) = store.due(NOW, 1)
    store.begin(first.id, first.due_ms)
    store.finish(Finished(replace(first, state=State.SUCCEEDED, done_ms=NOW), attempt()))
    assert len(store.due(NOW, 100)) == len(accepted) - 1
    assert store.tidy(NOW + 1, 0, 0) == 2, "the delivery and its message"
    store.accept(Entry(message(1000, body=b"x" * 1000), ()))


def test_what_ended_long_ago_is_removed_and_what_is_owed_is_not(store):
    for seq, state, done in [(1, State.SUCCEEDED, NOW), (2, State.DEAD, NOW), (3, State.SCHEDULED, 0)]:
        store.accept(entry(seq, delivery(seq, state=state, done_ms=done)))
    assert store.tidy(NOW + 100, keep_succeeded_ms=50, keep_dead_ms=200) == 2
    assert sorted(m.seq for m in store.newest("", 10)) == [2, 3]
    assert store.tidy(NOW + 1000, keep_succeeded_ms=50, keep_dead_ms=200) == 2
    assert store.tidy(NOW + 1000, keep_succeeded_ms=50, keep_dead_ms=200) == 0
    assert [m.seq for m in store.newest("", 10)] == [3]


def test_D14_an_idempotency_key_is_remembered_with_its_entry(store, open_store):
    kept = Remembered("k", "print", '{"a": 1}', NOW)
    store.accept(entry(1, remembered=kept))
    store.close()
    store = open_store()
    assert store.recall("k", NOW) == kept
    assert store.recall("k", NOW + 1) is None
    assert store.recall("other", 0) is None


def test_messages_of_a_topic_are_read_in_order_by_number(store):
    for seq in range(1, 8):
        store.accept(Entry(message(seq, "news" if seq % 2 else "sport")))
    assert [m.seq for m in store.messages("news", 1)] == [3, 5, 7]
    assert [m.seq for m in store.messages("news", 0, limit=2)] == [1, 3]
    assert [m.seq for m in store.messages("news", 1, until_seq=5)] == [3, 5]
    assert [m.seq for m in store.newest("sport", 2)] == [6, 4]


def test_deliveries_are_found_by_what_is_known_of_them(store):
    store.keep_endpoint(endpoint("ep_1"))
    a = delivery(1, endpoint="ep_1", wishes=Wishes(tag="blue"), url="http://b.example/x")
    b = delivery(2, state=State.DEAD, reason="gone", done_ms=NOW, created_ms=NOW + 5)
    store.accept(Entry(message(1, "news"), (a,)))
    store.accept(Entry(message(2, "sport"), (b,)))
    found = {
        Search(): [b, a],
        Search(states=(State.DEAD, State.HELD)): [b],
        Search(reason="gone"): [b],
        Search(endpoint="ep_1"): [a],
        Search(topic="news"): [a],
        Search(tag="blue"): [a],
        Search(text="b.example"): [a],
        Search(text="blu"): [a],
        Search(since_ms=NOW + 1): [b],
        Search(until_ms=NOW): [a],
        Search(topic="news", states=(State.DEAD,)): [],
    }
    for search, expected in found.items():
        assert sorted(d.id for d in store.search(search)) == sorted(d.id for d in expected), search


def test_a_listing_is_continued_where_it_ended(store):
    store.accept(entry(1, *(delivery(1) for _ in range(5))))
    first = store.search(Search(limit=3))
    rest = store.search(Search(limit=3, before=first[-1].id))
    assert len({d.id for d in first + rest}) == 5


def test_endpoints_are_kept_changed_and_dropped(store, open_store):
    full = endpoint(
        "ep_2", filter={"a": {"$is": 1}}, secrets=(("new", 0), ("old", NOW)), headers=(("X", "1"),), rate=(5, 1.0),
        retry=(1.0, 2.0), ordered=True, first_failure_ms=NOW,
    )  # fmt: skip
    store.keep_endpoint(endpoint("ep_1"))
    store.keep_endpoint(full)
    store.keep_endpoint(endpoint("ep_1", state="disabled", state_reason="gone"))
    store.close()
    store = open_store()
    assert store.endpoints() == [endpoint("ep_1", state="disabled", state_reason="gone"), full]
    owed = delivery(1, endpoint="ep_2")
    store.accept(entry(1, owed))
    store.drop_endpoint("ep_2", NOW)
    assert store.delivery(owed.id).state is State.CANCELLED
    assert [e.id for e in store.endpoints()] == ["ep_1"]


def test_how_things_stand(store):
    store.accept(entry(1, delivery(1, NOW + 5), delivery(1, NOW + 3), delivery(1, state=State.HELD)))
    standing = store.standing()
    assert standing.states == {State.SCHEDULED: 2, State.HELD: 1}
    assert standing.oldest_due_ms == NOW + 3
    assert standing.bytes > 0


def test_P05_a_second_process_is_refused_with_the_pid_of_the_first(store, path):
    with pytest.raises(DeliveryStoreError, match=f"in use by pid {os.getpid()}"):
        SqliteStore(path)
    code = f"from hookbox.delivery.store.sqlite import SqliteStore; SqliteStore({path!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"in use by pid {os.getpid()}" in other.stderr


def test_the_file_is_readable_by_its_owner_alone(store, path):
    store.accept(entry(1))
    for name in (path, path + "-wal", path + ".lock"):
        assert os.stat(name).st_mode & 0o077 == 0, name


@pytest.mark.parametrize("damage", ["cut off", "overwritten", "no database"])
def test_P06_a_damaged_file_is_refused_and_left_as_it_is(open_store, path, damage):
    store = open_store()
    for seq in range(1, 60):
        store.accept(Entry(message(seq, body=b"x" * 2000), (delivery(seq),)))
    store.close()
    whole = Path(path).read_bytes()
    broken = {
        "cut off": whole[: len(whole) // 2],
        "overwritten": whole[:100] + b"\xff" * 3996 + whole[4096:],
        "no database": b"this is not a database, and never was one" * 100,
    }[damage]
    Path(path).write_bytes(broken)
    with pytest.raises(DeliveryStoreError):
        SqliteStore(path)
    assert Path(path).read_bytes() == broken


def test_F22_a_file_of_a_newer_hookbox_is_refused(open_store, path):
    open_store().close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DeliveryStoreError, match="newer Hookbox"):
        SqliteStore(path)


def test_after_a_crash_everything_answered_is_there(path, open_store):
    code = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from store_values import entry
from hookbox.delivery.store.sqlite import SqliteStore
store = SqliteStore({path!r})
for seq in range(1, 51):
    store.accept(entry(seq))
    print(seq, flush=True)
os.kill(os.getpid(), 9)
"""
    crashed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert crashed.stdout.split()[-1] == "50", crashed.stderr
    assert len(open_store().due(NOW, 100)) == 50


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(DeliveryStoreError, match="cannot be opened"):
        SqliteStore(str(tmp_path / "no" / "hookbox.db"))


def test_in_memory_it_works_the_same():
    store = SqliteStore(":memory:")
    store.accept(entry(1))
    assert len(store.due(NOW, 10)) == 1
    store.close()


def kept(store, *messages):
    for seq, offset, about in messages:
        store.accept(Entry(message(seq, **{"topic": "news", "epoch": "e1", "offset": offset, **about})))


def test_a_run_of_messages_is_told_without_reading_them(store):
    kept(store, (10, 1, {}), (20, 2, {}), (25, 1, {"topic": "sport"}), (30, 3, {}), (40, 5, {}), (50, 6, {"epoch": "e2"}))
    assert store.stretch("news", 10, 30) == Run("e1", 2, 3, True)
    assert store.stretch("news", 10, 29) == Run("e1", 2, 2, True)
    assert not store.stretch("news", 10, 40).consecutive
    assert not store.stretch("news", 39, 50).consecutive
    assert store.stretch("news", 50, 99) is None
    assert store.newest_numbers("news", 2) == [50, 40]
    assert store.newest_numbers("news", 2, 39) == [30, 20]
