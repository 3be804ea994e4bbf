"""What the store does when its disk, its file or another process does not play along."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest
from post_office import PostOffice
from store_values import NOW, delivery, entry, message

from hookbox.delivery.store.base import Entry
from hookbox.delivery.store.sqlite import Limits, SqliteStore
from hookbox.delivery.store.thread import CannotWrite
from hookbox.errors import DeliveryStoreError, QueueFull

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "hookbox.db")


@pytest.fixture
def store(path):
    store = SqliteStore(path)
    yield store
    store.close()


def large(seq):
    return Entry(message(seq, body=b"x" * 20_000), (delivery(seq), delivery(seq)))


def fill(store, accepted):
    """Accept until nothing more is."""
    while len(accepted) < 10_000:
        seq = len(accepted) + 1
        store.accept(large(seq))
        accepted.append(seq)


def assert_whole(store, accepted):
    """Everything that was accepted is there, and nothing else."""
    rows = store._thread.call(
        lambda db: db.execute(
            "SELECT m.seq, COUNT(d.id) FROM messages m LEFT JOIN deliveries d USING (seq) GROUP BY m.seq"
        ).fetchall()
    )
    assert rows == [(seq, 2) for seq in accepted]
    assert store._thread.call(lambda db: db.execute("PRAGMA quick_check").fetchall()) == [("ok",)]


def other_process(path, code, **about):
    """Another process with the file open; `db` is its connection."""
    program = f"import sqlite3, sys, time\ndb = sqlite3.connect({path!r}, isolation_level=None)\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **about
    )


def read_line(process):
    """What another process says next; only this greenlet waits."""
    return gevent.get_hub().threadpool.apply(process.stdout.readline)


# F20


def test_F20_a_full_database_takes_nothing_and_recovers(store):
    """SQLITE_FULL, as on a full disk."""
    (pages,) = store._thread.call(lambda db: db.execute("PRAGMA page_count").fetchone())
    store._thread.call(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 40}").fetchone())
    accepted = []
    with pytest.raises(QueueFull, match="SQLITE_FULL"):
        fill(store, accepted)
    assert "SQLITE_FULL" in store.fault
    assert_whole(store, accepted)
    assert "SQLITE_FULL" in store.fault, "that it can be read says nothing"
    store._thread.call(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
    store.probe()
    assert store.fault == ""
    store.accept(large(len(accepted) + 1))
    assert_whole(store, [*accepted, len(accepted) + 1])


FSIZE = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from test_store_faults import assert_whole, fill
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.errors import QueueFull
store = SqliteStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
accepted = []
try:
    fill(store, accepted)
except QueueFull as error:
    print(error, len(accepted))
assert store.fault
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert_whole(store, accepted)
store.probe()
assert not store.fault
store.close()
again = SqliteStore(sys.argv[1])
assert_whole(again, accepted)
again.close()
"""


def test_F20_an_error_of_the_disk_takes_nothing_and_recovers(path):
    """SQLITE_IOERR: the file must not grow."""
    ran = subprocess.run(
        [sys.executable, "-c", FSIZE, path, os.path.dirname(__file__)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "cannot be written" in ran.stdout


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("NOT TESTED: mounting a disk needs root")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("NOT TESTED: nothing can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_F20_a_full_disk_takes_nothing_and_recovers_when_there_is_space(small_disk):
    store = SqliteStore(str(small_disk / "hookbox.db"), Limits(free=0))
    accepted = []
    with pytest.raises(QueueFull):
        fill(store, accepted)
    assert store.fault
    assert_whole(store, accepted)
    (small_disk / "other").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    store.probe()
    assert store.fault == ""
    store.accept(large(len(accepted) + 1))
    assert_whole(store, [*accepted, len(accepted) + 1])
    store.close()


def test_F20_that_it_works_again_is_found_out_without_anybody_writing(tmp_path, complaints):
    office = PostOffice(path=str(tmp_path / "hookbox.db")).start()
    try:
        office.store._store.limits = Limits(free=2**62)
        with pytest.raises(QueueFull):
            office.accept()
        office.advance(20)
        assert "the disk has" in office.store.fault
        office.store._store.limits = Limits()
        office.advance(20)
        assert office.store.fault == ""
        assert complaints()[-1] == "the store accepts again"
    finally:
        office.close()


def test_that_more_was_published_than_is_kept_is_noted_as_soon_as_it_can_be(store, path):
    """Or a client would be told, after a crash, that it has everything."""
    store.accept(Entry(message(1, topic="news", epoch="e", whole=True), ()))
    holder = other_process(path, "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()")
    assert read_line(holder) == "held\n"
    store.broken("news", "e")
    with pytest.raises(CannotWrite):
        store.probe()
    holder.communicate("")
    (end,) = store.ends(10)
    assert end.whole, "it could not be written"
    store.repeat()
    (end,) = store.ends(10)
    assert not end.whole


# F21


def test_F21_while_another_process_holds_the_database_nobody_waits_longer_than_two_seconds(store, path):
    store.accept(entry(1))
    holder = other_process(path, "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()")
    assert read_line(holder) == "held\n"
    beats, waits = [], []
    began = time.monotonic()

    def beat():
        while True:
            gevent.sleep(0.05)
            beats.append(time.monotonic())

    def ask(seq):
        asked = time.monotonic()
        try:
            store.accept(entry(seq))
        except CannotWrite as error:
            waits.append((time.monotonic() - asked, str(error)))

    heart = gevent.spawn(beat)
    askers = [gevent.spawn(ask, seq) for seq in range(2, 30)]
    gevent.sleep(1)
    askers += [gevent.spawn(ask, seq) for seq in range(30, 40)]
    gevent.joinall(askers, timeout=20, raise_error=True)
    heart.kill()
    holder.communicate("")
    assert len(waits) == 38
    assert max(seconds for seconds, _ in waits) < 3.5, "two, and a machine that may be busy"
    assert all("locked" in text for _, text in waits)
    assert len(beats) > (time.monotonic() - began) / 0.05 / 4, "the loop went on"
    assert store.fault
    store.accept(entry(50))
    assert store.fault == ""
    assert sorted(each.seq for each in store.due(NOW, 100)) == [1, 50]


# F23


def test_F23_what_a_long_reader_keeps_from_being_put_away_is_put_away_after_it(store, path):
    store.limits = Limits(bytes=1024 * MIB, free=0)
    store.accept(entry(1))
    reader = other_process(
        path,
        "db.execute('BEGIN'); db.execute('SELECT COUNT(*) FROM messages').fetchall()\n"
        "print('reads', flush=True); sys.stdin.read()",
    )
    assert read_line(reader) == "reads\n"
    for seq in range(2, 72):
        store.accept(Entry(message(seq, body=b"x" * MIB), ()))
    assert store.standing().wal_bytes > 64 * MIB, "an alarm can be set on that"
    reader.communicate("")
    for seq in range(72, 78):
        store.accept(Entry(message(seq, body=b"x" * MIB), ()))
    assert store.standing().wal_bytes <= 64 * MIB


# F19


def test_F19_every_group_that_is_answered_was_synced(path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("NOT TESTED: strace is missing")
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from store_values import entry
from hookbox.delivery.store.sqlite import SqliteStore
store = SqliteStore({path!r})
before = store._thread.groups
for seq in range(1, 41):
    store.accept(entry(seq))
print(store._thread.groups - before, flush=True)
"""
    log = path + ".strace"
    traced = subprocess.run(
        [strace, "-f", "-o", log, "-e", "trace=fdatasync,fsync", sys.executable, "-c", code],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if "ptrace" in traced.stderr or not Path(log).exists():
        pytest.skip("NOT TESTED: nothing can be traced here")
    groups = int(traced.stdout)
    assert groups == 40, "one after the other"
    assert Path(log).read_text().count("sync(") >= groups


# WD-P03


def test_P03_killed_while_many_are_committed_together_only_those_are_there_that_may_be(path):
    """Everything that was answered is there; of the rest, whole or not at all."""
    code = f"""
import os, sys, gevent
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_store_faults import large
from hookbox.delivery.store.sqlite import SqliteStore
store = SqliteStore({path!r})
def accept(seq):
    store.accept(large(seq))
    os.write(1, b"%d\\n" % seq)
    if seq == 333:
        os.kill(os.getpid(), 9)
gevent.joinall([gevent.spawn(accept, seq) for seq in range(1, 1001)])
"""
    crashed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    answered = {int(line) for line in crashed.stdout.split()}
    assert 333 in answered, crashed.stderr
    store = SqliteStore(path)
    there = sorted(
        row[0] for row in store._thread.call(lambda db: db.execute("SELECT seq FROM messages").fetchall())
    )
    assert_whole(store, there)
    assert answered <= set(there)
    store.close()


def test_P06_a_damaged_file_stays_as_it_is_and_says_so_in_one_line(path):
    Path(path).write_bytes(b"this is not a database, and never was one" * 100)
    with pytest.raises(DeliveryStoreError) as refused:
        SqliteStore(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(path).execute("SELECT * FROM sqlite_master")
