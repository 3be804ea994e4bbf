"""The bytes on the wire: samples replayed byte for byte, and the order in which frames come."""

import json
import re
from pathlib import Path

import pytest
from raw import Raw, text

from hookbox import __version__
from hookbox.testing import Reply

SETTINGS = {"leave_grace": 0, "protocol_errors": 1000}

SAMPLES = json.loads((Path(__file__).parents[1] / "wire" / "websocket.json").read_text())

WHAT_DIFFERS = {
    "{now}": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "{epoch}": "[!-~]+",
    "{id}": "[0-9a-f]{32}",
    "{version}": re.escape(__version__),
}


def pattern(line):
    """Matches just the line, but for what differs each time."""
    wanted = re.escape(line)
    for placeholder, differs in WHAT_DIFFERS.items():
        wanted = wanted.replace(re.escape(placeholder), differs)
    return wanted.encode()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["about"].split(",")[0][:40])
def test_a_sample_replays_byte_for_byte(hookbox, application, sample):
    for action, verdict in sample["app"].items():
        application.answer(action, verdict)
    with Raw(hookbox.port) as raw:
        for kind, line in sample["lines"]:
            if kind == ">":
                raw.send(text(line))
            elif kind == "app":
                for action, verdict in line.items():
                    application.answer(action, verdict)
            else:
                opcode, got = raw.next()
                assert opcode == 1, "text frames only"
                assert re.fullmatch(pattern(line), got), f"wanted {line.encode()!r}\ngot    {got!r}"


@pytest.mark.parametrize("path", ["/ws", "/ws/anything", "/csp/ws"])
def test_the_same_is_served_at_every_address(hookbox, path):
    client = hookbox.client(path=path)
    assert client.connect("ann")["name"] == "ann"


def test_lines_may_share_a_message_and_a_line_may_take_several(hookbox):
    lines = '[1,"CONNECT",{"cookie_string":"","payload":"\\"ann\\""}]\r\n[2,"PING",{}]\r\n[3,"PING",{}]\r\n'
    with Raw(hookbox.port) as raw:
        for at in range(0, len(lines), 7):
            raw.send(text(lines[at : at + 7]))
        assert [raw.next_line()[1] for _ in range(3)] == ["CONNECTED", "PONG", "PONG"]
    with Raw(hookbox.port) as raw:
        raw.send(text(lines))
        assert [raw.next_line()[:2] for _ in range(3)] == [[1, "CONNECTED"], [2, "PONG"], [3, "PONG"]]


def test_one_frame_leaves_in_one_message(hookbox):
    with Raw(hookbox.port) as raw:
        raw.send(text('[1,"CONNECT",{"cookie_string":""}]\r\n' + '[2,"PING",{}]\r\n' * 20))
        for _ in range(21):
            opcode, payload = raw.next()
            assert (opcode, payload.count(b"\r\n")) == (1, 1)


# the order of frames


def names(client, count):
    return [client.next().name for _ in range(count)]


def test_cookies_come_before_what_their_webhook_caused(hookbox, application):
    application.answer(
        "connect",
        Reply(
            [True, {"name": "ann", "auto_subscribe": ["first"]}],
            headers=(
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "hidden=2; HttpOnly"),
                ("Set-Cookie", "b=3; Path=/"),
            ),
        ),
    )
    application.answer("subscribe", Reply([False, {"error": "no"}], headers=(("Set-Cookie", "c=4"),)))
    client = hookbox.client()
    client.send("CONNECT", cookie_string="")
    assert client.expect("SET_COOKIE") == {"cookie": "a=1"}
    assert client.expect("SET_COOKIE") == {"cookie": "b=3; Path=/"}
    client.expect("CONNECTED")
    client.expect("SET_COOKIE", cookie="c=4")
    client.send("SUBSCRIBE", channel_name="second")
    client.expect("SET_COOKIE", cookie="c=4")
    client.expect("ERROR", msg="no")
    assert application.questions("subscribe")[-1].headers["cookie"] == "a=1; hidden=2; b=3; c=4"


def test_a_login_shows_what_the_user_is_in_before_what_it_is_put_into(hookbox, application):
    first = hookbox.connect("ann")
    first.subscribe("old")
    application.answer("connect", [True, {"name": "ann", "auto_subscribe": ["new"]}])
    second = hookbox.client()
    second.send("CONNECT", cookie_string="")
    second.expect("CONNECTED")
    second.expect("SUBSCRIBE", channel_name="old")
    second.expect("SUBSCRIBE", channel_name="new")
    first.expect("SUBSCRIBE", channel_name="new")


def test_channels_subscribed_by_an_answer_come_before_the_one_asked_for(hookbox, application):
    application.answer(
        "subscribe",
        lambda asked: [True, {"auto_subscribe": ["extra"]} if asked.form["channel_name"] == "main" else {}],
    )
    client = hookbox.connect("ann")
    client.send("SUBSCRIBE", channel_name="main")
    client.expect("SUBSCRIBE", channel_name="extra")
    client.expect("SUBSCRIBE", channel_name="main")


def test_nothing_of_a_channel_follows_its_unsubscribe(hookbox, application):
    application.allow("create_channel", presenceful=True)
    ann, bob = hookbox.subscribed("order", "ann", "bob")
    ann.skip_to("SUBSCRIBE", user="bob")
    for n in range(30):
        bob.publish("order", n)
    ann.send("UNSUBSCRIBE", channel_name="order")
    for n in range(30):
        bob.publish("order", n)
    bob.send("UNSUBSCRIBE", channel_name="order")
    ann.send("PING")
    bob.skip_to("UNSUBSCRIBE", user="bob")
    seen = []
    while not seen or seen[-1] != "UNSUBSCRIBE":
        seen.append(ann.next().name)
    assert set(seen) <= {"PUBLISH", "UNSUBSCRIBE"}
    assert ann.next().name == "PONG"
    ann.send("PING")
    assert ann.next().name == "PONG"


def test_presence_frames_of_others_have_no_presence_list(hookbox, application):
    application.allow("create_channel", presenceful=True)
    ann, bob = hookbox.subscribed("presence", "ann", "bob")
    assert set(ann.expect("SUBSCRIBE", user="bob")) == {"channel_name", "user", "datetime"}
    bob.send("UNSUBSCRIBE", channel_name="presence")
    assert set(ann.expect("UNSUBSCRIBE", user="bob")) == {"channel_name", "user", "datetime"}
    bob.expect("UNSUBSCRIBE", user="bob")


def test_datetime_is_local_and_has_no_fraction(hookbox):
    import time

    def second_of(instant):
        # strftime() without an instant asks the kernel's coarse clock, which is some milliseconds behind.
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(instant))

    (ann,) = hookbox.subscribed("time", "ann")
    before = time.time()
    ann.publish("time", 1)
    assert second_of(before) <= ann.next_publication()["datetime"] <= second_of(time.time())
