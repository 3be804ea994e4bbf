"""Malformed application messages: each has its ERROR, and the connection goes on."""

import json
import threading
import time

import pytest
from conftest import Watch, eventually
from raw import CONNECT, Raw, client_frame, text

from hookbox.testing import Reply

SETTINGS = {"protocol_errors": 1000, "leave_grace": 0}


@pytest.fixture
def raw(hookbox):
    """A connected socket; frame 1 is used."""
    with Raw(hookbox.port, text('[1,"CONNECT",{"cookie_string":"","features":["ping"]}]\r\n')) as raw:
        assert raw.next_line()[1] == "CONNECTED"
        yield raw


def nested(depth):
    return "[" * depth + "]" * depth


def frame(args, name="PUBLISH", frame_id=5):
    """A line with arguments as JSON text."""
    return f'[{frame_id},"{name}",{args}]'


BAD_JSON = {"id": None, "code": "bad_json"}
NO_LIST = {"id": None, "code": "bad_frame", "msg": "Invalid frame (not a list)"}
PAYLOAD = {"id": 5, "code": "bad_json", "msg": "Invalid json for payload"}


def payload(text):
    return frame(json.dumps({"channel_name": "lobby", "payload": text}))


def channel(value, name="SUBSCRIBE"):
    return frame(f'{{"channel_name":{value},"payload":"1"}}', name)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param("hello", BAD_JSON, id="M1-not-json"),
        pytest.param("", BAD_JSON, id="M1-empty-line"),
        pytest.param('\ufeff[5,"PING",{}]', BAD_JSON, id="M1-byte-order-mark"),
        pytest.param('[5,"PING",{}]]', BAD_JSON, id="M1-trailing-bytes"),
        pytest.param('{"a":1}', NO_LIST, id="M1-object"),
        pytest.param("5", NO_LIST, id="M1-number"),
        pytest.param("null", NO_LIST, id="M1-null"),
        pytest.param(frame(f'{{"x":{nested(31)}}}'), BAD_JSON, id="M2-depth-33"),
        pytest.param(nested(1000), BAD_JSON, id="M2-depth-1000"),
        pytest.param("[" * 60_000, BAD_JSON, id="M2-depth-60000"),
        pytest.param(frame('{"x":NaN}'), BAD_JSON, id="M2-NaN"),
        pytest.param(frame('{"x":-Infinity}'), BAD_JSON, id="M2-Infinity"),
        pytest.param(frame('{"x":1e400}'), BAD_JSON, id="M2-1e400"),
        pytest.param(frame(f'{{"x":{"9" * 4301}}}'), BAD_JSON, id="M2-4301-digits"),
        pytest.param(frame(f'{{"x":{2**63}}}'), BAD_JSON, id="M2-2^63"),
        pytest.param(payload(nested(33)), PAYLOAD, id="M2-payload-depth-33"),
        pytest.param(payload(nested(20_000)), PAYLOAD, id="M2-payload-depth-20000"),
        pytest.param(payload("NaN"), PAYLOAD, id="M2-payload-NaN"),
        pytest.param(payload("1e400"), PAYLOAD, id="M2-payload-1e400"),
        pytest.param(payload("9" * 4301), PAYLOAD, id="M2-payload-4301-digits"),
        pytest.param(payload(str(2**63)), PAYLOAD, id="M2-payload-2^63"),
        pytest.param(frame(r'{"x":"\ud800"}'), BAD_JSON, id="M3-lone-surrogate"),
        pytest.param(payload(r'"\ud800"'), PAYLOAD, id="M3-payload-lone-surrogate"),
        pytest.param(channel(r'"a\u0000b"'), {"id": 5, "code": "bad_channel"}, id="M3-NUL-in-name"),
        pytest.param(
            frame("{}", "NONSENSE"),
            {"id": 5, "code": "unknown_frame", "msg": "Unknown frame"},
            id="M5-unknown",
        ),
        *(
            pytest.param(frame("{}", name), {"id": 5, "code": "unknown_frame"}, id=f"M5-{name}")
            for name in ("__class__", "_run", "frame_CONNECT", "__init__", "subscribe", "CONNECTED")
        ),
        pytest.param('[5,["PING"],{}]', {"id": 5, "code": "bad_frame"}, id="M5-name-list"),
        pytest.param('[5,{"a":1},{}]', {"id": 5, "code": "bad_frame"}, id="M5-name-dict"),
        pytest.param("[5,1,{}]", {"id": 5, "code": "bad_frame"}, id="M5-name-1"),
        *(
            pytest.param(args, {"id": 5, "code": "bad_frame"}, id=f"M6-{what}-{name}")
            for name in ("SUBSCRIBE", "PUBLISH", "UNSUBSCRIBE")
            for what, args in [
                ("missing", frame("{}", name)),
                *((value, channel(value, name)) for value in ("null", "{}", "[]", "7", "true")),
            ]
        ),
        *(
            pytest.param(
                channel(json.dumps(value), name), {"id": 5, "code": "bad_channel"}, id=f"M6-{what}-{name}"
            )
            for name in ("SUBSCRIBE", "PUBLISH", "UNSUBSCRIBE")
            for what, value in [
                ("empty", ""),
                ("201-characters", "é" * 201),
                ("dollar", "$x"),
                ("control-character", "a\x1bb"),
                ("bidi-mark", "a\u202eb"),
            ]
        ),
        pytest.param(
            frame('{"cookie_string":""}', "CONNECT"),
            {"id": 5, "code": "already_connected", "msg": "Already logged in"},
            id="M7-second-connect",
        ),
        pytest.param('["PING",{}]', {"id": None, "code": "bad_frame"}, id="M14-id-missing"),
        pytest.param('[{},"PING",{}]', {"id": None, "code": "bad_frame"}, id="M14-id-object"),
        pytest.param(
            f'["{"1" * 300}","PING",{{}}]', {"id": None, "code": "bad_frame"}, id="M14-id-300-characters"
        ),
        pytest.param(
            frame('{"name":7,"payload":"1"}', "MESSAGE"),
            {"id": 5, "code": "bad_frame"},
            id="recipient-number",
        ),
    ],
)
def test_a_bad_message_has_this_error_and_asks_nobody(raw, application, line, error):
    asked = len(application.asked)
    raw.send(text(line + "\r\n"), text('[6,"PING",{}]\r\n'))
    _, name, args = raw.next_line()
    assert name == "ERROR"
    assert args.items() >= error.items()
    assert set(args) == {"id", "msg", "code"}
    assert raw.next_line()[1:] == ["PONG", {"id": 6}], "the connection goes on"
    assert len(application.asked) == asked


def test_M2_a_line_too_deep_for_one_message_is_too_big(raw):
    raw.send(text("[" * 100_000))
    assert raw.close_code() == 1009


def test_a_line_longer_than_a_message_may_be_ends_the_connection(raw):
    raw.send(text("x" * 40_000), text("x" * 40_000))
    frames, code, _ = raw.ending()
    assert b"too_large" in frames[0][1]
    assert code == 4500


def test_M4_of_a_repeated_key_the_last_value_reaches_application_and_subscribers(hookbox, application):
    ann, bob = hookbox.subscribed("twice", "ann", "bob")
    ann.send("PUBLISH", channel_name="twice", payload='{"a": 1, "b": {"c": 1, "c": 2}, "a": [3]}')
    assert application.wait_for("publish")[0].form["payload"] == '{"a": [3], "b": {"c": 2}}'
    assert ann.next_publication()["payload"] == bob.next_publication()["payload"] == {"a": [3], "b": {"c": 2}}


@pytest.mark.parametrize("name", ["SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", "MESSAGE", "PING"])
def test_M7_nothing_is_done_before_connect(hookbox, application, name):
    with Raw(hookbox.port) as raw:
        raw.send(text(frame('{"channel_name":"lobby","name":"ann","payload":"1"}', name) + "\r\n"))
        assert raw.next_line()[2] == {"id": 5, "msg": "Not connected", "code": "not_connected"}
    assert application.asked == []


def test_M7_a_second_connect_while_the_first_is_pending_is_looked_at_after_it(hookbox, application):
    answer = threading.Event()
    application.answer("connect", Reply([True, {"name": "ann"}], wait_for=answer))
    with Raw(hookbox.port, CONNECT) as raw:
        raw.send(text('[2,"CONNECT",{"cookie_string":""}]\r\n'), text('[3,"PING",{}]\r\n'))
        application.wait_for("connect")
        answer.set()
        assert [raw.next_line()[1:] for _ in range(3)] == [
            ["CONNECTED", {"name": "ann", "payload": '"ann"'}],
            ["ERROR", {"id": 2, "msg": "Already logged in", "code": "already_connected"}],
            ["PONG", {"id": 3}],
        ]
    assert len(application.questions("connect")) == 1


@pytest.mark.parametrize(("features", "answer"), [([], []), (["ack"], ["ACK"])])
def test_M8_unsubscribing_from_an_unknown_channel_is_silent(hookbox, application, features, answer):
    client = hookbox.connect("ann", features=features)
    client.send("UNSUBSCRIBE", channel_name="unknown")
    client.send("PING")
    assert [client.next().name for _ in range(len(answer) + 1)] == [*answer, "PONG"]
    assert [asked.action for asked in application.asked] == ["connect"]
    assert "unknown" not in str(hookbox.api("get_server_info"))


def test_M9_the_129th_subscription_is_over_the_limit(hookbox, application):
    application.allow("create_channel", moderated=False)
    client = hookbox.connect("ann", features=["ack"])
    ids = [client.send("SUBSCRIBE", channel_name=f"many{n}") for n in range(129)]
    for frame_id in ids[:-1]:
        client.skip_to("ACK", id=frame_id)
    assert client.expect("ERROR", id=ids[-1])["code"] == "limit"
    assert len(application.questions("create_channel")) == 128


def test_M9_the_same_channel_twice_is_silent(hookbox, application):
    (client,) = hookbox.subscribed("same", "ann")
    client.send("SUBSCRIBE", channel_name="same")
    client.send("PING")
    assert client.next().name == "PONG"
    assert len(application.questions("subscribe")) == 1


def test_M9_subscribing_while_it_is_pending_asks_once(hookbox, application):
    answer = threading.Event()
    one, two = hookbox.connect("ann"), hookbox.connect("ann")
    application.answer("subscribe", Reply([True, {}], wait_for=answer))
    one.send("SUBSCRIBE", channel_name="pending")
    two.send("SUBSCRIBE", channel_name="pending")
    one.send("SUBSCRIBE", channel_name="pending")
    application.wait_for("subscribe")
    two.send("PING")
    answer.set()
    for client in (one, two):
        client.expect("SUBSCRIBE", channel_name="pending")
    assert two.next().name == "PONG"
    assert len(application.questions("subscribe")) == 1


@pytest.mark.parametrize("cookie", ["a=1\r\nX-Real-IP: 1.2.3.4", "a=1\nb", "a=1\rb", "a=\x00"])
def test_M10_a_cookie_that_would_be_a_header_reaches_nobody(hookbox, application, cookie):
    client = hookbox.client()
    client.send("CONNECT", cookie_string=cookie)
    assert client.expect("ERROR", id=1)["code"] == "bad_frame"
    assert application.asked == []
    client.connect("ann")


@pytest.mark.parametrize(
    ("since", "code"),
    [
        pytest.param({"epoch": "right", "offset": -1}, None, id="M11--1"),
        pytest.param({"epoch": "right", "offset": 1000}, None, id="M11-ahead-of-head"),
        pytest.param({"epoch": "right", "offset": 2**63 - 1}, None, id="M11-far-ahead"),
        pytest.param({"epoch": "right", "offset": 2**64}, "bad_json", id="M11-2^64"),
        pytest.param({"epoch": "right", "offset": "x"}, "bad_frame", id="M11-x"),
        pytest.param({"epoch": "foreign", "offset": 0}, None, id="M11-foreign-epoch"),
        pytest.param({"epoch": 5, "offset": 0}, "bad_frame", id="M11-epoch-number"),
        pytest.param([], "bad_frame", id="M11-list"),
    ],
)
def test_a_position_that_cannot_be(hookbox, since, code):
    publisher = hookbox.connect("bob")
    epoch = publisher.subscribe("since")["epoch"]
    publisher.publish("since", 1)
    publisher.next_publication()
    if isinstance(since, dict) and since["epoch"] == "right":
        since["epoch"] = epoch
    client = hookbox.connect("ann", features=["recover"])
    client.send("SUBSCRIBE", channel_name="since", since=since)
    if code:
        assert client.expect("ERROR")["code"] == code
    else:
        own = client.expect("SUBSCRIBE", recovered=False)
        assert own["offset"] >= 1
        assert "missed" not in own


def test_M12_keys_that_mean_something_elsewhere_are_plain_data(hookbox, application):
    application.allow("create_channel", history=2, history_publish_only=True)
    (client,) = hookbox.subscribed("proto", "ann")
    strange = {"__proto__": {"admin": True}, "constructor": {"prototype": 1}, "toString": None}
    client.publish("proto", strange)
    assert client.next_publication()["payload"] == strange
    other = hookbox.connect("bob")
    assert other.subscribe("proto")["history"][0][1]["payload"] == strange


def test_M12_60_kib_of_empty_objects_cost_little(hookbox, application):
    application.allow("create_channel", moderated=False)
    watch = Watch(hookbox)
    (client,) = hookbox.subscribed("objects", "ann")
    payload = "[" + ",".join(["{}"] * 20_000) + "]"
    client.send("PUBLISH", channel_name="objects", payload=payload)
    client.next_publication()
    before = watch.resident
    for _ in range(5):
        client.send("PUBLISH", channel_name="objects", payload=payload)
        assert len(client.next_publication()["payload"]) == 20_000
    assert watch.resident < before + 5 * 1024 * 1024


def test_M13_messages_over_the_rate_are_refused(start):
    hookbox = start(client_rate=5, client_burst=10)
    hookbox.connect("first")  # may wait for the webhook client to be loaded, long enough to earn a token
    client = hookbox.connect("ann")
    ids = [client.send("PING") for _ in range(12)]
    frames = [client.next() for _ in ids]
    assert [frame.args["id"] for frame in frames] == ids
    assert [frame.name for frame in frames] == ["PONG"] * 9 + ["ERROR"] * 3
    assert {frame.args["code"] for frame in frames[9:]} == {"rate"}
    time.sleep(0.5)
    client.send("PING")
    assert client.next().name == "PONG"


def test_M14_an_id_may_be_used_again(raw):
    raw.send(text('[7,"PING",{}]\r\n[7,"PING",{}]\r\n[1,"PING",{}]\r\n'))
    assert [raw.next_line()[2]["id"] for _ in range(3)] == [7, 7, 1]


def test_too_many_errors_end_the_connection(start):
    hookbox = start(protocol_errors=3)
    with Raw(hookbox.port, CONNECT) as raw:
        raw.next_line()
        raw.send(text("\r\n" * 10))
        frames, code, reason = raw.ending()
        assert (len(frames), code, reason) == (4, 4505, "too many errors")
    client = hookbox.connect("ann", features=["close"])
    for _ in range(4):
        client.send("NONSENSE")
    assert [client.expect("ERROR")["code"] for _ in range(4)] == ["unknown_frame"] * 4
    assert client.expect("CLOSE") == {"code": 4505, "reason": "too many errors"}, "terminal: no retry_ms"
    assert client.wait_closed() == (4505, "too many errors")


def test_the_limit_of_a_users_connections(start):
    hookbox = start(connections_per_user=2)
    clients = [hookbox.connect("ann"), hookbox.connect("ann")]
    third = hookbox.client()
    third.send("CONNECT", cookie_string="", payload='"ann"')
    assert third.wait_closed()[0] == 4503
    clients.pop().close()
    eventually(lambda: _connects(hookbox), what="the place is not free again")
    clients[0].close()


def _connects(hookbox):
    client = hookbox.client()
    client.send("CONNECT", cookie_string="", payload='"ann"')
    try:
        return client.next().name == "CONNECTED"
    except Exception:
        return False
    finally:
        client.close()


def test_a_silent_peer_is_pinged_and_then_given_up(start):
    hookbox = start(ping_interval=0.3, pong_timeout=0.5)
    with Raw(hookbox.port, CONNECT) as answering, Raw(hookbox.port, CONNECT) as silent:
        began = time.monotonic()
        answering.next_line()
        silent.next_line()
        assert silent.next() == (9, b"")
        for _ in range(3):
            assert answering.next() == (9, b"")
            answering.send(client_frame(10))
        opcode, payload = silent.next()
        assert (opcode, payload[:2]) == (8, (4000).to_bytes(2, "big"))
        assert time.monotonic() - began < 8
