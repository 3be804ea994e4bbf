"""A database in a thread of its own: in order, in groups, and one failure is nobody else's."""

import sqlite3
import threading

import gevent
import pytest

from hookbox.delivery.store.thread import StoreThread
from hookbox.errors import DeliveryStoreError, NotFound, QueueFull


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "db")


@pytest.fixture
def thread(path):
    thread = StoreThread(lambda: connect(path))
    yield thread
    thread.close()


def connect(path, timeout=0.1):
    connection = sqlite3.connect(path, isolation_level=None, timeout=timeout)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    return connection


def put(value):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (value,)).lastrowid


def everything(connection):
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY rowid")]


def stored(path):
    with sqlite3.connect(path) as other:
        return everything(other)


def test_what_was_answered_is_committed(thread, path):
    assert thread.call(put("a")) == 1
    assert stored(path) == ["a"]


def test_it_is_another_thread(thread):
    assert thread.call(lambda connection: threading.get_ident()) != threading.get_ident()


def test_what_comes_at_once_shares_a_transaction_in_order(thread):
    hold = threading.Event()
    first = gevent.spawn(thread.call, lambda connection: hold.wait(10))
    gevent.sleep(0)
    others = [gevent.spawn(thread.call, put(number)) for number in range(40)]
    gevent.sleep(0)
    before = thread.groups
    hold.set()
    gevent.joinall([first, *others], timeout=10, raise_error=True)
    assert thread.call(everything) == list(range(40))
    assert thread.groups - before <= 4, "40 calls in a few transactions"


def test_a_call_that_fails_undoes_itself_and_nobody_else(thread):
    def half(connection):
        put("half")(connection)
        raise NotFound("whoever wrote this")

    calls = [put("a"), half, put("b"), lambda connection: connection.execute("nonsense")]
    greenlets = [gevent.spawn(thread.call, call) for call in calls]
    gevent.joinall(greenlets, timeout=10)
    assert [type(greenlet.exception) for greenlet in greenlets] == [
        type(None),
        NotFound,
        type(None),
        DeliveryStoreError,
    ]
    assert thread.call(everything) == ["a", "b"]


def test_whoever_fails_before_changing_anything_costs_the_others_nothing(thread):
    runs, undone = [], []
    thread.undone = lambda: undone.append(1)

    def refuse(connection):
        runs.append("refuse")
        raise NotFound("no")

    def good(connection):
        runs.append("good")
        put("a")(connection)

    calls = [gevent.spawn(thread.call, work) for work in (good, refuse, good)]
    gevent.joinall(calls)
    assert [type(call.exception) for call in calls] == [type(None), NotFound, type(None)]
    assert (sorted(runs), undone) == (["good", "good", "refuse"], [])
    assert thread.call(everything) == ["a", "a"]


def test_F21_while_another_process_has_locked_it_calls_fail_and_later_work_again(thread, path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DeliveryStoreError, match="SQLITE_BUSY"):
        thread.call(put("a"))
    other.execute("ROLLBACK")
    other.close()
    thread.call(put("b"))
    assert stored(path) == ["b"]


def test_F20_a_full_disk_is_said_and_survived(thread, path):
    (pages,) = thread.call(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    thread.call(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
    with pytest.raises(QueueFull, match="SQLITE_FULL"):
        for _ in range(10):
            thread.call(put("x" * 3000))
    before = len(stored(path))
    thread.call(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
    thread.call(put("small"))
    assert len(stored(path)) == before + 1


def test_a_database_that_does_not_open_is_told_to_who_opened_it(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        StoreThread(lambda: connect(str(tmp_path / "no" / "such" / "folder")))


def test_closing_finishes_what_was_called(path):
    thread = StoreThread(lambda: connect(path))
    greenlets = [gevent.spawn(thread.call, put(number)) for number in range(10)]
    gevent.sleep(0)
    thread.close()
    thread.close()
    gevent.joinall(greenlets, timeout=10, raise_error=True)
    assert stored(path) == list(range(10))
    with pytest.raises(DeliveryStoreError, match="closed"):
        thread.call(put("late"))


def test_Z8_the_loop_goes_on_while_the_database_works(thread):
    hold = threading.Event()
    waiting = gevent.spawn(thread.call, lambda connection: hold.wait(10))
    gevent.sleep(0.001)
    hold.set()  # by the loop that would be blocked
    assert waiting.get(timeout=10) is True
