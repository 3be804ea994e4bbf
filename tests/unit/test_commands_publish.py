"""Publications, history, state and messages."""

import gevent
import pytest
from parts import NOW, House, errors, position

from hookbox.commands import channels, publish
from hookbox.errors import CommandRefused, WebhookError
from hookbox.webhooks.gate import Allow, Refuse

# PUBLISH


def test_publishing_asks_and_reaches_everyone_with_the_publisher(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.publish("lobby", {"t": "hé"})
    (question,) = house.gate.questions("publish")
    assert question.fields == {
        "channel_name": "lobby",
        "destination": "lobby",
        "payload": '{"t": "h\\u00e9"}',
        "originator": "ann",
        "conn_id": ann.connection.id,
    }
    wanted = {"channel_name": "lobby", "payload": {"t": "hé"}, "datetime": NOW, "user": "ann", "offset": 1}
    assert ann.answer().args == bob.answer().args == wanted


def test_publishing_creates_the_channel(house):
    client = house.connected("ann")
    client.publish("lobby", 1)
    assert client.take() == []
    assert position(client, "lobby").offset == 1


@pytest.mark.parametrize(
    "payload", [None, {"a": 1}, 5, "{", "", "NaN", "[" * 33 + "]" * 33, '"\\ud800"', "1e400", str(2**63)]
)
def test_a_payload_that_is_not_json_text(house, payload):
    client = house.subscribed("lobby", "ann")
    frame_id = client.send("PUBLISH", channel_name="lobby", payload=payload)
    assert client.answer().args == {"id": frame_id, "msg": "Invalid json for payload", "code": "bad_json"}
    assert house.gate.questions("publish") == []


def test_without_a_payload_it_is_null(house):
    client = house.subscribed("lobby", "ann")
    client.send("PUBLISH", channel_name="lobby")
    assert client.answer().args["payload"] is None


def test_M4_everybody_sees_our_own_form_of_a_payload(house):
    client = house.subscribed("lobby", "ann")
    client.send("PUBLISH", channel_name="lobby", payload='{"a":1,  "a":{"b":1, "b":2}}')
    assert house.gate.questions("publish")[0].fields["payload"] == '{"a": {"b": 2}}'
    assert b'"payload": {"a": {"b": 2}}' in client.outbox.lines[-1]


def test_a_payload_has_a_limit():
    house = House(client_payload=100)
    client = house.subscribed("lobby", "ann")
    client.publish("lobby", "x" * 98)
    client.publish("lobby", "x" * 99)
    assert [(f.name, f.args.get("code")) for f in client.take()] == [
        ("PUBLISH", None),
        ("ERROR", "too_large"),
    ]


def test_a_payloads_limit_is_in_bytes():
    house = House(client_payload=100)
    client = house.subscribed("lobby", "ann")
    client.feed(b'[9,"PUBLISH",{"channel_name":"lobby","payload":"\\"' + "é".encode() * 60 + b'\\""}]\r\n')
    assert errors(client.take()) == ["too_large"]


@pytest.mark.parametrize(
    ("verdict", "code"), [(Refuse("no"), "denied"), (WebhookError("failure"), "app_unavailable")]
)
def test_D10_without_a_clear_yes_nobody_gets_it(house, verdict, code):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    house.gate.answer("publish", verdict)
    ann.publish("lobby", 1)
    assert errors(ann.take()) == [code]
    assert bob.take() == []
    assert position(ann, "lobby").offset == 0


@pytest.mark.parametrize("payload", [{"x": 1}, None, "", 0])
def test_the_application_may_replace_a_payload(house, payload):
    house.gate.allow("publish", override_payload=payload)
    house.gate.allow("create_channel", history=5, history_publish_only=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.publish("lobby", "original")
    assert ann.answer().args["payload"] == bob.answer().args["payload"] == payload
    carl = house.connected("carl")
    carl.send("SUBSCRIBE", channel_name="lobby")
    assert carl.answer().args["history"][0][1]["payload"] == payload


def test_only_to_sender_reaches_the_publisher_alone_and_takes_no_number(house):
    house.gate.allow("publish", only_to_sender=True)
    house.gate.allow("create_channel", history=5, history_publish_only=True)
    ann, bob = house.subscribed("lobby", "ann", "bob", features=["ack"])
    other_tab = house.connected("ann")
    ann.take()
    frame_id = ann.publish("lobby", "for me")
    frames = ann.take()
    assert [frame.name for frame in frames] == ["PUBLISH", "ACK"]
    assert "offset" not in frames[0].args
    assert frames[1].args == {"id": frame_id}
    assert other_tab.names() == ["PUBLISH"]
    assert bob.take() == []
    assert position(ann, "lobby").offset == 0
    bob.send("SUBSCRIBE", channel_name="lobby", since={"epoch": "x", "offset": 0})
    assert house.hub.channels["lobby"].history.oldest is None


def test_only_to_sender_reaches_only_connections_that_are_subscribed(house):
    house.gate.allow("publish", only_to_sender=True)
    client = house.connected("ann")
    client.publish("lobby", 1)
    assert client.take() == [], "a client drops what comes before its SUBSCRIBE with an error"


@pytest.mark.parametrize("value", [1, "true", "false", None])
def test_only_to_sender_is_said_by_true_alone(house, value):
    house.gate.allow("publish", only_to_sender=value)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.publish("lobby", 1)
    assert bob.names() == ["PUBLISH"]


def test_where_it_is_not_reflective_just_the_publishing_connection_is_left_out(house):
    house.gate.allow("create_channel", reflective=False)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    other_tab = house.connected("ann")
    ann.publish("lobby", 1)
    assert ann.take() == []
    assert other_tab.names() == bob.names() == ["PUBLISH"]


def test_where_it_is_anonymous_no_user_is_named(house):
    house.gate.allow("create_channel", anonymous=True, history=5, history_publish_only=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.publish("lobby", 1)
    assert "user" not in bob.answer().args
    assert "originator" not in house.gate.questions("publish")[0].fields
    carl = house.connected("carl")
    carl.send("SUBSCRIBE", channel_name="lobby")
    assert carl.answer().args["history"] == [["PUBLISH", {"payload": 1, "datetime": NOW, "offset": 1}]]


def test_a_publication_lists_who_is_there_while_the_channel_is_small(house):
    house.gate.allow("create_channel", presenceful=True, presence_in_publish=2)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.publish("lobby", 1)
    assert bob.answer().args["presence"] == ["ann", "bob"]
    house.subscribed("lobby", "carl")
    bob.take()
    ann.publish("lobby", 2)
    assert "presence" not in bob.answer().args


@pytest.mark.parametrize("options", [{"presenceful": True, "presence_in_publish": 0}, {"presenceful": False}])
def test_a_publication_lists_nobody_where_that_is_off(house, options):
    house.gate.allow("create_channel", **options)
    ann = house.subscribed("lobby", "ann")
    ann.publish("lobby", 1)
    assert "presence" not in ann.answer().args


def test_a_publisher_that_leaves_while_it_is_decided_publishes_nothing(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    go = house.gate.think("publish")
    ann.sending("PUBLISH", channel_name="lobby", payload="1")
    ann.leave()
    go.set()
    house.settle()
    assert bob.take() == []


def test_D1_publications_are_numbered_as_they_are_accepted(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    slow = house.gate.think("publish", originator="ann")
    ann.sending("PUBLISH", channel_name="lobby", payload='"slow"')
    bob.publish("lobby", "fast")
    slow.set()
    house.settle()
    for client in (ann, bob):
        assert [(f.args["payload"], f.args["offset"]) for f in client.take()] == [("fast", 1), ("slow", 2)]


def test_a_channel_destroyed_while_a_publication_is_decided_is_created_anew(house):
    ann = house.subscribed("lobby", "ann")
    go = house.gate.think("publish")
    waiting = ann.sending("PUBLISH", channel_name="lobby", payload="1")
    channels.destroy(house.site, house.from_app(), house.hub.channels["lobby"])
    go.set()
    gevent.joinall([waiting])
    assert ann.names() == ["UNSUBSCRIBE"]
    assert position(ann, "lobby").offset == 1
    assert len(house.gate.questions("create_channel")) == 2


def test_the_application_publishes_without_being_asked(house):
    house.gate.allow("create_channel", reflective=False)
    ann = house.subscribed("lobby", "ann")
    channel = house.hub.channels["lobby"]
    assert publish.publish_from_app(house.site, channel, '{"a": 1}', None).offset == 1
    assert publish.publish_from_app(house.site, channel, "2", "bob").offset == 2
    assert [(f.args["user"], f.args["payload"]) for f in ann.take()] == [(None, {"a": 1}), ("bob", 2)]
    assert house.gate.questions("publish") == []


def test_an_answer_to_a_publication_may_subscribe(house):
    house.gate.answer(
        "publish", lambda q: Allow({"auto_subscribe": ["extra"], "auto_unsubscribe": ["lobby"]})
    )
    ann = house.subscribed("lobby", "ann")
    ann.publish("lobby", 1)
    assert [(f.name, f.args["channel_name"]) for f in ann.take()] == [
        ("SUBSCRIBE", "extra"),
        ("UNSUBSCRIBE", "lobby"),
    ]


# history


def kinds(client):
    return [(kind, args.get("payload", args.get("user"))) for kind, args in client.answer().args["history"]]


def test_history_has_publications_and_comings_and_goings(house):
    house.gate.allow("create_channel", history=10)
    ann, bob = house.connected("ann", "bob")
    ann.send("SUBSCRIBE", channel_name="lobby")
    assert kinds(ann) == []
    ann.publish("lobby", 1)
    ann.take()
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert kinds(bob) == [("SUBSCRIBE", "ann"), ("PUBLISH", 1)]
    bob.send("UNSUBSCRIBE", channel_name="lobby")
    carl = house.connected("carl")
    carl.send("SUBSCRIBE", channel_name="lobby")
    entries = carl.answer().args["history"]
    assert entries == [
        ["SUBSCRIBE", {"user": "ann", "datetime": NOW}],
        ["PUBLISH", {"payload": 1, "datetime": NOW, "user": "ann", "offset": 1}],
        ["SUBSCRIBE", {"user": "bob", "datetime": NOW}],
        ["UNSUBSCRIBE", {"user": "bob", "datetime": NOW}],
    ]


def test_history_may_have_publications_only(house):
    house.gate.allow("create_channel", history_size=2, history_publish_only=True)
    ann = house.subscribed("lobby", "ann")
    for n in range(3):
        ann.publish("lobby", n)
    bob = house.connected("bob")
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert kinds(bob) == [("PUBLISH", 1), ("PUBLISH", 2)]


def test_D5_history_forgets_what_is_too_old(house):
    house.gate.allow("create_channel", history_size=10, history_duration=30, history_publish_only=True)
    ann = house.subscribed("lobby", "ann")
    ann.publish("lobby", "old")
    house.clock.advance(20)
    ann.publish("lobby", "young")
    house.clock.advance(20)
    bob = house.connected("bob")
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert kinds(bob) == [("PUBLISH", "young")]


def test_history_may_be_given(house):
    house.gate.allow(
        "create_channel",
        history_size=10,
        history=[["PUBLISH", {"payload": "old", "datetime": "x"}], ["PUBLISH", {"payload": "é"}]],
    )
    ann = house.connected("ann")
    ann.send("SUBSCRIBE", channel_name="lobby")
    assert ann.answer().args["history"] == [
        ["PUBLISH", {"payload": "old", "datetime": "x"}],
        ["PUBLISH", {"payload": "é", "datetime": NOW}],
    ]


# state


def test_a_changed_state_is_told(house):
    ann = house.subscribed("lobby", "ann")
    channel = house.hub.channels["lobby"]
    channels.set_options(house.site, channel, {"state": {"a": 1, "b": [2]}})
    assert ann.answer().args == {"channel_name": "lobby", "updates": {"a": 1, "b": [2]}, "deletes": []}
    channels.set_options(house.site, channel, {"state": {"b": [2], "c": True}})
    assert ann.answer().args == {"channel_name": "lobby", "updates": {"c": True}, "deletes": ["a"]}
    channels.set_options(house.site, channel, {"state": {"b": [2], "c": True}})
    assert ann.take() == []


def test_an_option_with_a_fault_changes_nothing(house):
    ann = house.subscribed("lobby", "ann")
    channel = house.hub.channels["lobby"]
    with pytest.raises(CommandRefused, match="presenceful must be true or false"):
        channels.set_options(house.site, channel, {"history_size": 5, "state": {"a": 1}, "presenceful": 1})
    assert channel.options.history_size == 0
    assert ann.take() == []


def test_the_state_says_who_of_some_users_is_online(house):
    house.gate.allow("create_channel", server_presenceful=True, server_user_presence=["ann", "bob"])
    ann = house.connected("ann")
    ann.send("SUBSCRIBE", channel_name="lobby")
    assert ann.answer().args["state"] == {"ann": True, "bob": False}
    bob = house.connected("bob")
    assert ann.answer().args == {"channel_name": "lobby", "updates": {"bob": True}, "deletes": []}
    house.connected("bob").leave()
    house.connected("carl")
    assert ann.take() == []
    bob.leave()
    assert ann.take() == []
    house.advance(6)
    assert ann.answer().args["updates"] == {"bob": False}


# MESSAGE


def test_a_message_reaches_all_connections_of_both(house):
    ann, bob = house.connected("ann", "bob")
    tabs = house.connected("ann", "bob")
    ann.send("MESSAGE", name="bob", payload='{"t":1}')
    wanted = {"sender": "ann", "recipient": "bob", "payload": {"t": 1}, "datetime": NOW}
    for client in (ann, bob, *tabs):
        assert client.answer().args == wanted
    (question,) = house.gate.questions("message")
    assert question.fields == {
        "sender": "ann",
        "recipient": "bob",
        "recipient_exists": "true",
        "payload": '{"t": 1}',
        "conn_id": ann.connection.id,
    }


def test_a_message_to_oneself_comes_once(house):
    ann, tab = house.connected("ann", "ann")
    ann.send("MESSAGE", name="ann", payload="1")
    assert ann.names() == tab.names() == ["MESSAGE"]


def test_a_message_to_nobody_has_the_recipient_null(house):
    ann = house.connected("ann")
    ann.send("MESSAGE", name="nobody", payload="1")
    assert ann.answer().args["recipient"] == "null"
    assert house.gate.questions("message")[0].fields["recipient_exists"] == "false"


def test_a_sender_that_is_not_reflective_gets_no_copy(house):
    house.gate.allow("connect", name="ann", reflective=False)
    ann = house.connected("ann")
    house.gate.allow("connect", name="bob")
    bob = house.connected("bob")
    ann.send("MESSAGE", name="bob", payload="1")
    assert ann.take() == []
    assert bob.names() == ["MESSAGE"]


def test_an_unmoderated_sender_needs_a_recipient(house):
    house.gate.allow("connect", name="ann", moderated_message=False)
    ann = house.connected("ann")
    ann.send("MESSAGE", name="nobody", payload="1")
    assert ann.answer().args == {"id": 2, "msg": "Invalid user name", "code": "no_such_user"}
    ann.send("MESSAGE", name="ann", payload="1")
    assert ann.names() == ["MESSAGE"]
    assert house.gate.questions("message") == []


@pytest.mark.parametrize(
    ("args", "msg", "code"),
    [
        ({"payload": "1"}, "name required", "bad_frame"),
        ({"payload": "{"}, "name required", "bad_frame"),
        ({"name": "bob", "payload": "{"}, "Invalid json for payload", "bad_json"),
        ({"name": "bob", "payload": 1}, "Invalid json for payload", "bad_json"),
        ({"name": ["bob"]}, "name must be a string", "bad_frame"),
    ],
)
def test_a_message_with_a_fault_asks_nobody(house, args, msg, code):
    ann = house.connected("ann")
    ann.send("MESSAGE", **args)
    assert ann.answer().args == {"id": 2, "msg": msg, "code": code}
    assert len(house.gate.asked) == 1


def test_the_application_may_redirect_and_replace_a_message(house):
    house.gate.allow("message", override_payload=[2], override_recipient_name="carl")
    ann, bob, carl = house.connected("ann", "bob", "carl")
    ann.send("MESSAGE", name="bob", payload="1")
    assert bob.take() == []
    assert carl.answer().args.items() >= {"recipient": "carl", "payload": [2], "sender": "ann"}.items()
    assert ann.names() == ["MESSAGE"]


@pytest.mark.parametrize(
    "verdict", [Refuse("no"), WebhookError("failure"), Allow({"override_recipient_name": ["x"]})]
)
def test_D10_without_a_clear_yes_no_message_goes(house, verdict):
    house.gate.answer("message", verdict)
    ann, bob = house.connected("ann", "bob")
    ann.send("MESSAGE", name="bob", payload="1")
    assert len(errors(ann.take())) == 1
    assert bob.take() == []
