"""Subscribing and unsubscribing, by one client or many at once."""

import gevent
import pytest
from parts import NOW, House, errors, position

from hookbox.commands import channels
from hookbox.errors import WebhookError
from hookbox.webhooks.gate import Allow, Refuse

# SUBSCRIBE


def test_subscribing_creates_the_channel_once(house):
    ann, bob = house.connected("ann", "bob")
    ann.send("SUBSCRIBE", channel_name="lobby")
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert [q.action for q in house.gate.asked] == [
        "connect",
        "connect",
        "create_channel",
        "subscribe",
        "subscribe",
    ]
    fields = {"channel_name": "lobby", "destination": "lobby"}
    assert house.gate.questions("create_channel")[0].fields == fields | {"conn_id": ann.connection.id}
    assert house.gate.questions("subscribe")[1].fields == fields | {
        "conn_id": bob.connection.id,
        "user": "bob",
    }


def test_the_own_frame_has_everything(house):
    house.gate.allow("create_channel", presenceful=True, history=2, history_duration=60, state={"k": [1]})
    house.gate.allow("subscribe", initial_data={"x": 1})
    client = house.connected("ann")
    client.send("SUBSCRIBE", channel_name="lobby")
    assert client.answer().args == {
        "channel_name": "lobby",
        "user": "ann",
        "history": [],
        "history_size": 2,
        "history_duration": 60,
        "state": {"k": [1]},
        "presence": ["ann"],
        "initial_data": {"x": 1},
        "offset": 0,
        "epoch": position(client, "lobby").epoch,
    }


def test_presence_is_an_empty_list_where_nobody_is_to_know(house):
    house.subscribed("lobby", "ann")
    bob = house.connected("bob")
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert bob.answer().args["presence"] == []


@pytest.mark.parametrize(
    ("verdict", "code"), [(Refuse("no"), "denied"), (WebhookError("failure"), "app_unavailable")]
)
@pytest.mark.parametrize("action", ["create_channel", "subscribe"])
def test_D10_without_a_clear_yes_there_is_no_subscription(house, action, verdict, code):
    client = house.connected("ann")
    house.gate.answer(action, verdict)
    client.send("SUBSCRIBE", channel_name="lobby")
    assert errors(client.take()) == [code]
    assert house.hub.users["ann"].channels == {}
    assert ("lobby" in house.hub.channels) == (action == "subscribe")


def test_a_channels_options_with_a_fault_are_no_answer(house, complaints):
    client = house.connected("ann")
    house.gate.allow("create_channel", history_sise=3)
    client.send("SUBSCRIBE", channel_name="lobby")
    assert client.answer().args == {"id": 2, "msg": "Invalid callback response", "code": "app_unavailable"}
    assert house.hub.channels == {}
    assert any("did you mean history_size" in text for text in complaints())


@pytest.mark.parametrize("name", [None, {}, [], 7, True, 1.5])
@pytest.mark.parametrize("command", ["SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH"])
def test_M6_a_channel_name_that_is_no_text(house, command, name):
    client = house.connected("ann")
    client.send(command, **{} if name is None else {"channel_name": name})
    msg = "channel_name required" if name is None else "channel_name must be a string"
    assert client.answer().args == {"id": 2, "msg": msg, "code": "bad_frame"}
    assert len(house.gate.asked) == 1
    assert house.hub.channels == {}


@pytest.mark.parametrize(
    "name", ["", "x" * 201, "$x", "$", "a\0", "a\nb", "\x7f", "a\u202eb", "\u200e", "\u2028", "\ufeff"]
)
@pytest.mark.parametrize("command", ["SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH"])
def test_M6_a_channel_name_that_cannot_be(house, command, name):
    client = house.connected("ann")
    client.send(command, channel_name=name)
    assert errors(client.take()) == ["bad_channel"]
    assert len(house.gate.asked) == 1


@pytest.mark.parametrize("name", ["x" * 200, "é世😀", "a b/c?d=e&f", "a$", ".", "__proto__", "日" * 200])
def test_M6_any_other_name_is_a_channel(house, name):
    client = house.connected("ann")
    client.send("SUBSCRIBE", channel_name=name)
    assert client.answer().args["channel_name"] == name


def test_M9_a_user_may_have_only_so_many_subscriptions():
    house = House(subscriptions=3)
    client = house.connected("ann")
    for n in range(4):
        client.send("SUBSCRIBE", channel_name=f"c{n}")
    assert [(f.name, f.args.get("code")) for f in client.take()] == [("SUBSCRIBE", None)] * 3 + [
        ("ERROR", "limit")
    ]
    assert "c3" not in house.hub.channels
    client.send("UNSUBSCRIBE", channel_name="c1")
    client.send("SUBSCRIBE", channel_name="c3")
    assert client.names() == ["UNSUBSCRIBE", "SUBSCRIBE"]


def test_M9_subscriptions_that_come_at_once_are_counted_when_they_begin():
    house = House(subscriptions=3)
    tabs = house.connected(*["ann"] * 6)
    go = house.gate.think("subscribe")
    for n, tab in enumerate(tabs):
        tab.sending("SUBSCRIBE", channel_name=f"c{n}")
    go.set()
    house.settle()
    assert len(house.hub.users["ann"].channels) == 3
    assert sum(errors(tab.take()) == ["limit"] for tab in tabs) == 3


def test_channels_that_come_at_once_are_counted_when_they_are_created():
    house = House(channels=3)
    clients = house.connected(*"abcdef")
    go = house.gate.think("create_channel")
    for n, client in enumerate(clients):
        client.sending("SUBSCRIBE", channel_name=f"c{n}")
    go.set()
    house.settle()
    assert len(house.hub.channels) == 3
    assert sum(errors(client.take()) == ["limit"] for client in clients) == 3


def test_M9_subscribing_twice_is_silent(house):
    client = house.subscribed("lobby", "ann")
    client.send("SUBSCRIBE", channel_name="lobby")
    assert client.take() == []
    assert len(house.gate.questions("subscribe")) == 1


def test_M9_subscribing_while_it_is_decided_asks_once(house):
    one, two = house.connected("ann", "ann")
    go = house.gate.think("subscribe")
    one.sending("SUBSCRIBE", channel_name="lobby")
    two.sending("SUBSCRIBE", channel_name="lobby")
    one.send("PING") if False else None
    go.set()
    house.settle()
    assert len(house.gate.questions("subscribe")) == 1
    assert one.names() == ["SUBSCRIBE"]
    assert two.names() == ["SUBSCRIBE"]


def test_a_denial_while_two_wait_reaches_both(house):
    one, two = house.connected("ann", "ann")
    go = house.gate.think("subscribe")
    house.gate.refuse("subscribe", "private")
    ids = [client.sending("SUBSCRIBE", channel_name="lobby") for client in (one, two)]
    go.set()
    gevent.joinall(ids)
    assert one.answer().args == two.answer().args == {"id": 2, "msg": "private", "code": "denied"}


def test_however_many_subscribe_at_once_the_channel_is_created_once(house):
    clients = house.connected(*(f"user{n}" for n in range(200)))
    go = house.gate.think("create_channel")
    waiting = [client.sending("SUBSCRIBE", channel_name="lobby") for client in clients]
    assert len(house.gate.questions("create_channel")) == 1
    go.set()
    gevent.joinall(waiting)
    assert len(house.gate.questions("create_channel")) == 1
    clients[7].publish("lobby", "all hear this")
    for client in clients:
        assert client.names() == ["SUBSCRIBE", "PUBLISH"]


def test_however_many_subscribe_at_once_all_get_the_same_refusal(house):
    clients = house.connected(*(f"user{n}" for n in range(20)))
    go = house.gate.think("create_channel")
    house.gate.refuse("create_channel", "no such room")
    waiting = [client.sending("SUBSCRIBE", channel_name="lobby") for client in clients]
    go.set()
    gevent.joinall(waiting)
    assert {client.answer().args["msg"] for client in clients} == {"no such room"}
    assert len(house.gate.questions("create_channel")) == 1


def test_the_first_leaving_while_the_channel_is_created_fails_nobody_else(house):
    first, second = house.connected("ann", "bob")
    go = house.gate.think("create_channel")
    first.sending("SUBSCRIBE", channel_name="lobby")
    waiting = second.sending("SUBSCRIBE", channel_name="lobby")
    first.leave()
    go.set()
    gevent.joinall([waiting])
    assert second.names() == ["SUBSCRIBE"]
    assert len(house.gate.questions("create_channel")) == 1


def test_one_leaving_while_its_subscription_is_decided_fails_no_other_tab(house):
    one, two = house.connected("ann", "ann")
    go = house.gate.think("subscribe")
    one.sending("SUBSCRIBE", channel_name="lobby")
    two.sending("SUBSCRIBE", channel_name="lobby")
    one.leave()
    go.set()
    house.settle()
    assert two.names() == ["SUBSCRIBE"]
    two.publish("lobby", 1)
    assert two.names() == ["PUBLISH"]


def test_a_user_that_has_gone_for_good_while_it_was_decided_is_not_subscribed(house):
    watcher = house.subscribed("lobby", "bob")
    client = house.connected("ann")
    go = house.gate.think("subscribe", user="ann")
    client.sending("SUBSCRIBE", channel_name="lobby")
    client.leave()
    house.advance(6)
    assert "ann" not in house.hub.users
    go.set()
    house.settle()
    assert list(house.hub.channels["lobby"].subscribers) == ["bob"]
    assert watcher.take() == []


def test_a_user_that_went_and_came_back_while_it_was_decided_has_one_identity(house):
    client = house.connected("ann")
    go = house.gate.think("subscribe")
    client.sending("SUBSCRIBE", channel_name="lobby")
    client.leave()
    house.advance(6)
    again = house.connected("ann")
    go.set()
    house.settle()
    assert house.hub.users["ann"].channels == {}
    again.send("SUBSCRIBE", channel_name="lobby")
    assert again.names() == ["SUBSCRIBE"]
    assert house.hub.channels["lobby"].subscribers == {"ann": house.hub.users["ann"]}


@pytest.mark.parametrize("late", [False, True], ids=["before-it-is-asked", "while-it-is-asked"])
def test_a_channel_left_while_somebody_is_refused_is_destroyed_after_that(house, late):
    ann = house.subscribed("lobby", "ann")
    bob = house.connected("bob")
    destroying = house.gate.think("destroy_channel") if late else None
    deciding = house.gate.think("subscribe", user="bob")
    house.gate.answer("subscribe", lambda question: Refuse("no"))
    if late:
        ann.send("UNSUBSCRIBE", channel_name="lobby")
        house.settle()
        waiting = bob.sending("SUBSCRIBE", channel_name="lobby")
        destroying.set()
    else:
        waiting = bob.sending("SUBSCRIBE", channel_name="lobby")
        ann.send("UNSUBSCRIBE", channel_name="lobby")
    house.settle()
    assert "lobby" in house.hub.channels, "somebody is about to come"
    deciding.set()
    waiting.join()
    house.settle()
    assert errors(bob.take()) == ["denied"]
    assert house.hub.channels == {}


def test_a_channel_destroyed_while_a_subscription_is_decided_is_created_anew(house):
    client = house.connected("ann")
    go = house.gate.think("subscribe")
    waiting = client.sending("SUBSCRIBE", channel_name="lobby")
    channels.destroy(house.site, house.from_app(), house.hub.channels["lobby"])
    go.set()
    gevent.joinall([waiting])
    assert client.names() == ["SUBSCRIBE"]
    assert len(house.gate.questions("create_channel")) == 2
    assert house.hub.channels["lobby"].subscribers


def test_a_subscriber_that_comes_while_the_empty_channel_is_about_to_go_keeps_it(house):
    ann, bob = house.subscribed("lobby", "ann"), house.connected("bob")
    go = house.gate.think("destroy_channel")
    leaving = ann.sending("UNSUBSCRIBE", channel_name="lobby")
    assert house.gate.questions("destroy_channel")
    bob.send("SUBSCRIBE", channel_name="lobby")
    go.set()
    gevent.joinall([leaving])
    assert list(house.hub.channels["lobby"].subscribers) == ["bob"]
    assert len(house.gate.questions("create_channel")) == 1
    bob.publish("lobby", 1)
    assert bob.names() == ["SUBSCRIBE", "PUBLISH"]


def test_a_subscriber_that_is_being_decided_on_keeps_the_empty_channel(house):
    ann, bob = house.subscribed("lobby", "ann"), house.connected("bob")
    going, deciding = house.gate.think("destroy_channel"), house.gate.think("subscribe", user="bob")
    ann.sending("UNSUBSCRIBE", channel_name="lobby")
    bob.sending("SUBSCRIBE", channel_name="lobby")
    going.set()
    house.settle()
    deciding.set()
    house.settle()
    assert list(house.hub.channels["lobby"].subscribers) == ["bob"]
    assert len(house.gate.questions("create_channel")) == 1


def test_two_that_leave_at_once_ask_once_whether_the_channel_may_go(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    go = house.gate.think("destroy_channel")
    leaving = [
        ann.sending("UNSUBSCRIBE", channel_name="lobby"),
        bob.sending("UNSUBSCRIBE", channel_name="lobby"),
    ]
    go.set()
    gevent.joinall(leaving)
    assert len(house.gate.questions("destroy_channel")) == 1
    assert house.hub.channels == {}


def test_a_channel_that_the_application_wants_to_keep_stays(house):
    house.gate.refuse("destroy_channel")
    ann = house.subscribed("lobby", "ann")
    ann.publish("lobby", 1)
    ann.send("UNSUBSCRIBE", channel_name="lobby")
    assert ann.names() == ["PUBLISH", "UNSUBSCRIBE"]
    assert position(ann, "lobby").offset == 1


def test_others_are_told_before_the_subscriber(house):
    order = []
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann"), house.connected("bob")
    for name, client in (("ann", ann), ("bob", bob)):
        original = client.outbox.received
        client.outbox.received = lambda frame, name=name, original=original: (
            order.append(name),
            original(frame),
        )
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert order == ["ann", "bob"]
    assert ann.answer().args == {"channel_name": "lobby", "user": "bob", "datetime": NOW}
    assert bob.answer().args["presence"] == ["ann", "bob"]


def test_all_connections_of_a_user_share_its_subscriptions(house):
    one, two = house.connected("ann", "ann")
    one.send("SUBSCRIBE", channel_name="lobby")
    assert two.names() == ["SUBSCRIBE"]
    two.publish("lobby", 1)
    assert one.names() == ["SUBSCRIBE", "PUBLISH"]
    two.take()
    two.send("UNSUBSCRIBE", channel_name="lobby")
    assert one.names() == two.names() == ["UNSUBSCRIBE"]


# UNSUBSCRIBE


def test_M8_unsubscribing_from_what_is_not_there_is_silent(house):
    client = house.connected("ann")
    client.send("UNSUBSCRIBE", channel_name="nowhere")
    assert client.take() == []
    assert len(house.gate.asked) == 1
    assert house.hub.channels == {}


def test_unsubscribing_tells_others_then_oneself_then_nothing_follows(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.send("UNSUBSCRIBE", channel_name="lobby")
    assert ann.answer().args == bob.answer().args == {"channel_name": "lobby", "user": "ann", "datetime": NOW}
    bob.publish("lobby", 1)
    assert ann.take() == []
    assert bob.answer().args["presence"] == ["bob"]


def test_who_is_not_presenceful_leaves_unseen(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.send("UNSUBSCRIBE", channel_name="lobby")
    assert ann.names() == ["UNSUBSCRIBE"]
    assert bob.take() == []


@pytest.mark.parametrize("verdict", [Refuse("stay"), WebhookError("failure")])
def test_D10_without_a_clear_yes_one_stays_subscribed(house, verdict):
    client = house.subscribed("lobby", "ann")
    house.gate.answer("unsubscribe", verdict)
    client.send("UNSUBSCRIBE", channel_name="lobby")
    assert len(errors(client.take())) == 1
    client.publish("lobby", 1)
    assert client.names() == ["PUBLISH"]


def test_unsubscribing_twice_at_once_ends_it_once(house):
    one, two = house.connected("ann", "ann")
    one.send("SUBSCRIBE", channel_name="lobby")
    one.take()
    two.take()
    go = house.gate.think("unsubscribe")
    one.sending("UNSUBSCRIBE", channel_name="lobby")
    two.sending("UNSUBSCRIBE", channel_name="lobby")
    go.set()
    house.settle()
    assert one.names() == two.names() == ["UNSUBSCRIBE"]


# moderation


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, ["subscribe", "publish", "unsubscribe"]),
        ({"moderated": True, "moderated_publish": False}, ["subscribe", "publish", "unsubscribe"]),
        ({"moderated": False}, []),
        ({"moderated": False, "moderated_subscribe": True}, ["subscribe"]),
        ({"moderated": False, "moderated_publish": True}, ["publish"]),
        ({"moderated": False, "moderated_unsubscribe": True}, ["unsubscribe"]),
    ],
)
def test_the_application_is_asked_as_the_options_say(house, options, asked):
    house.gate.allow("create_channel", **options)
    client = house.connected("ann")
    client.send("SUBSCRIBE", channel_name="lobby")
    client.publish("lobby", 1)
    client.send("UNSUBSCRIBE", channel_name="lobby")
    assert client.names() == ["SUBSCRIBE", "PUBLISH", "UNSUBSCRIBE"]
    house.settle()
    assert [q.action for q in house.gate.asked] == ["connect", "create_channel", *asked, "destroy_channel"]


@pytest.mark.parametrize("decision", ["create_channel", "subscribe"])
@pytest.mark.parametrize("answer", [Allow({}), Refuse("no"), WebhookError("down")], ids=["yes", "no", "none"])
def test_F11_a_channel_made_for_somebody_who_went_meanwhile_does_not_stay(decision, answer):
    house = House(leave_grace=0)
    ann = house.connected("ann")
    go = house.gate.think(decision)
    house.gate.answer("subscribe", answer)
    ann.sending("SUBSCRIBE", channel_name="lobby")
    ann.leave()
    house.settle()
    go.set()
    house.settle()
    assert (house.hub.users, house.hub.channels) == ({}, {})


def test_F11_a_channel_that_others_want_too_stays():
    house = House(leave_grace=0)
    ann, bob = house.connected("ann", "bob")
    go = house.gate.think("subscribe", channel_name="lobby", destination="lobby", user="ann")
    ann.sending("SUBSCRIBE", channel_name="lobby")
    ann.leave()
    bob.send("SUBSCRIBE", channel_name="lobby")
    go.set()
    house.settle()
    assert list(house.hub.channels["lobby"].subscribers) == ["bob"]
    assert house.gate.questions("destroy_channel") == []


def test_a_channel_made_for_somebody_who_is_refused_does_not_stay(house):
    ann = house.connected("ann")
    house.gate.refuse("subscribe")
    ann.send("SUBSCRIBE", channel_name="lobby")
    house.settle()
    assert house.hub.channels == {}
    assert len(house.gate.questions("destroy_channel", channel_name="lobby")) == 1


def test_a_channel_that_was_there_before_stays_when_somebody_is_refused(house):
    channels.create(house.site, house.from_app(), "lobby", {})
    ann = house.connected("ann")
    house.gate.refuse("subscribe")
    ann.send("SUBSCRIBE", channel_name="lobby")
    house.settle()
    assert list(house.hub.channels) == ["lobby"]
