"""The backlog over its calls: what was accepted, what became of it, and having it again."""

import json

import pytest
from backlog_calls import Backroom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from post_office import URL, answer

from hookbox.delivery.egress import Mode
from hookbox.delivery.models import TELLING, Source, State

OTHER = "http://other.example/"
NEW = "http://new.example/in"


@pytest.fixture
def open_room():
    opened = []

    def open_room(**about):
        opened.append(Backroom(**{"schedule": (1.0,), "breaker": 0, **about}))
        return opened[-1]

    yield open_room
    for room in opened:
        room.close()


@pytest.fixture
def room(open_room):
    return open_room()


def ids(listing):
    return [each["id"] for each in listing]


def bodies(room, url):
    return [sent.body for sent in room.post.receivers.to(url)]


# who may call


def test_only_who_shows_the_token_may_call(room):
    for path in ("/messages", "/deliveries", "/endpoints", "/stats"):
        refused = room.call("GET", path, token="wrong")
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json["error"] == "bad_token"
    assert room.call("GET", "/messages", token=None).status == 401
    assert room.call("GET", "/messages", token="nobody").status == 403


def test_unknown_paths_are_404_and_wrong_methods_405_with_allow(room):
    assert room.call("GET", "/nothing").status == 404
    assert room.call("GET", "").status == 404
    wrong = room.call("PUT", "/endpoints/ep_1")
    assert wrong.status == 405
    assert set(wrong.headers["allow"].replace(" ", "").split(",")) >= {"GET", "PATCH", "DELETE"}
    assert room.call("DELETE", "/messages").status == 405


# messages


def test_B01_messages_are_listed_newest_first_by_cursor(room):
    names = room.publish("news", 5) + room.publish("sport", 2)
    assert [m["id"] for m in room.walk("/messages", "messages", limit=2)] == names[::-1]
    assert ids(room.walk("/messages", "messages", topic="sport")) == names[:4:-1]
    first = room.get("/messages", limit=3)
    room.publish("news", 1)  # what comes meanwhile does not shift what follows
    assert ids(room.get("/messages", limit=3, cursor=first["cursor"])["messages"]) == names[3:0:-1]


def test_B01_messages_are_found_by_time_and_text(room):
    early = room.publish("news", body="schön €".encode())
    room.post.advance(3600)
    late = room.publish("news", type="user.created")
    since = room.post.now_ms / 1000 - 60
    assert ids(room.get("/messages", since=since)["messages"]) == late
    assert ids(room.get("/messages", until=since)["messages"]) == early
    assert ids(room.get("/messages", since="2024-11-20T12:00:00Z", until="2024-11-20T12:00:01Z")["messages"]) == early
    assert ids(room.get("/messages", q="hön €")["messages"]) == early
    assert ids(room.get("/messages", q="user.cre")["messages"]) == late
    assert ids(room.get("/messages", q=early[0])["messages"]) == early
    assert room.get("/messages", q="nothing like this") == {"messages": [], "cursor": None}


def test_B01_a_search_among_many_stops_and_goes_on_with_a_cursor(room, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.store.looking.SEARCHED", 3)
    monkeypatch.setattr("hookbox.web.backlog.messages.MOST_STRETCHES", 2)
    wanted = room.publish("news", body=b"needle")
    room.publish("news", 20)
    first = room.get("/messages", q="needle")
    assert first["messages"] == []
    assert first["cursor"]
    assert ids(room.walk("/messages", "messages", q="needle")) == wanted


def test_a_message_is_shown_with_its_content_and_deliveries(room):
    name = room.post.accepted(URL, OTHER, about={"topic": "news", "type": "made", "originator": "ann"}, tag="t1")
    (listed,) = room.get("/messages")["messages"]
    shown = room.get(f"/messages/{listed['id']}")
    assert (shown["body"], shown["content_type"], shown["topic"], shown["type"]) == ("hello", "text/plain", "news", "made")
    assert shown["originator"] == "ann"
    assert shown["time"] == "2024-11-20T12:00:00.000Z"
    assert {each["id"]: each["state"] for each in shown["deliveries"]} == dict.fromkeys(name, "succeeded")
    assert "body" not in listed
    assert listed["size"] == 5


def test_a_body_that_is_not_text_is_shown_in_base64(room):
    (name,) = room.publish("news", body=b"\xff\x00")
    shown = room.get(f"/messages/{name}")
    assert shown["body_base64"] == "/wA="
    assert "body" not in shown


# sending again


def test_B04_a_message_is_sent_again_to_where_it_went_with_the_same_id(room):
    endpoint = room.post.endpoint(topics=("news",), url="http://endpoint.example/")
    room.post.accepted(URL, OTHER, headers=(("X-A", "1"),), expires_ms=room.post.now_ms + 1000)
    room.post.accepted(to=endpoint)
    name = room.get("/messages")["messages"][1]["id"]
    room.post.advance(3600)
    again = room.post_to(f"/messages/{name}/resend", 202)
    room.post.settle()
    assert again["message_id"] == name
    assert {each["url"] for each in again["deliveries"]} == {URL, OTHER}
    first, second = room.post.receivers.to(URL)
    assert dict(first.headers)["webhook-id"] == dict(second.headers)["webhook-id"] == name
    assert dict(first.headers)["hookbox-delivery"] != dict(second.headers)["hookbox-delivery"]
    assert dict(second.headers)["X-A"] == "1"
    # sent again once more, it goes to each destination once
    assert len(room.post_to(f"/messages/{name}/resend", 202)["deliveries"]) == 2


def test_B04_a_message_is_sent_to_another_url_or_endpoint(room):
    room.post.accepted()
    (name,) = ids(room.get("/messages")["messages"])
    secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    room.post_to(f"/messages/{name}/resend", 202, url=NEW, secret=secret)
    room.post.settle()
    (sent,) = room.post.receivers.to(NEW)
    assert "webhook-signature" in dict(sent.headers)
    endpoint = room.post.endpoint(url=OTHER, ordered=True)
    room.post_to(f"/messages/{name}/resend", 202, {"endpoint": endpoint.id})
    room.post.settle()
    assert bodies(room, OTHER) == [b"hello"]
    assert room.call("POST", f"/messages/{name}/resend", {"endpoint": "ep_none"}).status == 404
    both = room.call("POST", f"/messages/{name}/resend", {"endpoint": endpoint.id, "url": URL})
    assert (both.status, both.json["message"]) == (400, "either url or endpoint, not both")


def test_B04_a_copy_has_a_new_id_and_is_no_publication_of_its_topic(room):
    room.post.accepted(about={"topic": "news"})
    (name,) = ids(room.get("/messages")["messages"])
    again = room.post_to(f"/messages/{name}/resend", 202, new_id=1)
    room.post.settle()
    assert again["message_id"] != name
    first, second = (dict(sent.headers) for sent in room.post.receivers.to(URL))
    assert (first["webhook-id"], second["webhook-id"]) == (name, again["message_id"])
    assert first["hookbox-topic"] == second["hookbox-topic"] == "news"
    assert room.get(f"/messages/{again['message_id']}")["source"] == "resend"
    assert [message.id for message in room.post.store.messages("news", 0)] == [name]
    assert [message.id for message in room.post.store.newest("news", 5)] == [name]


def test_what_went_nowhere_or_to_too_many_is_not_sent_again_without_a_destination(room, monkeypatch):
    (name,) = room.publish("news")
    assert room.call("POST", f"/messages/{name}/resend").json["error"] == "no_destination"
    monkeypatch.setattr("hookbox.web.backlog.messages.MOST_RESENT", 1)
    room.post.accepted(URL, OTHER)
    (name,) = ids(room.get("/messages", limit=1)["messages"])
    assert room.call("POST", f"/messages/{name}/resend").status == 409


def test_what_belonged_to_a_deleted_endpoint_is_not_sent_again_without_it(room):
    endpoint = room.post.endpoint(state="paused")
    room.post.accepted(to=endpoint)
    (name,) = ids(room.get("/messages")["messages"])
    assert room.call("DELETE", f"/endpoints/{endpoint.id}").status == 200
    assert room.call("POST", f"/messages/{name}/resend").status == 409


def test_G01_where_deliveries_may_not_go_is_403_and_what_is_no_url_400(room):
    room.post.accepted()
    (name,) = ids(room.get("/messages")["messages"])
    room.publish("news")
    for path in (f"/messages/{name}/resend", "/topics/news/replay"):
        blocked = room.call("POST", path, {"url": "http://127.0.0.1/"})
        assert (blocked.status, blocked.json["error"]) == (403, "blocked")
        assert "loopback" in blocked.json["message"]
        for url in ("ftp://a/", "nonsense", "http://a\x00b/", "http://" + "a" * 2100, 7, ["http://a.example/"]):
            assert room.call("POST", path, {"url": url}).status == 400, url
        assert room.call("POST", path, {"url": NEW, "secret": "short"}).status == 400
    assert len(room.post.everything()) == 1


def test_a_policy_that_became_stricter_holds_for_what_is_sent_again(open_room):
    room = open_room(mode=Mode.INTERNAL)
    room.post.accepted("http://127.0.0.1:9/")
    (name,) = ids(room.get("/messages")["messages"])
    room.mode = Mode.PUBLIC
    assert room.call("POST", f"/messages/{name}/resend").status == 403


def test_L01_a_full_queue_takes_nothing_again(open_room):
    room = open_room(queue=2)
    room.post.receivers.answers(URL, 500)
    room.post.accepted()
    room.post.accepted()
    full = room.call("POST", f"/messages/{room.get('/messages')['messages'][0]['id']}/resend", {"new_id": 1})
    assert (full.status, full.headers["retry-after"]) == (503, "30")
    assert "max_queue" in full.json["message"]
    assert len(room.get("/messages")["messages"]) == 2


# deliveries


def test_B01_deliveries_are_listed_newest_first_and_filtered(room):
    room.post.receivers.answers(OTHER, 410)
    news = [room.post.accepted(URL, about={"topic": "news"}, tag="a") for _ in range(3)]
    room.post.advance(10)
    gone = room.post.accepted(OTHER, about={"topic": "sport", "type": "x"}, tag="b")
    assert sorted(ids(room.walk("/deliveries", "deliveries", limit=3))) == sorted([*news, gone])
    for query, expected in [
        ({"state": "dead"}, [gone]),
        ({"reason": "gone"}, [gone]),
        ({"topic": "sport"}, [gone]),
        ({"tag": "b"}, [gone]),
        ({"q": "other.ex"}, [gone]),
        ({"state": "succeeded,dead", "tag": "a"}, news),
        ({"tag": "a", "state": "undelivered"}, []),
        ({"message": room.get("/messages", topic="sport")["messages"][0]["id"]}, [gone]),
        ({"message": "msg_none"}, []),
        ({"endpoint": "ep_none"}, []),
        ({"until": "2024-11-20T11:59:59Z"}, []),
        ({"since": "2024-11-20T12:00:00Z", "until": "2024-11-20T12:00:05Z"}, news),
    ]:
        assert sorted(ids(room.walk("/deliveries", "deliveries", limit=2, **query))) == sorted(expected), query
    (shown,) = room.get("/deliveries", state="dead")["deliveries"]
    assert (shown["topic"], shown["type"], shown["url"], shown["last_status"]) == ("sport", "x", OTHER, 410)


def test_B01_a_filter_among_many_stops_and_goes_on_with_a_cursor(room, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.store.looking.LOOKED_AT", 3)
    monkeypatch.setattr("hookbox.web.backlog.deliveries.MOST_STRETCHES", 2)
    wanted = room.post.accepted(tag="needle")
    for _ in range(4):
        room.post.accepted(*[URL] * 5)
    assert ids(room.walk("/deliveries", "deliveries", tag="needle")) == [wanted]
    assert len(room.walk("/deliveries", "deliveries")) == 21


def test_B06_undelivered_is_what_is_held_dead_or_cancelled(room):
    room.post.receivers.answers(OTHER, 410)
    endpoint = room.post.endpoint(state="paused", url=NEW)
    held = room.post.accepted(to=endpoint)
    dead = room.post.accepted(OTHER)
    cancelled = room.post.accepted(delay=60)
    room.post_to(f"/deliveries/{cancelled}/cancel")
    room.post.accepted()
    room.post.accepted(delay=60)
    found = {each["id"]: (each["state"], each["reason"]) for each in room.get("/deliveries", state="undelivered")["deliveries"]}
    assert found == {held: ("held", None), dead: ("dead", "gone"), cancelled: ("cancelled", "operator")}


def test_what_is_undelivered_is_found_without_looking_at_the_rest(room):
    plan = room.post.store.run(
        lambda db: db.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM deliveries INDEXED BY deliveries_undelivered "
            "WHERE id < 'x' AND state IN ('dead', 'held', 'cancelled') ORDER BY id DESC"
        ).fetchall()
    )
    assert [row[3] for row in plan] == ["SEARCH deliveries USING INDEX deliveries_undelivered (id<?)"]


def test_a_delivery_is_shown_with_its_attempts_and_nothing_secret(room):
    room.post.receivers.answers("http://u:p@a.example/", answer(500, ("X-B", "2"), body=b"no"), 200)
    name = room.post.accepted(
        "http://u:p@a.example/", headers=(("Authorization", "Bearer x"), ("X-A", "1")), secrets=("s" * 20,), tag="t"
    )
    room.post.until_due(name)
    raw = room.call("GET", f"/deliveries/{name}")
    shown = raw.json
    assert (shown["state"], shown["attempts"], shown["failures"], shown["tag"]) == ("succeeded", 2, 1, "t")
    assert shown["url"] == "http://***@a.example/"
    assert shown["wishes"]["headers"] == [["Authorization", "***"], ["X-A", "1"]]
    assert shown["wishes"]["signed"] is True
    first, second = shown["attempts_made"]
    assert (first["n"], first["class"], first["status"], first["trigger"]) == (1, "http_500", 500, "schedule")
    assert (first["response"]["body"], first["response"]["headers"]) == ("no", [["X-B", "2"]])
    assert second["class"] == "ok"
    for secret in ("s" * 20, "u:p", "Bearer x"):
        assert secret.encode() not in raw.body


# trying again


def test_B02_a_delivery_is_tried_again_at_once_and_its_schedule_goes_on(room):
    room.post.receivers.answers(URL, 500)
    name = room.post.accepted()
    room.post.until_due(name)
    assert room.post.state(name) == ("dead", "exhausted")
    reply = room.call("POST", f"/deliveries/{name}/retry")
    assert (reply.status, reply.headers["location"]) == (202, f"/api/v1/deliveries/{name}")
    room.post.settle()
    assert room.post.state(name) == ("dead", "exhausted")
    assert [a["trigger"] for a in room.get(f"/deliveries/{name}")["attempts_made"]] == ["schedule", "schedule", "manual"]
    room.post_to(f"/deliveries/{name}/retry", 202, reset=1)
    room.post.settle()
    assert room.post.state(name) == "scheduled"


def test_B02_what_is_under_way_is_409(room):
    room.post.receivers.think(URL)
    name = room.post.accepted()
    busy = room.call("POST", f"/deliveries/{name}/retry")
    assert (busy.status, busy.json["error"]) == (409, "in_flight")
    room.post.receivers._doors[URL].set()
    assert room.call("POST", "/deliveries/dlv_none/retry").status == 404


def test_B02_a_paused_endpoint_is_tried_if_an_operator_wants_it(room):
    name = room.post.accepted(to=room.post.endpoint(state="disabled"))
    assert room.post.state(name) == "held"
    room.post_to(f"/deliveries/{name}/retry", 202)
    room.post.settle()
    assert room.post.state(name) == "succeeded"


def test_R13_cancelling_the_first_lets_an_ordered_endpoint_go_on(room):
    endpoint = room.post.endpoint(ordered=True)
    room.post.receivers.answers(URL, 500, 200)
    first = room.post.accepted(to=endpoint)
    second = room.post.accepted(to=endpoint)
    assert (room.post.state(first), room.post.state(second)) == ("scheduled", "waiting")
    assert room.post_to(f"/deliveries/{first}/cancel")["reason"] == "operator"
    room.post.settle()
    assert room.post.state(second) == "succeeded"
    over = room.call("POST", f"/deliveries/{first}/cancel")
    assert (over.status, over.json["message"]) == (409, "it is over: cancelled")
    assert room.call("POST", "/deliveries/dlv_none/cancel").status == 404


def test_B03_many_are_tried_again_spread_over_time(room):
    room.post.receivers.answers(URL, 410)
    names = [room.post.accepted(tag="a") for _ in range(5)]
    other = room.post.accepted(tag="b")
    alive = room.post.accepted("http://b.example/", tag="a")
    room.post.receivers.answers(URL, 200)
    job = room.post_to("/deliveries/retry", 202, since="2024-11-20T00:00:00Z", tag="a", rate=2)
    assert job["count"] == 5
    room.post.settle()
    assert sum(room.post.state(name) == "succeeded" for name in names) == 1
    room.post.pass_(1.01)
    assert sum(room.post.state(name) == "succeeded" for name in names) == 3
    progress = room.get(f"/jobs/{job['job']}")
    assert (progress["state"], progress["count"]) == ("running", 5)
    room.post.pass_(1.5)
    assert {room.post.state(name) for name in names} == {"succeeded"}
    assert (room.post.state(other), room.post.attempts(alive)) == (("dead", "gone"), ["ok"])
    done = room.get(f"/jobs/{job['job']}")
    assert (done["state"], done["done"], done["kind"]) == ("done", 5, "retry")
    assert done["ended"]
    assert ids(room.get("/jobs")["jobs"]) == [job["job"]]


def test_B03_what_was_delivered_meanwhile_is_not_sent_again(room):
    room.post.receivers.answers(URL, 410)
    names = [room.post.accepted() for _ in range(3)]
    room.post.receivers.answers(URL, 200)
    room.post_to("/deliveries/retry", 202, since=0, rate=1)
    room.post.settle()
    waiting = next(name for name in names if room.post.state(name) != "succeeded")
    room.post_to(f"/deliveries/{waiting}/retry", 202)
    room.post.settle()
    room.post.pass_(5)
    assert len(room.post.receivers.to(URL)) == 3 + 3


def test_B03_a_bulk_retry_goes_on_after_a_restart(room, tmp_path):
    room.post.receivers.answers(URL, 410)
    names = [room.post.accepted() for _ in range(6)]
    room.post.receivers.answers(URL, 200)
    job = room.post_to("/deliveries/retry", 202, since=0, rate=1)["job"]
    room.post.pass_(2.5)
    room.jobs.stop()
    assert room.get(f"/jobs/{job}")["state"] == "running"
    with room.post.restarted():
        pass
    room.open()
    room.post.pass_(10)
    assert {room.post.state(name) for name in names} == {"succeeded"}
    assert room.get(f"/jobs/{job}")["state"] == "done"
    assert len(room.post.receivers.to(URL)) <= 6 + 6 + 1  # at most the one of the last second twice


def test_B03_a_job_is_cancelled_and_only_so_many_run_at_once(room, monkeypatch):
    room.post.receivers.answers(URL, 410)
    for _ in range(3):
        room.post.accepted()
    monkeypatch.setattr("hookbox.delivery.jobs.MOST_RUNNING", 1)
    job = room.post_to("/deliveries/retry", 202, since=0, rate=0.1)["job"]
    room.post.settle()
    assert room.call("POST", "/deliveries/retry", {"since": 0}).status == 429
    assert room.call("POST", f"/jobs/{job}/cancel").status == 202
    room.post.settle()
    assert room.get(f"/jobs/{job}")["state"] == "cancelled"
    assert room.call("POST", f"/jobs/{job}/cancel").status == 409
    assert room.call("POST", "/jobs/job_none/cancel").status == 404
    assert room.call("GET", "/jobs/job_none").status == 404


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "since is required"),
        ({"since": 0, "state": "in_flight"}, "in_flight is under way"),
        ({"since": 0, "rate": 0}, "rate has to be a number"),
        ({"since": 0, "rate": "fast"}, "rate has to be a number"),
        ({"since": 0, "limit": 5}, "unknown parameter 'limit'"),
        ({"since": "yesterday"}, "since has to be a time"),
        ({"since": 0, "reset": "maybe"}, "reset has to be 1 or 0"),
    ],
)
def test_B03_a_bulk_retry_that_cannot_be_meant_is_refused(room, given, named):
    refused = room.call("POST", "/deliveries/retry", given)
    assert refused.status == 400
    assert named in refused.json["message"]


# replays


def test_B05_what_is_kept_of_a_topic_is_replayed_to_a_new_endpoint_in_order(room, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.store.looking.PAGE", 7)
    for n in range(30):
        room.publish("a/b ü", body=b"%d" % n)
        room.publish("other")
    endpoint = room.post.endpoint(url=NEW, ordered=True)
    job = room.post_to("/topics/a/b ü/replay", 202, {"endpoint": endpoint.id})
    assert job["count"] == 30
    room.post.settle()
    assert bodies(room, NEW) == [b"%d" % n for n in range(30)]
    done = room.get(f"/jobs/{job['job']}")
    assert (done["state"], done["done"], done["count"]) == ("done", 30, 30)


def test_B05_a_replay_to_a_url_is_limited_by_time_and_begins_in_order(room):
    room.publish("news", body=b"early")
    room.post.advance(60)
    since = room.post.now_ms / 1000
    for n in range(8):
        room.publish("news", body=b"%d" % n)
    until = room.post.now_ms / 1000
    room.post.advance(60)
    room.publish("news", body=b"late")
    job = room.post_to("/topics/news/replay", 202, {"url": NEW, "from": since, "to": until})
    assert job["count"] == 8
    room.post.settle()
    assert bodies(room, NEW) == [b"%d" % n for n in range(8)]


def test_B05_a_replay_goes_through_the_filter_and_is_held_while_the_endpoint_is(room):
    for n in range(4):
        room.publish("news", body=b"%d" % n, payload=json.dumps({"even": n % 2 == 0}))
    endpoint = room.post.endpoint(url=NEW, filter={"even": True}, state="paused")
    job = room.post_to("/topics/news/replay", 202, endpoint=endpoint.id)["job"]
    room.post.settle()
    assert room.get(f"/jobs/{job}")["done"] == 4
    assert [d["state"] for d in room.get("/deliveries", endpoint=endpoint.id)["deliveries"]] == ["held", "held"]
    room.post_to(f"/endpoints/{endpoint.id}/enable")
    room.post.settle()
    assert bodies(room, NEW) == [b"0", b"2"]


def test_B05_a_replay_waits_while_the_queue_is_half_full_and_loses_nothing(open_room, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.store.looking.PAGE", 4)
    room = open_room(queue=10)
    for n in range(20):
        room.publish("news", body=b"%d" % n)
    thinks = room.post.receivers.think(NEW)
    job = room.post_to("/topics/news/replay", 202, {"url": NEW})["job"]
    room.post.settle()
    assert room.get(f"/jobs/{job}")["done"] == 4
    room.post.accepted("http://new.example:8080/")  # there is room for what is new
    thinks.set()
    room.post.pass_(20)
    assert room.get(f"/jobs/{job}")["state"] == "done"
    assert bodies(room, NEW) == [b"%d" % n for n in range(20)]


def test_B05_a_replay_goes_on_after_a_restart_with_none_lost_and_none_twice(open_room, monkeypatch, tmp_path):
    monkeypatch.setattr("hookbox.delivery.store.looking.PAGE", 4)
    room = open_room(queue=10, path=str(tmp_path / "db"))
    for n in range(20):
        room.publish("news", body=b"%d" % n)
    room.post.receivers.think(NEW)
    job = room.post_to("/topics/news/replay", 202, {"url": NEW})["job"]
    room.post.settle()
    room.jobs._group.kill()  # as suddenly as a crash
    with room.post.restarted():
        room.post.store.close()
        room.post.opened.remove(room.post.store)
        room.post.open()
    room.open()
    room.post.pass_(60)
    assert room.get(f"/jobs/{job}")["state"] == "done"
    rows = room.walk("/deliveries", "deliveries", topic="news")
    assert len(rows) == 20 == len({row["message_id"] for row in rows})
    assert {row["state"] for row in rows} == {"succeeded"}


def test_B05_a_replay_to_an_endpoint_that_is_deleted_ends_and_says_so(open_room, monkeypatch):
    monkeypatch.setattr("hookbox.delivery.store.looking.PAGE", 4)
    room = open_room(queue=10)
    room.publish("news", 20)
    room.post.receivers.think(NEW)
    endpoint = room.post.endpoint(url=NEW)
    job = room.post_to("/topics/news/replay", 202, {"endpoint": endpoint.id})["job"]
    room.post.settle()
    room.call("DELETE", f"/endpoints/{endpoint.id}")
    room.post.receivers._doors[NEW].set()
    room.post.pass_(5)
    failed = room.get(f"/jobs/{job}")
    assert (failed["state"], failed["problem"]) == ("failed", f"the endpoint {endpoint.id} was deleted")


def test_B05_a_replay_needs_a_destination(room):
    assert "where to?" in room.call("POST", "/topics/news/replay").json["message"]
    assert room.call("POST", "/topics/news/replay", {"endpoint": "ep_none"}).status == 404
    job = room.post_to("/topics/empty/replay", 202, {"url": NEW})
    room.post.settle()
    assert job["count"] == 0
    assert room.get(f"/jobs/{job['job']}")["state"] == "done"


# numbers


def test_stats_tell_what_waits_and_for_whom(room):
    endpoint = room.post.endpoint(state="paused")
    room.post.accepted(to=endpoint)
    room.post.accepted(OTHER, delay=60)
    stats = room.get("/stats")
    assert stats["deliveries"]["held"] == stats["deliveries"]["scheduled"] == 1
    assert set(stats["deliveries"]) == set(State)
    assert stats["oldest_due"] == "2024-11-20T12:01:00.000Z"
    assert stats["endpoints"][endpoint.id] == {
        "state": "paused", "owed": {"scheduled": 0, "in_flight": 0, "waiting": 0, "held": 1}
    }  # fmt: skip
    assert stats["cursor"] is None


# hostile input

ODD = ["\x00", "x" * 5000, "'; DROP TABLE messages", "%", "é" * 200, "\u2028", "-1", "1e999", "[]", "null"]
PATHS = [
    "/messages", "/messages/{}", "/messages/{}/resend", "/deliveries", "/deliveries/{}", "/deliveries/{}/retry",
    "/deliveries/{}/cancel", "/deliveries/retry", "/topics/{}/replay", "/endpoints", "/endpoints/{}",
    "/endpoints/{}/enable", "/endpoints/{}/secret", "/endpoints/{}/test", "/subscriptions", "/subscriptions/{}", "/jobs/{}",
    "/stats",
]  # fmt: skip
NAMES = ["topic", "since", "until", "q", "limit", "cursor", "state", "endpoint", "url", "rate", "from", "secret", "grace"]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_L02_odd_values_are_never_an_error_of_ours(room, odd):
    for path in PATHS:
        for method in ("GET", "POST", "PATCH", "DELETE"):
            room.call(method, path.format(odd))
            for name in NAMES:
                room.call(method, path.format("x"), query={name: odd})
                if method == "POST":
                    room.call(method, path.format("x"), {name: odd})
    assert room.call("GET", "/messages").status == 200


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
    st.sampled_from(PATHS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=50),
    st.binary(max_size=200),
    st.sampled_from(["", "application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]),
)
def test_L02_any_request_has_an_answer_that_is_not_our_fault(room, method, path, part, query, body, kind):
    room.call(method, path.format(part), query=query.decode("latin-1"), body=body, CONTENT_TYPE=kind)


def test_L02_a_path_that_is_not_utf_8_and_a_body_that_is_too_large_are_refused(room):
    environ_path = "/messages/" + b"\xff".decode("latin-1")
    answered = []
    app = room.app
    app(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1" + environ_path, "QUERY_STRING": "", "HTTP_AUTHORIZATION": "Bearer s3cret"},
        lambda status, headers: answered.append(status),
    )
    assert answered == ["400 Bad Request"]
    assert room.call("POST", "/deliveries/retry", body=b"x" * 100_001).status == 413
    assert room.call("POST", "/endpoints", body=b"[" * 1000, CONTENT_TYPE="application/json").status == 400
    assert room.call("POST", "/endpoints", form={"url": NEW}).status == 415
    assert room.call("POST", "/endpoints", {"url": NEW}, query="a=1").status == 400


def test_what_the_application_is_told_shows_no_cookies_and_goes_nowhere_else(room):
    body = b'{"action": "disconnect", "fields": {"name": "ann"}, "cookies": "sid=1", "client_ip": ""}'
    about = {"content_type": TELLING, "source": Source.SYSTEM, "payload": '{"action": "disconnect"}'}
    room.post.accept("http://app.example/disconnect", about=about, body=body, delay=100)
    (message,) = room.get("/messages")["messages"]
    shown = room.get(f"/messages/{message['id']}")
    assert "sid=1" not in json.dumps(shown)
    assert shown["body"] == '{"action": "disconnect"}'
    assert room.post_to(f"/messages/{message['id']}/resend", 409)
