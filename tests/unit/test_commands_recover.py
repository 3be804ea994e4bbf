"""Acknowledgements, and coming back to what was missed."""

import pytest
from parts import NOW, House, position

# acknowledgements


def test_each_frame_has_exactly_one_answer(house):
    client = house.connected("ann", features=["ack", "ping"])
    house.connected("bob")
    said = [
        ("SUBSCRIBE", {"channel_name": "lobby"}, "ACK"),
        ("SUBSCRIBE", {"channel_name": "lobby"}, "ACK"),
        ("PUBLISH", {"channel_name": "lobby", "payload": "1"}, "ACK"),
        ("MESSAGE", {"name": "bob", "payload": "1"}, "ACK"),
        ("UNSUBSCRIBE", {"channel_name": "lobby"}, "ACK"),
        ("UNSUBSCRIBE", {"channel_name": "lobby"}, "ACK"),
        ("UNSUBSCRIBE", {"channel_name": "nowhere"}, "ACK"),
        ("SUBSCRIBE", {"channel_name": ""}, "ERROR"),
        ("NONSENSE", {}, "ERROR"),
        ("CONNECT", {"cookie_string": ""}, "ERROR"),
        ("PING", {}, "PONG"),
    ]
    for name, args, wanted in said:
        frame_id = client.send(name, **args)
        frames = client.take()
        assert [f.name for f in frames if f.name in ("ACK", "ERROR", "PONG")] == [wanted]
        assert frames[-1].name == wanted, "it comes last"
        assert frames[-1].args["id"] == frame_id


def test_a_publications_answer_says_where_it_stands(house):
    client = house.subscribed("lobby", "ann", features=["ack"])
    client.publish("lobby", 1)
    publication, ack = client.take()
    assert publication.args["offset"] == 1
    assert ack.args == {"id": 3, "offset": 1, "epoch": position(client, "lobby").epoch}


def test_without_the_feature_there_is_no_answer(house):
    client = house.subscribed("lobby", "ann")
    client.send("UNSUBSCRIBE", channel_name="nowhere")
    assert client.take() == []


# recovery


def returning(house, name, since=None, **args):
    """A client that comes back with the feature `recover`."""
    client = house.client()
    client.connect(name, features=["recover"], **args)
    client.take()
    return client


def test_D3_what_was_missed_comes_before_anything_newer(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    epoch = position(ann, "lobby").epoch
    for n in range(1, 6):
        bob.publish("lobby", n)
    ann.leave()
    bob.publish("lobby", 6)
    again = returning(house, "ann")
    bob.publish("lobby", 7)
    assert again.take() == [], "held until it says where it left off"
    again.send("SUBSCRIBE", channel_name="lobby", since={"epoch": epoch, "offset": 3})
    bob.publish("lobby", 8)
    own, live = again.take()
    assert own.args["recovered"] is True
    assert [(p["payload"], p["offset"]) for p in own.args["missed"]] == [(4, 4), (5, 5), (6, 6), (7, 7)]
    assert own.args["missed"][0] == {
        "channel_name": "lobby",
        "payload": 4,
        "datetime": NOW,
        "user": "bob",
        "offset": 4,
    }
    assert (own.args["offset"], live.args["offset"]) == (7, 8)


@pytest.mark.parametrize(
    ("since", "code"),
    [
        ({"epoch": "foreign", "offset": 0}, None),
        ({"offset": -1}, None),
        ({"offset": 99}, None),
        ({"offset": 2**63 - 1}, None),
        ({"offset": "x"}, "bad_frame"),
        ({"offset": 1.5}, "bad_frame"),
        ({"offset": True}, "bad_frame"),
        ({"epoch": 7, "offset": 1}, "bad_frame"),
        ({"epoch": "e"}, "bad_frame"),
        ("x", "bad_frame"),
        ([], "bad_frame"),
        (2**64, "bad_json"),
    ],
)
def test_M11_a_position_that_is_none(house, since, code):
    bob = house.subscribed("lobby", "bob")
    bob.publish("lobby", 1)
    ann = returning(house, "ann")
    if isinstance(since, dict) and "epoch" not in since and code is None:
        since["epoch"] = position(bob, "lobby").epoch
    ann.send("SUBSCRIBE", channel_name="lobby", since=since)
    frame = ann.answer()
    if code:
        assert frame.args["code"] == code
    else:
        assert frame.args["recovered"] is False
        assert "missed" not in frame.args
        assert frame.args["offset"] == 1


def test_D5_what_is_no_longer_kept_is_not_recovered(house):
    house.gate.allow("create_channel", recovery_size=2)
    bob = house.subscribed("lobby", "bob")
    epoch = position(bob, "lobby").epoch
    for n in range(5):
        bob.publish("lobby", n)
    for offset, recovered in ((2, False), (3, True), (5, True)):
        ann = returning(house, f"ann{offset}")
        ann.send("SUBSCRIBE", channel_name="lobby", since={"epoch": epoch, "offset": offset})
        assert ann.answer().args["recovered"] is recovered


def test_a_recovery_gives_back_no_more_than_is_set():
    house = House(recovery_messages=3, recovery_bytes=10_000)
    bob = house.subscribed("lobby", "bob")
    epoch = position(bob, "lobby").epoch
    for _n in range(4):
        bob.publish("lobby", "x" * 1000)
    for offset, recovered in ((0, False), (1, True)):
        ann = returning(house, f"ann{offset}")
        ann.send("SUBSCRIBE", channel_name="lobby", since={"epoch": epoch, "offset": offset})
        assert ann.answer().args["recovered"] is recovered
    for _n in range(3):
        bob.publish("lobby", "x" * 5000)
    carl = returning(house, "carl")
    carl.send("SUBSCRIBE", channel_name="lobby", since={"epoch": epoch, "offset": 4})
    assert carl.answer().args["recovered"] is False


def test_the_positions_may_come_with_connect(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    epoch = position(ann, "lobby").epoch
    ann.leave()
    bob.publish("lobby", 1)
    again = house.client()
    again.connect("ann", features=["recover"], since={"lobby": {"epoch": epoch, "offset": 0}})
    _connected, own = again.take()
    assert own.args["recovered"] is True
    assert len(own.args["missed"]) == 1
    bob.publish("lobby", 2)
    assert again.names() == ["PUBLISH"]


def test_a_returning_client_that_says_nothing_misses_nothing_either(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    again = house.client()
    again.connect("ann", features=["recover"])
    _, own = again.take()
    bob.publish("lobby", 1)
    assert again.take() == []
    house.advance(1.5)
    bob.publish("lobby", 2)
    assert [f.args["offset"] for f in again.take()] == [own.args["offset"] + 1, own.args["offset"] + 2]


def test_a_returning_client_that_subscribes_plainly_misses_nothing_either(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    again = returning(house, "ann")
    bob.publish("lobby", 1)
    again.send("SUBSCRIBE", channel_name="lobby")
    bob.publish("lobby", 2)
    assert [f.args["offset"] for f in again.take()] == [1, 2]
    house.advance(1.5)
    assert again.take() == []


def test_what_changed_while_a_channel_was_held_is_shown(house):
    house.gate.allow("create_channel", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    again = returning(house, "ann")
    house.subscribed("lobby", "carl")
    bob.publish("lobby", 1)
    house.advance(1.5)
    own = again.answer()
    assert own.args["presence"] == ["ann", "bob", "carl"]
    assert len(own.args["missed"]) == 1


def test_a_client_that_goes_while_a_channel_is_held_leaves_nothing_behind(house):
    ann, _bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    again = returning(house, "ann")
    again.leave()
    house.advance(1.5)
    assert len(house.hub.channels["lobby"].listeners) == 1
    house.advance(10)
    assert list(house.hub.channels["lobby"].subscribers) == ["bob"]


def test_a_held_channel_that_is_left_stays_left(house):
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()
    again = returning(house, "ann")
    again.send("UNSUBSCRIBE", channel_name="lobby")
    again.take()
    house.advance(1.5)
    bob.publish("lobby", 1)
    assert again.take() == []


def test_a_tab_that_asks_where_it_is_subscribed_already_is_answered(house):
    ann = house.subscribed("lobby", "ann", features=["recover"])
    epoch = position(ann, "lobby").epoch
    ann.publish("lobby", 1)
    ann.take()
    ann.send("SUBSCRIBE", channel_name="lobby", since={"epoch": epoch, "offset": 0})
    own = ann.answer()
    assert (own.args["recovered"], len(own.args["missed"])) == (True, 1)
    ann.publish("lobby", 2)
    assert ann.names() == ["PUBLISH"]


def test_without_the_feature_a_position_means_nothing(house):
    ann = house.connected("ann")
    ann.send("SUBSCRIBE", channel_name="lobby", since={"epoch": "x", "offset": 0})
    assert "recovered" not in ann.answer().args


def test_a_ping_is_answered_whether_or_not_the_feature_was_asked_for(house):
    for features in (None, [], ["ping"]):
        args = {} if features is None else {"features": features}
        client = house.connected("ann", **args)
        sent = client.send("PING")
        assert (client.answer().name, sent) == ("PONG", 2)
