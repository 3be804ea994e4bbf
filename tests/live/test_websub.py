"""The hub over real sockets, with subscribers that are servers of their own."""

import hashlib
import hmac
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests
from subscriber import Subscriber, confirm

from hookbox.testing import DEADLINE, HookboxProcess

SECRET = "correct horse battery staple"
AUTH = {"Authorization": f"Bearer {HookboxProcess.TOKEN}"}
SETTINGS = {
    "egress": "internal",
    "hub": "any",
    "retry_schedule": "0.2,0.4",
    "hub_lease_min": 1,
    "cb_hub_subscribe": "hub_subscribe",
}


@pytest.fixture
def subscriber():
    with Subscriber() as made:
        yield made


@pytest.fixture
def page():
    """Somebody else's page that is a topic."""
    with Subscriber(lambda got: (200, {"Content-Type": "application/atom+xml"}, b"<feed/>")) as made:
        yield made


class Visitor:
    """Whoever sends requests to a Hookbox; its topics are its own, so that tests do not meet."""

    numbers = iter(range(10**6))

    def __init__(self, process):
        self.process = process
        self.url = process.url
        self.topic = f"news {next(self.numbers)}/\u00fc"
        self.topic_url = f"{self.url}/topic/{quote(self.topic, safe='')}"

    def post(self, path="/hub", headers=None, **parameters):
        fields = {name.replace("hub_", "hub.", 1): value for name, value in parameters.items()}
        return requests.post(self.url + path, data=fields, headers=headers, timeout=DEADLINE)

    def ask(self, callback, mode="subscribe", path="/hub", headers=None, **parameters):
        asked = {"hub_mode": mode, "hub_topic": self.topic_url, "hub_callback": callback, **parameters}
        return self.post(path, headers, **{name: value for name, value in asked.items() if value is not None})

    def subscribe(self, callback, **parameters):
        """Subscribe, and wait until that is so."""
        answer = self.ask(callback, hub_verify="sync", **parameters)
        assert answer.status_code == 204, (answer.status_code, answer.text)

    def publish(self, body=b"hello", content_type="text/plain", topic=None):
        answer = requests.post(
            f"{self.url}/dispatch",
            params={"_topic": self.topic if topic is None else topic},
            data=body,
            headers={**AUTH, "Content-Type": content_type},
            timeout=DEADLINE,
        )
        assert answer.status_code == 202, answer.text
        return answer.headers["Hookbox-Message-Id"]

    def get(self, path=None, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(
            self.topic_url if path is None else self.url + path, headers=names, timeout=DEADLINE
        )


@pytest.fixture
def hub(hookbox):
    return Visitor(hookbox)


def test_WD_H100_subscribing_and_being_told(hub, subscriber):
    answer = hub.ask(f"{subscriber.url}/cb", hub_lease_seconds="3600")
    assert (answer.status_code, answer.content) == (202, b"")
    (got,) = subscriber.wait("GET")
    assert [name for name, _ in got.pairs] == ["hub.mode", "hub.topic", "hub.challenge", "hub.lease_seconds"]
    assert got.query["hub.topic"] == hub.topic_url
    assert got.query["hub.lease_seconds"] == "3600"
    hub.subscribe(f"{subscriber.url}/cb")  # so it is subscribed for certain
    hub.ask(f"{subscriber.url}/cb")
    name = hub.publish(b'{"a": 1}', "application/json")
    (post,) = subscriber.wait("POST")
    assert (post.path, post.body) == ("/cb", b'{"a": 1}')
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Link"] == f'<{hub.url}/hub>; rel="hub", <{hub.topic_url}>; rel="self"'
    assert post.headers["webhook-id"] == name
    assert post.headers["hookbox-topic"] == quote(hub.topic, safe="")
    assert not [header for header in post.headers if "signature" in header.lower()]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_WD_H101_what_is_sent_is_signed(start, subscriber, algorithm):
    hub = Visitor(start(**SETTINGS, hub_signature=algorithm))
    hub.ask(f"{subscriber.url}/new", hub_secret=SECRET)
    subscriber.wait("GET")
    hub.subscribe(f"{subscriber.url}/old", hub_secret=SECRET)
    hub.publish(b'{"title":"hello"}')
    for path, name in (("/new", algorithm), ("/old", "sha1")):
        (post,) = subscriber.wait("POST", path=path)
        right = hmac.new(SECRET.encode(), post.body, name).hexdigest()
        assert post.headers["X-Hub-Signature"] == f"{name}={right}"
        assert post.headers["X-Hub-Signature-256"].startswith("sha256=ff372eb2")
        assert "webhook-signature" not in post.headers


def test_WD_H102_unknown_parameters_do_not_matter(hub, subscriber):
    assert hub.ask(f"{subscriber.url}/cb", foo="bar", hub_foo="bar").status_code == 202
    (got,) = subscriber.wait("GET")
    assert "foo" not in got.path


def test_WD_H103_H104_one_subscription_for_each_pair(hub, subscriber):
    callback = f"{subscriber.url}/cb"
    hub.subscribe(callback, hub_secret="old")
    hub.subscribe(callback, hub_secret="new")
    subscriber.answer = lambda got: (404, {}, b"") if got.method == "GET" else (200, {}, b"")
    assert hub.ask(callback, hub_verify="sync", hub_secret="third").status_code == 409
    hub.publish()
    (post,) = subscriber.wait("POST")
    assert post.headers["X-Hub-Signature"] == "sha1=" + hmac.new(b"new", b"hello", "sha1").hexdigest()
    subscriber.answer = confirm
    hub.subscribe(callback, mode="unsubscribe")
    hub.subscribe(f"{subscriber.url}/marker")
    hub.publish()
    subscriber.wait("POST", path="/marker")
    assert len(subscriber.of("POST", "/cb")) == 1


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain; charset=utf-8", "caf\u00e9\r\n".encode()),
        ("application/json", b'{"a":  [1, 2]}'),
        ("application/octet-stream", bytes(range(256))),
    ],
)
def test_WD_H105_H106_any_content_arrives_as_it_is(hub, subscriber, content_type, body):
    hub.subscribe(f"{subscriber.url}/cb")
    hub.publish(body, content_type)
    (post,) = subscriber.wait("POST")
    assert (post.headers["Content-Type"], post.body) == (content_type, body)


@pytest.mark.parametrize("code", [302, 404, 500])
def test_WD_H07_whoever_does_not_confirm_gets_nothing(hub, subscriber, code):
    subscriber.answer = lambda got: (
        code,
        {"Location": "/other"},
        got.query.get("hub.challenge", "").encode(),
    )
    assert hub.ask(f"{subscriber.url}/cb", hub_verify="sync").status_code == 409
    subscriber.answer = lambda got: (200, {}, b"<p>" + got.query.get("hub.challenge", "").encode())
    assert hub.ask(f"{subscriber.url}/cb", hub_verify="sync").status_code == 409
    subscriber.answer = confirm
    hub.subscribe(f"{subscriber.url}/marker")
    hub.publish()
    subscriber.wait("POST", path="/marker")
    assert not subscriber.of("POST", "/cb")
    assert not subscriber.of("GET", "/other")


def test_WD_H08_a_line_end_behind_the_challenge_is_fine(hub, subscriber):
    subscriber.answer = lambda got: (200, {}, got.query.get("hub.challenge", "").encode() + b"\r\n")
    hub.subscribe(f"{subscriber.url}/cb")


def test_WD_H09_the_callbacks_own_query_is_kept(hub, subscriber):
    callback = f"{subscriber.url}/cb?a=1&hub.mode=mine&b=%20x"
    hub.subscribe(callback)
    (got,) = subscriber.wait("GET")
    assert got.path.startswith("/cb?a=1&hub.mode=mine&b=%20x&hub.mode=subscribe&hub.topic=")
    hub.publish()
    (post,) = subscriber.wait("POST")
    assert post.path == "/cb?a=1&hub.mode=mine&b=%20x"


@pytest.mark.parametrize(
    "wrong",
    [
        {"hub_callback": None},
        {"hub_topic": None},
        {"hub_mode": None},
        {"hub_mode": "dance"},
        {"hub_callback": "nowhere"},
        {"hub_callback": "http://a.example/#x"},
        {"hub_secret": "x" * 200},
        {"hub_lease_seconds": "0"},
        {"hub_lease_seconds": "-1"},
        {"hub_lease_seconds": "abc"},
        {"hub_verify": "foo"},
    ],
)
def test_WD_H10_what_is_wrong_is_said_in_words(hub, wrong):
    asked = {"hub_mode": "subscribe", "hub_topic": "news", "hub_callback": "http://a.example/", **wrong}
    answer = hub.post(**{name: value for name, value in asked.items() if value is not None})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "hub." in answer.text


def test_WD_H10_other_ways_to_be_wrong(hub):
    body = "hub.mode=subscribe&hub.topic=news&hub.callback=http://a.example/"
    answer = requests.post(
        hub.url + "/hub", data=body, headers={"Content-Type": "application/json"}, timeout=DEADLINE
    )
    assert answer.status_code == 415
    assert hub.ask("http://10.255.255.1:22/").status_code == 202  # egress is internal here
    assert hub.ask("http://169.254.169.254/").status_code == 403
    assert hub.ask(f"{hub.url}/hub").status_code == 403


def test_WD_H11_leases_end(hub, subscriber):
    hub.subscribe(f"{subscriber.url}/cb", hub_lease_seconds="1")
    hub.subscribe(f"{subscriber.url}/marker")
    assert subscriber.of("GET")[0].query["hub.lease_seconds"] == "1"
    time.sleep(1.1)  # the time itself is what this is about
    hub.publish()
    subscriber.wait("POST", path="/marker")
    assert not subscriber.of("POST", "/cb")


def test_WD_H12_the_application_may_deny(hub, application, subscriber):
    application.answer("hub_subscribe", [False, {"error": "members only"}])
    assert hub.ask(f"{subscriber.url}/cb", hub_lease_seconds="3600").status_code == 202
    (got,) = subscriber.wait("GET")
    assert got.query == {"hub.mode": "denied", "hub.topic": hub.topic_url, "hub.reason": "members only"}
    form = application.wait_for("hub_subscribe")[-1].form
    assert (form["channel_name"], form["destination"]) == (hub.topic, hub.topic)
    assert (form["callback"], form["lease_seconds"]) == (f"{subscriber.url}/cb", "3600")
    application.answer("hub_subscribe", [True, {"lease_seconds": 60}])
    hub.subscribe(f"{subscriber.url}/cb", hub_lease_seconds="3600")
    assert subscriber.of("GET")[-1].query["hub.lease_seconds"] == "60"


def test_WD_H13_the_answer_does_not_wait_for_the_callback(hub):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert hub.ask(f"http://127.0.0.1:{nobody.getsockname()[1]}/").status_code == 202


def test_WD_H14_H15_failures_do_not_end_a_subscription_and_gone_does(hub, subscriber):
    answers = {"code": 404}
    subscriber.answer = lambda got: confirm(got) if got.method == "GET" else (answers["code"], {}, b"")
    hub.subscribe(f"{subscriber.url}/cb")
    hub.publish(b"1")
    subscriber.wait("POST", 3)  # and that is the end of its schedule
    answers["code"] = 410
    hub.publish(b"2")
    subscriber.wait("POST", 4)
    hub.subscribe(f"{subscriber.url}/marker")
    hub.publish(b"3")
    subscriber.wait("POST", path="/marker")
    assert [post.body for post in subscriber.of("POST", "/cb")] == [b"1", b"1", b"1", b"2"]


def test_WD_H16_pings_are_answered_in_any_case(hub):
    for names in ("hub.url", "hub.topic"):
        answer = requests.post(
            hub.url + "/hub",
            data=[("hub.mode", "publish"), (names, "a"), (names, "http://there.example/")],
            timeout=DEADLINE,
        )
        assert (answer.status_code, answer.content) == (204, b"")
    answer = hub.post(hub_mode="publish")
    assert answer.status_code == 400
    assert "hub.url or hub.topic" in answer.text


def test_WD_H17_pages_are_fetched_and_distributed(hub, subscriber, page):
    going = threading.Event()

    def slow(got):
        going.wait(DEADLINE)
        return 200, {"Content-Type": "application/atom+xml", "ETag": '"1"'}, b"<feed/>"

    page.answer = slow
    url = f"{page.url}/feed"
    assert hub.ask(f"{subscriber.url}/cb", hub_topic=url, hub_verify="sync").status_code == 204
    for _ in range(10):
        assert hub.post(hub_mode="publish", hub_url=url).status_code == 204
    page.wait("GET")
    going.set()
    (post,) = subscriber.wait("POST")
    assert post.body == b"<feed/>"
    assert f'<{url}>; rel="self"' in post.headers["Link"]
    page.wait("GET", 2)
    assert page.of("GET")[1].headers["If-None-Match"] == '"1"'
    assert re.fullmatch(
        r"hookbox/\S+ \(\+http://127.0.0.1:\d+; 1 subscribers\)", page.of("GET")[0].headers["User-Agent"]
    )
    page.answer = lambda got: (
        (302, {"Location": "/there"}, b"") if got.path == "/feed" else (200, {}, b"news")
    )
    assert hub.post(hub_mode="publish", hub_url=url).status_code == 204
    assert subscriber.wait("POST", 2)[1].body == b"news"
    assert len(page.of("GET")) == 4


def test_WD_H17_a_page_may_be_so_long(hub, subscriber, page):
    url = f"{page.url}/feed"
    page.answer = lambda got: (200, {}, b"x" * (1024 * 1024 + ("+" in got.path)))
    for path in ("/feed+", "/feed"):
        assert (
            hub.ask(f"{subscriber.url}{path}", hub_topic=page.url + path, hub_verify="sync").status_code
            == 204
        )
        hub.post(hub_mode="publish", hub_url=page.url + path)
    (post,) = subscriber.wait("POST", path="/feed")
    assert (post.path, len(post.body)) == ("/feed", 1024 * 1024)
    assert url


def test_WD_H17_a_hub_for_its_own_topics_has_no_business_with_others(start, subscriber, page):
    hub = Visitor(start(**{**SETTINGS, "hub": "own"}))
    answer = hub.ask(f"{subscriber.url}/cb", hub_topic=page.url)
    assert answer.status_code == 403
    assert f"{hub.url}/topic/" in answer.text
    assert hub.post(hub_mode="publish", hub_url=page.url).status_code == 403


def test_WD_H18_content_is_published_with_a_token(hub, subscriber):
    hub.subscribe(f"{subscriber.url}/cb")
    query = {"hub.mode": "publish", "hub.topic": hub.topic_url}
    body, kind = b' {"not": "tidied"}\n', "application/json"

    def publish(headers, **more):
        return requests.post(
            f"{hub.url}/hub",
            params=query | more,
            data=body,
            headers={"Content-Type": kind, **headers},
            timeout=DEADLINE,
        )

    assert publish({}).status_code == 401
    assert publish({"Authorization": "Bearer wrong"}).status_code == 401
    assert publish({**AUTH, "Hookbox-Hops": "5"}).status_code == 508
    answer = publish({**AUTH, "Hookbox-Hops": "2"})
    assert (answer.status_code, answer.content) == (204, b"")
    (post,) = subscriber.wait("POST")
    assert (post.body, post.headers["Content-Type"], post.headers["hookbox-hops"]) == (body, kind, "3")


def test_WD_H19_the_old_dialect(hub, subscriber, start):
    assert hub.ask(f"{subscriber.url}/cb", hub_verify="async", hub_verify_token="t").status_code == 202
    (got,) = subscriber.wait("GET")
    assert got.query["hub.verify_token"] == "t"
    hub.subscribe(f"{subscriber.url}/cb")
    subscriber.answer = lambda got: (404, {}, b"")
    assert hub.ask(f"{subscriber.url}/cb", hub_verify="sync").status_code == 409
    only = Visitor(start(**SETTINGS, hub_dialect="websub"))
    for verify in ("sync", "foo"):
        assert only.ask(f"{subscriber.url}/new", hub_verify=verify, hub_verify_token="t").status_code == 202
    assert "hub.verify_token" not in subscriber.wait("GET", 2, "/new")[0].query


def test_WD_H19_a_lease_for_ever_goes_on(start, subscriber):
    hub = Visitor(start(**SETTINGS, hub_lease_default=2))
    hub.subscribe(f"{subscriber.url}/cb")
    subscriber.wait("GET", 3)
    hub.publish()
    subscriber.wait("POST")


def test_WD_H20_the_old_paths_are_the_hubs_with_a_mode_and_the_apis_without(hub, subscriber):
    assert hub.ask(f"{subscriber.url}/cb", path="/subscribe", hub_verify="sync").status_code == 204
    assert hub.post("/publish", hub_mode="publish", hub_url="news").status_code == 204
    answer = requests.post(
        f"{hub.url}/publish?hub.mode=publish&hub.topic={quote(hub.topic)}",
        data=b"fat",
        headers={**AUTH, "Content-Type": "text/plain"},
        timeout=DEADLINE,
    )
    assert answer.status_code == 204
    assert subscriber.wait("POST")[0].body == b"fat"
    hub.process.api("create_channel", channel_name=hub.topic)
    answer = requests.post(
        hub.url + "/publish",
        data={"channel_name": hub.topic, "payload": '"hi"'},
        headers=AUTH,
        timeout=DEADLINE,
    )
    assert answer.json()[0] is True
    assert subscriber.wait("POST", 2)[1].body == b'"hi"'
    answer = requests.post(
        hub.url + "/subscribe", data={"channel_name": "x", "name": "nobody"}, headers=AUTH, timeout=DEADLINE
    )
    assert answer.json()[0] is False
    assert requests.get(hub.url + "/subscribe?hub.mode=subscribe", timeout=DEADLINE).status_code == 405


def test_WD_H21_discovery_with_a_stock_client(hub, subscriber):
    """Everything that a client knows beforehand is the topic's URL."""
    hub.publish(b"first")
    found = requests.get(hub.topic_url, headers=AUTH, timeout=DEADLINE)
    assert found.status_code == 200
    assert found.content == b"first"
    the_hub, itself = found.links["hub"]["url"], found.links["self"]["url"]
    asked = {
        "hub.mode": "subscribe",
        "hub.topic": itself,
        "hub.callback": f"{subscriber.url}/cb",
        "hub.secret": SECRET,
    }
    assert requests.post(the_hub, data=asked, timeout=DEADLINE).status_code == 202
    subscriber.wait("GET")
    hub.subscribe(f"{subscriber.url}/marker")
    hub.publish(b"second")
    subscriber.wait("POST", path="/marker")
    (post,) = subscriber.wait("POST", path="/cb")
    name, _, value = post.headers["X-Hub-Signature"].partition("=")
    assert hmac.compare_digest(value, hmac.new(SECRET.encode(), post.body, name).hexdigest())
    assert requests.utils.parse_header_links(post.headers["Link"])[1]["url"] == itself
    assert requests.get(itself, headers=AUTH, timeout=DEADLINE).content == b"second"


def test_WD_H21_a_topic_url(hub):
    empty = hub.get(**AUTH)
    assert (empty.status_code, empty.content) == (204, b"")
    assert empty.links["hub"]["url"] == f"{hub.url}/hub"
    assert empty.links["self"]["url"] == hub.topic_url
    hub.publish(b"one", "text/x-odd; a=b")
    hub.publish(b"two", "text/x-odd; a=b")
    found = hub.get(Accept="application/json", **AUTH)
    assert (found.status_code, found.content, found.headers["Content-Type"]) == (
        200,
        b"two",
        "text/x-odd; a=b",
    )
    assert re.fullmatch(r'"\d+"', found.headers["ETag"])
    assert found.headers["Last-Modified"].endswith("GMT")
    assert found.links["self"]["url"] == hub.topic_url
    assert "sandbox" in found.headers["Content-Security-Policy"]
    assert hub.get(If_None_Match=found.headers["ETag"], **AUTH).status_code == 304
    assert hub.get(If_None_Match='"1", W/' + found.headers["ETag"], **AUTH).status_code == 304
    head = requests.head(hub.topic_url, headers=AUTH, timeout=DEADLINE)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "3", b"")
    assert requests.post(hub.topic_url, headers=AUTH, timeout=DEADLINE).status_code == 405
    hub.process.api("create_channel", channel_name=hub.topic)
    hub.process.api("publish", channel_name=hub.topic, payload={"in": "memory"})
    found = hub.get(**AUTH)
    assert (found.content, found.headers["Content-Type"]) == (b'{"in": "memory"}', "application/json")
    assert hub.get("/topic/%24server", **AUTH).status_code == 404
    assert hub.get("/topic/%FF", **AUTH).status_code == 400


def test_a_topic_is_read_by_whom_the_application_lets_in(hub, application):
    hub.publish(b"one")
    assert hub.get(Authorization="Bearer wrong").status_code == 401
    assert hub.get(Cookie="user=ann").content == b"one"
    assert application.wait_for("connect")[-1].headers["cookie"] == "user=ann"
    assert application.wait_for("subscribe")[-1].form["channel_name"] == hub.topic
    application.answer("subscribe", [False, {"error": "not you"}])
    answer = hub.get(Cookie="user=ann")
    assert (answer.status_code, answer.text) == (403, "not you")
    application.answer("connect", [False, {}])
    assert hub.get().status_code == 403


def test_topics_of_an_open_hub_are_open(start, subscriber):
    hub = Visitor(start(**SETTINGS, hub_policy="open", stream_auth="token"))
    hub.process.app.answer("hub_subscribe", [False, {}])
    hub.subscribe(f"{subscriber.url}/cb")
    hub.publish()
    assert hub.get().content == b"hello"


def test_a_hub_may_want_a_token(start, subscriber):
    hub = Visitor(start(**SETTINGS, hub_policy="token", stream_auth="token"))
    assert hub.ask(f"{subscriber.url}/cb").status_code == 401
    assert hub.ask(f"{subscriber.url}/cb", headers=AUTH).status_code == 202
    assert hub.ask(f"{subscriber.url}/cb", _token=HookboxProcess.TOKEN).status_code == 202
    assert hub.get().status_code == 401


def test_a_hub_may_be_off(start, subscriber):
    hub = Visitor(start(**{**SETTINGS, "hub": "off"}))
    answer = hub.ask(f"{subscriber.url}/cb")
    assert answer.status_code == 404
    assert "off" in answer.text
    answer = hub.ask(f"{subscriber.url}/cb", path="/subscribe", headers=AUTH)
    assert answer.json()[0] is False


def test_the_hub_is_public_where_the_api_is_not(start, subscriber):
    process = start(**SETTINGS, web_api_port=0, public_url="http://hub.example/x")
    hub = Visitor(process)
    assert (
        hub.ask(f"{subscriber.url}/cb", hub_topic="news", path="/subscribe", hub_verify="sync").status_code
        == 204
    )
    assert hub.post("/publish", hub_mode="publish", hub_url="news").status_code == 204
    assert hub.post("/publish", channel_name="x", payload="1").status_code == 404
    assert hub.post("/hub", hub_mode="publish", hub_url="news").status_code == 204
    found = requests.get(f"{hub.url}/topic/news", headers=AUTH, timeout=DEADLINE)
    assert found.links["self"]["url"] == "http://hub.example/x/topic/news"


def test_the_hub_says_what_it_is(hub):
    answer = hub.get("/hub")
    assert (answer.status_code, answer.text.count("\n")) == (200, 1)
    assert requests.head(hub.url + "/hub", timeout=DEADLINE).status_code == 200
    assert hub.get("/hub?hub.mode=subscribe").status_code == 405
    assert requests.put(hub.url + "/hub", timeout=DEADLINE).status_code == 405


def test_WD_H22_P04_P11_a_crash_costs_nothing_that_was_acknowledged(start, subscriber, page, tmp_path):
    settings = {**SETTINGS, "store": str(tmp_path / "hookbox.db")}
    hub = Visitor(start(**settings))
    going = threading.Event()
    subscriber.answer = lambda got: (
        confirm(got) if "slow" not in got.path else (going.wait(DEADLINE), confirm(got))[1]
    )
    page.answer = lambda got: (going.wait(DEADLINE), (200, {}, b"news"))[1]
    hub.subscribe(f"{subscriber.url}/cb", hub_topic="news")
    hub.subscribe(f"{subscriber.url}/fed", hub_topic=page.url)
    assert hub.ask(f"{subscriber.url}/slow", hub_topic="news").status_code == 202
    assert hub.post(hub_mode="publish", hub_url=page.url).status_code == 204
    subscriber.wait("GET", path="/slow")
    page.wait("GET")
    hub.process.process.kill()
    hub.process.process.wait()
    going.set()
    again = Visitor(start(**settings))
    subscriber.wait("GET", 2, path="/slow")
    assert subscriber.wait("POST", path="/fed")[0].body == b"news"
    again.publish(topic="news")
    subscriber.wait("POST", path="/cb")


def test_WD_H23_a_flood_is_stopped(start, subscriber):
    hub = Visitor(start(**SETTINGS))
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda n: hub.ask(f"{subscriber.url}/{n}").status_code, range(90)))
    assert codes.count(202) in range(20, 70)
    assert codes.count(202) + codes.count(429) == 90
    answer = hub.ask(f"{subscriber.url}/once-more")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_browsers_of_a_channel_see_what_the_hub_publishes(hookbox, hub, subscriber):
    ann = hookbox.connect("ann")
    ann.subscribe(hub.topic)
    hub.subscribe(f"{subscriber.url}/cb")
    requests.post(
        f"{hub.url}/hub",
        params={"hub.mode": "publish", "hub.topic": hub.topic},
        data=b"[1, 2]",
        headers={**AUTH, "Content-Type": "application/json"},
        timeout=DEADLINE,
    )
    assert ann.expect("PUBLISH")["payload"] == [1, 2]
    ann.publish(hub.topic, {"from": "ann"})
    assert json.loads(subscriber.wait("POST", 2)[1].body) == {"from": "ann"}
    assert hashlib.sha256(subscriber.of("POST")[0].body).digest() == hashlib.sha256(b"[1, 2]").digest()


def test_a_successor_goes_on_with_subscriptions_and_with_what_is_under_way(start, subscriber, tmp_path):
    settings = {**SETTINGS, "store": str(tmp_path / "hookbox.db")}
    first = Visitor(start(**settings))
    going = threading.Event()
    subscriber.answer = lambda got: (
        confirm(got) if "slow" not in got.path else (going.wait(DEADLINE), confirm(got))[1]
    )
    first.subscribe(f"{subscriber.url}/cb", hub_topic="news")
    assert first.ask(f"{subscriber.url}/slow", hub_topic="news").status_code == 202
    subscriber.wait("GET", path="/slow")
    second = Visitor(start(**settings, port=first.process.port, replace=True))
    first.process.process.wait(DEADLINE)
    going.set()
    subscriber.wait("GET", 2, path="/slow")
    second.subscribe(f"{subscriber.url}/marker", hub_topic="news")
    second.publish(topic="news")
    subscriber.wait("POST", path="/cb")
    subscriber.wait("POST", path="/marker")
    assert second.url == first.url
