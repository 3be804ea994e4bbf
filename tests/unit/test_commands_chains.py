"""Answers that subscribe further, and subscriptions of single connections."""

import gevent
import pytest
from parts import position

from hookbox.webhooks.gate import Allow, Refuse

# chains


def test_a_chain_of_answers_cannot_loop(house):
    house.gate.answer("subscribe", lambda q: Allow({"auto_subscribe": ["a", "b", "c"]}))
    ann = house.connected("ann")
    ann.send("SUBSCRIBE", channel_name="a")
    assert sorted(q.fields["channel_name"] for q in house.gate.questions("subscribe")) == ["a", "b", "c"]
    assert [f.args["channel_name"] for f in ann.take()] == ["c", "b", "a"], "the cause comes last"


def test_a_chain_of_subscribing_and_unsubscribing_ends(house):
    house.gate.answer(
        "subscribe", lambda q: Allow({"auto_unsubscribe": ["a", "b"], "auto_subscribe": ["a", "b"]})
    )
    house.gate.answer(
        "unsubscribe", lambda q: Allow({"auto_subscribe": ["a", "b"], "auto_unsubscribe": ["a", "b"]})
    )
    house.gate.refuse("destroy_channel")
    ann = house.connected("ann")
    ann.send("SUBSCRIBE", channel_name="a")
    ann.send("UNSUBSCRIBE", channel_name="a")
    assert len(house.gate.asked) < 20


def test_a_refused_auto_subscription_concerns_that_channel_alone(house):
    house.gate.answer("connect", Allow({"name": "ann", "auto_subscribe": ["a", "$bad", "b", "c"]}))
    house.gate.answer("subscribe", lambda q: Refuse("no") if q.fields["channel_name"] == "b" else Allow({}))
    ann = house.client()
    ann.connect("x")
    assert [f.args.get("channel_name") for f in ann.take()] == [None, "a", "c"]


def test_two_chains_of_one_user_cannot_wait_for_each_other(house):
    one, two = house.connected("ann", "ann")
    other = {"a": "b", "b": "a"}
    house.gate.answer("subscribe", lambda q: Allow({"auto_subscribe": [other[q.fields["channel_name"]]]}))
    go = house.gate.think("subscribe")
    waiting = [one.sending("SUBSCRIBE", channel_name="a"), two.sending("SUBSCRIBE", channel_name="b")]
    go.set()
    gevent.joinall(waiting, timeout=5)
    assert all(greenlet.dead for greenlet in waiting)
    assert set(house.hub.users["ann"].channels) == {"a", "b"}


def test_chains_of_two_users_through_the_same_channels_cannot_wait_for_each_other(house):
    ann, bob = house.connected("ann", "bob")
    other = {"a": "b", "b": "a"}
    house.gate.answer("subscribe", lambda q: Allow({"auto_subscribe": [other[q.fields["channel_name"]]]}))
    creating = house.gate.think("create_channel")
    waiting = [ann.sending("SUBSCRIBE", channel_name="a"), bob.sending("SUBSCRIBE", channel_name="b")]
    creating.set()
    gevent.joinall(waiting, timeout=5)
    assert all(greenlet.dead for greenlet in waiting)
    for user in ("ann", "bob"):
        assert set(house.hub.users[user].channels) == {"a", "b"}


def test_a_chain_whose_client_left_ends(house):
    house.gate.answer("connect", Allow({"name": "ann", "auto_subscribe": ["a", "b"]}))
    go = house.gate.think("subscribe", channel_name="a")
    ann = house.client()
    waiting = ann.sending("CONNECT", cookie_string="")
    ann.leave()
    go.set()
    gevent.joinall([waiting])
    assert house.gate.questions("subscribe", channel_name="b") == []


# per-connection subscriptions


@pytest.fixture
def tabs(house):
    """Two connections of ann, who has a subscription only where she asked for it."""
    house.gate.answer(
        "connect",
        lambda q: Allow({"name": q.fields["payload"].strip('"'), "per_connection_subscriptions": True}),
    )
    return house.connected("ann", "ann")


def test_only_connections_that_subscribed_get_a_channels_frames(house, tabs):
    one, two = tabs
    one.send("SUBSCRIBE", channel_name="lobby")
    one.publish("lobby", 1)
    assert one.names() == ["SUBSCRIBE", "PUBLISH"]
    assert two.take() == []
    two.send("SUBSCRIBE", channel_name="lobby")
    one.publish("lobby", 2)
    assert one.names() == two.names() == ["PUBLISH"], "and it has no reply"
    assert len(house.gate.questions("subscribe")) == 1


def test_a_later_connection_is_shown_the_channels_yet_gets_no_traffic(house, tabs):
    tabs[0].send("SUBSCRIBE", channel_name="lobby")
    third = house.client()
    third.connect("ann")
    assert third.names() == ["CONNECTED", "SUBSCRIBE"]
    tabs[0].publish("lobby", 1)
    assert third.take() == []
    third.send("SUBSCRIBE", channel_name="lobby")
    assert third.take() == []
    tabs[0].publish("lobby", 2)
    assert third.names() == ["PUBLISH"]


def test_one_connections_unsubscribe_is_its_own(house, tabs):
    one, two = tabs
    one.send("SUBSCRIBE", channel_name="lobby")
    two.send("SUBSCRIBE", channel_name="lobby")
    one.take()
    one.send("UNSUBSCRIBE", channel_name="lobby")
    assert one.names() == ["UNSUBSCRIBE"]
    two.publish("lobby", 1)
    assert (one.take(), two.names()) == ([], ["PUBLISH"])
    assert house.gate.questions("unsubscribe") == []
    two.send("UNSUBSCRIBE", channel_name="lobby")
    assert two.names() == ["UNSUBSCRIBE"]
    assert len(house.gate.questions("unsubscribe")) == 1
    assert house.hub.users["ann"].channels == {}


def test_with_global_unsubscriptions_it_is_everyones(house):
    house.gate.allow("connect", name="ann", per_connection_subscriptions=True, global_unsubscriptions=True)
    one, two = house.connected("ann", "ann")
    one.send("SUBSCRIBE", channel_name="lobby")
    two.send("SUBSCRIBE", channel_name="lobby")
    one.take()
    one.send("UNSUBSCRIBE", channel_name="lobby")
    assert one.names() == two.names() == ["UNSUBSCRIBE"]
    assert house.hub.users["ann"].channels == {}


def test_a_returning_connection_that_does_not_subscribe_stays_without_traffic(house, tabs):
    tabs[0].send("SUBSCRIBE", channel_name="lobby")
    third = house.client()
    third.connect("ann", features=["recover"])
    assert third.names() == ["CONNECTED", "SUBSCRIBE"]
    house.advance(2)
    tabs[0].publish("lobby", 1)
    assert third.take() == []
    third.send("SUBSCRIBE", channel_name="lobby", since={"epoch": position(third, "lobby").epoch, "offset": 0})
    assert len(third.answer().args["missed"]) == 1
    tabs[0].publish("lobby", 2)
    assert third.names() == ["PUBLISH"]


def test_a_connection_that_left_is_not_subscribed_by_the_answer_to_what_it_did(house):
    tab, bob = house.subscribed("lobby", "ann", "bob")
    ann = house.connected("ann")
    house.gate.allow("publish", auto_subscribe=["lobby", "other"])
    go = house.gate.think("publish")
    ann.sending("PUBLISH", channel_name="lobby", payload="1")
    ann.leave()
    go.set()
    house.settle()
    assert set(house.hub.channels["lobby"].audience) == {tab.outbox, bob.outbox}
    assert "other" not in house.hub.channels


def test_one_leaving_while_its_subscription_is_decided_fails_no_other_tab_whatever_the_answer(house):
    one, two = house.connected("ann", "ann")
    house.gate.answer("subscribe", lambda q: Allow({"auto_subscribe": ["other"]}))
    go = house.gate.think("subscribe")
    one.sending("SUBSCRIBE", channel_name="lobby")
    two.sending("SUBSCRIBE", channel_name="lobby")
    one.leave()
    go.set()
    house.settle()
    assert two.names() == ["SUBSCRIBE"]
    assert list(house.hub.users["ann"].channels) == ["lobby"]
