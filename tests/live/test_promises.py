"""What Hookbox promises about delivery, kept over real sockets while things go wrong."""

import json
import random
import socket
import threading
import time
from contextlib import suppress

import pytest
from raw import Raw, line, text

from hookbox.testing import ApiRefused, Client, HookboxProcess, Reply

SETTINGS = {
    "client_rate": 1_000_000,
    "client_burst": 1_000_000,
    "leave_grace": 0,
    "recovery_messages": 100_000,
    "recovery_bytes": 100_000_000,
}


GRACE = 0.3


class Publishing(threading.Thread):
    """Publishes 1, 2, 3 ... from a connection of its own, until it is told to stop.

    Args:
        seen: says how much somebody has seen who must not be left behind.
    """

    WINDOW = 20
    """How many may be under way."""
    LEAD = 15
    """How far it may be ahead of what was seen."""

    def __init__(self, hookbox, channel, seen=None):
        super().__init__(daemon=True)
        self.client = hookbox.connect("publisher", features=["ack"])
        self.client.subscribe(channel)  # so that it lives; it is not reflective
        self.client.expect("ACK")
        self.channel = channel
        self.seen = seen
        self.published = 0
        self._stop_now = threading.Event()

    def run(self):
        sent = 0
        while not self._stop_now.is_set() or self.published < sent:
            most = self.published + self.WINDOW
            if self.seen:
                most = min(most, self.seen() + self.LEAD)
            while sent < most and not self._stop_now.is_set():
                sent += 1
                self.client.publish(self.channel, sent)
            if self.published < sent:
                ack = self.client.skip_to("ACK")
                self.published += 1
                assert ack["offset"] == self.published
            else:
                self._stop_now.wait(0.001)

    def stop(self):
        self._stop_now.set()
        self.join(10)
        assert not self.is_alive()
        return self.published


@pytest.fixture
def publishing(hookbox):
    """Begins to publish; ends it with the test."""
    begun = []

    def begin(channel, **how):
        begun.append(Publishing(hookbox, channel, **how))
        begun[-1].start()
        return begun[-1]

    yield begin
    for each in begun:
        if each.is_alive():
            each.stop()


def offsets(client, count):
    return [client.next_publication()["offset"] for _ in range(count)]


# order


def test_D1_everybody_sees_the_same_order_whatever_the_application_takes(hookbox, application):
    chance = random.Random(1)

    def slowly(asked):
        time.sleep(chance.uniform(0, 0.02))
        return [True, {}]

    subscribers = hookbox.subscribed("order", *(f"s{n}" for n in range(20)))
    publishers = [hookbox.connect(f"p{n}") for n in range(8)]
    application.answer("publish", slowly)
    each = 100
    for n in range(each):
        for number, publisher in enumerate(publishers):
            publisher.publish("order", [number, n])
    seen = []
    for subscriber in subscribers:
        frames = [subscriber.next_publication() for _ in range(each * len(publishers))]
        assert [frame["offset"] for frame in frames] == list(range(1, each * len(publishers) + 1))
        seen.append([frame["payload"] for frame in frames])
    assert all(sequence == seen[0] for sequence in seen)
    for number in range(len(publishers)):
        assert [n for publisher, n in seen[0] if publisher == number] == list(range(each))


def test_D2_a_join_has_no_gap_and_nothing_before_it(hookbox, application, publishing):
    application.allow("create_channel", moderated=False, reflective=False)
    expected = 0
    publisher = publishing("joins", seen=lambda: expected)
    raws = [Raw(hookbox.port, line(1, "CONNECT", cookie_string="", payload=f'"j{n}"')) for n in range(10)]
    for raw in raws:
        assert raw.next_line()[1] == "CONNECTED"
    chance = random.Random(2)
    for n in range(1000):
        raw = raws[n % len(raws)]
        raw.send(line(2, "SUBSCRIBE", channel_name="joins"))
        _, name, own = raw.next_line()
        assert (name, own["user"]) == ("SUBSCRIBE", f"j{n % len(raws)}")
        expected = own["offset"]
        for _ in range(chance.randint(0, 2)):
            expected += 1
            assert raw.next_line()[2]["offset"] == expected
        raw.send(line(3, "UNSUBSCRIBE", channel_name="joins"))
        while (frame := raw.next_line())[1] == "PUBLISH":
            expected += 1
            assert frame[2]["offset"] == expected
        assert frame[1] == "UNSUBSCRIBE"
    for raw in raws:
        raw.socket.close()
    assert publisher.stop() > 100


# recovery


class Returning:
    """A client that keeps coming back, whatever cuts it off, and remembers just what arrived whole.

    It speaks by hand, so that its connection can be cut at any byte.
    """

    def __init__(self, port, channel, chance):
        self.port, self.channel, self.chance = port, channel, chance
        self.epoch = ""
        self.last = 0
        self.kept = []
        self.holes = []
        self.recovered = 0
        self.slack = 0
        self.enough = float("inf")

    @property
    def seen(self):
        """What publishing need not wait for; varies from time to time."""
        return self.last - self.slack

    def once(self, most):
        """Connect, and be cut off after about that many bytes, of the answers or of what it sends."""
        self.slack = self.chance.randrange(Publishing.LEAD)
        subscribe = {"channel_name": self.channel}
        if self.epoch:
            subscribe["since"] = {"epoch": self.epoch, "offset": self.last}
        hello = line(1, "CONNECT", cookie_string="", payload='"returning"', features=["ack", "recover"])
        greeting = hello + line(2, "SUBSCRIBE", **subscribe)
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            head = (
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            whole = self.chance.random() > 0.1
            sock.sendall(
                head.encode() + (greeting if whole else greeting[: self.chance.randrange(len(greeting))])
            )
            sock.settimeout(10 if whole else 0.02)
            data, answered = b"", False
            while most > 0 and self.last < self.enough:
                try:
                    piece = sock.recv(min(most, 4096))
                except TimeoutError:
                    return
                assert piece, "the server closed the connection"
                most -= len(piece)
                data += piece
                if not answered:
                    _, answered, data = (
                        data.partition(b"\r\n\r\n") if b"\r\n\r\n" in data else (b"", False, data)
                    )
                if answered:
                    data = self._take(data)
            if self.chance.random() < 0.5:
                sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # reset instead of FIN

    def _take(self, data):
        while True:
            if len(data) < 4:
                return data
            assert data[0] == 0x81, data[:20]
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10], "big"), 10
            if len(data) < start + size:
                return data
            _, name, args = json.loads(data[start : start + size])
            data = data[start + size :]
            if name == "PUBLISH":
                self._keep(args)
            elif name == "SUBSCRIBE" and args["user"] == "returning":
                self._begin(args)
            else:
                assert name in ("CONNECTED", "ACK"), (name, args)

    def _begin(self, args):
        if not self.epoch:
            self.epoch, self.last = args["epoch"], args["offset"]
            self.holes.append((0, self.last))
        elif args.get("recovered") is True:
            for missed in args["missed"]:
                self._keep(missed)
            assert args["offset"] == self.last
            self.recovered += 1
        elif args.get("recovered") is False:
            assert args["offset"] > self.last
            self.holes.append((self.last, args["offset"]))
            self.epoch, self.last = args["epoch"], args["offset"]

    def _keep(self, args):
        assert args["offset"] == self.last + 1, f"{args['offset']} after {self.last}"
        assert args["payload"] == args["offset"]
        self.last += 1
        self.kept.append(self.last)

    def complete(self, published):
        """Whether every number was kept once, or lies in a hole that it was told of."""
        lost = [n for after, until in self.holes for n in range(after + 1, until + 1)]
        return sorted(self.kept + lost) == list(range(1, published + 1)) and self.kept == sorted(self.kept)


def cut_often(hookbox, cuts, recovery_size):
    """Cut a client's connection at random bytes while somebody publishes; the client, and how much was published."""
    hookbox.app.allow("create_channel", moderated=False, recovery_size=recovery_size, reflective=False)
    chance = random.Random(cuts)
    client = Returning(hookbox.port, "cut", chance)
    publisher = Publishing(hookbox, "cut", seen=lambda: client.seen)
    publisher.start()
    client.once(3000)
    for _ in range(cuts):
        client.once(chance.choice([chance.randint(1, 900), chance.randint(200, 3000)]))
    client.enough = published = publisher.stop()
    while client.last < published:
        client.once(3000)
    return client, published


def test_D3_500_cuts_at_any_byte_lose_nothing(start):
    hookbox = start(**SETTINGS | {"leave_grace": 60})
    client, published = cut_often(hookbox, 500, recovery_size=10_000)
    assert client.complete(published)
    assert len(client.holes) == 1
    assert client.recovered > 50
    assert len(hookbox.app.questions("connect")) > 300


def test_D3_cuts_leave_no_hole_the_client_is_not_told_of(hookbox):
    client, published = cut_often(hookbox, 200, recovery_size=8)
    assert client.complete(published)
    assert len(client.holes) > 5
    assert client.recovered > 5


def test_D5_what_is_no_longer_kept_is_said_to_be_lost(hookbox, application):
    application.allow("create_channel", moderated=False, recovery_size=2)
    publisher = hookbox.connect("bob", features=["ack"])
    for n in range(1, 6):
        publisher.publish("short", n)
        epoch = publisher.skip_to("ACK")["epoch"]
    for offset, recovered in ((2, False), (3, True), (5, True)):
        client = hookbox.connect(f"ann{offset}", features=["recover"])
        client.send("SUBSCRIBE", channel_name="short", since={"epoch": epoch, "offset": offset})
        own = client.expect("SUBSCRIBE", recovered=recovered)
        assert [missed["offset"] for missed in own.get("missed", [])] == list(range(offset + 1, 6))[
            : 5 if recovered else 0
        ]


def test_D6_after_a_restart_nothing_is_recovered(start):
    positions = []
    for _ in range(2):
        hookbox = start()
        client = hookbox.connect("ann", features=["recover", "ack"])
        since = positions[0] if positions else None
        own = client.subscribe("news", **({"since": since} if since else {}))
        assert own.get("recovered") is (False if since else None)
        client.publish("news", 1)
        ack = client.skip_to("ACK", offset=1)
        positions.append({"epoch": ack["epoch"], "offset": 1})
    assert positions[0]["epoch"] != positions[1]["epoch"]


# the application's publications


def test_D7_a_publication_that_was_answered_is_kept_and_on_its_way(hookbox, application):
    application.allow("create_channel", history=5, history_publish_only=True)
    (client,) = hookbox.subscribed("api", "ann")
    for n in range(1, 4):
        answer = hookbox.api("publish", channel_name="api", payload={"n": n})
        assert answer["offset"] == n
    assert [client.next_publication()["payload"] for _ in range(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]
    history = hookbox.connect("bob").subscribe("api")["history"]
    assert [entry[1]["offset"] for entry in history] == [1, 2, 3]
    assert application.questions("publish") == []


def test_D8_a_repeated_publication_has_the_first_ones_place(hookbox):
    (client,) = hookbox.subscribed("once", "ann")
    first = hookbox.api("publish", channel_name="once", payload=1, idempotency_key="key-1")
    again = hookbox.api("publish", channel_name="once", payload=1, idempotency_key="key-1")
    other = hookbox.api("publish", channel_name="once", payload=2, idempotency_key="key-2")
    assert first["offset"] == again["offset"] == 1
    assert first["epoch"] == again["epoch"]
    assert other["offset"] == 2
    assert offsets(client, 2) == [1, 2]


def test_D8_repeats_that_come_at_once_are_one_publication(hookbox, application):
    (client,) = hookbox.subscribed("at-once", "ann")
    application.answer("publish", lambda asked: time.sleep(0.05) or [True, {}])
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                hookbox.api(
                    "publish",
                    channel_name="at-once",
                    payload=1,
                    idempotency_key="k",
                    send_hook=True,
                    originator="ann",
                )
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert {answer["offset"] for answer in answers} == {1}
    hookbox.api("publish", channel_name="at-once", payload="marker")
    assert [client.next_publication()["payload"] for _ in range(2)] == [1, "marker"]
    assert len(application.questions("publish")) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a b", "a\n"])
def test_D8_a_key_must_be_visible_ascii(hookbox, key):
    hookbox.subscribed("keys", "ann")
    with pytest.raises(ApiRefused):
        hookbox.api("publish", channel_name="keys", payload=1, idempotency_key=key)


# presence


def present(client):
    return client.skip_to("PUBLISH")["presence"]


def test_D9_a_reconnect_in_time_announces_nothing(start):
    hookbox = start(leave_grace=1)
    application = hookbox.app
    application.allow("create_channel", presenceful=True)
    ann, bob = hookbox.subscribed("grace", "ann", "bob")
    ann.skip_to("SUBSCRIBE", user="bob")
    for _ in range(5):
        ann.cut()
        ann = hookbox.connect("ann")
    time.sleep(1.2)
    bob.publish("grace", "marker")
    assert bob.next().name == "PUBLISH"
    assert application.questions("disconnect") == []
    assert len(application.questions("subscribe", user="ann")) == 1


def test_D9_a_user_that_stays_away_is_announced_once_and_told_of_until_answered(start):
    hookbox = start(leave_grace=GRACE, retry_schedule="0.2")
    application = hookbox.app
    application.allow("create_channel", presenceful=True)
    ann, bob = hookbox.subscribed("leave", "ann", "bob")
    tab = hookbox.connect("ann")
    application.answer("disconnect", Reply(status=500, body=b"broken"))
    went = time.monotonic()
    ann.cut()
    tab.close()
    bob.expect("UNSUBSCRIBE", user="ann")
    assert time.monotonic() - went >= GRACE
    application.wait_for("disconnect")
    application.allow("disconnect")
    first, second = application.wait_for("disconnect", count=2)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.form["name"] == second.form["name"] == "ann"
    assert json.loads(first.form["channels"]) == ["leave"]
    bob.publish("leave", "marker")
    assert bob.expect("PUBLISH")["presence"] == ["bob"]
    assert len(application.questions("unsubscribe", user="ann")) == 1
    assert len(application.questions("disconnect")) == 2


def test_D9_a_user_lost_without_a_word_is_announced_in_time(start):
    hookbox = start(ping_interval=0.3, pong_timeout=0.3, leave_grace=0.3)
    hookbox.app.allow("create_channel", presenceful=True)
    with Raw(hookbox.port, line(1, "CONNECT", cookie_string="", payload='"silent"')) as silent:
        silent.send(line(2, "SUBSCRIBE", channel_name="lobby"))
        hookbox.app.wait_for("subscribe")
        stop = threading.Event()
        bob = hookbox.connect("bob")
        reader = threading.Thread(target=lambda: stop.wait(10))
        reader.start()
        bob.subscribe("lobby")
        bob.expect("UNSUBSCRIBE", user="silent")
        stop.set()
        assert len(hookbox.app.wait_for("disconnect")) == 1
        bob.publish("lobby", 1)
        assert bob.next().name == "PUBLISH"


# decisions


@pytest.mark.parametrize(
    "action", ["connect", "create_channel", "subscribe", "publish", "unsubscribe", "message"]
)
@pytest.mark.parametrize(
    "reply", [Reply(status=500), Reply(body=b"[true]"), Reply(body=b'["true", {}]'), Reply(status=302)]
)
def test_D10_no_clear_yes_is_a_no_and_is_not_asked_again(hookbox, application, action, reply):
    user = hookbox.client()
    if action != "connect":
        user.connect("ann")
    if action in ("publish", "unsubscribe"):
        user.subscribe("closed")
    application.answer(action, reply)
    if action == "connect":
        user.send("CONNECT", cookie_string="")
    elif action == "message":
        user.send("MESSAGE", name="ann", payload="1")
    else:
        user.send(
            {"create_channel": "SUBSCRIBE"}.get(action, action.upper()), channel_name="closed", payload="1"
        )
    assert user.expect("ERROR")["code"] == "app_unavailable"
    assert len(application.questions(action)) == 1


class Unreliable(threading.Thread):
    """An application that answers the first question on each connection and closes at the second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked = []

    def run(self):
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, sock.makefile("rb") as requests:
            for answered in (True, False):
                head = requests.readline().split()
                if not head:
                    return
                headers = {}
                while name := requests.readline().strip():
                    key, _, value = name.partition(b":")
                    headers[key.lower()] = value.strip().decode()
                requests.read(int(headers[b"content-length"]))
                self.asked.append((head[1].rsplit(b"/")[-1].decode(), headers[b"idempotency-key"], answered))
                if answered:
                    body = b'[true, {"name": "ann"}]' if b"connect" in head[1] else b"[true, {}]"
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_D10_a_question_on_a_connection_that_turns_out_closed_is_repeated_once(start):
    application = Unreliable()
    application.start()
    hookbox = start(cbport=application.port)
    client = hookbox.connect("ann")
    client.subscribe("lobby")
    client.publish("lobby", 1)
    client.next_publication()
    by_key = {}
    for action, key, answered in application.asked:
        by_key.setdefault((action, key), []).append(answered)
    assert [action for action, _ in by_key] == ["connect", "create_channel", "subscribe", "publish"]
    assert sorted(by_key.values()) == [[False, True], [False, True], [True], [True]] or any(
        answers == [False, True] for answers in by_key.values()
    )
    assert all(answers in ([True], [False, True]) for answers in by_key.values())
    application.listener.close()


# many at once


def test_200_simultaneous_subscribers_create_the_channel_once_and_hear_everything(hookbox, application):
    clients = [hookbox.connect(f"user{n}") for n in range(200)]
    answer = threading.Event()
    application.answer("create_channel", Reply([True, {}], wait_for=answer))
    for client in clients:
        client.send("SUBSCRIBE", channel_name="crowd")
    application.wait_for("create_channel")
    for client in clients:
        client.send("PING")  # handled after the SUBSCRIBE, so nothing comes yet
    answer.set()
    for client in clients:
        client.expect("SUBSCRIBE", channel_name="crowd")
        client.expect("PONG")
    assert len(application.questions("create_channel")) == 1
    assert len(application.questions("subscribe")) == 200
    for n in range(5):
        hookbox.api("publish", channel_name="crowd", payload=n)
    for client in clients:
        assert [client.expect("PUBLISH")["payload"] for _ in range(5)] == list(range(5))


def test_the_one_whose_subscription_creates_the_channel_may_leave(hookbox, application):
    first, *others = [hookbox.connect(f"user{n}") for n in range(10)]
    answer = threading.Event()
    application.answer("create_channel", Reply([True, {}], wait_for=answer))
    first.send("SUBSCRIBE", channel_name="led")
    application.wait_for("create_channel")
    for client in others:
        client.send("SUBSCRIBE", channel_name="led")
    first.cut()
    answer.set()
    for client in others:
        client.expect("SUBSCRIBE", channel_name="led")
    assert len(application.questions("create_channel")) == 1


def test_subscribing_races_destroying(hookbox, application):
    clients = [hookbox.connect(f"racer{n}", features=["ack"]) for n in range(4)]
    chance = random.Random(3)
    stop = threading.Event()

    def destroy():
        while not stop.is_set():
            with suppress(ApiRefused):
                hookbox.api("destroy_channel", channel_name="raced")
            time.sleep(chance.uniform(0, 0.01))

    thread = threading.Thread(target=destroy)
    thread.start()
    try:
        for _ in range(40):
            ids = [client.send("SUBSCRIBE", channel_name="raced") for client in clients]
            for client, frame_id in zip(clients, ids, strict=True):
                while (frame := client.next()).args.get("id") != frame_id:
                    assert frame.name in ("SUBSCRIBE", "UNSUBSCRIBE"), frame
                assert frame.name == "ACK" or frame.args["code"] == "unavailable"
    finally:
        stop.set()
        thread.join(10)
    for client in clients:
        client.send("SUBSCRIBE", channel_name="raced")
        client.skip_to("ACK")
    hookbox.api("publish", channel_name="raced", payload="after")
    for client in clients:
        assert client.skip_to("PUBLISH")["payload"] == "after"


def test_two_users_whose_subscriptions_lead_to_each_other_do_not_wait_for_ever(hookbox, application):
    other = {"a": "b", "b": "a"}

    def slowly(asked):
        time.sleep(0.02)
        return [True, {"auto_subscribe": [other[asked.form["channel_name"]]]}]

    application.answer("subscribe", slowly)
    tabs = [hookbox.connect(user) for user in ("ann", "bob", "ann", "bob")]
    for n, tab in enumerate(tabs):
        tab.send("SUBSCRIBE", channel_name="ab"[n % 2] if n < 2 else "ba"[n % 2])
    for tab in tabs:
        tab.send("PING")
        tab.skip_to("PONG")
    for user in ("ann", "bob"):
        seen = hookbox.connect(user)
        assert {seen.expect("SUBSCRIBE")["channel_name"] for _ in range(2)} == {"a", "b"}
    assert len(application.questions("subscribe")) <= 8


def test_cookies_never_cross_users(hookbox, application):
    def connect(asked):
        user = asked.headers["cookie"].partition("=")[2]
        return Reply(
            [True, {"name": user}],
            headers=(("Set-Cookie", f"session={user}; HttpOnly"), ("Set-Cookie", f"seen={user}")),
        )

    application.answer("connect", connect)
    application.allow("create_channel", presenceful=False)
    clients = [hookbox.client(headers={"Cookie": f"user=u{n}"}) for n in range(40)]
    for client in clients:
        client.send("CONNECT", cookie_string="")
        client.send("SUBSCRIBE", channel_name="shared")
        client.send("PUBLISH", channel_name="shared", payload="1")
    for n, client in enumerate(clients):
        client.expect("SET_COOKIE", cookie=f"seen=u{n}")
        client.expect("CONNECTED", name=f"u{n}")
        client.skip_to("PUBLISH", user=f"u{n}")
    for asked in application.questions("subscribe") + application.questions("publish"):
        user = asked.form.get("user") or asked.form["originator"]
        assert asked.headers["cookie"] == f"user={user}; session={user}; seen={user}"


# the server's end


def test_a_client_is_told_to_come_back_when_the_server_ends(hookbox):
    with HookboxProcess() as ending:
        clients = [ending.connect("ann", features=["close"]), ending.connect("bob")]
        with Raw(ending.port) as waiting:
            ending.process.terminate()
            goodbye = clients[0].expect("CLOSE", code=1012)
            assert 0 <= goodbye["retry_ms"] <= 5000
            for client in clients:
                assert client.wait_closed()[0] == 1012
            assert waiting.close_code() == 1012
        assert ending.process.wait(10) == 0


__all__ = ["Client", "text"]
