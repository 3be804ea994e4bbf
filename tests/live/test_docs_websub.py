"""What the page on WebSub says, done as it stands there."""

import re
import subprocess
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
from doc_examples import SERVER, Page
from subscriber import Subscriber

from hookbox.testing import DEADLINE, HookboxProcess

CALLBACK = "https://reader.example/callback"
FEED = "https://blog.example/feed"


@pytest.fixture(scope="module")
def hookbox():
    with HookboxProcess(egress="internal", hub="any") as server:
        yield server


@pytest.fixture
def reader():
    with Subscriber() as made:
        yield made


def page(hookbox, tmp_path, callback=CALLBACK, feed=FEED):
    return Page("websub.md", tmp_path, **{SERVER: hookbox.url, CALLBACK: callback, FEED: feed})


def subscribe(hookbox, callback, topic="news"):
    """Subscribe with the secret of the page, and wait until that is so."""
    asked = {
        "hub.mode": "subscribe",
        "hub.topic": f"{hookbox.url}/topic/{topic}",
        "hub.callback": callback,
        "hub.secret": "correct-horse-battery-staple",
        "hub.verify": "sync",
    }
    assert requests.post(f"{hookbox.url}/hub", data=asked, timeout=DEADLINE).status_code == 204


@pytest.mark.parametrize("example", ["subscribe with curl", "discover with Python"])
def test_a_subscriber_asks_and_is_told(hookbox, tmp_path, reader, example):
    assert "202" in page(hookbox, tmp_path, f"{reader.url}/callback").run(example)
    (got,) = reader.wait("GET", path="/callback")
    assert got.query["hub.topic"] == f"{hookbox.url}/topic/news"
    subscribe(hookbox, f"{reader.url}/callback")
    assert "204" in page(hookbox, tmp_path).run("publish through the hub")
    (post,) = reader.wait("POST")
    assert post.body == b"It has happened."
    assert "X-Hub-Signature-256" in post.headers


def test_the_callback_in_Python_takes_what_is_signed_and_nothing_else(hookbox, tmp_path, reader):
    class Quiet(WSGIRequestHandler):
        def log_message(self, *args):
            pass

    scope = {}
    text = page(hookbox, tmp_path).write("receive with Python").read_text()
    exec(compile(text, "receive", "exec"), scope)
    server = make_server("127.0.0.1", 0, scope["callback"], handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/callback"
        assert requests.get(url, params={"hub.topic": "other", "hub.challenge": "x"}, timeout=DEADLINE).status_code == 404
        subscribe(hookbox, url)
        subscribe(hookbox, f"{reader.url}/marker")
        requests.post(url, data=b"forged", timeout=DEADLINE)
        page(hookbox, tmp_path).run("publish through the hub")
        until_seen(hookbox, url)
        assert scope["seen"] == [b"It has happened."]
    finally:
        server.shutdown()
        server.server_close()


def test_the_callback_in_PHP_takes_what_is_signed_and_nothing_else(hookbox, tmp_path, monkeypatch):
    news = tmp_path / "news"
    monkeypatch.setenv("NEWS_FILE", str(news))
    program = page(hookbox, tmp_path).command("receive with PHP")
    with subprocess.Popen([program[0], "-S", "127.0.0.1:0", program[1]], stderr=subprocess.PIPE, text=True) as php:
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+", php.stderr.readline())[0] + "/callback"
            threading.Thread(target=php.stderr.read, daemon=True).start()
            subscribe(hookbox, url)
            requests.post(url, data=b"forged", timeout=DEADLINE)
            page(hookbox, tmp_path).run("publish through the hub")
            until_seen(hookbox, url)
            assert news.read_bytes() == b"It has happened."
        finally:
            php.kill()


def until_seen(hookbox, url):
    """Wait until the newest delivery to a URL has ended well."""
    token = {"Authorization": f"Bearer {hookbox.TOKEN}"}
    for _ in range(1000):
        found = requests.get(f"{hookbox.url}/api/v1/deliveries", headers=token, timeout=DEADLINE).json()
        states = [each["state"] for each in found["deliveries"] if each["url"] == url]
        if states and states[0] == "succeeded":
            return
    raise AssertionError(found)


def test_a_page_is_pinged_fetched_and_sent_on(hookbox, tmp_path, reader):
    with Subscriber(lambda got: (200, {"Content-Type": "application/rss+xml"}, b"<rss/>")) as blog:
        asked = {"hub.mode": "subscribe", "hub.topic": f"{blog.url}/feed", "hub.callback": reader.url, "hub.verify": "sync"}
        assert requests.post(f"{hookbox.url}/hub", data=asked, timeout=DEADLINE).status_code == 204
        assert "204" in page(hookbox, tmp_path, feed=f"{blog.url}/feed").run("ping")
        (post,) = reader.wait("POST")
        assert (post.body, post.headers["Content-Type"]) == (b"<rss/>", "application/rss+xml")


def test_subscriptions_are_listed_and_ended_by_the_operator(hookbox, reader):
    subscribe(hookbox, f"{reader.url}/ended", "weather")
    token = {"Authorization": f"Bearer {hookbox.TOKEN}"}
    api = f"{hookbox.url}/api/v1/subscriptions"
    found = requests.get(api, params={"topic": "weather"}, headers=token, timeout=DEADLINE).json()["subscriptions"]
    (mine,) = [each for each in found if each["callback"] == f"{reader.url}/ended"]
    assert requests.delete(f"{api}/{mine['id']}", headers=token, timeout=DEADLINE).status_code == 200
    assert reader.wait("GET", 2)[1].query["hub.mode"] == "denied"
    assert requests.delete(f"{api}/{mine['id']}", headers=token, timeout=DEADLINE).status_code == 404
