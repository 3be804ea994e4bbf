"""Faults of the network between clients and Hookbox (F11-F16), each through real sockets and with invariants."""

import json
import resource
import selectors
import socket
import statistics
import time
from contextlib import ExitStack, suppress

import pytest
from comet_client import Comet
from conftest import eventually
from faults import MIB, SLOWER, Watched
from raw import CONNECT, HANDSHAKE, Raw, line, text

from hookbox.testing import DEADLINE, ApiRefused, Way

PINGS = {"ping_interval": 0.5, "pong_timeout": 0.5}
NOTICED = 5 * SLOWER
"""Seconds: ping_interval, pong_timeout, for each up to a second until it is looked at, leave_grace, and room."""

FAST = {"client_rate": 1_000_000, "client_burst": 1_000_000}
UNMODERATED = {"moderated": False}
FILLER = "x" * 60_000


def through(hookbox, proxy, name, channel):
    """A WebSocket client through a proxy, connected and subscribed."""
    direct, hookbox.url = hookbox.url, proxy.url
    try:
        (client,) = hookbox.subscribed(channel, name)
    finally:
        hookbox.url = direct
    return client


def assert_announced_once(hookbox, observer, name):
    """The others are told once that somebody has left, and the application is."""
    observer.skip_to("UNSUBSCRIBE", user=name)
    hookbox.app.wait_for("disconnect")
    observer.publish("lobby", "marker")
    frame = observer.next()
    assert frame.name == "PUBLISH", "what comes next is the marker, and no second leave"
    assert name not in frame.args["presence"]
    assert [asked.form["name"] for asked in hookbox.app.questions("disconnect")] == [name]


def publish_until_gone(hookbox, channel, meanwhile=lambda: None):
    """Publish much to a channel's only subscriber until it, and so the channel, is gone."""
    until = time.monotonic() + DEADLINE
    with pytest.raises(ApiRefused, match="does not exist"):
        while time.monotonic() < until:
            hookbox.api("publish", channel_name=channel, payload=FILLER)
            meanwhile()


# F11, F12: nobody says goodbye


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(Way.BOTH, id="F11-vanished"),
        pytest.param(Way.TO_SERVER, id="F12-the-server-only-writes"),
        pytest.param(Way.TO_CLIENT, id="F12-the-server-only-reads"),
    ],
)
def test_a_websocket_client_that_is_gone_is_noticed_and_announced_once(way):
    with Watched(**PINGS) as hookbox, hookbox.proxied() as proxy:
        hookbox.app.allow("create_channel", presenceful=True)
        (observer,) = hookbox.subscribed("lobby", "bob")
        silent = through(hookbox, proxy, "ann", "lobby")
        observer.skip_to("SUBSCRIBE", user="ann")
        proxy.freeze(way)
        began = time.monotonic()
        assert_announced_once(hookbox, observer, "ann")
        assert time.monotonic() - began < NOTICED
        proxy.thaw()
        assert silent.wait_closed()[0] == 4000
        hookbox.assert_invariants()


def test_F11_a_comet_client_that_is_gone_is_noticed_and_announced_once():
    with Watched() as hookbox, hookbox.proxied() as proxy:
        hookbox.app.allow("create_channel", presenceful=True)
        (observer,) = hookbox.subscribed("lobby", "bob")
        silent = Comet(proxy.port, query="ct=application%2Fjavascript&du=1")
        silent.connect(payload='"ann"')
        silent.send("SUBSCRIBE", channel_name="lobby")
        observer.skip_to("SUBSCRIBE", user="ann")
        with silent.begin():
            proxy.freeze()
            assert_announced_once(hookbox, observer, "ann")
        hookbox.assert_invariants()


def test_F12_a_client_that_talks_and_takes_nothing_is_dropped_in_time():
    with (
        Watched(write_stall=0.5, outbox_bytes=100 * MIB, **FAST) as hookbox,
        hookbox.proxied(buffer=4096) as proxy,
    ):
        hookbox.app.allow("create_channel", **UNMODERATED)
        talker = through(hookbox, proxy, "ann", "half")
        proxy.freeze(Way.TO_CLIENT)
        publish_until_gone(hookbox, "half", lambda: talker.send("PING"))
        hookbox.assert_invariants()


# F13, F14: clients that read slowly


class Readers:
    """Many clients on plain sockets, read together; knows when each publication arrived at each.

    A publication's payload begins with the monotonic time of its sending.
    """

    def __init__(self, port, channel, count):
        self.raws = [
            Raw(port, line(1, "CONNECT", cookie_string="", payload=f'"reader{n}"')) for n in range(count)
        ]
        self.delays = []
        for raw in self.raws:
            assert raw.next_line()[1] == "CONNECTED"
            raw.send(line(2, "SUBSCRIBE", channel_name=channel))
            assert raw.next_line()[1] == "SUBSCRIBE"
        for raw in self.raws:
            raw.offset = 0

    def take(self, offset):
        """Read a publication from everybody."""
        for raw in self.raws:
            name, args = raw.next_line()[1:]
            while name != "PUBLISH":
                name, args = raw.next_line()[1:]
            self.delays.append(time.monotonic() - args["payload"][0])
            assert args["offset"] == offset

    def close(self):
        for raw in self.raws:
            raw.socket.close()


def publish_timed(hookbox, readers, channel, offsets):
    """Publish to everybody.

    Returns:
        The 50th and 99th percentile of how long it took to each, in seconds, and the most bytes resident meanwhile.
    """
    readers.delays.clear()
    resident = 0
    for offset in offsets:
        hookbox.api("publish", channel_name=channel, payload=[time.monotonic(), FILLER])
        readers.take(offset)
        resident = max(resident, hookbox.resident)
    cuts = statistics.quantiles(readers.delays, n=100)
    return cuts[49], cuts[98], resident


def test_F13_those_that_read_slowly_delay_nobody_and_cost_little(record_property):
    slow, rounds = 6, 150
    with Watched(write_stall=3, **FAST) as hookbox:
        hookbox.app.allow("create_channel", **UNMODERATED)
        readers = Readers(hookbox.port, "slow", 20)
        alone = publish_timed(hookbox, readers, "slow", range(1, rounds + 1))
        trickle, stopped = hookbox.proxied(buffer=4096), hookbox.proxied(buffer=4096)
        clients = [
            Raw(proxy.port, line(1, "CONNECT", cookie_string="", payload=f'"slow{n}"'))
            for n in range(slow // 2)
            for proxy in (trickle, stopped)
        ]
        for client in clients:
            assert client.next_line()[1] == "CONNECTED"
            client.send(line(2, "SUBSCRIBE", channel_name="slow"))
            assert client.next_line()[1] == "SUBSCRIBE"
        trickle.throttle(1024, Way.TO_CLIENT)
        stopped.freeze(Way.TO_CLIENT)
        together = publish_timed(hookbox, readers, "slow", range(rounds + 1, 2 * rounds + 1))
        held = together[2] - alone[2]
        eventually(
            lambda: hookbox.api("get_server_info")["users"] == 21, 10 * SLOWER, "slow ones are still there"
        )
        assert hookbox.api("get_server_info")["counts"]["slow_consumers"] == slow
        trickle.pass_()
        stopped.pass_()
        for client in clients:
            assert_whole_and_in_order(client, first=rounds + 1)
        readers.close()
        figures = hookbox.assert_invariants()
    report = (
        f"p50/p99 alone {alone[0] * 1000:.1f}/{alone[1] * 1000:.1f} ms, "
        f"beside {slow} slow ones {together[0] * 1000:.1f}/{together[1] * 1000:.1f} ms; "
        f"{held / slow / MIB:.2f} MiB for each; heartbeat late by {figures.late * 1000:.0f} ms at most"
    )
    record_property("F13", report)
    print(report)
    assert held < slow * 1.2 * MIB + 2 * MIB
    assert together[0] < alone[0] * 5 + 0.05, report


def assert_whole_and_in_order(client, first):
    """What a slow client got before it was cut: no hole, and 4001 if the close frame got through."""
    frames, code, reason = [], None, ""
    client.socket.settimeout(DEADLINE)
    with client.socket, suppress(EOFError, ConnectionError):
        while True:
            opcode, payload = client.next()
            if opcode == 8:
                code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            elif opcode == 1:
                frames.append(json.loads(payload))
    assert code in (None, 4001), reason
    got = [args["offset"] for _, name, args in frames if name == "PUBLISH"]
    assert got == list(range(first, first + len(got)))


def test_F13_one_that_takes_no_byte_for_long_is_dropped():
    with Watched(write_stall=0.5, outbox_bytes=100 * MIB, **FAST) as hookbox:
        hookbox.app.allow("create_channel", **UNMODERATED)
        with Raw(
            hookbox.port, CONNECT + line(2, "SUBSCRIBE", channel_name="stall"), receive_buffer=4096
        ) as stalled:
            assert stalled.next_line()[1] == "CONNECTED"
            assert stalled.next_line()[1] == "SUBSCRIBE"
            publish_until_gone(hookbox, "stall")
            hookbox.assert_invariants()


def test_F14_one_that_stalls_and_resumes_below_the_limit_misses_nothing():
    with Watched(**FAST) as hookbox:
        proxy = hookbox.proxied(buffer=4096)
        hookbox.app.allow("create_channel", **UNMODERATED)
        reader = through(hookbox, proxy, "ann", "pause")
        offset = 0
        for _ in range(3):
            proxy.freeze(Way.TO_CLIENT)
            for _ in range(30):
                hookbox.api("publish", channel_name="pause", payload="x" * 20_000)
            proxy.throttle(500_000, Way.TO_CLIENT)
            proxy.thaw()
            for _ in range(30):
                offset += 1
                assert reader.next_publication()["offset"] == offset
        assert hookbox.api("get_server_info")["counts"]["slow_consumers"] == 0
        hookbox.assert_invariants()


# F15, F16: clients that write slowly, or nothing


DEADLINES = {"header_deadline": 1, "body_deadline": 1, "message_deadline": 1}
HEAD = "POST /csp/send HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
UPGRADE = HANDSHAKE.format(path="/ws", port=80, key="MDEyMzQ1Njc4OWFiY2RlZg==", more="").encode()


class Slow:
    """A connection that sends a first part at once and then a byte at a time; `data` is what came back."""

    def __init__(self, port, at_once, then):
        self.rest = then
        self.data = b""
        self.began = time.monotonic()
        self.ended = 0.0
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.socket.sendall(at_once)
        self.socket.setblocking(False)

    def drip(self):
        """Send another byte."""
        if not self.ended:
            byte, self.rest = self.rest[:1], self.rest[1:]
            with suppress(OSError):
                self.socket.send(byte)

    def read(self):
        """Read what has come; the server's end is noted."""
        try:
            piece = self.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self.data += piece
        if not piece:
            self.ended = time.monotonic() - self.began
            self.socket.close()


SLOW_WAYS = {
    "header": (b"", b"GET / HTTP/1.1\r\nX: " + b"x" * 1000),
    "body": (HEAD.encode(), b"x" * 100),
    "frame": (UPGRADE, text("x" * 1000)),
}


def drip_all(slow, every, until):
    """Drip on every connection until the server has ended each."""
    with selectors.DefaultSelector() as selector:
        for each in slow:
            selector.register(each.socket, selectors.EVENT_READ, each)
        due = time.monotonic()
        while any(not each.ended for each in slow):
            assert time.monotonic() < until, f"{sum(not each.ended for each in slow)} are still served"
            if time.monotonic() >= due:
                due = time.monotonic() + every
                for each in slow:
                    each.drip()
            for key, _ in selector.select(0.02):
                key.data.read()
                if key.data.ended:
                    selector.unregister(key.fileobj)


@pytest.mark.parametrize("part", ["header", "body", "frame"])
def test_F15_a_slow_writer_is_ended_at_the_deadline(part):
    with Watched(**DEADLINES) as hookbox:
        slow = Slow(hookbox.port, *SLOW_WAYS[part])
        drip_all([slow], 0.2, time.monotonic() + 10 * SLOWER)
        if part == "frame":
            assert b"\x03\xf0message took too long" in slow.data, "1008"
        else:
            assert slow.data.startswith(b"HTTP/1.1 408 ")
        assert 0.9 < slow.ended < 8 * SLOWER
        hookbox.assert_invariants()


def test_F15_a_request_in_single_bytes_that_is_in_time_is_served():
    with Watched() as hookbox:
        proxy = hookbox.proxied()
        proxy.slice(1)
        through(hookbox, proxy, "ann", "lobby").publish("lobby", "hello")
        comet = Comet(proxy.port, query="ct=application%2Fjavascript&du=1")
        assert comet.connect(payload='"bob"')["name"] == "bob"
        hookbox.app.wait_for("publish")
        hookbox.assert_invariants()


def how_many(wanted):
    """As many connections as the limit on open files allows this process, up to those wanted."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(wanted, most - 300)


def test_F15_hundreds_of_slow_writers_do_not_delay_others(record_property):
    with Watched(**DEADLINES | {"header_deadline": 3, "body_deadline": 3, "message_deadline": 3}) as hookbox:
        parts = ["header", "body", "frame"]
        slow = [Slow(hookbox.port, *SLOW_WAYS[parts[n % 3]]) for n in range(how_many(450))]
        hookbox.control.slowest = 0.0
        began = time.monotonic()
        ann, bob = hookbox.subscribed("lobby", "ann", "bob")
        for n in range(20):
            ann.publish("lobby", n)
            assert bob.next_publication()["payload"] == n
            for each in slow:
                each.drip()
        took = time.monotonic() - began
        assert not any(each.data for each in slow), "they were still served meanwhile"
        drip_all(slow, 0.3, time.monotonic() + 20 * SLOWER)
        for n, each in enumerate(slow):
            assert each.data.startswith(b"HTTP/1.1 101 " if parts[n % 3] == "frame" else b"HTTP/1.1 408 ")
        record_property(
            "F15", f"{took:.2f} s for 20 publications, control {hookbox.control.slowest:.3f} s at worst"
        )
        hookbox.assert_invariants()


def test_F16_thousands_of_silent_connections_are_closed_and_others_accepted(record_property):
    with Watched(header_deadline=3) as hookbox, ExitStack() as stack:
        silent = []
        for _ in range(how_many(2000)):
            silent.append(
                stack.enter_context(socket.create_connection(("127.0.0.1", hookbox.port), DEADLINE))
            )
        opened = hookbox.figures().open_connections
        ann, bob = hookbox.subscribed("lobby", "ann", "bob")
        ann.publish("lobby", "hello")
        assert bob.next_publication()["payload"] == "hello"
        for sock in silent:
            assert sock.recv(1) == b"", "nothing is said to somebody who said nothing"
        record_property("F16", f"{opened} of {len(silent)} were open at once")
        hookbox.assert_invariants()
