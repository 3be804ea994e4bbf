"""The road of a frame: faults, rates and what ends a connection."""

import pytest
from parts import House, errors

from hookbox.protocol.disconnects import (
    BAD_FRAME,
    TOO_MANY_ERRORS,
    TOO_MANY_MESSAGES,
)
from hookbox.webhooks.gate import Allow


@pytest.mark.parametrize(
    "name", ["__class__", "_run", "frame_CONNECT", "connect", "CONNECTED", "X" * 300, "é"]
)
def test_M5_an_unknown_frame(house, name):
    client = house.connected("ann")
    client.send(name)
    assert client.answer().args == {"id": 2, "msg": "Unknown frame", "code": "unknown_frame"}


def test_M14_an_id_may_be_used_again(house):
    client = house.connected("ann")
    client.feed(b'[1,"PING",{}]\r\n[1,"PING",{}]\r\n[-5,"PING",{}]\r\n[0,"PING",{}]\r\n')
    assert [f.args["id"] for f in client.take()] == [1, 1, -5, 0]


def test_a_fault_ends_no_stream(house):
    client = house.connected("ann")
    client.feed(b'nonsense\r\n\r\n[7]\r\n[8,"PING",{}]\r\n')
    assert [(f.name, f.args["id"]) for f in client.take()] == [
        ("ERROR", None),
        ("ERROR", None),
        ("ERROR", 7),
        ("PONG", 8),
    ]


def test_a_line_too_long_ends_the_connection_after_those_before_it():
    house = House(max_message=100)
    client = house.client()
    client.feed(b'[1,"PING",{}]\r\n' + b"x" * 60)
    assert client.ended is None
    client.feed(b"x" * 60)
    assert client.ended == BAD_FRAME
    assert errors(client.take()) == ["not_connected", "too_large"]


def test_too_many_errors_end_the_connection():
    house = House(protocol_errors=5)
    client = house.connected("ann")
    for _ in range(5):
        assert client.feed(b"nonsense\r\n") is None
    assert client.feed(b"nonsense\r\n") == TOO_MANY_ERRORS
    assert len(client.take()) == 6


def test_errors_are_forgiven_with_time():
    house = House(protocol_errors=5)
    client = house.connected("ann")
    for _ in range(20):
        assert client.feed(b"nonsense\r\n") is None
        house.clock.advance(13)


def test_what_the_application_refuses_is_no_error_of_the_client():
    house = House(protocol_errors=5)
    client = house.connected("ann")
    house.gate.refuse("create_channel")
    for n in range(20):
        client.send("SUBSCRIBE", channel_name=f"c{n}")
    assert client.ended is None


def test_M13_messages_over_the_rate_are_refused_with_their_id():
    house = House(client_rate=10, client_burst=3)
    client = house.client()
    client.connect("ann", features=["ack"])
    client.take()
    for _ in range(4):
        client.send("UNSUBSCRIBE", channel_name="x")
    assert [(f.name, f.args["id"], f.args.get("code")) for f in client.take()] == [
        ("ACK", 2, None),
        ("ACK", 3, None),
        ("ERROR", 4, "rate"),
        ("ERROR", 5, "rate"),
    ]
    house.clock.advance(0.1)
    client.send("UNSUBSCRIBE", channel_name="x")
    assert client.names() == ["ACK"]


def test_M13_whoever_stays_over_the_rate_for_10_seconds_is_ended():
    house = House(client_rate=10, client_burst=20)
    client = house.connected("ann")
    sent = 0
    while not client.ended and sent < 1300:
        sent += 1
        house.clock.advance(0.01)
        client.send("PING")
    assert client.ended == TOO_MANY_MESSAGES
    assert 1000 <= sent <= 1100, sent


def test_M13_whoever_slows_down_is_forgiven():
    house = House(client_rate=10, client_burst=20)
    client = house.connected("ann")
    for _ in range(20):
        for _ in range(30):
            client.send("PING")
        assert "rate" in errors(client.take())
        house.clock.advance(3)
    assert client.ended is None


def test_M13_malformed_lines_count_as_messages():
    house = House(client_rate=10, client_burst=3, protocol_errors=1000)
    client = house.client()
    client.feed(b"nonsense\r\n" * 5)
    client.send("PING")
    assert errors(client.take()) == ["bad_json"] * 5 + ["rate"]


def test_Z6_an_unforeseen_fault_ends_that_connection_only(house, complaints):
    house.gate.answer("subscribe", lambda q: 1 / 0 if q.fields["user"] == "ann" else Allow({}))
    ann, bob = house.connected("ann", "bob")
    ann.send("SUBSCRIBE", channel_name="lobby")
    bob.send("SUBSCRIBE", channel_name="lobby")
    assert ann.ended.code == 1011
    assert ann.answer().args == {"id": 2, "msg": "Internal error", "code": "internal"}
    assert bob.names() == ["SUBSCRIBE"]
    assert complaints()


def test_the_history_of_names_is_safe(house):
    """M12: keys that mean something in JavaScript are plain data."""
    client = house.subscribed("lobby", "ann")
    client.publish("lobby", {"__proto__": {"x": 1}, "constructor": 1})
    assert client.answer().args["payload"] == {"__proto__": {"x": 1}, "constructor": 1}
