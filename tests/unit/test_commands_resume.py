"""A client that was cut off takes its place again, without the application being asked."""

import json

import pytest
from parts import House, errors

from hookbox.commands import administer
from hookbox.core.places import Places
from hookbox.errors import NotFound
from hookbox.protocol.disconnects import SLOW_CONSUMER, TOO_MANY_CONNECTIONS
from hookbox.webhooks.gate import Allow

FEATURES = ["ack", "recover", "close", "resume"]


def joined(house, name="ann", *channels, cookies="s=1", **args):
    """A client of today's kind, subscribed; and what it needs to take its place again."""
    client = house.client(cookies)
    client.connect(name, features=FEATURES, **args)
    connected = next(frame.args for frame in client.frames if frame.name == "CONNECTED")
    for channel in channels:
        client.send("SUBSCRIBE", channel_name=channel)
    client.frames.clear()
    return client, {"conn_id": connected["conn_id"], "key": connected["resume"]}


def back(house, ticket, name="ann", *, cookies="s=1", **args):
    """A new client with that ticket."""
    house.gate.asked.clear()
    client = house.client(cookies)
    client.connect(name, features=FEATURES, resume=ticket, **args)
    return client


def resumed(client):
    """Whether the client was let in without being asked about."""
    (connected,) = [frame for frame in client.frames if frame.name == "CONNECTED"]
    return connected.args.get("resumed") is True


def here(house, channel):
    """Where a channel stands, as a client says it."""
    position = house.site.broker.position(channel)
    return {"epoch": position.epoch, "offset": position.offset}


def test_within_the_grace_nobody_is_asked_and_nobody_is_told(house):
    house.gate.allow("create_channel", presenceful=True)
    bob = house.subscribed("lobby", "bob")
    ann, ticket = joined(house, "ann", "lobby")
    bob.take()
    seen = here(house, "lobby")
    ann.leave()
    house.advance(4.9)
    bob.publish("lobby", "missed")
    bob.take()
    again = back(house, ticket, since={"lobby": seen})
    house.advance(60)
    connected, subscribed = again.take()
    assert house.gate.asked == []
    assert bob.take() == []
    assert connected.args["name"] == "ann"
    assert connected.args["resumed"] is True
    assert connected.args["channels"] == ["lobby"]
    assert connected.args["conn_id"] == ticket["conn_id"]
    assert subscribed.args["recovered"] is True
    assert [publication["payload"] for publication in subscribed.args["missed"]] == ["missed"]
    bob.publish("lobby", "live")
    assert [frame.args["payload"] for frame in again.take()] == ["live"]


def test_a_place_can_be_taken_again_and_again(house):
    ann, ticket = joined(house, "ann", "lobby")
    for _ in range(3):
        ann.leave()
        house.advance(3)
        ann = back(house, ticket, since={})
        assert resumed(ann)
        assert ann.frames[0].args["resume"] == ticket["key"]
    assert house.site.counters.resumed == 3


def test_after_the_grace_the_application_is_asked(house):
    ann, ticket = joined(house, "ann", "lobby")
    ann.leave()
    house.advance(5.1)
    again = back(house, ticket)
    assert not resumed(again)
    assert len(house.gate.questions("connect")) == 1


def test_another_tab_does_not_make_a_place_last_longer(house):
    ann, ticket = joined(house, "ann", "lobby")
    house.connected("ann")
    ann.leave()
    house.advance(5.1)
    again = back(house, ticket)
    assert not resumed(again)
    assert len(house.gate.questions("connect")) == 1


@pytest.mark.parametrize(
    ("change", "cookies"),
    [
        ({"key": "A" * 43}, "s=1"),
        ({"key": ""}, "s=1"),
        ({"key": "é"}, "s=1"),
        ({"conn_id": "c2"}, "s=1"),
        ({"conn_id": "nobody"}, "s=1"),
        ({}, "s=2"),
        ({}, ""),
        ({}, "s=1; admin=1"),
    ],
)
def test_with_anything_else_than_the_same_key_and_cookies_the_application_is_asked(house, change, cookies):
    ann, ticket = joined(house, "ann", "lobby")
    joined(house, "bob", "lobby", cookies="s=2")
    ann.leave()
    again = back(house, ticket | change, cookies=cookies)
    assert not resumed(again)
    assert len(house.gate.questions("connect")) == 1


def test_the_order_of_cookies_does_not_matter_nor_who_sends_them(house):
    ann, ticket = joined(house, "ann", cookies="s=1; t=2")
    ann.leave()
    assert resumed(back(house, ticket, cookies="t=2", cookie_string="s=1"))


def test_only_the_cookie_that_is_forwarded_counts():
    house = House(cookie_identifier="s")
    ann, ticket = joined(house, "ann", cookies="s=1; analytics=7")
    ann.leave()
    assert resumed(back(house, ticket, cookies="s=1; analytics=8"))


def test_a_cookie_set_by_the_connect_webhook_belongs_to_the_session(house):
    house.gate.answer("connect", Allow({"name": "ann"}, ("s=2; Path=/",)))
    ann, ticket = joined(house, "ann", cookies="s=1")
    ann.leave()
    again = back(house, ticket, cookies="s=2")
    assert resumed(again)
    again.send("SUBSCRIBE", channel_name="lobby")
    assert house.gate.questions("subscribe")[0].cookies == "s=2"


def test_a_connection_that_the_server_still_thinks_open_makes_way(house):
    house.gate.allow("create_channel", presenceful=True)
    bob = house.subscribed("lobby", "bob")
    ann, ticket = joined(house, "ann", "lobby")
    bob.take()
    again = back(house, ticket, since={})
    assert resumed(again)
    assert ann.ended is not None
    assert not ann.ended.client_may_return
    assert len(house.hub.connections) == 2
    ann.leave()
    house.advance(60)
    bob.publish("lobby", 1)
    assert again.names() == ["CONNECTED", "SUBSCRIBE", "PUBLISH"]
    assert bob.names() == ["PUBLISH"], "nobody left and nobody came"
    assert ann.names() == ["CLOSE"]


def test_without_positions_traffic_waits_until_the_client_has_asked(house):
    bob = house.subscribed("lobby", "bob")
    ann, ticket = joined(house, "ann", "lobby")
    seen = here(house, "lobby")
    ann.leave()
    bob.publish("lobby", 1)
    again = back(house, ticket)
    bob.publish("lobby", 2)
    assert again.names() == ["CONNECTED", "SUBSCRIBE"]
    again.send("SUBSCRIBE", channel_name="lobby", since=seen)
    subscribed = again.take()[0]
    assert [publication["payload"] for publication in subscribed.args["missed"]] == [1, 2]
    assert {question.action for question in house.gate.asked} == {"publish"}


def test_positions_that_come_with_a_ticket_count_only_if_it_is_good(house):
    bob = house.subscribed("lobby", "bob")
    ann, ticket = joined(house, "ann", "lobby")
    seen = here(house, "lobby")
    house.connected("ann")
    ann.leave()
    bob.publish("lobby", 1)
    again = back(house, ticket | {"key": "wrong"}, since={"lobby": seen})
    assert again.frames[1].name == "SUBSCRIBE"
    assert "recovered" not in again.frames[1].args


def test_a_user_that_was_disconnected_by_the_application_cannot_resume(house):
    _, ticket = joined(house, "ann", "lobby")
    administer.disconnect_user(house.site, "ann")
    again = back(house, ticket)
    assert not resumed(again)


def test_nor_one_that_was_away_when_it_was_disconnected(house):
    ann, ticket = joined(house, "ann", "lobby")
    house.connected("ann")
    ann.leave()
    administer.disconnect_user(house.site, "ann")
    house.connected("ann")
    again = back(house, ticket)
    assert not resumed(again)


def test_nor_a_connection_that_was_away_when_it_was_disconnected(house):
    ann, ticket = joined(house, "ann", "lobby")
    ann.leave()
    administer.disconnect_connection(house.site, ticket["conn_id"])
    again = back(house, ticket)
    assert not resumed(again)
    with pytest.raises(NotFound):
        administer.disconnect_connection(house.site, "nobody")


def test_who_was_unsubscribed_meanwhile_is_so_after_resuming(house):
    ann, ticket = joined(house, "ann", "a", "b")
    ann.leave()
    tab = house.connected("ann")
    tab.send("UNSUBSCRIBE", channel_name="a")
    again = back(house, ticket, since={"a": here(house, "a"), "b": here(house, "b")})
    assert again.frames[0].args["channels"] == ["b"]
    assert [frame.args["channel_name"] for frame in again.frames[1:]] == ["b"]


def test_subscriptions_of_single_connections_come_back(house):
    house.gate.answer("connect", Allow({"name": "ann", "per_connection_subscriptions": True}))
    tab, _ = joined(house, "ann", "a")
    ann, ticket = joined(house, "ann", "b")
    ann.leave()
    again = back(house, ticket, since={})
    assert again.frames[0].args["channels"] == ["b"]
    again.take()
    tab.take()
    tab.publish("a", 1)
    tab.publish("b", 2)
    assert [f.args["payload"] for f in tab.take() if f.name == "PUBLISH"] == [1]
    assert [f.args["payload"] for f in again.take()] == [2]


def test_a_payload_the_application_put_in_place_comes_again(house):
    house.gate.answer("connect", Allow({"name": "ann", "override_payload": {"theme": "dark"}}))
    ann, ticket = joined(house, "ann")
    ann.leave()
    again = back(house, ticket)
    ann = again
    assert again.frames[0].args["payload"] == {"theme": "dark"}
    ann.leave()
    assert back(house, ticket).frames[0].args["payload"] == {"theme": "dark"}


def test_one_that_read_too_slowly_may_resume(house):
    ann, ticket = joined(house, "ann", "lobby")
    ann.close(SLOW_CONSUMER)
    assert resumed(back(house, ticket, since={"lobby": here(house, "lobby")}))


def test_the_limit_of_connections_holds_for_those_who_resume():
    house = House(connections_per_user=2)
    ann, ticket = joined(house, "ann")
    ann.leave()
    house.connected("ann", "ann")
    again = back(house, ticket)
    assert again.ended == TOO_MANY_CONNECTIONS


def test_one_place_is_taken_once(house):
    ann, ticket = joined(house, "ann")
    ann.leave()
    first = back(house, ticket)
    second = back(house, ticket)
    assert resumed(second)
    assert first.ended is not None
    assert len(house.hub.connections) == 1


def test_no_key_is_given_without_the_feature_or_without_a_grace(house):
    plain = house.client()
    plain.connect("ann", features=["ack"])
    assert "resume" not in plain.frames[0].args
    house = House(leave_grace=0)
    client = house.client()
    client.connect("ann", features=FEATURES)
    assert "resume" not in client.frames[0].args
    assert "resume" not in client.frames[0].args["features"]


@pytest.mark.parametrize(
    "ticket", [7, "x", [], {}, {"conn_id": "c1"}, {"conn_id": 1, "key": "x"}, {"conn_id": "c1", "key": None}]
)
def test_a_ticket_of_a_wrong_type_is_a_bad_frame(house, ticket):
    client = house.client()
    client.connect("ann", resume=ticket)
    assert errors(client.take()) == ["bad_frame"]
    assert house.gate.asked == []


def test_places_are_forgotten_in_time(house):
    for _ in range(50):
        ann, _ = joined(house, "ann")
        ann.leave()
    assert len(house.site.places) == 50
    house.advance(6)
    assert len(house.site.places) == 0


def test_a_key_of_one_server_is_worthless_at_another():
    assert Places(b"a").key("c1", "s=1") != Places(b"b").key("c1", "s=1")
    assert len(Places().key("c1", "s=1")) == 43, "256 bits"
    assert Places(b"a").key("c1", "2s=1") != Places(b"a").key("c12", "s=1")


# connecting in the same moment


def test_calls_of_one_browser_at_once_are_one_question(house):
    house.gate.answer("connect", Allow({"name": "ann"}, ("t=1; HttpOnly",)))
    go = house.gate.think("connect")
    tabs = [house.client("s=1") for _ in range(10)]
    waiting = [tab.sending("CONNECT", cookie_string="", payload='"hi"', features=FEATURES) for tab in tabs]
    other = house.client("s=2")
    waiting.append(other.sending("CONNECT", cookie_string="", payload='"hi"'))
    go.set()
    for greenlet in waiting:
        greenlet.get(timeout=5)
    assert len(house.gate.questions("connect")) == 2
    assert {tab.frames[0].args["conn_id"] for tab in tabs} == {tab.connection.id for tab in tabs}
    assert all(tab.connection.cookies == "s=1; t=1" for tab in tabs)
    assert len(house.hub.users["ann"].connections) == 11


@pytest.mark.parametrize(
    ("cookies", "payloads", "addresses"),
    [
        ("", ['"a"', '"a"'], ["192.0.2.1", "192.0.2.1"]),
        ("s=1", ['"a"', '"b"'], ["192.0.2.1", "192.0.2.1"]),
        ("s=1", ['"a"', '"a"'], ["192.0.2.1", "192.0.2.2"]),
    ],
    ids=["no session", "another payload", "another address"],
)
def test_whatever_the_answer_may_depend_on_is_asked_separately(house, cookies, payloads, addresses):
    go = house.gate.think("connect")
    waiting = [
        house.client(cookies, ip).sending("CONNECT", cookie_string="", payload=payload)
        for payload, ip in zip(payloads, addresses, strict=True)
    ]
    go.set()
    for greenlet in waiting:
        greenlet.get(timeout=5)
    assert len(house.gate.questions("connect")) == 2


def test_an_application_may_want_to_be_asked_about_each():
    house = House(connect_each=True)
    go = house.gate.think("connect")
    tabs = [house.client("s=1") for _ in range(3)]
    waiting = [tab.sending("CONNECT", cookie_string="", payload='"hi"') for tab in tabs]
    go.set()
    for greenlet in waiting:
        greenlet.get(timeout=5)
    asked = house.gate.questions("connect")
    assert {question.fields["conn_id"] for question in asked} == {tab.connection.id for tab in tabs}


def test_a_no_and_a_failure_are_shared_too(house):
    house.gate.refuse("connect", "log in first")
    go = house.gate.think("connect")
    tabs = [house.client("s=1") for _ in range(3)]
    waiting = [tab.sending("CONNECT", cookie_string="", payload='"hi"') for tab in tabs]
    go.set()
    for greenlet in waiting:
        greenlet.get(timeout=5)
    assert len(house.gate.asked) == 1
    assert all(errors(tab.take()) == ["denied"] for tab in tabs)


def test_users_without_a_name_stay_different_though_asked_about_once(house):
    house.gate.answer("connect", Allow({}))
    go = house.gate.think("connect")
    tabs = [house.client("s=1") for _ in range(3)]
    waiting = [tab.sending("CONNECT", cookie_string="", payload='"hi"') for tab in tabs]
    go.set()
    for greenlet in waiting:
        greenlet.get(timeout=5)
    names = {tab.frames[0].args["name"] for tab in tabs}
    assert len(names) == 3
    assert len(house.gate.asked) == 1


def test_the_one_who_asks_may_leave_while_others_wait_for_the_answer(house):
    house.gate.allow("connect", name="ann")
    go = house.gate.think("connect")
    first, second = house.client("s=1"), house.client("s=1")
    waiting = [tab.sending("CONNECT", cookie_string="", payload=json.dumps(1)) for tab in (first, second)]
    first.leave()
    go.set()
    for greenlet in waiting:
        greenlet.get(timeout=5)
    assert first.take() == []
    assert second.names() == ["CONNECTED"]


# queueing at the door


def test_F17_nobodys_grace_runs_out_in_the_queue(house):
    house.gate.allow("create_channel", presenceful=True)
    bob = house.subscribed("lobby", "bob")
    ann, ticket = joined(house, "ann", "lobby")
    bob.take()
    ann.leave()
    house.site.queued_seconds += 4
    house.advance(6)
    assert bob.take() == []
    assert resumed(back(house, ticket, since={}))
    house.advance(60)
    assert bob.take() == []


def test_F17_who_does_not_come_is_gone_when_the_queue_is(house):
    house.gate.allow("create_channel", presenceful=True)
    bob = house.subscribed("lobby", "bob")
    ann, ticket = joined(house, "ann", "lobby")
    bob.take()
    ann.leave()
    house.site.queued_seconds += 4
    house.advance(6)
    house.advance(2.9)
    assert bob.take() == []
    house.advance(0.2)
    assert bob.names() == ["UNSUBSCRIBE"]
    assert not resumed(back(house, ticket))


def test_a_queue_without_end_keeps_nobody_for_ever(house):
    house.gate.allow("create_channel", presenceful=True)
    bob = house.subscribed("lobby", "bob")
    ann, _ = joined(house, "ann", "lobby")
    bob.take()
    ann.leave()
    for _ in range(11):
        house.site.queued_seconds += 5
        house.advance(5)
    assert bob.names() == ["UNSUBSCRIBE"]
