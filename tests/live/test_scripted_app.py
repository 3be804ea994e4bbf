"""The scripted application offered for tests: each of its ways to answer, and not to."""

import gzip
import http.client
import socket
import threading
import time

import pytest
from conftest import eventually

from hookbox.testing import DEADLINE, Reply, ScriptedApp


@pytest.fixture
def app():
    app = ScriptedApp()
    yield app
    app.stop()


def ask(app, action="subscribe", timeout=DEADLINE):
    """Ask as Hookbox does; the answer and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=timeout)
    try:
        connection.request("POST", f"/hookbox/{action}", "channel_name=lobby", {"Cookie": "user=ann"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def ask_raw(app):
    """All that comes back until the end, head included."""
    with socket.create_connection(("127.0.0.1", app.port), DEADLINE) as sock:
        sock.sendall(b"POST /hookbox/subscribe HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def test_it_allows_everything_and_names_the_user_after_the_cookie(app):
    assert ask(app)[1] == b"[true, {}]"
    assert ask(app, "connect")[1] == b'[true, {"name": "ann"}]'
    (asked,) = app.questions("subscribe", channel_name="lobby")
    assert (asked.method, asked.headers["cookie"]) == ("POST", "user=ann")
    assert asked.at <= time.monotonic()


def test_it_answers_as_told_until_told_to_forget(app):
    app.refuse("subscribe", "full")
    app.answer("*", lambda asked: [True, {"asked": asked.action}])
    assert ask(app)[1] == b'[false, {"error": "full"}]'
    assert ask(app, "publish")[1] == b'[true, {"asked": "publish"}]'
    app.forget()
    assert ask(app)[1] == b"[true, {}]"
    assert len(app.asked) == 1


def test_it_never_answers(app):
    app.answer("subscribe", Reply.never())
    with pytest.raises(TimeoutError):
        ask(app, timeout=0.1)
    eventually(lambda: app._under_way == 0, what="the client that left is still waited for")


def test_it_hangs_up(app):
    app.answer("subscribe", Reply.hang_up())
    assert ask_raw(app) == b""


def test_it_answers_garbage(app):
    app.answer("subscribe", Reply.raw(b"SSH-2.0-garbage\r\n"))
    assert ask_raw(app) == b"SSH-2.0-garbage\r\n"


@pytest.mark.parametrize("from_body", [False, True])
def test_it_drips(app, from_body):
    app.answer("subscribe", Reply.drip(3, 0.01, from_body=from_body))
    began = time.monotonic()
    assert ask(app)[1] == b"[true, {}]"
    assert time.monotonic() - began > (0.03 if from_body else 0.1)


def test_a_drip_ends_with_its_client(app):
    app.answer("subscribe", Reply.drip(1, 60))
    with pytest.raises(TimeoutError):
        ask(app, timeout=0.1)
    eventually(lambda: app._under_way == 0)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_it_redirects(app, status):
    app.answer("subscribe", Reply.redirect("http://127.0.0.1:1/", status))
    answer, _ = ask(app)
    assert (answer.status, answer.headers["Location"]) == (status, "http://127.0.0.1:1/")


def test_it_records_what_follows_a_redirect(app):
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=DEADLINE)
    connection.request("GET", "/elsewhere")
    connection.getresponse().read()
    connection.close()
    assert [(asked.method, asked.action) for asked in app.asked] == [("GET", "elsewhere")]


def test_it_answers_much(app):
    app.answer("subscribe", Reply.huge(1_000_001))
    answer, body = ask(app)
    assert (answer.headers["Content-Length"], len(body)) == ("1000001", 1_000_001)


def test_it_answers_without_end(app):
    app.answer("subscribe", Reply.endless())
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=DEADLINE)
    connection.request("POST", "/hookbox/subscribe", "")
    assert len(connection.getresponse().read(5_000_000)) == 5_000_000
    connection.close()
    eventually(lambda: app._under_way == 0)


def test_it_answers_a_bomb(app):
    app.answer("subscribe", Reply.bomb(20_000_000))
    answer, body = ask(app)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < 20_000_000 / 900
    assert len(gzip.decompress(body)) == 20_000_000


def test_it_waits_for_an_event(app):
    go = threading.Event()
    app.answer("subscribe", Reply([True, {}], wait_for=go))
    with pytest.raises(TimeoutError):
        ask(app, timeout=0.1)
    go.set()
    assert ask(app)[1] == b"[true, {}]"


def test_it_counts_what_is_under_way_at_once(app):
    go = threading.Event()
    app.answer("subscribe", Reply([True, {}], wait_for=go))
    askers = [threading.Thread(target=ask, args=(app,)) for _ in range(5)]
    for asker in askers:
        asker.start()
    app.wait_for("subscribe", 5)
    go.set()
    for asker in askers:
        asker.join()
    assert (app.most_at_once, app.most_sockets, app.visits) == (5, 5, 5)
    eventually(lambda: not app._sockets)
    app.forget()
    ask(app)
    assert (app.most_at_once, app.most_sockets) == (1, 1)


def test_down_cuts_and_refuses_and_up_serves_again_on_the_same_port(app):
    app.answer("subscribe", Reply.never())
    failed = []

    def fail():
        with pytest.raises(OSError):
            ask(app)
        failed.append(True)

    asker = threading.Thread(target=fail)
    asker.start()
    app.wait_for("subscribe")
    app.down()
    app.down()
    asker.join(DEADLINE)
    assert failed
    with pytest.raises(ConnectionRefusedError):
        ask(app)
    app.up()
    app.up()
    app.forget()
    assert ask(app)[1] == b"[true, {}]"


def test_nobody_else_gets_the_port_while_it_is_down(app):
    app.down()
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", app.port))


def test_when_it_has_vanished_nobody_gets_a_word(app):
    app.vanish()
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", app.port), 0.3)
    app.up()
    assert ask(app)[1] == b"[true, {}]"


def test_waiting_in_vain_says_what_was_asked(app, monkeypatch):
    monkeypatch.setattr("hookbox.testing.app.DEADLINE", 0.05)
    ask(app, "publish")
    with pytest.raises(TimeoutError, match=r"subscribe was not asked 1 times, only \['publish'\]"):
        app.wait_for("subscribe")
