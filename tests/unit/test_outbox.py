"""Outboxes over real sockets: nothing is lost, nothing waits, nothing grows without end."""

import random
import socket
import time
from contextlib import contextmanager

import gevent
import pytest
from gevent import get_hub
from hypothesis import given
from hypothesis import strategies as st

from hookbox.clock import ManualClock
from hookbox.greenlets import run_later
from hookbox.protocol.disconnects import OVERLOAD, SLOW_CONSUMER
from hookbox.protocol.rtjp import EncodedFrame, frame, text_header
from hookbox.protocol.websocket import close_frame
from hookbox.settings import Settings
from hookbox.transports.outbox import LONGEST_REST, Batch, Flusher, Outbox, encode
from hookbox.transports.socket_outbox import Owner, SocketOutbox

DEADLINE = 10


class Recorder(Owner):
    """Whom an outbox tells of its end, remembering what it was told."""

    def __init__(self):
        self.told = []

    def lost(self):
        self.told.append("lost")

    def overfull(self, why):
        self.told.append(why)


def make_flusher(total=10**9):
    """A flusher for which no time passes, so that it never rests."""
    return Flusher(get_hub().loop.run_callback, run_later, ManualClock().monotonic, total)


class Line:
    """An outbox with its socket, and the peer's end."""

    def __init__(self, flusher=None, limits=(10**9, 10**9), buffer=None, owner=None):
        self.flusher = flusher or make_flusher()
        ours, self.peer = socket.socketpair()
        if buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.sock = Counting(ours)
        self.owner = owner or Recorder()
        self.clock = ManualClock()
        self.settings = Settings(outbox_bytes=limits[0], outbox_messages=limits[1])
        self.outbox = SocketOutbox(self.flusher, self.sock, self.clock, self, self.owner)
        self.data = b""

    def read(self, most=10**9):
        """Read what there is, up to some bytes."""
        got = 0
        while got < most:
            try:
                piece = self.peer.recv(min(65_536, most - got))
            except BlockingIOError:
                return got
            if not piece:
                return got
            got += len(piece)
            self.data += piece
        return got

    def read_until(self, done):
        until = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < until
            self.read()
            gevent.sleep(0.001)

    def messages(self):
        """The whole messages that have come; what is left over stays."""
        found = []
        while len(self.data) >= 2:
            size, start = self.data[1], 2
            if size == 126:
                size, start = int.from_bytes(self.data[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(self.data[2:10], "big"), 10
            if len(self.data) < start + size:
                break
            assert self.data[0] in (0x81, 0x88, 0x8A)
            assert self.data[: start if self.data[0] == 0x81 else 0] in (b"", text_header(size))
            found.append(self.data[start : start + size])
            self.data = self.data[start + size :]
        return found

    def close(self):
        if self.sock.fileno() < 0:
            return
        self.outbox.discard()
        self.sock.close()
        self.peer.close()


class Counting:
    """A socket that counts its sends, and may take only some bytes of each."""

    def __init__(self, sock):
        self._sock = sock
        self.sends = 0
        self.most = None

    def send(self, data):
        self.sends += 1
        return self._sock.send(data if self.most is None else data[: self.most])

    def __getattr__(self, name):
        return getattr(self._sock, name)


@contextmanager
def line(**how):
    one = Line(**how)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def lines():
    """Makes lines that are closed at the end of the test."""
    made = []

    def make(count, owner=Recorder, **how):
        for _ in range(count):
            made.append(Line(owner=owner(), **how))
            made[-1].owner.line = made[-1]
        return made

    yield make
    for one in made:
        one.close()


def turn():
    """Let the loop turn once or twice."""
    gevent.sleep(0.002)


def test_what_is_put_in_one_turn_leaves_in_one_send():
    with line() as one:
        for n in range(50):
            one.outbox.put(frame("X", {"n": n}))
        assert one.sock.sends == 0, "putting does no I/O"
        turn()
        assert one.sock.sends == 1
        one.read()
        assert one.messages() == [b'[%d, "X", {"n": %d}]\r\n' % (n + 1, n) for n in range(50)]


def test_ids_count_on_whatever_the_turns():
    with line() as one:
        for n in range(1, 13):
            one.outbox.put(frame("X", {}))
            if n % 5 == 0:
                turn()
        turn()
        one.read()
        assert [message.split(b",")[0] for message in one.messages()] == [b"[%d" % n for n in range(1, 13)]


def test_bytes_leave_as_they_are_and_take_no_id():
    with line() as one:
        one.outbox.put(b"\x8a\x00")
        one.outbox.put(frame("X", {}))
        one.outbox.put(b"\x8a\x01p")
        one.outbox.put(frame("Y", {}))
        turn()
        one.read()
        assert one.messages() == [b"", b'[1, "X", {}]\r\n', b"p", b'[2, "Y", {}]\r\n']


def test_fan_out_keeps_the_order_of_what_was_put_before_and_after():
    with line() as one, line(flusher=one.flusher) as two:
        one.outbox.put(frame("A", {}))
        one.flusher.fan_out(frame("B", {}), [one.outbox, two.outbox])
        one.outbox.put(frame("C", {}))
        turn()
        one.read()
        two.read()
        assert [message[4:7] for message in one.messages()] == [b'"A"', b'"B"', b'"C"']
        assert two.messages() == [b'[1, "B", {}]\r\n']


def test_fanning_out_to_nobody_is_nothing():
    flusher = make_flusher()
    flusher.fan_out(frame("A", {}), [])
    turn()
    flusher.fan_out(frame("A", {}), ())
    turn()


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_F14_partial_sends_lose_nothing(most):
    with line() as one:
        one.sock.most = most
        wanted = []
        for n in range(30):
            one.outbox.put(frame("X", {"n": "y" * n}))
            wanted.append(b'[%d, "X", {"n": "%b"}]\r\n' % (n + 1, b"y" * n))
            if n % 10 == 9:
                turn()
        got = []
        one.read_until(lambda: got.extend(one.messages()) or len(got) == 30)
        assert got == wanted
        assert one.outbox.stalled_at == 0.0
        assert one.flusher.waiting_total == 0


def test_F14_a_reader_that_stalls_and_resumes_gets_everything_in_order():
    chance = random.Random(14)
    with line(buffer=4096) as one:
        wanted, got = [], []
        for n in range(400):
            text = "z" * chance.randint(0, 3000)
            one.outbox.put(frame("X", {"t": text}))
            wanted.append(b'[%d, "X", {"t": "%b"}]\r\n' % (n + 1, text.encode()))
            if chance.random() < 0.3:
                turn()
            if chance.random() < 0.2:
                one.read(chance.randint(1, 5000))
                got += one.messages()
        assert one.flusher.waiting_total == one.outbox.waiting_bytes > 0
        assert one.outbox.stalled_at
        one.read_until(lambda: got.extend(one.messages()) or len(got) == 400)
        assert got == wanted
        assert (one.outbox.waiting_bytes, one.flusher.waiting_total, one.flusher.waiting) == (0, 0, {})
        assert one.outbox.stalled_at == 0.0
        assert one.owner.told == []


def test_F13_the_time_of_the_last_byte_taken_is_known():
    with line(buffer=4096) as one:
        one.outbox.put(frame("X", {"t": "z" * 100_000}))
        turn()
        began = one.outbox.stalled_at
        assert began == one.clock.monotonic()
        one.clock.advance(3)
        turn()
        assert one.outbox.stalled_at == began
        one.read()
        turn()
        assert one.outbox.stalled_at == began + 3


def stalled(one):
    """Fill the kernel's buffers, so that what follows waits."""
    one.outbox.put(frame("X", {"t": "z" * 300_000}))
    turn()
    assert one.outbox.stalled_at
    return one


def test_F13_too_many_frames_make_a_slow_consumer():
    with line(buffer=4096, limits=(10**9, 20)) as one:
        stalled(one)
        for _ in range(20):
            one.outbox.put(frame("X", {}))
            turn()
        assert one.owner.told == []
        one.outbox.put(frame("X", {}))
        turn()
        assert one.owner.told == [SLOW_CONSUMER]


def test_F13_too_many_bytes_make_a_slow_consumer():
    with line(buffer=4096, limits=(100_000, 10**9)) as one:
        stalled(one)
        while not one.owner.told:
            one.outbox.put(frame("X", {"t": "z" * 10_000}))
            turn()
            assert one.outbox.waiting_bytes < 100_000 + 300_000 + 20_000
        assert one.owner.told == [SLOW_CONSUMER]


def test_a_frame_larger_than_the_outbox_still_gets_through_with_what_follows_it():
    with line(buffer=4096, limits=(100_000, 100)) as one:
        one.outbox.put(frame("X", {"t": "z" * 500_000}))
        turn()
        for _ in range(5):
            one.outbox.put(frame("Y", {}))
            turn()
        got = []
        one.read_until(lambda: got.extend(one.messages()) or len(got) == 6 or one.owner.told)
        assert one.owner.told == []
        assert got[1:] == [b'[%d, "Y", {}]\r\n' % n for n in range(2, 7)]


def test_F13_a_burst_in_one_turn_is_bounded_too():
    with line(buffer=4096, limits=(1_000_000, 10**9)) as one:
        many = [frame("X", {"t": "z" * 60_000}) for _ in range(200)]  # 12 MB
        for each in many:
            one.outbox.put(each)
        turn()
        assert one.owner.told == [SLOW_CONSUMER]
        one.outbox.drop_backlog()
        assert one.outbox.waiting_bytes <= 200_000


def test_F13_a_burst_below_the_limits_gets_through():
    with line(buffer=4096, limits=(10**6, 1000)) as one:
        for n in range(100):
            one.outbox.put(frame("X", {"n": n, "t": "z" * 5000}))
        got = []
        one.read_until(lambda: got.extend(one.messages()) or len(got) == 100)
        assert [message.split(b",")[0] for message in got] == [b"[%d" % n for n in range(1, 101)]
        assert one.owner.told == []


class Closer(Recorder):
    """An owner that does what the WebSocket does with a slow consumer."""

    line = None

    def overfull(self, why):
        super().overfull(why)
        outbox = self.line.outbox
        outbox.drop_backlog()
        if not outbox.closed:
            outbox.put(close_frame(why))
            outbox.closed = True


@pytest.mark.parametrize("limits", [(100_000, 10**9), (10**9, 10)])
@pytest.mark.parametrize("first", [1, 30])
def test_F13_a_slow_consumer_is_told_4001_behind_the_frame_it_was_getting(limits, first):
    owner = Closer()
    with line(buffer=4096, limits=limits, owner=owner) as one:
        owner.line = one
        for _ in range(first):
            one.outbox.put(frame("X", {"t": "z" * 20_000}))
        turn()
        for _ in range(40):
            one.outbox.put(frame("X", {"t": "z" * 20_000}))
            turn()
        assert owner.told == [SLOW_CONSUMER]
        goodbye = close_frame(SLOW_CONSUMER)
        one.read_until(lambda: one.data.endswith(goodbye))
        *frames, last = one.messages()
        assert last == goodbye[2:]
        assert [message.split(b",")[0] for message in frames] == [
            b"[%d" % n for n in range(1, len(frames) + 1)
        ]
        assert one.data == b""


# the end


def test_an_empty_outbox_is_drained_when_it_is_sealed():
    with line() as one:
        heard = []
        one.outbox.seal(lambda: heard.append(1))
        assert heard == [1]
        one.outbox.put(frame("X", {}))
        turn()
        assert one.read() == 0


@pytest.mark.parametrize("size", [10, 500_000])
def test_a_sealed_outbox_says_when_the_last_byte_is_gone(size):
    with line(buffer=4096) as one:
        heard = []
        one.outbox.put(frame("X", {"t": "z" * size}))
        one.outbox.seal(lambda: heard.append(len(one.data)))
        assert heard == []
        one.outbox.put(frame("LATE", {}))
        one.read_until(lambda: heard)
        one.read()
        assert one.messages() == [b'[1, "X", {"t": "%b"}]\r\n' % (b"z" * size)]
        assert len(heard) == 1


def test_a_peer_that_is_gone_is_told_of_once():
    with line() as one:
        one.peer.close()
        one.outbox.put(frame("X", {}))
        turn()
        assert one.owner.told == ["lost"]
        one.outbox.put(frame("X", {}))
        one.flusher.fan_out(frame("X", {}), [one.outbox])
        turn()
        assert one.owner.told == ["lost"]
        assert one.outbox.queue == []


def test_a_peer_that_goes_while_something_waits_is_told_of_once():
    with line(buffer=4096) as one:
        stalled(one)
        one.peer.close()
        turn()
        assert one.owner.told == ["lost"]
        assert one.flusher.waiting_total == 0


def test_discarding_frees_everything():
    with line(buffer=4096) as one:
        stalled(one)
        one.outbox.put(frame("X", {}))
        one.outbox.discard()
        one.outbox.discard()
        turn()
        assert (one.outbox.queue, one.outbox.waiting_bytes, one.flusher.waiting) == ([], 0, {})
        assert one.owner.told == []


# the flusher


class Broken(Outbox):
    """An outbox that fails in every way."""

    def __init__(self, flusher, fails_at_the_end):
        super().__init__(flusher)
        self.fails_at_the_end = fails_at_the_end

    def flush(self):
        raise RuntimeError("flush")

    def broken(self):
        self.closed = True
        if self.fails_at_the_end:
            raise RuntimeError("broken")


@pytest.mark.parametrize("fails_at_the_end", [False, True])
def test_F32_an_outbox_that_fails_stops_nobody_else(fails_at_the_end, complaints):
    flusher = make_flusher()
    with line(flusher=flusher) as before, line(flusher=flusher) as after:
        broken = Broken(flusher, fails_at_the_end)
        flusher.fan_out(frame("X", {}), [before.outbox, broken, after.outbox])
        turn()
        flusher.fan_out(frame("X", {}), [before.outbox, after.outbox])
        turn()
        for one in (before, after):
            one.read()
            assert len(one.messages()) == 2
        assert broken.queue == []
        assert complaints()


def test_too_much_altogether_drops_the_fullest_first(lines):
    flusher = make_flusher(total=1_000_000)
    five = lines(5, Closer, flusher=flusher, buffer=4096)
    for n, one in enumerate(five):
        one.outbox.put(frame("X", {"t": "z" * 1000}))
        for _ in range(n * 5):
            one.outbox.put(frame("X", {"t": "z" * 30_000}))
    turn()
    told = [one.owner.told for one in five]
    assert told[0] == told[1] == []
    assert told[4][0] == OVERLOAD
    for one in five:
        one.close()
    assert flusher.waiting_total == 0


def test_one_frame_larger_than_all_may_hold_ends_its_connection_and_no_other():
    flusher = make_flusher(total=100_000)
    with (
        line(flusher=flusher, buffer=4096, owner=Closer()) as big,
        line(flusher=flusher, buffer=4096) as small,
    ):
        big.owner.line = big
        small.outbox.put(frame("X", {"t": "z" * 20_000}))
        turn()
        big.outbox.put(frame("X", {"t": "z" * 600_000}))
        turn()
        assert big.owner.told[0] == OVERLOAD
        assert flusher.waiting_total <= 100_000
        assert small.owner.told == []


def test_the_flusher_says_when_publishing_should_wait():
    flusher = make_flusher(total=1_000_000)
    with line(flusher=flusher, buffer=4096) as one:
        assert not flusher.congested
        one.outbox.put(frame("X", {"t": "z" * 1_000_000}))
        turn()
        assert flusher.congested
        one.read_until(lambda: one.messages())
        turn()
        assert not flusher.congested


def test_many_stalled_connections_are_dropped_until_the_rest_fits(lines):
    flusher = make_flusher(total=2_000_000)
    hundred = lines(100, Closer, flusher=flusher, buffer=4096)
    flusher.fan_out(frame("X", {"t": "z" * 60_000}), [one.outbox for one in hundred])
    turn()
    assert flusher.waiting_total <= 2_000_000
    dropped = sum(bool(one.owner.told) for one in hundred)
    assert 50 < dropped < 90
    for one in hundred:
        one.close()
    assert (flusher.waiting_total, flusher.waiting) == (0, {})


# encoding


items = st.lists(
    st.sampled_from(
        [frame("A", {}), frame("B", {"x": "y" * 113}), frame("C", {"x": "z" * 66_000}), b"\x8a\x00"]
    )
)


@given(items, st.integers(1, 12) | st.integers(90, 110) | st.integers(990, 1010) | st.integers(9980, 10_010))
def test_a_batch_is_encoded_as_each_frame_would_be(queue, first_id):
    batch = Batch(queue)
    wanted, following = b"", first_id
    for item in queue:
        if isinstance(item, EncodedFrame):
            body = item.line(following)
            wanted += text_header(len(body)) + body
            following += 1
        else:
            wanted += item
    for _ in range(2):
        assert batch.encode(first_id) == encode(queue, first_id) == (wanted, following)


class Chatty(Outbox):
    """An outbox that makes something else be said while it is flushed."""

    def flush(self):
        self.queue.clear()
        self.say()


def test_what_is_said_during_a_flush_and_right_after_it_leaves_too():
    flusher = make_flusher()
    with line(flusher=flusher) as one:
        audience = (one.outbox,)
        chatty = Chatty(flusher)
        chatty.say = lambda: flusher.fan_out(frame("DURING", {}), audience)
        flusher.fan_out(frame("BEFORE", {}), (chatty, one.outbox))
        flusher._flush()
        flusher.fan_out(frame("AFTER", {}), audience)
        turn()
        one.read()
        assert [message.split(b'"')[1] for message in one.messages()] == [b"BEFORE", b"DURING", b"AFTER"]


class Slow(Outbox):
    """An outbox whose flushing takes a while."""

    seconds = 0.0

    def flush(self):
        self.queue.clear()
        self.clock.advance(self.seconds)


@pytest.mark.parametrize(("seconds", "rest"), [(0.0005, None), (0.004, 0.008), (3, LONGEST_REST)])
def test_after_a_flush_that_took_a_while_the_next_one_waits_twice_as_long(seconds, rest):
    clock, soon, later = ManualClock(), [], []
    flusher = Flusher(soon.append, lambda seconds, function: later.append(seconds), clock.monotonic, 10**9)
    slow = Slow(flusher)
    slow.clock, slow.seconds = clock, seconds
    slow.put(frame("X", {}))
    (flush,) = soon
    flush()
    slow.put(frame("X", {}))
    assert later == ([] if rest is None else [pytest.approx(rest)])
    assert len(soon) == (2 if rest is None else 1)
    slow.queue.clear()
    flush()
    clock.advance(LONGEST_REST)
    slow.put(frame("X", {}))
    assert len(later) == (0 if rest is None else 1), "when things are calm nothing waits"
