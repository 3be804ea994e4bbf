"""Users that go, connections that are ended, channels that are destroyed."""

import json

import gevent
import pytest
from parts import NOW, position

from hookbox.commands import channels, connect, subscribe
from hookbox.commands.site import Cause
from hookbox.errors import CommandRefused, NotFound, WebhookError
from hookbox.protocol.disconnects import (
    BY_API,
    RESTART,
)
from hookbox.webhooks.gate import Refuse

# going


def test_D9_a_user_that_comes_back_in_time_was_never_gone(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    house.advance(4.9)
    house.connected("ann")
    house.advance(60)
    assert bob.take() == []
    assert house.gate.questions("disconnect") == []


def test_D9_a_user_that_stays_away_is_told_of_once(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    tab = house.connected("ann")
    ann.leave()
    house.advance(60)
    assert bob.take() == []
    tab.leave()
    house.advance(4.9)
    assert bob.take() == []
    house.advance(0.2)
    assert bob.answer().args == {"channel_name": "lobby", "user": "ann", "datetime": "2026-01-02T03:05:10"}
    house.advance(60)
    assert bob.take() == []
    actions = [
        q.action for q in house.gate.asked if q.action not in ("connect", "create_channel", "subscribe")
    ]
    assert actions == ["unsubscribe", "disconnect"]
    (question,) = house.gate.questions("disconnect")
    assert question.fields == {"name": "ann", "channels": '["lobby"]'}
    assert question.key


def test_D9_each_absence_has_a_grace_of_its_own(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    house.advance(4)
    second = house.connected("ann")
    house.advance(0.5)
    second.leave()
    house.advance(4)
    assert bob.take() == [], "the first absence's grace is over, the second's is not"
    house.advance(1.5)
    assert bob.names() == ["UNSUBSCRIBE"]


def test_where_nothing_is_kept_the_application_is_told_once(house):
    ann = house.subscribed("lobby", "ann")
    house.gate.answer("disconnect", WebhookError("failure"))
    ann.leave()
    house.advance(5)
    house.advance(10_000)
    (question,) = house.gate.questions("disconnect")
    assert question.key


def test_a_denial_or_a_failure_keeps_nobody(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("a", "ann", "bob")
    ann.send("SUBSCRIBE", channel_name="b")
    house.gate.answer(
        "unsubscribe", lambda q: Refuse("stay") if q.fields["channel_name"] == "a" else WebhookError("x")
    )
    ann.leave()
    house.advance(5)
    assert "ann" not in house.hub.users
    assert list(house.hub.channels) == ["a"]
    assert bob.names() == ["UNSUBSCRIBE"]
    assert house.gate.questions("disconnect")[0].fields["channels"] == '["a", "b"]'


def test_a_user_that_goes_is_spoken_for_by_its_last_connection(house):
    client = house.client(cookies="sid=1", ip="198.51.100.7")
    client.connect("ann")
    client.leave()
    house.advance(5)
    (question,) = house.gate.questions("disconnect")
    assert (question.cookies, question.client_ip) == ("sid=1", "198.51.100.7")


def test_a_user_that_comes_back_while_it_is_told_of_is_new(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    go = house.gate.think("unsubscribe")
    ann.leave()
    house.advance(5)
    again = house.client()
    again.connect("ann")
    assert again.names() == ["CONNECTED"]
    again.send("SUBSCRIBE", channel_name="lobby")
    go.set()
    house.settle()
    assert bob.names() == ["UNSUBSCRIBE", "SUBSCRIBE"]
    assert list(house.hub.channels["lobby"].subscribers) == ["bob", "ann"]
    bob.publish("lobby", 1)
    assert again.names() == ["SUBSCRIBE", "PUBLISH"]


def test_a_user_that_is_gone_for_good_leaves_nothing(house):
    for client in house.subscribed("lobby", "ann", "bob"):
        client.leave()
    house.advance(6)
    assert (house.hub.users, house.hub.connections, house.hub.channels) == ({}, {}, {})
    assert house.hub.history_budget.used == 0


def test_A10_a_connection_ended_by_the_application_gets_nothing_more(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob", features=["close"])
    connect.disconnect(house.site, ann.connection, BY_API)
    bob.publish("lobby", 1)
    house.settle()
    assert ann.ended == BY_API
    assert ann.answer().args == {"code": 4504, "reason": BY_API.reason}
    assert [f.name for f in bob.take()][-1] == "UNSUBSCRIBE", "at once: it is not to return"


def test_a_goodbye_says_when_to_return(house):
    client = house.connected("ann", features=["close"])
    client.close(RESTART.after(1234))
    assert client.answer().args == {"code": 1012, "reason": "server restarts", "retry_ms": 1234, "handled": 1}
    plain = house.connected("bob")
    plain.close(RESTART)
    assert plain.take() == []


def test_a_goodbye_names_the_last_frame_that_was_looked_at_and_none_behind_it_has_an_effect(house):
    ann, bob = house.subscribed("lobby", "ann", "bob", features=["close", "ack"])
    ann.take()
    go = house.gate.think("publish")
    lines = [[7, "PUBLISH", {"channel_name": "lobby", "payload": "1"}], [8, "PUBLISH", {"channel_name": "lobby"}]]
    gevent.spawn(ann.feed, b"".join(json.dumps(line).encode() + b"\r\n" for line in lines))
    house.settle()
    ann.close(RESTART)
    assert ann.answer().args["handled"] == 7
    go.set()
    house.settle()
    assert len(house.gate.questions("publish")) == 1
    assert bob.take() == []


def test_F30_who_was_away_when_the_server_begins_to_end_is_told_of_at_once_and_who_has_to_go_then_is_not(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob, eve = house.subscribed("lobby", "ann", "bob", "eve")
    ann.leave()
    house.site.draining = True
    connect.leave_absent(house.site)
    bob.close(RESTART)
    eve.leave()
    house.settle()
    house.advance(60)
    assert [question.fields["name"] for question in house.gate.questions("disconnect")] == ["ann"]
    assert [question.fields["user"] for question in house.gate.questions("unsubscribe")] == ["ann"]


# destroying


def test_A10_each_subscriber_of_a_destroyed_channel_gets_its_own_unsubscribe_alone(house):
    house.gate.allow("create_channel", presenceful=True, history=5)
    clients = house.subscribed("lobby", *"abcdefg")
    for client in clients:
        client.take()
    channels.destroy(house.site, house.from_app(), house.hub.channels["lobby"])
    for name, client in zip("abcdefg", clients, strict=True):
        assert client.answer().args == {"channel_name": "lobby", "user": name, "datetime": NOW}
    assert house.hub.channels == {}
    assert house.hub.history_budget.used == 0


def test_a_destroyed_channel_comes_back_empty(house):
    house.gate.allow("create_channel", history=5, state={"a": 1})
    ann = house.subscribed("lobby", "ann")
    ann.publish("lobby", 1)
    before = position(ann, "lobby")
    channels.destroy(house.site, house.from_app(), house.hub.channels["lobby"])
    house.gate.allow("create_channel")
    ann.take()
    ann.send("SUBSCRIBE", channel_name="lobby")
    own = ann.answer().args
    assert (own["history"], own["state"], own["offset"]) == ([], {}, 0)
    assert own["epoch"] != before.epoch


def test_the_application_creates_and_finds_channels(house):
    made = channels.create(house.site, house.from_app(), "lobby", {"history_size": 3})
    assert channels.find(house.site, "lobby") is made
    assert house.gate.asked == []
    with pytest.raises(CommandRefused, match="already exists"):
        channels.create(house.site, house.from_app(), "lobby", {})
    with pytest.raises(NotFound):
        channels.find(house.site, "other")


def test_a_channel_the_application_creates_while_its_creation_is_decided_is_that_one(house):
    ann = house.connected("ann")
    go = house.gate.think("create_channel")
    waiting = ann.sending("SUBSCRIBE", channel_name="lobby")
    made = channels.create(house.site, house.from_app(), "lobby", {"history_size": 3})
    go.set()
    gevent.joinall([waiting])
    assert house.hub.channels["lobby"] is made
    assert ann.answer().args["history_size"] == 3


def test_a_subscription_by_the_application_reaches_all_connections(house):
    one, two = house.connected("ann", "ann")
    user = house.hub.users["ann"]
    subscribe.subscribe(house.site, Cause(house.from_app().gate, speaker=user.speaker), user, "lobby")
    assert one.names() == two.names() == ["SUBSCRIBE"]
    one.publish("lobby", 1)
    assert two.names() == ["PUBLISH"]
    subscribe.unsubscribe(house.site, house.from_app(), user, "lobby")
    assert two.names() == ["UNSUBSCRIBE"]
