"""Channels that Hookbox fetches for: what is fetched when, what is done with it, and when it ends."""

import logging

import pytest
from api_site import Rig
from gevent import pywsgi
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from hookbox.commands import polling
from hookbox.commands.polling import News, fetcher, pause, read_news
from hookbox.core.options import Polling
from hookbox.errors import UnusableAnswer


class Source:
    """What is fetched: a list of bodies, or errors, one after the other; the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.meanwhile = lambda: None

    def __call__(self, asked):
        self.asked.append(asked)
        self.meanwhile()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def fetch_from(monkeypatch):
    def begin(*answers):
        source = Source(*answers)
        monkeypatch.setattr(polling, "fetcher", lambda site: source)
        return source

    return begin


FAILURE = UnusableAnswer("status 500")


def poll(rig, mode="simple", **more):
    seat = rig.user("alice")
    rig.channel("c", polling={"mode": mode, "url": "http://x/", "interval": 10, **more})
    rig.form("subscribe", channel_name="c", name="alice")
    return seat


def test_simple_publishes_json_as_such_and_anything_else_as_a_string(rig, fetch_from):
    source = fetch_from(b'{"a": 1}', b" 7 ", "naïf".encode(), b"\xff", b"")
    alice = poll(rig)
    rig.later.pass_time(40)
    assert alice.payloads == [{"a": 1}, 7, "naïf", "\ufffd", ""]
    assert len(source.asked) == 5
    assert rig.gate.asked == [], "the application is not asked"


@pytest.mark.parametrize(("given_one", "shown"), [({}, ""), ({"originator": "robot"}, "robot")])
def test_the_originator_is_as_set_and_empty_otherwise(rig, fetch_from, given_one, shown):
    fetch_from(b"1")
    alice = poll(rig, **given_one)
    rig.later.pass_time()
    assert alice.outbox.named("PUBLISH")[0]["user"] == shown


def test_the_first_fetch_is_at_once_and_then_one_every_interval(rig, fetch_from):
    source = fetch_from(b"1")
    poll(rig, interval=4)
    rig.later.pass_time()
    assert len(source.asked) == 1
    rig.later.pass_time(3.9)
    assert len(source.asked) == 1
    rig.later.pass_time(8.1)
    assert len(source.asked) == 4


def test_failures_double_the_pause_and_a_success_ends_that(rig, fetch_from, complaints):
    source = fetch_from(FAILURE, FAILURE, FAILURE, b"1")
    alice = poll(rig)
    for wait, count in ((0, 1), (20, 2), (40, 3), (79, 3), (1, 4), (10, 5)):
        rig.later.pass_time(wait)
        assert len(source.asked) == count
    assert alice.payloads == [1, 1]
    assert len(complaints()) == 3
    assert "channel c failed" in complaints()[0]


@given(st.floats(0.1, 86_400), st.integers(0, 10_000))
def test_a_pause_is_never_shorter_than_the_interval_and_never_above_the_limit(interval, failures):
    seconds = pause(interval, failures)
    assert interval <= seconds <= max(300, interval)
    assert seconds == interval or failures
    assert pause(interval, failures + 1) >= seconds


def test_persistent_publishes_and_applies_options(rig, fetch_from):
    source = fetch_from(b'[true, {"payload": [1], "history_size": 2, "state": {"k": 1}}]', b"[true, {}]")
    alice = poll(rig, "persistent", form={"a": "b"})
    rig.later.pass_time(10)
    assert alice.payloads == [[1]], "an answer without a payload publishes nothing"
    assert alice.outbox.named("STATE_UPDATE")[0]["updates"] == {"k": 1}
    assert rig.site.hub.channels["c"].options.history_size == 2
    assert [asked.form for asked in source.asked] == [{"a": "b"}] * 2


def test_a_payload_of_null_is_published(rig, fetch_from):
    fetch_from(b'[true, {"payload": null}]')
    alice = poll(rig, "persistent")
    rig.later.pass_time()
    assert alice.payloads == [None]


@pytest.mark.parametrize(
    "body",
    [b"x", b"[]", b"[1, {}]", b"[true]", b"[true, []]", b'[false, {"error": "no"}]', b"{}",
     b'[true, {"payload": 1, "no_such": 1}]', b'[true, {"payload": 1, "history_size": "x"}]'],
)  # fmt: skip
def test_an_answer_that_cannot_be_used_publishes_and_changes_nothing(rig, fetch_from, body, complaints):
    source = fetch_from(body)
    alice = poll(rig, "persistent")
    rig.later.pass_time(20)
    assert alice.payloads == []
    assert len(source.asked) == 2
    assert len(complaints()) == 2
    assert rig.site.hub.channels["c"].options.polling.mode == "persistent"


def test_once_stops_after_its_answer(rig, fetch_from):
    source = fetch_from(FAILURE, b'[true, {"payload": 1}]')
    alice = poll(rig, "once")
    rig.later.pass_time(1000)
    assert alice.payloads == [1]
    assert len(source.asked) == 2, "a failure is not an answer"
    assert rig.site.hub.channels["c"].options.polling.mode == ""
    assert rig.later.waiting == []


@pytest.mark.parametrize(
    ("again", "due"),
    [('{"mode": "once"}', 10), ('{"interval": 5}', 5), ('{"mode": "persistent", "interval": 5}', 5)],
)
def test_once_goes_on_when_the_answer_says_so_and_not_in_a_hurry(rig, fetch_from, again, due):
    source = fetch_from(b'[true, {"payload": 1, "polling": ' + again.encode() + b"}]")
    poll(rig, "once")
    rig.later.pass_time(due - 0.1)
    assert len(source.asked) == 1
    rig.later.pass_time(0.1)
    assert len(source.asked) == 2


def test_an_answer_may_stop_the_polling(rig, fetch_from):
    source = fetch_from(b'[true, {"payload": 1, "polling": "off"}]')
    alice = poll(rig, "persistent")
    rig.later.pass_time(1000)
    assert (alice.payloads, len(source.asked), rig.later.waiting) == ([1], 1, [])


def test_other_options_begin_anew_and_the_old_ones_end(rig, fetch_from):
    source = fetch_from(b"1")
    poll(rig)
    rig.later.pass_time(5)
    assert (
        rig.json("set_channel_options", channel_name="c", polling={"url": "http://y/", "interval": 7}).result
        == {}
    )
    assert len(rig.later.waiting) == 1
    rig.later.pass_time(14)
    assert [asked.url for asked in source.asked] == ["http://x/", "http://y/", "http://y/", "http://y/"]
    assert rig.json("set_channel_options", channel_name="c", history_size=3).result == {}
    assert len(rig.later.waiting) == 1, "options that are not about polling change nothing"
    assert rig.json("set_channel_options", channel_name="c", polling="off").result == {}
    assert rig.later.waiting == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("destroy_channel", {}),
        ("set_channel_options", {"polling": "off"}),
        ("set_channel_options", {"polling": {"interval": 50}}),
    ],
)
def test_what_was_fetched_meanwhile_is_dropped(rig, fetch_from, method, params):
    source = fetch_from(b'"before"', b'"after"')
    alice = poll(rig)
    source.meanwhile = lambda: rig.json(method, channel_name="c", **params)
    rig.later.pass_time()
    goes_on = "interval" in str(params)
    assert alice.payloads == (["after"] if goes_on else [])
    assert len(rig.later.waiting) == goes_on


def test_a_new_channel_of_the_same_name_is_another_one(rig, fetch_from):
    source = fetch_from(b"1")
    poll(rig)

    def begin_anew():
        source.meanwhile = lambda: None
        rig.json("destroy_channel", channel_name="c")
        rig.channel("c", history_size=5)

    source.meanwhile = begin_anew
    rig.later.pass_time(100)
    assert len(source.asked) == 1
    assert len(rig.site.hub.channels["c"].history) == 0


def test_polling_ends_when_the_server_drains(rig, fetch_from):
    source = fetch_from(b"1")
    poll(rig)
    rig.later.pass_time()
    rig.site.draining = True
    rig.later.pass_time(100)
    assert (len(source.asked), rig.later.waiting) == (1, [])


def test_a_bug_in_one_fetch_is_not_the_end(rig, fetch_from, complaints):
    source = fetch_from(ZeroDivisionError(), b"1")
    alice = poll(rig)
    rig.later.pass_time(20)
    assert alice.payloads == [1]
    assert len(source.asked) == 2
    assert len(complaints()) == 1


@given(st.sampled_from(["simple", "persistent", "once"]), st.binary(max_size=40))
def test_any_body_is_news_or_unusable(mode, body):
    try:
        news = read_news(mode, body, 32)
    except UnusableAnswer:
        assert mode != "simple"
    else:
        assert isinstance(news, News)
        assert news.payload.isascii()


# over HTTP


class Site:
    """A real HTTP server that answers as told and remembers what it was asked."""

    def __init__(self):
        self.status, self.headers, self.body = "200 OK", [], b'"news"'
        self.asked = []
        self._server = pywsgi.WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/feed?x=1"

    def _answer(self, environ, start_response):
        body = environ["wsgi.input"].read()
        self.asked.append((environ, body))
        start_response(self.status, self.headers)
        return [self.body]

    def stop(self):
        self._server.stop(timeout=1)


@pytest.fixture
def web():
    web = Site()
    yield web
    web.stop()


def test_simple_gets_and_the_others_post_the_form(rig, web):
    fetch = fetcher(rig.site)
    assert fetch(Polling("simple", web.url, form={"a": "b"})) == b'"news"'
    assert fetch(Polling("persistent", web.url, form={"a": "b c"})) == b'"news"'
    (first, nothing), (second, form) = web.asked
    assert (first["REQUEST_METHOD"], nothing, first["QUERY_STRING"]) == ("GET", b"", "x=1")
    assert (second["REQUEST_METHOD"], form) == ("POST", b"a=b+c")
    assert second["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
    assert first["HTTP_USER_AGENT"].startswith("hookbox/")
    assert "HTTP_COOKIE" not in first


def test_A16_a_redirect_is_a_failure_and_is_not_followed(rig, web):
    other = Site()
    web.status, web.headers = "302 Found", [("Location", other.url)]
    with pytest.raises(UnusableAnswer, match="status 302"):
        fetcher(rig.site)(Polling("simple", web.url))
    assert other.asked == []
    other.stop()


def test_A16_cookies_are_not_kept(rig, web):
    web.headers = [("Set-Cookie", "sid=1; Path=/")]
    fetch = fetcher(rig.site)
    for _ in range(2):
        fetch(Polling("simple", web.url))
    assert not any("HTTP_COOKIE" in environ for environ, _ in web.asked)


def test_A16_the_environment_names_no_proxy(rig, web, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert fetcher(rig.site)(Polling("simple", web.url)) == b'"news"'


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content"])
def test_another_status_is_a_failure(rig, web, status):
    web.status, web.body = status, b""
    with pytest.raises(UnusableAnswer, match=status[:3]):
        fetcher(rig.site)(Polling("simple", web.url))


def test_F7_an_answer_above_the_limit_is_a_failure(web):
    rig = Rig(webhook_answer=100)
    web.body = b"x" * 101
    with pytest.raises(UnusableAnswer):
        fetcher(rig.site)(Polling("simple", web.url))


def test_F2_an_answer_that_does_not_come_is_a_failure(web):
    def late(environ, start_response):
        asked.wait()
        start_response("200 OK", [])
        return []

    rig, asked = Rig(webhook_timeout=0.1), Event()
    web._server.application = late
    with pytest.raises(UnusableAnswer):
        fetcher(rig.site)(Polling("simple", web.url))
    asked.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http:///x", "http://[", "http://a b/"])
def test_a_url_where_nobody_answers_is_a_failure(rig, url, caplog):
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(UnusableAnswer):
        fetcher(rig.site)(Polling("simple", url))
