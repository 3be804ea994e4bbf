"""What a server does when its store fails, is held by another, or is not what it should be; and when it is killed."""

import http.client
import os
import resource
import sqlite3
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hookbox.testing import DEADLINE, HookboxProcess

sys.path.append(str(Path(__file__).parents[1]))

from crash import Crashes

pytestmark = pytest.mark.usefixtures("cold")

NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def kept(app, tmp_path):
    """A server with a store on disk that may deliver to this machine."""
    with HookboxProcess(app, store=tmp_path / "hookbox.db", egress="internal") as process:
        yield process


def dispatch(hookbox, size=10):
    """Dispatch something that cannot be delivered; returns the status and Retry-After."""
    connection = http.client.HTTPConnection("127.0.0.1", hookbox.port, timeout=DEADLINE)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": f"Bearer {hookbox.TOKEN}",
    }
    try:
        connection.request(
            "POST", "/dispatch", urlencode({"_url": NOWHERE, "_delay": 1000, "n": "x" * size}), headers
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]
    finally:
        connection.close()


def ready(hookbox):
    with urllib.request.urlopen(f"{hookbox.url}/readyz", timeout=DEADLINE) as answer:
        return answer.read().decode().strip()


def eventually(what, seconds=DEADLINE * 3):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def rows(path, query):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def test_F18_a_kill_in_the_middle_loses_nothing_that_was_answered(tmp_path):
    crashes = Crashes(tmp_path, seed=18)
    try:
        crashes.round(400)
    finally:
        crashes.close()


def test_F20_a_disk_that_takes_nothing_stops_what_has_to_be_kept_and_nothing_else(kept, tmp_path):
    ann, bob = kept.subscribed("lobby", "ann", "bob")
    assert dispatch(kept) == (202, None)
    assert ready(kept) == "ready"
    limits = resource.prlimit(kept.process.pid, resource.RLIMIT_FSIZE)
    wal = os.path.getsize(tmp_path / "hookbox.db-wal")
    resource.prlimit(kept.process.pid, resource.RLIMIT_FSIZE, (wal + 50_000, limits[1]))
    answers = []
    while not answers or (answers[-1][0] == 202 and len(answers) < 200):
        answers.append(dispatch(kept, 5000))
    assert answers[-1] == (503, "30")
    assert ready(kept) == "degraded", "and 200, as live messages go on"
    ann.publish("lobby", "still here")
    assert bob.next_publication()["payload"] == "still here"
    assert kept.api("publish", channel_name="lobby", payload="api") is not None
    assert bob.next_publication()["payload"] == "api"
    resource.prlimit(kept.process.pid, resource.RLIMIT_FSIZE, limits)
    eventually(lambda: ready(kept) == "ready")
    assert dispatch(kept) == (202, None)
    accepted = sum(status == 202 for status, _ in answers) + 2
    counted = "SELECT COUNT(*), COUNT(d.id) FROM messages m LEFT JOIN deliveries d USING (seq) WHERE type = ''"
    assert rows(tmp_path / "hookbox.db", counted) == [(accepted, accepted)]


def test_F21_while_another_process_holds_the_store_live_messages_go_on(kept, tmp_path):
    ann, bob = kept.subscribed("lobby", "ann", "bob")
    assert dispatch(kept) == (202, None)
    other = sqlite3.connect(tmp_path / "hookbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    assert dispatch(kept) == (503, "5")
    assert time.monotonic() - began < 5, "two seconds, and a machine that may be busy"
    ann.publish("lobby", "still here")
    assert bob.next_publication()["payload"] == "still here"
    other.execute("ROLLBACK")
    other.close()
    assert dispatch(kept) == (202, None)


def refused_start(path, **flags):
    """What a server that does not start says; its status and last line."""
    with pytest.raises(RuntimeError, match="the server ended with status 1") as refused:
        HookboxProcess(store=path, **flags)
    text = str(refused.value)
    assert "Traceback" not in text
    return text


def test_P05_a_second_server_on_the_same_store_does_not_start(kept, tmp_path):
    said = refused_start(tmp_path / "hookbox.db")
    assert f"is in use by pid {kept.process.pid}" in said
    assert dispatch(kept) == (202, None)


@pytest.mark.parametrize("fault", ["corrupt", "cut-off", "newer"])
def test_F22_P06_a_store_that_cannot_be_used_stays_as_it_is(app, tmp_path, fault):
    path = tmp_path / "hookbox.db"
    with HookboxProcess(app, store=path) as hookbox:
        for _ in range(20):
            dispatch(hookbox, 5000)
        assert hookbox.stop() == 0
    content = path.read_bytes()
    if fault == "newer":
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
        content = path.read_bytes()
    else:
        content = content[:100] + b"\xff" * 5000 + content[5100:] if fault == "corrupt" else content[:50_000]
        path.write_bytes(content)
    said = refused_start(path)
    assert str(path) in said
    assert path.read_bytes() == content
