"""A comet session without HTTP: what it keeps, whom it tells, when it ends. Time is turned by hand."""

import json
import logging
from base64 import urlsafe_b64decode

import gevent
import pytest

from hookbox.clock import ManualClock
from hookbox.errors import NotFound
from hookbox.protocol.csp import Packet
from hookbox.protocol.csp_variables import Variables
from hookbox.protocol.disconnects import (
    INTERNAL,
    NEVER_CONNECTED,
    OVERLOAD,
    RESTART,
    SESSION_EXPIRED,
    SLOW_CONSUMER,
    TOO_MANY_MESSAGES,
)
from hookbox.protocol.rtjp import EncodedFrame, frame
from hookbox.settings import Settings
from hookbox.transports.comet import CometSessions
from hookbox.transports.outbox import Flusher

PATIENCE = 5.0


class StubRoad:
    """Notes what it is fed; says goodbye like a client that asked for CLOSE frames."""

    def __init__(self, session):
        self.session = session
        self.connected = True
        self.fed = b""
        self.verdict = None
        self.ends = []

    def feed(self, data):
        self.fed += data
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    def farewell(self, why):
        self.session.outbox.put(frame("CLOSE", {"code": why.code}))
        self.ends.append(why)

    def gone(self):
        self.ends.append("gone")


class World:
    """Sessions whose turns of the loop, greenlets and clock are run by the test."""

    def __init__(self, settings=None):
        self.settings = settings or Settings()
        self.clock = ManualClock()
        self.turns = []
        self.work = []
        self.forgotten = []
        self.cookies = []
        self.flusher = Flusher(
            self.turns.append,
            lambda seconds, job: self.turns.append(job),
            self.clock.monotonic,
            self.settings.outbox_total,
        )
        self.sessions = CometSessions(self, self.flusher, self.clock, self.work.append)

    def welcome(self, session, cookies, client_ip):
        session.road = StubRoad(session)
        session.on_cookies = self.cookies.append

    def forget(self, session):
        self.forgotten.append(session)

    def open(self, **variables):
        return self.sessions.open(Variables(**variables), "sid=1", "")

    def turn(self):
        """Run what the loop would run next."""
        turns, self.turns[:] = self.turns[:], []
        for job in turns:
            job()

    def do_work(self):
        work, self.work[:] = self.work[:], []
        for job in work:
            job()

    def publish(self, session, *texts):
        for text in texts:
            session.outbox.put(EncodedFrame("X", json.dumps(text)))
        self.turn()


@pytest.fixture
def world():
    return World()


def hear(session, a=-1, cookies=""):
    session.hear(session.variables, a, cookies)


def frames(packets):
    """Names or texts of the frames in packets; None is the null packet."""
    found = []
    for packet in packets:
        _, _, data = json.loads(packet.text)
        lines = [None] if data is None else urlsafe_b64decode(data).split(b"\r\n")[:-1]
        found += [line and json.loads(line)[1:] for line in lines]
    return [item and (item[1] if item[0] == "X" else item) for item in found]


def ids(packets):
    return [packet.id for packet in packets]


def hold(session):
    held = gevent.spawn(session.poll)
    gevent.idle()
    return held


# keys


def test_A8_a_session_key_is_256_random_bits_in_hex(world):
    keys = {world.open().key for _ in range(100)}
    assert len(keys) == 100
    assert all(len(bytes.fromhex(key)) == 32 for key in keys)


@pytest.mark.parametrize("key", ["", "null", "0" * 64])
def test_an_unknown_key_finds_nothing(world, key):
    world.open()
    with pytest.raises(NotFound):
        world.sessions.find(key)


# server to client


def test_what_came_in_one_turn_is_one_packet(world):
    session = world.open()
    world.publish(session, "a", "b")
    packets = session.poll()
    assert ids(packets) == [1]
    assert urlsafe_b64decode(json.loads(packets[0].text)[2]) == b'[1, "X", "a"]\r\n[2, "X", "b"]\r\n'


def test_D4_a_poll_whose_answer_was_lost_gives_the_same_again(world):
    session = world.open()
    world.publish(session, "a")
    first = session.poll()
    hear(session, a=0)
    world.publish(session, "b")
    assert session.poll()[:1] == first
    hear(session, a=1)
    assert frames(session.poll()) == ["b"]


def test_a_held_request_is_answered_when_a_frame_comes(world):
    session = world.open()
    held = hold(session)
    assert not held.ready()
    world.publish(session, "a")
    assert frames(held.get(timeout=PATIENCE)) == ["a"]


def test_a_second_request_completes_the_first_with_nothing(world):
    session = world.open()
    first = hold(session)
    second = hold(session)
    assert first.get(timeout=PATIENCE) == []
    world.publish(session, "a")
    assert frames(second.get(timeout=PATIENCE)) == ["a"]


def test_an_idle_request_is_answered_after_du_seconds(world):
    session = world.open(du=0)
    assert hold(session).get(timeout=PATIENCE) == []


def test_polls_without_a_hold_are_held_once_they_come_too_often(world):
    session = world.open(du=0)
    pauses = [session._pause_between_polls() for _ in range(20)]
    assert pauses[:10] == [0.0] * 10
    assert pauses[-1] == 1.0
    world.clock.advance(60)
    assert session._pause_between_polls() == 0.0


def test_sessions_with_the_same_frames_under_the_same_ids_share_their_packets(world):
    sessions = [world.open() for _ in range(3)]
    late = world.open()
    world.publish(late, "before")
    world.flusher.fan_out(EncodedFrame("X", '"all"'), [session.outbox for session in [*sessions, late]])
    world.turn()
    one, other, third = (session.poll()[0] for session in sessions)
    assert one.text is other.text is third.text
    assert frames(late.poll()) == ["before", "all"]
    assert ids(late.poll()) == [1, 2]


# streams


def test_a_stream_begins_at_once_and_gives_what_is_new_each_time(world):
    session = world.open(streaming=1)
    batches = session.stream()
    assert next(batches) == []
    world.publish(session, "a")
    assert frames(next(batches)) == ["a"]
    world.publish(session, "b")
    assert frames(next(batches)) == ["b"]


def test_a_stream_begins_with_what_is_not_acknowledged(world):
    session = world.open(streaming=1)
    world.publish(session, "a")
    assert frames(next(session.stream())) == ["a"]
    assert frames(next(session.stream())) == ["a"]


def test_a_stream_sends_empty_batches_when_idle(world):
    world = World(Settings(ping_interval=0.01))
    session = world.open(streaming=1)
    batches = session.stream()
    assert next(batches) == []
    with gevent.Timeout(PATIENCE):
        assert next(batches) == []


def test_a_stream_ends_after_du_seconds(world):
    session = world.open(streaming=1, du=20)
    batches = session.stream()
    next(batches)
    world.publish(session, "a")
    next(batches)
    world.clock.advance(21)
    assert list(batches) == []


def test_a_stream_ends_when_another_request_comes(world):
    session = world.open(streaming=1)
    old = session.stream()
    next(old)
    new = session.stream()
    next(new)
    assert list(old) == []
    world.publish(session, "a")
    assert frames(next(new)) == ["a"]


def test_a_stream_whose_frames_are_acknowledged_goes_on():
    world = World(Settings(outbox_messages=8))
    session = world.open(streaming=1)
    batches = session.stream()
    next(batches)
    for _ in range(20):
        world.publish(session, "a")
        hear(session, a=ids(next(batches))[-1])
    session.outbox.acknowledge(999)
    held = gevent.spawn(next, batches)
    gevent.idle()
    assert not held.ready(), "with nothing new it waits"
    world.publish(session, "b")
    assert frames(held.get(timeout=PATIENCE)) == ["b"]


@pytest.mark.parametrize(
    "settings", [Settings(outbox_messages=8), Settings(outbox_bytes=600)], ids=["messages", "bytes"]
)
def test_a_stream_ends_to_have_what_it_carried_acknowledged(settings):
    world = World(settings)
    session = world.open(streaming=1)
    batches = session.stream()
    next(batches)
    world.publish(session, "x" * 50)
    next(batches)
    world.publish(session, "x" * 50)
    next(batches)
    world.publish(session, "x" * 50)
    assert list(batches) == []
    assert session.closing is None
    assert len(frames(session.poll())) == 3


def test_a_stream_ends_after_its_goodbye(world):
    session = world.open(streaming=1)
    batches = session.stream()
    next(batches)
    session.close(RESTART)
    assert frames(next(batches)) == [["CLOSE", {"code": 1012}], None]
    assert list(batches) == []


def test_an_abandoned_stream_leaves_its_frames_to_the_next_request(world):
    session = world.open(streaming=1)
    batches = session.stream()
    next(batches)
    world.publish(session, "a")
    assert frames(next(batches)) == ["a"]
    batches.close()
    assert frames(session.poll()) == ["a"]


# client to server


def test_packets_are_fed_in_order_and_once(world):
    session = world.open()
    session.take([Packet(1, b"a"), Packet(2, b"b")])
    session.take([Packet(2, b"b"), Packet(3, b"c")])
    world.do_work()
    assert session.road.fed == b"abc"


def test_a_send_does_not_wait_for_what_it_causes(world):
    session = world.open()
    assert session.take([Packet(1, b"a")])
    assert session.road.fed == b""
    assert len(world.work) == 1


def test_frames_of_one_session_are_never_handled_side_by_side(world):
    session = world.open()
    session.take([Packet(1, b"a")])
    session.take([Packet(2, b"b")])
    assert len(world.work) == 1
    world.do_work()
    assert session.road.fed == b"ab"


def test_more_than_client_body_waiting_to_be_handled_ends_the_session():
    world = World(Settings(client_body=1000))
    session = world.open()
    assert session.take([Packet(1, b"x" * 1000)])
    assert not session.take([Packet(2, b"x")])
    assert session.closing == TOO_MANY_MESSAGES
    world.do_work()
    assert session.road.fed == b""


def test_a_verdict_of_the_road_ends_the_session(world):
    session = world.open()
    session.road.verdict = TOO_MANY_MESSAGES
    session.take([Packet(1, b"a")])
    world.do_work()
    assert session.road.ends == [TOO_MANY_MESSAGES]
    assert frames(session.poll()) == [["CLOSE", {"code": 1008}], None]


def test_Z6_an_exception_on_the_road_ends_this_session_only(world, caplog):
    session, other = world.open(), world.open()
    session.road.verdict = RuntimeError("boom")
    with caplog.at_level(logging.ERROR):
        session.take([Packet(1, b"a")])
        world.do_work()
    assert session.closing == INTERNAL
    assert other.closing is None
    assert "boom" in caplog.text


# cookies


def test_the_newest_requests_cookies_are_passed_on_once(world):
    session = world.open()
    for header in ("sid=1", "", "sid=2", "sid=2", ""):
        hear(session, cookies=header)
    assert world.cookies == ["sid=2"]


# the end


def test_a_server_side_close_comes_after_what_was_queued(world):
    session = world.open()
    world.publish(session, "a")
    session.outbox.put(EncodedFrame("X", '"b"'))
    session.close(RESTART)
    assert frames(session.poll()) == ["a", "b", ["CLOSE", {"code": 1012}], None]
    assert session.road.ends == [RESTART]


def test_a_close_answers_the_held_request(world):
    session = world.open()
    held = hold(session)
    session.close(RESTART)
    assert frames(held.get(timeout=PATIENCE)) == [["CLOSE", {"code": 1012}], None]


def test_closing_twice_adds_one_null_packet(world):
    session = world.open()
    session.close(RESTART)
    session.close(OVERLOAD)
    assert frames(session.poll()) == [["CLOSE", {"code": 1012}], None]
    assert session.closing == RESTART


def test_nothing_is_queued_after_the_null_packet(world):
    session = world.open()
    session.close(RESTART)
    world.publish(session, "late")
    world.flusher.fan_out(EncodedFrame("X", '"late"'), [session.outbox])
    world.turn()
    assert frames(session.poll())[-1] is None


def test_a_closed_session_is_unknown_once_all_is_acknowledged(world):
    session = world.open()
    session.close(RESTART)
    last = ids(session.poll())[-1]
    hear(session, a=last)
    with pytest.raises(NotFound):
        session.poll()
    assert world.forgotten == [session]
    with pytest.raises(NotFound):
        world.sessions.find(session.key)


def test_a_clients_null_packet_ends_the_stream_and_the_session(world):
    session = world.open()
    held = hold(session)
    assert session.take([Packet(1, None)])
    assert frames(held.get(timeout=PATIENCE)) == [None]
    assert session.road.ends == ["gone"]
    assert world.forgotten == [session]


def test_what_a_client_sent_before_its_null_packet_is_still_handled(world):
    session = world.open()
    session.take([Packet(1, b"a"), Packet(2, None), Packet(3, b"never")])
    assert session.road.ends == []
    world.do_work()
    assert session.road.fed == b"a"
    assert session.road.ends == ["gone"]


def test_the_clients_answer_to_a_server_side_close_has_it_forgotten(world):
    session = world.open()
    session.close(RESTART)
    last = ids(session.poll())[-1]
    hear(session, a=last)
    assert session.take([Packet(1, None)])
    assert world.forgotten == [session]


def test_a_close_request_leaves_the_null_packet_to_fetch(world):
    session = world.open()
    session.leave()
    assert frames(session.poll()) == [None]
    assert session.road.ends == ["gone"]
    assert world.forgotten == []
    session.leave()
    assert world.forgotten == [session]


def test_a_client_that_closed_is_not_kept_for_long(world):
    session = world.open()
    session.leave()
    world.clock.advance(10)
    session.check(world.clock.monotonic())
    assert world.forgotten == [session]


def test_a_closed_session_is_settled_once_its_end_was_in_an_answer(world):
    session = world.open()
    session.close(RESTART)
    assert not session.settled
    session.poll()
    assert session.settled
    assert session.poll(), "but a lost answer can be asked for again"
    world.clock.advance(10)
    session.check(world.clock.monotonic())
    assert world.forgotten == [session]


# expiry


@pytest.mark.parametrize(("du", "limit"), [(30, 60), (10, 20), (0, 60)])
def test_D9_a_silent_session_ends_after_its_limit_and_is_forgotten_after_another(world, du, limit):
    session = world.open(du=du)
    world.publish(session, "a")
    world.clock.advance(limit - 1)
    session.check(world.clock.monotonic())
    assert session.closing is None
    world.clock.advance(1)
    session.check(world.clock.monotonic())
    assert session.road.ends == [SESSION_EXPIRED]
    world.clock.advance(limit - 1)
    session.check(world.clock.monotonic())
    assert world.forgotten == []
    assert frames(session.poll()) == ["a", ["CLOSE", {"code": 4003}], None], (
        "a late request still gets it all"
    )
    world.clock.advance(1)
    session.check(world.clock.monotonic())
    assert world.forgotten == [session]


def test_any_request_keeps_a_session_alive(world):
    session = world.open()
    for _ in range(5):
        world.clock.advance(59)
        hear(session)
        session.check(world.clock.monotonic())
    assert session.closing is None


def test_F29_a_step_of_the_wall_clock_ends_no_session(world):
    session = world.open()
    world.clock.step_wall(86_400)
    session.check(world.clock.monotonic())
    assert session.closing is None


def test_W19_a_session_without_connect_ends_at_the_deadline(world):
    session = world.open()
    session.road.connected = False
    for _ in range(2):
        world.clock.advance(31)
        hear(session)
        session.check(world.clock.monotonic())
    assert session.closing == NEVER_CONNECTED


def test_a_connect_still_being_decided_is_no_missing_connect(world):
    session = world.open()
    session.road.connected = False
    session.take([Packet(1, b"a")])
    world.clock.advance(31)
    hear(session)
    world.clock.advance(31)
    session.check(world.clock.monotonic())
    assert session.closing is None


# slow clients


@pytest.mark.parametrize(
    "settings", [Settings(outbox_messages=5), Settings(outbox_bytes=500)], ids=["messages", "bytes"]
)
def test_F13_a_client_that_does_not_fetch_is_cut_and_its_queue_freed(settings):
    world = World(settings)
    session, other = world.open(), world.open()
    for number in range(30):
        world.flusher.fan_out(EncodedFrame("X", f'"{"x" * 50}{number}"'), [session.outbox, other.outbox])
        world.turn()
        hear(other, a=ids(other.poll())[-1])
    assert session.closing == SLOW_CONSUMER
    assert frames(session.poll()) == [["CLOSE", {"code": 4001}], None]
    assert ids(session.poll()) == [1, 2]
    assert other.closing is None


def test_one_large_batch_alone_is_no_slowness():
    world = World(Settings(outbox_bytes=500, outbox_messages=5))
    session = world.open()
    world.publish(session, *["x" * 200] * 20)
    assert session.closing is None
    assert len(frames(session.poll())) == 20


def test_the_fullest_goes_when_all_together_hold_too_much():
    world = World(Settings(outbox_total=100_000))
    small, big = world.open(), world.open()
    world.publish(small, "x" * 20_000)
    for _ in range(4):
        world.publish(big, "x" * 20_000)
    world.publish(small, "y" * 20_000)
    assert big.closing == OVERLOAD
    assert small.closing is None
    hear(small, a=ids(small.poll())[-1])
    assert world.flusher.waiting_total == 0


def test_a_forgotten_session_holds_nothing():
    world = World()
    session = world.open()
    world.publish(session, "x" * 50_000)
    assert world.flusher.waiting_total
    session.take([Packet(1, None)])
    assert world.flusher.waiting == {}
    assert len(world.sessions) == 0


def test_F32_a_frame_that_cannot_be_encoded_ends_one_session_only(world, caplog):
    session, other = world.open(), world.open()
    session.outbox.put(object())
    other.outbox.put(EncodedFrame("X", '"a"'))
    world.turn()
    assert session.closing == INTERNAL
    assert frames(other.poll()) == ["a"]
