"""A logout (A8, A10): with ten tabs open on every transport, nothing arrives any more once the call has answered."""

import itertools
import json
import socket
import threading
from contextlib import suppress

import pytest
from comet_client import Comet, evaluate
from conftest import eventually
from streaming import Publisher, Stream
from websockets.exceptions import ConnectionClosed

from hookbox.core.sessions import digest_of
from hookbox.testing import ApiRefused, Reply, ScriptedApp

MINE, OTHER = {"Cookie": "sessionid=mine"}, {"Cookie": "sessionid=phone"}
SESSION = digest_of("mine")
FEATURES = ["ack", "recover", "resume", "close"]
UNKNOWN = Reply(status=401, body=b"who are you?")
BIG = "x" * 60_000
CUT_OFF = (EOFError, ConnectionError, ValueError, IndexError)


@pytest.fixture(autouse=True)
def nobody_is_waited_for(hookbox, application):
    """Whoever is left goes at once, instead of after `leave_grace`."""
    yield
    application.forget()
    for name in ("ann", "bob"):
        with suppress(ApiRefused):
            hookbox.api("disconnect", name=name)


class Flood:
    """Publishes 0, 1, 2 ... on a channel without a pause, in a thread."""

    def __init__(self, port, channel):
        self.begun = -1
        """The number of the last publish that was begun."""
        self.last = None
        self._publisher = Publisher(port)
        self._channel = channel
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()
        self._publisher.close()

    def _run(self):
        for number in itertools.count():
            self.begun = number
            self._publisher.publish(self._channel, number)
            if self._stop.is_set():
                self.last = number
                return

    def go_on(self, count=20):
        """Wait until so many more have been published."""
        until = self.begun + count
        eventually(lambda: self.begun > until, what="it does not go on")


class WebSocketTab:
    def __init__(self, hookbox, channel, headers=MINE):
        self.client = hookbox.client(headers=headers, features=FEATURES)
        self.client.connect("ann")
        self.client.subscribe(channel)

    def first(self):
        return self.client.next_publication()["payload"]

    def rest(self):
        """What still comes until the end, and how that is called; None if it was cut off, as it read too slowly."""
        payloads = []
        while True:
            try:
                frame = self.client.next()
            except ConnectionClosed:
                return payloads, None
            if frame.name == "PUBLISH":
                payloads.append(frame.args["payload"])
            if frame.name == "CLOSE":
                assert self.client.wait_closed()[0] == frame.args["code"]
                return payloads, frame.args["code"]

    def close(self):
        self.client.cut()


class PollingTab:
    def __init__(self, hookbox, channel, headers=MINE):
        self.comet = Comet(hookbox.port, headers=headers)
        self.comet.connect(payload='"ann"', features=FEATURES)
        self.comet.send("SUBSCRIBE", channel_name=channel)
        self.comet.frame("SUBSCRIBE")
        self.held = None

    def close(self):
        if self.held:
            self.held.close()

    def first(self):
        found = self.comet.frame("PUBLISH")[2]["payload"]
        self.held = self.comet.begin()
        return found

    def rest(self):
        with suppress(CUT_OFF):
            while not self.comet.ended:
                self.comet.finish(self.held or self.comet.begin())
                self.held = None
        return _told(self.comet.unread)


class StreamingTab(PollingTab):
    def first(self):
        self.begin()
        while not self._payloads():
            self.take()
        return self._payloads()[0]

    def begin(self):
        self.close()
        self.held = self.comet.begin("is=1&bs=%0A")
        self.held.head()

    def rest(self):
        with suppress(CUT_OFF):
            while not self.comet.ended:
                self.take()
        payloads, code = _told(self.comet.unread)
        return payloads[1:], code

    def take(self):
        chunk = self.held.chunk()
        for line in chunk.splitlines():
            self.comet.take(evaluate(line))
        if not chunk:  # what is unconfirmed is confirmed by the next request
            self.begin()

    def _payloads(self):
        return [args["payload"] for _, name, args in self.comet.unread if name == "PUBLISH"]


class EventsTab:
    def __init__(self, hookbox, channel, headers=MINE):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        lines += "Accept: text/event-stream\r\n"
        self.stream = Stream(hookbox.port, topic=channel, token=False, headers=lines)
        assert self.stream.status == 200

    def first(self):
        while True:
            event = self.stream.event()
            if event.get("event") == "message":
                return json.loads(event["data"])["payload"]

    def rest(self):
        payloads = []
        while True:
            try:
                event = self.stream.event()
            except CUT_OFF:
                return payloads, None
            data = json.loads(event["data"])
            if event["event"] != "message":
                with pytest.raises(EOFError):
                    self.stream.event()
                return payloads, data["code"]
            payloads.append(data["payload"])

    def close(self):
        self.stream.close()


def _told(frames):
    payloads = [args["payload"] for _, name, args in frames if name == "PUBLISH"]
    return payloads, next((args["code"] for _, name, args in frames if name == "CLOSE"), None)


class Tab:
    """One that reads all the time, in a thread, as browsers do."""

    def __init__(self, kind, hookbox, channel):
        self.kind = kind
        self._open = lambda: kind(hookbox, channel)
        self.open, self._reads = threading.Event(), threading.Event()
        self._told = self._error = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def first(self):
        """Wait until something has arrived."""
        assert self._reads.wait(30), self._error

    def rest(self):
        self.join()
        if self._error:
            raise self._error
        return self._told

    def join(self):
        self._thread.join()

    def _run(self):
        try:
            try:
                tab = self._open()
            finally:
                self.open.set()
            try:
                tab.first()
                self._reads.set()
                self._told = tab.rest()
            finally:
                tab.close()
        except Exception as error:
            self._error = error


KINDS = (WebSocketTab, PollingTab, StreamingTab, EventsTab)


@pytest.fixture
def tabs(hookbox, application):
    """Opens ten tabs of one browser, on every transport."""
    application.allow("connect", name="ann")
    opened = []

    def begin(channel):
        hookbox.api("create_channel", channel_name=channel)
        for kind, _ in zip(itertools.cycle(KINDS), range(10), strict=False):
            opened.append(Tab(kind, hookbox, channel))
        for tab in opened:
            tab.open.wait()
        return opened

    yield begin
    for tab in opened:
        tab.join()


def nothing_but_the_end(tabs, until, code):
    """Read each to its end: it shows no publication after that number, and ends with that code.

    On a busy machine one or the other may read too slowly to be told.
    """
    codes = []
    for tab in tabs:
        payloads, ended = tab.rest()
        codes.append(ended)
        assert all(payload <= until for payload in payloads), f"{tab.kind.__name__}: {payloads} after {until}"
    assert set(codes) <= {code, None}
    assert codes.count(code) > len(codes) / 2


@pytest.mark.parametrize("by", ["session", "session_cookie", "name"])
def test_A10_with_ten_tabs_open_nothing_arrives_after_the_call_has_answered(hookbox, application, tabs, by):
    mine = tabs(f"news by {by}")
    phone = WebSocketTab(hookbox, f"news by {by}", OTHER)
    application.allow("connect", name="bob")
    bob = WebSocketTab(hookbox, f"news by {by}", {})
    with Flood(hookbox.port, f"news by {by}") as flood:
        for tab in [*mine, phone, bob]:
            tab.first()
        params = {"session": SESSION, "session_cookie": "mine", "name": "ann"}
        ended = hookbox.api("disconnect", **{by: params[by]})
        until = flood.begun
        assert ended == {"connections": 11 if by == "name" else 10}
        flood.go_on()
        nothing_but_the_end(mine, until, 4504)
    for other in [bob] if by == "name" else [bob, phone]:
        other.client.skip_to("PUBLISH", payload=flood.last)
    assert "mine" not in hookbox.log, "A13"


def test_A10_a_401_to_a_publish_ends_all_tabs_and_its_client_learns_why(hookbox, application, tabs):
    mine = tabs("revoked")
    phone, causing = (WebSocketTab(hookbox, "revoked", headers) for headers in (OTHER, MINE))
    with Flood(hookbox.port, "revoked") as flood:
        for tab in [*mine, phone, causing]:
            tab.first()
        application.answer("publish", UNKNOWN)
        culprit = causing.client
        culprit.publish("revoked", "never")
        error = culprit.skip_to("ERROR")
        until = flood.begun
        assert (error["code"], error["id"]) == ("app_unavailable", culprit.sent)
        assert culprit.next().name == "CLOSE"
        assert culprit.wait_closed() == (4502, "revoked by the application")
        flood.go_on()
        nothing_but_the_end(mine, until, 4502)
        phone.client.skip_to("PUBLISH", payload=flood.begun)


@pytest.mark.parametrize("kind", [PollingTab, StreamingTab])
def test_a_request_of_comet_that_waits_for_nothing_in_particular_ends_too(hookbox, application, kind):
    application.allow("connect", name="ann")
    tab = kind(hookbox, f"quiet {kind.__name__}")
    if kind is PollingTab:
        tab.comet.frame("ACK")
        tab.held = tab.comet.begin()
    else:
        tab.begin()
        tab.take()
    assert hookbox.api("disconnect", session=SESSION) == {"connections": 1}
    assert tab.rest() == ([], 4504)
    tab.close()


def test_A8_a_place_in_a_session_that_was_revoked_is_asked_about_anew(hookbox, application):
    application.allow("connect", name="ann")
    one, two = (hookbox.client(headers=MINE, features=FEATURES) for _ in range(2))
    connected = one.connect("ann")
    two.connect("ann")
    two.subscribe("lobby")
    one.cut()
    eventually(lambda: hookbox.api("get_server_info")["connections"] == 1)
    application.answer("publish", UNKNOWN)
    two.publish("lobby", 1)
    assert two.wait_closed()[0] == 4502
    application.refuse("connect", "log in")
    again = hookbox.client(headers=MINE, features=FEATURES)
    ticket = {"conn_id": connected["conn_id"], "key": connected["resume"]}
    again.send("CONNECT", cookie_string="", features=FEATURES, resume=ticket)
    again.expect("ERROR", code="denied", msg="log in")


def test_A8_a_connect_and_a_publish_under_way_come_to_nothing(hookbox, application):
    application.allow("connect", name="ann")
    (bob,) = hookbox.subscribed("lobby", "bob")
    tab = WebSocketTab(hookbox, "lobby")
    go = threading.Event()
    application.answer("publish", Reply([True, {}], wait_for=go))
    application.answer("connect", Reply([True, {"name": "ann"}], wait_for=go))
    tab.client.publish("lobby", "too late")
    early = hookbox.client(headers=MINE, features=FEATURES)
    early.send("CONNECT", cookie_string="", features=FEATURES)
    application.wait_for("publish")
    application.wait_for("connect", count=3)
    assert hookbox.api("disconnect", session=SESSION) == {"connections": 2}
    late = hookbox.client(headers=MINE)
    late.send("CONNECT", cookie_string="", payload="null")
    application.wait_for("connect", count=4)
    go.set()
    assert early.wait_closed()[0] == 4504
    assert tab.rest() == ([], 4504)
    late.expect("CONNECTED", name="ann")
    hookbox.api("publish", channel_name="lobby", payload="marker")
    assert bob.next_publication()["payload"] == "marker"


@pytest.mark.parametrize("kind", ["websocket", "events", "comet"])
def test_A10_who_reads_slowly_gets_nothing_of_what_waited(hookbox, application, kind):
    application.allow("connect", name="ann")
    hookbox.api("create_channel", channel_name=kind)
    if kind == "websocket":
        key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        slow = raw(hookbox, "GET /ws", key + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
        slow.sendall(masked('[1, "CONNECT", {"cookie_string": "", "payload": "null"}]\r\n'))
        slow.sendall(masked('[2, "SUBSCRIBE", {"channel_name": "websocket"}]\r\n'))
    elif kind == "events":
        slow = raw(hookbox, "GET /stream?topic=events", "Accept: text/event-stream\r\n")
    else:
        comet = Comet(hookbox.port, headers=MINE)
        comet.connect(payload='"ann"')
        comet.send("SUBSCRIBE", channel_name="comet")
        comet.frame("SUBSCRIBE")
        slow = raw(hookbox, f"POST /csp/comet?s={comet.key}&a={comet.received}&is=1", "Content-Length: 0\r\n")
    streams = {"events": 1, "comet": 0, "websocket": 0}[kind]
    eventually(lambda: hookbox.api("get_server_info")["counts"]["streams"] == streams)
    if not streams:
        eventually(lambda: hookbox.api("get_channel_info", channel_name=kind)["subscribers"] == ["ann"])
    for number in range(10):
        hookbox.api("publish", channel_name=kind, payload=f"{number} {BIG}")
    assert hookbox.api("disconnect", session=SESSION) == {"connections": 1}
    got = b""
    with slow, pytest.raises(ConnectionError):
        while data := slow.recv(65_536):
            got += data
        raise AssertionError("it ended in peace, and had got everything")
    assert len(got) < 5 * len(BIG)


def raw(hookbox, request, lines):
    """A request of a client whose kernel takes very little."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.settimeout(10)
    found.connect(("127.0.0.1", hookbox.port))
    found.sendall(f"{request} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: sessionid=mine\r\n{lines}\r\n".encode())
    return found


def masked(text):
    data = text.encode()
    assert len(data) < 126
    return bytes((0x81, 0x80 | len(data))) + bytes(4) + data


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "identifier required, or name, session or session_cookie"),
        ({"session": SESSION, "name": "ann"}, "one of identifier, name, session and session_cookie"),
        ({"session": "mine"}, "session must be 32 hexadecimal digits"),
        ({"session_cookie": ""}, "session_cookie is empty"),
        ({"name": "nobody"}, "user nobody is not connected"),
        ({"identifier": "x"}, "connection x does not exist"),
    ],
    ids=["none", "two", "not a digest", "empty", "no user", "no connection"],
)
def test_disconnect_says_what_is_wrong(hookbox, params, why):
    with pytest.raises(ApiRefused, match=why):
        hookbox.api("disconnect", **params)


def test_disconnect_counts_and_knows_connections_by_their_old_name(hookbox, application):
    application.allow("connect", name="ann")
    assert hookbox.api("disconnect", session="0" * 32) == {"connections": 0}
    tab = WebSocketTab(hookbox, "counted")
    info = hookbox.api("get_user_info", user_name="ann")
    assert info["sessions"] == [SESSION]
    assert hookbox.api("disconnect", conn_id=info["connections"][0]) == {"connections": 1}
    assert tab.rest() == ([], 4504)


def test_a_logout_that_nobody_tells_of_is_noticed_within_the_interval_by_one_question_for_ten_tabs(start):
    app = ScriptedApp()
    app.answer("connect", lambda asked: [True, {"name": asked.headers["cookie"].partition("=")[2]}])
    hookbox = start(app=app, recheck_interval=1)
    tabs = [hookbox.client(headers=MINE, features=FEATURES) for _ in range(10)]
    other = hookbox.client(headers=OTHER)
    for tab in [*tabs, other]:
        tab.connect(None)
    app.asked.clear()
    asked = [question.headers["cookie"] for question in app.wait_for("connect", 4)]
    assert abs(asked.count("sessionid=mine") - asked.count("sessionid=phone")) <= 1
    app.answer("connect", lambda asked: [asked.headers["cookie"] == OTHER["Cookie"], {"name": "phone"}])
    assert [tab.wait_closed()[0] for tab in tabs] == [4502] * 10
    other.send("PING")
    other.skip_to("PONG")
