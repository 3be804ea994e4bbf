"""Connecting, cookies, and what comes back with both."""

import gevent
import pytest
from parts import House, errors, position

from hookbox.errors import UnusableAnswer, WebhookError
from hookbox.protocol.disconnects import (
    TOO_MANY_CONNECTIONS,
)
from hookbox.webhooks.gate import Allow, Refuse

# CONNECT


def test_the_original_vector(house):
    house.gate.answer("connect", lambda question: Allow({"name": "ann"}))
    house.gate.allow("create_channel", presenceful=True)
    ann = house.client()
    ann.feed(b'[1,"CONNECT",{"cookie_string":"user=ann","payload":"{\\"v\\":1}"}]\r\n')
    ann.feed(b'[2,"SUBSCRIBE",{"channel_name":"lobby"}]\r\n')
    ann.feed('[3,"PUBLISH",{"channel_name":"lobby","payload":"{\\"t\\":\\"hé\\"}"}]\r\n'.encode())
    epoch = position(ann, "lobby").epoch
    assert ann.outbox.lines == [
        b'[1, "CONNECTED", {"name": "ann", "payload": "{\\"v\\":1}"}]\r\n',
        b'[2, "SUBSCRIBE", {"channel_name": "lobby", "user": "ann", "history": [], "history_size": 0, '
        b'"history_duration": 0, "state": {}, "presence": ["ann"], "offset": 0, "epoch": "%b"}]\r\n'
        % epoch.encode(),
        b'[3, "PUBLISH", {"channel_name": "lobby", "payload": {"t": "h\\u00e9"}, "datetime": "2026-01-02T03:04:05", '
        b'"user": "ann", "offset": 1, "presence": ["ann"]}]\r\n',
    ]


def test_connecting_asks_with_the_payload_and_the_connections_id(house):
    house.gate.allow("connect", name="ann")
    client = house.client(ip="198.51.100.7")
    client.send("CONNECT", cookie_string="", payload='{"a":1, "a":2}')
    (question,) = house.gate.asked
    assert question.action == "connect"
    assert question.fields == {"payload": '{"a": 2}', "conn_id": client.connection.id}, (
        "M4: our own form of it"
    )
    assert question.client_ip == "198.51.100.7"


def test_the_payload_comes_back_as_it_was_sent(house):
    house.gate.allow("connect", name="ann")
    client = house.client()
    client.send("CONNECT", cookie_string="", payload='{"a":1, "a":2}')
    assert client.answer().args == {"name": "ann", "payload": '{"a":1, "a":2}'}


def test_without_a_payload_it_is_the_text_null(house):
    house.gate.allow("connect", name="ann")
    client = house.client()
    client.send("CONNECT", cookie_string="")
    assert client.answer().args == {"name": "ann", "payload": "null"}
    assert house.gate.asked[0].fields["payload"] == "null"


@pytest.mark.parametrize("payload", [{"x": [1]}, None, 0])
def test_an_overridden_payload_comes_decoded(house, payload):
    house.gate.allow("connect", name="ann", override_payload=payload)
    client = house.client()
    client.connect("x")
    assert client.answer().args["payload"] == payload


@pytest.mark.parametrize(
    ("args", "msg", "code"),
    [
        ({}, "Missing cookie_string", "bad_frame"),
        ({"cookie_string": None}, "Missing cookie_string", "bad_frame"),
        ({"payload": "{"}, "Missing cookie_string", "bad_frame"),
        ({"cookie_string": 5}, "cookie_string must be a string", "bad_frame"),
        ({"cookie_string": "", "payload": "{"}, "Invalid json for payload", "bad_json"),
        ({"cookie_string": "", "payload": None}, "Invalid json for payload", "bad_json"),
        ({"cookie_string": "", "payload": {"a": 1}}, "Invalid json for payload", "bad_json"),
        ({"cookie_string": "", "payload": "NaN"}, "Invalid json for payload", "bad_json"),
        ({"cookie_string": "", "payload": "[" * 40 + "]" * 40}, "Invalid json for payload", "bad_json"),
        ({"cookie_string": "", "payload": r'"\ud800"'}, "Invalid json for payload", "bad_json"),
        ({"cookie_string": "a=1\r\nX: y"}, "Invalid cookie_string: control characters", "bad_frame"),
        ({"cookie_string": "a=1\ny"}, "Invalid cookie_string: control characters", "bad_frame"),
        ({"cookie_string": "a=\x00"}, "Invalid cookie_string: control characters", "bad_frame"),
        ({"cookie_string": "", "features": "ack"}, "features must be a list of strings", "bad_frame"),
    ],
)
def test_M10_a_connect_with_a_fault_asks_nobody(house, args, msg, code):
    client = house.client()
    client.send("CONNECT", **args)
    assert client.answer().args == {"id": 1, "msg": msg, "code": code}
    assert house.gate.asked == []
    client.connect("ann")
    assert client.names() == ["CONNECTED"]


@pytest.mark.parametrize(
    ("verdict", "msg", "code"),
    [
        (Refuse("Unauthorized"), "Unauthorized", "denied"),
        (Refuse("Nö 世"), "Nö 世", "denied"),
        (WebhookError("failure: no answer", "secret"), "failure: no answer", "app_unavailable"),
        (UnusableAnswer("Invalid callback response, status=500"), "Invalid callback response, status=500", "app_unavailable"),
        (Allow({"name": True}), "Invalid callback response", "app_unavailable"),
        (Allow({"name": ["x"]}), "Invalid callback response", "app_unavailable"),
        (Allow({"name": "x" * 129}), "Invalid callback response", "app_unavailable"),
        (Allow({"name": "é" * 65}), "Invalid callback response", "app_unavailable"),
        (Allow({"name": "a\x00"}), "Invalid callback response", "app_unavailable"),
        (Allow({"name": "a\u202e"}), "Invalid callback response", "app_unavailable"),
        (Allow({"name": "ann", "reflective": "yes"}), "Invalid callback response", "app_unavailable"),
    ],
)  # fmt: skip
def test_D10_without_a_clear_yes_the_connection_stays_unconnected(house, verdict, msg, code):
    house.gate.answer("connect", verdict)
    client = house.client()
    client.connect("ann")
    assert client.answer().args == {"id": 1, "msg": msg, "code": code}
    assert not house.hub.users
    client.send("SUBSCRIBE", channel_name="lobby")
    assert errors(client.take()) == ["not_connected"]
    house.gate.allow("connect", name="ann")
    client.connect("ann")
    assert client.names() == ["CONNECTED"]


def test_without_a_name_every_connection_is_somebody_else(house):
    house.gate.allow("connect")
    names = set()
    for _ in range(20):
        client = house.client()
        client.connect("x")
        names.add(client.answer().args["name"])
    assert len(names) == 20
    assert all(name.startswith("anonymous-") for name in names)


@pytest.mark.parametrize(
    ("given", "name"), [(7, "7"), (1.5, "1.5"), ("é世😀", "é世😀"), ("x" * 128, "x" * 128)]
)
def test_a_name_becomes_text(house, given, name):
    house.gate.allow("connect", name=given)
    client = house.client()
    client.connect("x")
    assert client.answer().args["name"] == name


def test_M7_everything_before_connect_is_refused(house):
    client = house.client()
    for name in ("SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", "MESSAGE", "PING"):
        frame_id = client.send(name, channel_name="lobby", name="ann")
        assert client.answer().args == {"id": frame_id, "msg": "Not connected", "code": "not_connected"}
    assert house.gate.asked == []


def test_M7_a_second_connect_is_refused(house):
    client = house.connected("ann")
    client.connect("bob")
    assert client.answer().args == {"id": 2, "msg": "Already logged in", "code": "already_connected"}
    assert len(house.gate.questions("connect")) == 1


def test_M7_a_second_connect_while_the_first_is_decided_is_looked_at_after_it(house):
    go = house.gate.think("connect")
    client = house.client()
    gevent.spawn(
        client.feed,
        b'[1,"CONNECT",{"cookie_string":"","payload":"\\"ann\\""}]\r\n[2,"CONNECT",{"cookie_string":""}]\r\n[3,"PING",{}]\r\n',
    )
    house.settle()
    assert client.take() == []
    assert len(house.gate.asked) == 1
    go.set()
    house.settle()
    assert [frame.name for frame in client.frames] == ["CONNECTED", "ERROR", "PONG"]
    assert len(house.gate.asked) == 1


def test_a_client_that_leaves_while_the_application_decides_is_nobody(house):
    go = house.gate.think("connect")
    client = house.client()
    client.sending("CONNECT", cookie_string="", payload='"ann"')
    client.leave()
    go.set()
    house.settle()
    assert house.hub.users == {}
    assert house.hub.connections == {}


def test_a_user_may_have_only_so_many_connections():
    house = House(connections_per_user=2)
    house.connected("ann", "ann", "bob")
    third = house.client()
    third.connect("ann")
    assert third.ended == TOO_MANY_CONNECTIONS
    assert third.take() == []
    assert len(house.hub.users["ann"].connections) == 2


def test_0_allows_a_user_any_number_of_connections():
    house = House(connections_per_user=0)
    assert len(house.connected("ann", "ann", "ann")) == 3
    assert len(house.hub.users["ann"].connections) == 3


def test_connections_that_come_at_once_are_counted_when_they_are_accepted():
    house = House(connections_per_user=2)
    go = house.gate.think("connect")
    clients = [house.client() for _ in range(5)]
    for client in clients:
        client.sending("CONNECT", cookie_string="", payload='"ann"')
    go.set()
    house.settle()
    assert [client.ended for client in clients].count(TOO_MANY_CONNECTIONS) == 3
    assert len(house.hub.users["ann"].connections) == 2


def test_features_are_granted_as_far_as_they_are_known(house):
    client = house.client()
    client.connect("ann", features=["recover", "ack", "future", 7])
    connected = client.answer().args
    assert connected["features"] == ["ack", "recover"]
    assert connected["conn_id"] == client.connection.id
    assert connected["ping_interval"] == 25.0
    assert connected["version"]


def test_a_client_that_knows_of_features_but_wants_none_learns_its_id(house):
    client = house.client()
    client.connect("ann", features=[])
    connected = client.answer().args
    assert (connected["features"], connected["conn_id"]) == ([], client.connection.id)


def test_connecting_may_subscribe(house):
    house.gate.answer("connect", Allow({"name": "ann", "auto_subscribe": ["a", "b", 7]}, ("sid=1",)))
    client = house.client()
    client.connect("ann")
    assert client.names() == ["SET_COOKIE", "CONNECTED", "SUBSCRIBE", "SUBSCRIBE"]
    assert [q.fields["channel_name"] for q in house.gate.questions("subscribe")] == ["a", "b"]


def test_a_second_connection_is_shown_the_users_channels_first(house):
    first = house.connected("ann")
    for channel in ("a", "b"):
        first.send("SUBSCRIBE", channel_name=channel)
    house.gate.allow("connect", name="ann", auto_subscribe=["c", "a"])
    house.gate.allow("subscribe", initial_data="only once")
    second = house.client()
    second.connect("ann")
    assert [(f.name, f.args.get("channel_name"), f.args.get("initial_data")) for f in second.take()] == [
        ("CONNECTED", None, None),
        ("SUBSCRIBE", "a", None),
        ("SUBSCRIBE", "b", None),
        ("SUBSCRIBE", "c", "only once"),
    ]
    assert [(f.args["channel_name"], "initial_data" in f.args) for f in first.take()][-1] == ("c", False)
    first.publish("a", 1)
    assert second.names() == ["PUBLISH"]


# cookies


def test_a_cookie_goes_to_the_browser_before_anything_else(house):
    house.gate.allow("connect", "a=1; Path=/", "b=é", name="ann")
    client = house.client(cookies="sid=0")
    client.connect("x")
    assert [(f.name, f.args.get("cookie")) for f in client.take()] == [
        ("SET_COOKIE", "a=1; Path=/"),
        ("SET_COOKIE", "b=é"),
        ("CONNECTED", None),
    ]
    client.send("SUBSCRIBE", channel_name="lobby")
    assert house.gate.asked[-1].cookies == "sid=0; a=1; b=é"


def test_a_cookie_of_a_refusal_counts_too(house):
    house.gate.refuse("connect", "log in first", "a=1")
    client = house.client()
    client.connect("x")
    assert client.names() == ["SET_COOKIE", "ERROR"]
    client.connect("x")
    assert house.gate.asked[-1].cookies == "a=1"


def test_A5_a_cookie_that_script_must_not_see_is_kept_and_never_shown(house):
    house.gate.allow("connect", "sid=secret; HttpOnly", "plain=1", name="ann")
    client = house.client()
    client.connect("x")
    assert [f.args.get("cookie") for f in client.take()] == ["plain=1", None]
    client.publish("lobby", 1)
    assert house.gate.asked[-1].cookies == "sid=secret; plain=1"
    assert b"secret" not in b"".join(client.outbox.lines)
    house.gate.allow("publish", "sid=; Max-Age=0; HttpOnly")
    client.publish("lobby", 1)
    client.publish("lobby", 1)
    assert house.gate.asked[-1].cookies == "plain=1"


def test_cookies_never_cross_users(house):
    house.gate.answer(
        "connect", lambda q: Allow({"name": "x" + q.cookies[-1]}, (f"kept={q.cookies[-1]}; HttpOnly",))
    )
    one, two = house.client(cookies="sid=1"), house.client(cookies="sid=2")
    one.connect("x")
    two.connect("x")
    go = house.gate.think("create_channel")
    one.sending("SUBSCRIBE", channel_name="lobby")
    two.sending("SUBSCRIBE", channel_name="lobby")
    house.gate.allow("create_channel", "made=1")
    go.set()
    house.settle()
    assert house.gate.questions("create_channel")[0].cookies == "sid=1; kept=1"
    assert [q.cookies for q in house.gate.questions("subscribe")] == [
        "sid=1; kept=1; made=1",
        "sid=2; kept=2",
    ]
    assert [f.args.get("cookie") for f in two.take()] == [None, None]


def test_a_cookie_goes_to_the_connection_that_caused_it_alone(house):
    ann, tab = house.connected("ann", "ann")
    house.gate.allow("subscribe", "a=1")
    ann.send("SUBSCRIBE", channel_name="lobby")
    assert ann.names() == ["SET_COOKIE", "SUBSCRIBE"]
    assert tab.names() == ["SUBSCRIBE"]


def test_cookies_of_script_add_names_the_request_lacks(house):
    client = house.client(cookies="sid=real")
    client.connect("ann", cookie_string="sid=forged; theme=dark")
    assert house.gate.asked[0].cookies == "sid=real; theme=dark"


def test_cookies_can_be_narrowed_to_one():
    house = House(cookie_identifier="sid")
    house.gate.allow("connect", "other=2", name="ann")
    client = house.client(cookies="a=1; sid=real; b=2")
    client.connect("ann", cookie_string="c=3")
    client.publish("lobby", 1)
    assert {q.cookies for q in house.gate.asked} == {"sid=real"}


def test_a_malformed_cookie_is_ignored(house, complaints):
    house.gate.allow("connect", "a=1\r\nX: y", "=nameless", "good=1", name="ann")
    client = house.client()
    client.connect("x")
    assert [f.args.get("cookie") for f in client.take()] == ["good=1", None]
    assert len(complaints()) == 2


@pytest.mark.parametrize("action", ["unsubscribe", "destroy_channel", "disconnect"])
def test_a_user_that_has_gone_is_given_no_cookies(house, action):
    house.gate.allow(action, "a=1")
    ann = house.subscribed("lobby", "ann")
    ann.leave()
    house.advance(6)
    assert house.gate.questions(action)
    assert ann.take() == []
