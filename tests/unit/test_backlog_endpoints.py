"""Registered endpoints over their calls: made, changed, held, released, tested, deleted."""

import json
import re

import pytest
from backlog_calls import Backroom
from store_values import endpoint as stored_endpoint

from hookbox.delivery.models import Kind
from hookbox.webhooks.signing import verify

URL = "http://hook.example/in"
WANTED = {"url": URL, "topics": ["news", "orders.*"]}
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


GONE = "http://gone.example/"


@pytest.fixture
def room():
    room = Backroom(schedule=(1.0,), breaker=0)
    yield room
    room.close()


def made(room, **about):
    return room.post_to("/endpoints", 201, {**WANTED, **about})


def to(room, name):
    """Accept something for an endpoint; returns its delivery."""
    return room.post.accepted(to=room.post.worker.endpoint(name))


def test_an_endpoint_is_made_with_a_secret_that_is_shown_once(room):
    endpoint = made(room)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", endpoint["secret"])
    assert (endpoint["url"], endpoint["topics"], endpoint["state"], endpoint["kind"]) == (
        URL, ["news", "orders.*"], "enabled", "registered",
    )  # fmt: skip
    again = room.call("GET", f"/endpoints/{endpoint['id']}")
    assert endpoint["secret"].encode() not in again.body
    assert again.json["secrets"] == [{"secret": "whsec_***", "raw": False, "valid_until": None}]
    assert again.json["owed"] == {"scheduled": 0, "in_flight": 0, "waiting": 0, "held": 0}
    to(room, endpoint["id"])
    (sent,) = room.post.receivers.to(URL)
    verify(sent.body, dict(sent.headers), endpoint["secret"], now=room.post.clock.now())


def test_an_endpoint_is_made_with_everything(room):
    endpoint = made(
        room, secret="sixteen bytes and more", filter={"a": {"$startswith": "J"}}, headers={"X-A": "1"}, ordered=True,
        rate="100/60", retry=[1, 2.5], timeout=20, errback="http://back.example/", description="D", tag="t",
        redirects="success",
    )  # fmt: skip
    assert endpoint["secret"] == "sixteen bytes and more"
    assert endpoint["secrets"] == [{"secret": "***", "raw": True, "valid_until": None}]
    for name, value in [
        ("filter", {"a": {"$startswith": "J"}}), ("headers", {"X-A": "1"}), ("ordered", True), ("rate", "100/60"),
        ("retry", [1.0, 2.5]), ("timeout", 20.0), ("errback", "http://back.example/"), ("description", "D"), ("tag", "t"),
        ("redirects", "success"),
    ]:  # fmt: skip
        assert endpoint[name] == value
    kept = room.post.store.endpoints()[0]
    assert (kept.rate, kept.retry, kept.redirects_succeed) == ((100, 60.0), (1.0, 2.5), True)
    other = made(room, retry="none", rate=None, filter=None)
    assert (other["retry"], other["rate"]) == ([], None)
    assert made(room, retry=2)["retry"] == [5.0, 300.0]


@pytest.mark.parametrize(
    ("about", "status", "named"),
    [
        ({"url": None}, 400, "url has to be"),
        ({"url": "http://127.0.0.1/"}, 403, "loopback"),
        ({"url": "http://a.example:22/"}, 403, "port 22"),
        ({"url": "http://2130706433/"}, 403, "is a number"),
        ({"url": "file:///etc/passwd"}, 400, "not an absolute"),
        ({"url": "http://" + "a" * 2048}, 400, "longer than 2048"),
        ({"errback": "http://10.0.0.1/"}, 403, "private"),
        ({"topics": []}, 400, '["**"] stands for every topic'),
        ({"topics": "news"}, 400, "topics has to be a list"),
        ({"topics": ["news*"]}, 400, "has to stand alone"),
        ({"topics": ["a"] * 101}, 400, "1 to 100 patterns"),
        ({"topics": [7]}, 400, "topics[0]"),
        ({"topics": ["\u0000"]}, 400, "control character"),
        ({"filter": []}, 400, "has to be an object"),
        ({"filter": {"a": {"$like": "x"}}}, 400, "$like is not available"),
        ({"secret": "short"}, 400, "secret"),
        ({"secret": 7}, 400, "secret has to be text"),
        ({"headers": {"Host": "x"}}, 400, "Host cannot be set"),
        ({"headers": {"X-A": "a\r\nb"}}, 400, "visible ASCII"),
        ({"headers": {f"X-{n}": "1" for n in range(33)}}, 400, "more than 32 headers"),
        ({"headers": ["X-A"]}, 400, "headers has to be an object"),
        ({"ordered": "yes"}, 400, "true or false"),
        ({"rate": "100"}, 400, "100/60"),
        ({"rate": "0/1"}, 400, "100/60"),
        ({"rate": 5}, 400, "100/60"),
        ({"retry": [-1]}, 400, "retry"),
        ({"retry": 51}, 400, "at most 50"),
        ({"retry": [1] * 51}, 400, "at most 50"),
        ({"retry": ["1"]}, 400, "retry has to be"),
        ({"retry": True}, 400, "retry has to be"),
        ({"timeout": 0.5}, 400, "from 1 to 60"),
        ({"timeout": 61}, 400, "from 1 to 60"),
        ({"description": "x" * 1001}, 400, "1000 characters"),
        ({"tag": "x" * 129}, 400, "128 characters"),
        ({"redirects": "follow"}, 400, "success or failure"),
        ({"topic": "news"}, 400, "unknown member 'topic'; did you mean topics"),
        ({"state": "paused"}, 400, "unknown member"),
    ],
)
def test_L01_a_member_that_cannot_be_used_is_refused_by_name(room, about, status, named):
    refused = room.call("POST", "/endpoints", {**WANTED, **about})
    assert refused.status == status
    assert named in refused.json["message"]
    endpoint = made(room)
    assert room.call("PATCH", f"/endpoints/{endpoint['id']}", about).status in (400, 403)
    assert len(room.post.store.endpoints()) == 1


@pytest.mark.parametrize("missing", ["url", "topics"])
def test_url_and_topics_are_required(room, missing):
    refused = room.call("POST", "/endpoints", {name: value for name, value in WANTED.items() if name != missing})
    assert (refused.status, refused.json["message"]) == (400, f"{missing} is required")


def test_an_endpoint_is_changed_member_by_member(room):
    name = made(room, tag="t", timeout=7)["id"]
    reply = room.call("PATCH", f"/endpoints/{name}", {"url": "http://moved.example/", "timeout": None})
    assert reply.status == 200
    assert (reply.json["url"], reply.json["timeout"], reply.json["tag"]) == ("http://moved.example/", None, "t")
    to(room, name)
    assert len(room.post.receivers.to("http://moved.example/")) == 1
    assert "by POST to" in room.call("PATCH", f"/endpoints/{name}", {"secret": SECRET}).json["message"]
    assert room.call("PATCH", "/endpoints/ep_none", {"tag": "x"}).status == 404


def test_endpoints_are_listed_by_cursor_and_filtered(room):
    names = [made(room, tag=f"t{n % 2}")["id"] for n in range(5)]
    room.post_to(f"/endpoints/{names[1]}/pause")
    assert sorted(e["id"] for e in room.walk("/endpoints", "endpoints", limit=2)) == sorted(names)
    assert {e["id"] for e in room.walk("/endpoints", "endpoints", limit=2, tag="t1")} == {names[1], names[3]}
    assert [e["id"] for e in room.get("/endpoints", state="paused")["endpoints"]] == [names[1]]
    assert room.call("GET", "/endpoints", query="state=off").status == 400


def test_a_deleted_endpoint_is_gone_and_what_was_owed_to_it_cancelled(room):
    name = made(room)["id"]
    room.post_to(f"/endpoints/{name}/pause")
    owed = to(room, name)
    assert room.call("DELETE", f"/endpoints/{name}").json == {"id": name, "deleted": True}
    assert room.post.state(owed) == ("cancelled", "endpoint deleted")
    assert room.call("GET", f"/endpoints/{name}").status == 404
    assert room.call("DELETE", f"/endpoints/{name}").status == 404


@pytest.mark.parametrize("how", ["disable", "pause"])
def test_R15_what_is_held_arrives_in_order_after_enabling(room, how):
    name = made(room, ordered=True)["id"]
    held = room.post_to(f"/endpoints/{name}/{how}", reason="maintenance")
    assert (held["state"], held["reason"]) == (f"{how}d", "maintenance")
    owed = [to(room, name) for _ in range(5)]
    assert {room.post.state(each) for each in owed} == {"held"}
    enabled = room.post_to(f"/endpoints/{name}/enable")
    room.post.settle()
    assert (enabled["state"], enabled["reason"], enabled["discarded"]) == ("enabled", None, 0)
    assert [dict(sent.headers)["hookbox-delivery"] for sent in room.post.receivers.to(URL)] == owed


def test_R15_what_is_held_is_discarded_when_that_is_wanted(room, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.store.backlog.PAGE", 2)
    name = made(room)["id"]
    room.post_to(f"/endpoints/{name}/disable")
    owed = [to(room, name) for _ in range(5)]
    enabled = room.call("POST", f"/endpoints/{name}/enable", query="discard=1")
    room.post.settle()
    assert enabled.json["discarded"] == 5
    assert {room.post.state(each) for each in owed} == {("cancelled", "discarded")}
    assert not room.post.receivers.to(URL)
    after = to(room, name)
    assert room.post.state(after) == "succeeded"


def test_disabling_and_enabling_are_told_to_the_errback(room):
    name = made(room, errback="http://back.example/")["id"]
    for how in ("pause", "enable", "disable", "enable"):
        room.post_to(f"/endpoints/{name}/{how}")
        room.post.settle()
    told = [json.loads(sent.body)["type"] for sent in room.post.receivers.to("http://back.example/")]
    assert told == ["endpoint.disabled", "endpoint.enabled"]


def test_S02_a_secret_is_rotated_with_grace(room):
    endpoint = made(room, secret=SECRET)
    name = endpoint["id"]
    rotated = room.post_to(f"/endpoints/{name}/secret", grace=60)
    assert rotated["secret"] != SECRET
    assert rotated["secrets"][1] == {"secret": "whsec_***", "raw": False, "valid_until": "2024-11-20T12:01:00.000Z"}
    to(room, name)
    headers = dict(room.post.receivers.to(URL)[-1].headers)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (SECRET, rotated["secret"]):
        verify(b"hello", headers, secret, now=room.post.clock.now())
    room.post.advance(61)
    to(room, name)
    assert len(dict(room.post.receivers.to(URL)[-1].headers)["webhook-signature"].split()) == 1


def test_S02_a_secret_is_given_and_the_old_one_ends_at_once(room):
    name = made(room)["id"]
    rotated = room.post_to(f"/endpoints/{name}/secret", 200, {"secret": SECRET, "grace": 0})
    assert (rotated["secret"], len(rotated["secrets"])) == (SECRET, 1)
    assert room.call("POST", f"/endpoints/{name}/secret", {"secret": SECRET}).status == 400
    in_query = room.call("POST", f"/endpoints/{name}/secret", query={"secret": SECRET})
    assert (in_query.status, "in the body" in in_query.json["message"]) == (400, True)
    for wrong in ({"grace": -1}, {"grace": 10**9}, {"secret": "short"}, {"secret": [1]}):
        assert room.call("POST", f"/endpoints/{name}/secret", wrong).status == 400


@pytest.mark.parametrize("state", ["enable", "pause", "disable"])
def test_a_test_message_is_sent_once_in_any_state(room, state):
    endpoint = made(room)
    name = endpoint["id"]
    room.post_to(f"/endpoints/{name}/{state}")
    room.post.receivers.answers(URL, 500)
    reply = room.call("POST", f"/endpoints/{name}/test")
    room.post.settle()
    assert reply.status == 202
    (sent,) = room.post.receivers.to(URL)
    assert json.loads(sent.body) == {
        "type": "endpoint.test", "timestamp": "2024-11-20T12:00:00.000Z", "data": {"endpoint_id": name},
    }  # fmt: skip
    verify(sent.body, dict(sent.headers), endpoint["secret"], now=room.post.clock.now())
    shown = room.get(f"/deliveries/{reply.json['id']}")
    assert (shown["state"], shown["reason"], shown["type"]) == ("dead", "exhausted", "endpoint.test")


# subscriptions


@pytest.fixture
def subscribed(room):
    """An endpoint that a subscriber made."""
    made = stored_endpoint("ep_sub", topics=("news",), kind=Kind.WEBSUB, lease_until_ms=room.post.now_ms + 60_000)
    room.post.worker.endpoint_changed(made)
    return room.post.worker.endpoint(made.id)


def test_subscriptions_are_listed_apart_and_ended_by_the_hub(room, subscribed):
    name = made(room)["id"]
    assert [s["id"] for s in room.get("/subscriptions")["subscriptions"]] == ["ep_sub"]
    assert room.get("/subscriptions", topic="other")["subscriptions"] == []
    assert [e["id"] for e in room.get("/endpoints")["endpoints"]] == [name]
    assert room.call("DELETE", "/endpoints/ep_sub").json["error"] == "subscription"
    assert room.call("PATCH", "/endpoints/ep_sub", {"tag": "x"}).status == 409
    assert room.call("DELETE", f"/subscriptions/{name}").status == 404
    assert room.call("DELETE", "/subscriptions/ep_sub").json == {"id": "ep_sub", "deleted": True}
    assert room.ended == [subscribed]


def test_below_a_prefix_the_place_of_what_was_made_is_below_it_too(room):
    made = {"url": "http://a.example/", "topics": ["news"]}
    reply = room.call("POST", "/endpoints", made, SCRIPT_NAME="/realtime")
    assert reply.headers["location"] == f"/realtime/api/v1/endpoints/{reply.json['id']}"


@pytest.mark.parametrize("kind", [Kind.REGISTERED, Kind.WEBSUB])
def test_nothing_is_sent_again_to_who_was_deleted_or_has_unsubscribed(room, kind):
    post = room.post
    gone = post.endpoint("ep_gone", url=GONE, kind=kind, lease_until_ms=post.now_ms + 10**9)
    post.receivers.answers(GONE, 200, 500)
    done = post.accepted(to=gone)
    failed = post.accepted(to=gone, retry=())
    post.worker.endpoint_dropped(gone.id)
    assert (post.state(done), post.state(failed)) == ("succeeded", ("dead", "exhausted"))
    sent = len(post.receivers.to(GONE))
    for name in (done, failed):
        message = room.get(f"/deliveries/{name}")["message_id"]
        for path, word in ((f"/messages/{message}/resend", "no_destination"), (f"/deliveries/{name}/retry", "endpoint_deleted")):
            refused = room.call("POST", path)
            assert (refused.status, refused.json["error"]) == (409, word)
    room.post_to("/deliveries/retry", 202, since=0)
    post.pass_(10)
    assert len(post.receivers.to(GONE)) == sent
    listed = room.get("/deliveries", endpoint=gone.id)["deliveries"]
    assert {each["id"] for each in listed} == {done, failed}
