"""Taking one's place again over real sockets: the application is down, and nobody notices the cut."""

import socket
import struct
import threading
from contextlib import suppress

import pytest
from comet_client import Comet

from hookbox.testing import ApiRefused, Client, Reply

FEATURES = ["ack", "recover", "resume"]
DOWN = Reply(status=503, body=b"down")
ACTIONS = ("connect", "create_channel", "subscribe", "unsubscribe", "publish", "disconnect", "destroy_channel")
SETTINGS = {"breaker_failures": 1_000_000, "breaker_calls": 1_000_000}


@pytest.fixture(autouse=True)
def nobody_is_waited_for(hookbox, application):
    """Whoever is left goes at once, instead of after `leave_grace`."""
    yield
    application.forget()
    for name in ("ann", "bob"):
        with suppress(ApiRefused):
            hookbox.api("disconnect_user", name=name)


@pytest.fixture
def ann(hookbox, application):
    """Ann's page, subscribed to a presenceful channel, and what CONNECTED said."""
    application.allow("create_channel", presenceful=True)
    client = hookbox.client(headers={"Cookie": "s=1"}, features=FEATURES)
    client.connected = client.connect("ann")
    client.subscribe("lobby")
    return client


def ticket(client):
    return {"conn_id": client.connected["conn_id"], "key": client.connected["resume"]}


def position_of(shown):
    return {"epoch": shown["epoch"], "offset": shown["offset"]}


def outage(application):
    """The application answers nothing useful any more."""
    application.asked.clear()
    for action in ACTIONS:
        application.answer(action, DOWN)


def reset(client):
    """Cut it off as a network does: no goodbye."""
    client.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.cut()


def come_back(hookbox, client, position):
    again = hookbox.client(headers={"Cookie": "s=1"}, features=FEATURES)
    again.send("CONNECT", cookie_string="", features=FEATURES, resume=ticket(client), since={"lobby": position})
    again.connected = again.expect("CONNECTED", name="ann", resumed=True)
    return again


def test_F17_a_client_that_was_cut_comes_back_while_the_application_is_down(hookbox, application, ann):
    bob = hookbox.connect("bob")
    position = position_of(bob.subscribe("lobby"))
    outage(application)
    seen = []
    for number in range(1, 6):
        reset(ann)
        hookbox.api("publish", channel_name="lobby", payload=number)
        ann = come_back(hookbox, ann, position)
        shown = ann.expect("SUBSCRIBE", channel_name="lobby", recovered=True)
        seen += [publication["payload"] for publication in shown["missed"]]
        position = position_of(shown)
    assert seen == [1, 2, 3, 4, 5]
    assert application.asked == []
    assert [bob.next().name for _ in range(5)] == ["PUBLISH"] * 5, "no presence in between"
    counts = hookbox.api("get_server_info")["counts"]
    assert counts["resumed"] >= 5


def test_a_connection_that_only_seems_alive_is_replaced(hookbox, application, ann):
    outage(application)
    again = come_back(hookbox, ann, None)
    again.expect("SUBSCRIBE", channel_name="lobby")
    assert ann.wait_closed()[0] == 1000
    hookbox.api("publish", channel_name="lobby", payload=1)
    again.expect("PUBLISH", payload=1)


def test_a_client_may_come_back_over_comet(hookbox, application, ann, request):
    outage(application)
    reset(ann)
    comet = Comet(hookbox.port, headers={"Cookie": "s=1"})
    request.addfinalizer(lambda: comet.post("close").reply())
    connected = comet.connect(features=FEATURES, resume=ticket(ann), since={})
    assert connected["resumed"] is True
    assert comet.frame("SUBSCRIBE")[2]["channel_name"] == "lobby"
    hookbox.api("publish", channel_name="lobby", payload=1)
    assert comet.frame("PUBLISH")[2]["payload"] == 1


def test_with_another_session_the_application_decides(hookbox, application, ann):
    reset(ann)
    application.refuse("connect", "log in")
    thief = hookbox.client(headers={"Cookie": "s=2"}, features=FEATURES)
    thief.send("CONNECT", cookie_string="", features=FEATURES, resume=ticket(ann))
    thief.expect("ERROR", code="denied", msg="log in")


def test_ten_tabs_of_one_browser_are_one_question(hookbox, application):
    go = threading.Event()
    application.answer("connect", Reply([True, {"name": "ann"}], wait_for=go))
    tabs = [Client(hookbox.url, headers={"Cookie": "s=ten"}) for _ in range(10)]
    for tab in tabs:
        tab.send("CONNECT", cookie_string="", payload="null")
    application.wait_for("connect")
    other = hookbox.client(headers={"Cookie": "s=other"})
    other.send("CONNECT", cookie_string="", payload="null")
    application.wait_for("connect", count=2)
    go.set()
    for tab in tabs:
        tab.expect("CONNECTED", name="ann")
        tab.cut()
    assert len(application.questions("connect")) == 2
