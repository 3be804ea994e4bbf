"""The application hears what has happened, whatever happens to it or to Hookbox: over real sockets and a real file."""

import sqlite3
import stat
import threading
import time
from contextlib import closing

import pytest

from hookbox.testing import DEADLINE, HookboxProcess, Reply

EVENTS = ("unsubscribe", "destroy_channel", "disconnect")
SOON = ",".join(["0.2"] * 20)


@pytest.fixture
def begin(app, tmp_path):
    """Starts a server on the same store and application as the one before."""
    running = []

    def begin(**settings):
        given = {"store": tmp_path / "hookbox.db", "leave_grace": 0, "retry_schedule": SOON, **settings}
        running.append(HookboxProcess(app, **given))
        return running[-1]

    yield begin
    for process in running:
        if process.process.poll() is None:
            process.kill()
        process._log.close()


def told(app, name):
    """What the application heard of a user, in order."""
    return [q.action for q in app.asked if name in (q.form.get("user"), q.form.get("name"))]


def owed(tmp_path):
    """What a store still has to do."""
    with closing(sqlite3.connect(tmp_path / "hookbox.db")) as db:
        return db.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state").fetchall()


@pytest.mark.parametrize("action", ["unsubscribe", "disconnect"])
def test_F18_who_left_before_a_kill_is_told_of_after_it_with_the_same_key(begin, app, action):
    first = begin()
    (ann,) = first.subscribed("lobby", "ann")
    heard = threading.Event()
    app.answer(action, lambda asked: heard.wait(DEADLINE) and [True, {}])
    ann.cut()
    (before,) = app.wait_for(action)
    first.kill()
    heard.set()
    app.forget()
    begin()
    (after,) = app.wait_for(action)
    assert after.headers["idempotency-key"] == before.headers["idempotency-key"]
    assert after.form == before.form
    app.wait_for("disconnect")
    assert told(app, "ann") == (["unsubscribe"] if action == "unsubscribe" else []) + ["disconnect"]


def test_F18_a_kill_while_the_application_is_down_loses_nobody(begin, app, tmp_path):
    first = begin()
    names = [f"user{n}" for n in range(20)]
    clients = first.subscribed("lobby", *names)
    app.down()
    for client in clients:
        client.cut()
    until = time.monotonic() + DEADLINE
    while sum(count for _, count in owed(tmp_path)) < 41:
        assert time.monotonic() < until
        time.sleep(0.02)
    first.kill()
    app.forget()
    app.up()
    begin()
    for name in names:
        app.wait_for("disconnect", name=name)
        assert told(app, name) == ["unsubscribe", "disconnect"]
    until = time.monotonic() + DEADLINE
    while owed(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.02)
    mode = stat.S_IMODE((tmp_path / "hookbox.db").stat().st_mode)
    assert mode == 0o600, "there are cookies in it"


def test_D12_an_application_that_comes_back_hears_everything_in_order(begin, app):
    hookbox = begin()
    app.answer("disconnect", Reply(status=500))
    for _ in range(3):
        (ann,) = hookbox.subscribed("lobby", "ann")
        ann.cut()
        app.wait_for("unsubscribe")
    app.wait_for("disconnect", count=2)
    hookbox.connect("bob").cut()
    app.wait_for("disconnect", name="bob")
    app.allow("disconnect")
    app.wait_for("unsubscribe", count=3)
    until = time.monotonic() + DEADLINE
    while hookbox.api("get_server_info")["counts"]["untold_events"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    heard = [q for q in app.asked if q.action in EVENTS and "ann" in q.form.values()]
    keys = list(dict.fromkeys((q.action, q.headers["idempotency-key"]) for q in heard))
    assert [action for action, _ in keys] == ["unsubscribe", "disconnect"] * 3
    order = [q.headers["idempotency-key"] for q in heard]
    assert order == sorted(order, key=[key for _, key in keys].index), "no later one before an earlier one"


def test_an_empty_channel_goes_once_the_application_that_was_down_is_back(begin, app):
    hookbox = begin()
    (ann,) = hookbox.subscribed("lobby", "ann")
    app.answer("destroy_channel", Reply(status=500))
    ann.cut()
    app.wait_for("destroy_channel", count=2)
    assert hookbox.api("get_server_info")["channels"]
    app.allow("destroy_channel")
    until = time.monotonic() + DEADLINE
    while hookbox.api("get_server_info")["channels"]:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_decisions_go_on_while_hundreds_leave_at_once(begin, app):
    hookbox = begin()
    clients = hookbox.subscribed("crowd", *[f"user{n}" for n in range(150)])
    ann = hookbox.connect("ann")
    app.answer("unsubscribe", lambda asked: time.sleep(0.05) or [True, {}])
    app.most_at_once = 0
    for client in clients:
        client.cut()
    app.wait_for("unsubscribe")
    took = []
    for number in range(20):
        begun = time.monotonic()
        ann.subscribe(f"room{number}")
        took.append(time.monotonic() - begun)
    assert sorted(took)[10] < 1, "an errand for each of them in front would be two seconds"
    assert hookbox.api("get_server_info")["counts"]["untold_events"] > 0, "they were not over by then"
    assert app.most_at_once <= 4 + 2
    app.wait_for("disconnect", count=150)


def test_P07_an_end_in_order_tells_first_what_can_be_told(begin, app, tmp_path):
    hookbox = begin()
    (ann,) = hookbox.subscribed("lobby", "ann")
    ann.cut()
    app.wait_for("unsubscribe")
    assert hookbox.stop() == 0
    assert told(app, "ann")[-2:] == ["unsubscribe", "disconnect"]
    assert owed(tmp_path) == []
