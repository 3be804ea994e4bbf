"""Malformed and hostile WebSocket frames, over real sockets: the exact close code of each."""

import random
import socket
import struct
import time

import pytest
from conftest import eventually
from raw import CONNECT, Raw, client_frame, close, line, text

SETTINGS = {"message_deadline": 0.5, "connect_deadline": 1.5, "protocol_errors": 1000, "leave_grace": 0}

LIMIT = 65_536


@pytest.fixture
def raw(hookbox):
    with Raw(hookbox.port) as socket:
        yield socket


def served(raw):
    """Whether the connection is served: CONNECT is answered."""
    raw.send(CONNECT)
    reply = raw.next_line()
    return reply[1] == "CONNECTED" and reply[2]["name"] == "ann"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(text("hi", mask=None), 1002, id="W1-unmasked-text"),
        pytest.param(client_frame(9, mask=None), 1002, id="W1-unmasked-ping"),
        pytest.param(client_frame(8, b"\x03\xe8", mask=None), 1002, id="W1-unmasked-close"),
        pytest.param(text("hi", rsv=4), 1002, id="W2-rsv1"),
        pytest.param(text("hi", rsv=2), 1002, id="W2-rsv2"),
        pytest.param(text("hi", rsv=1), 1002, id="W2-rsv3"),
        *(
            pytest.param(client_frame(n), 1002, id=f"W2-opcode-{n}")
            for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ),
        pytest.param(client_frame(9, b"x" * 126), 1002, id="W3-long-ping"),
        pytest.param(client_frame(8, b"\x03\xe8" + b"x" * 124), 1002, id="W3-long-close"),
        pytest.param(text("a", fin=False) + client_frame(0, b"b", rsv=4), 1002, id="W2-rsv1-on-a-continuation"),
        pytest.param(client_frame(9, rsv=1), 1002, id="W2-rsv3-on-a-ping"),
        pytest.param(client_frame(9, b"x", fin=False), 1002, id="W3-fragmented-ping"),
        pytest.param(client_frame(8, b"\x03\xe8", fin=False), 1002, id="W3-fragmented-close"),
        pytest.param(client_frame(10, b"x" * 126), 1002, id="W3-long-pong"),
        pytest.param(client_frame(10, b"x", fin=False), 1002, id="W3-fragmented-pong"),
        pytest.param(client_frame(0, b"x"), 1002, id="W4-continuation-without-start"),
        pytest.param(text("a", fin=False) + text("b"), 1002, id="W4-text-inside-message"),
        pytest.param(text("a", fin=False) + client_frame(2, b"b"), 1002, id="W4-binary-inside-message"),
        pytest.param(text("hello", form=16), 1002, id="W5-126-for-5"),
        pytest.param(text("x" * 500, form=64), 1002, id="W5-127-for-500"),
        pytest.param(client_frame(9, b"hi", form=16), 1002, id="W5-126-for-2-on-a-ping"),
        pytest.param(text("x" * 65_535, form=64)[:10], 1002, id="W5-127-for-65535"),
        pytest.param(b"\x81\xff" + (2**63 + 5).to_bytes(8, "big"), 1002, id="W5-bit-63"),
        pytest.param(client_frame(1, length=LIMIT + 1), 1009, id="W6-limit+1"),
        pytest.param(client_frame(1, length=2**33), 1009, id="W6-8GiB"),
        pytest.param(client_frame(2, length=2**62), 1009, id="W6-2^62"),
        pytest.param(
            text("x" * 40_000, fin=False) + client_frame(0, b"x" * (LIMIT - 40_000 + 1)),
            1009,
            id="W7-sum-of-limit+1",
        ),
        pytest.param(
            text("a", fin=False) + client_frame(0, b"", fin=False) * 128, 1008, id="W8-129-fragments"
        ),
        pytest.param(text(b"\xff"), 1007, id="W10-ff"),
        pytest.param(text(b"a\xc3"), 1007, id="W10-c3-at-end"),
        pytest.param(text(b"\xf4\x90\x80\x80"), 1007, id="W10-f4-90"),
        pytest.param(text(b"\xed\xa0\x80"), 1007, id="W10-surrogate"),
        pytest.param(
            text(b"\xed", fin=False) + client_frame(0, b"\xa0", fin=False),
            1007,
            id="W10-split-over-fragments",
        ),
        pytest.param(client_frame(2, b"\xff"), 1007, id="W10-binary"),
        pytest.param(client_frame(8, b"\x03"), 1002, id="W11-body-of-1-byte"),
        *(
            pytest.param(close(n), 1002, id=f"W11-{n}")
            for n in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
        ),
        *(
            pytest.param(close(n), n, id=f"W12-{n}")
            for n in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999)
        ),
        pytest.param(close(1000, b"bye \xc3\xa9"), 1000, id="W12-with-reason"),
        pytest.param(client_frame(8), None, id="W12-without-code"),
        pytest.param(close(1000, b"\xff"), 1007, id="W13-reason-not-utf8"),
        pytest.param(close(1000) + text("x", mask=None), 1000, id="W14-frame-after-close"),
        pytest.param(close(1001) + client_frame(9, b"x") * 3, 1001, id="W14-ping-after-close"),
    ],
)
def test_a_bad_frame_is_answered_by_this_code(raw, frames, code):
    raw.send(frames)
    before, got, _ = raw.ending()
    assert got == code
    assert before == []


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_W12_a_close_is_echoed_with_its_reason(raw, code):
    reason = "x" * 121 + "é"
    raw.send(close(code, reason.encode()))
    assert raw.ending() == ([], code, reason)


@pytest.mark.parametrize(
    ("fragments", "certain_at"),
    [
        pytest.param([b"a", b"\xff", b"b"], 1, id="W10-ff"),
        pytest.param([b"\xf4", b"\x90", b"\x80\x80"], 1, id="W10-f4-90"),
        pytest.param([b"\xed", b"\xa0", b"\x80"], 1, id="W10-surrogate"),
        pytest.param([b"a\xc3", b"b", b""], 1, id="W10-c3-not-continued"),
    ],
)
def test_bad_text_is_told_at_the_fragment_where_it_becomes_certain(raw, fragments, certain_at):
    for at, payload in enumerate(fragments[: certain_at + 1]):
        raw.send(client_frame(0 if at else 1, payload, fin=False))
        if at < certain_at:  # a ping is still answered
            raw.send(client_frame(9, b"well"))
            assert raw.next() == (10, b"well")
    assert raw.ending()[:2] == ([], 1007)


def test_W6_announcing_much_costs_no_memory(hookbox, watch):
    raws = [Raw(hookbox.port) for _ in range(20)]
    before = watch.resident
    for raw, size in zip(raws, [LIMIT + 1, 2**33, 2**62, LIMIT] * 5, strict=True):
        raw.send(client_frame(1, length=size))
    assert watch.resident < before + 1024 * 1024
    for raw in raws:
        raw.socket.close()


def test_W7_a_message_of_just_the_limit_is_accepted(raw):
    padding = " " * (LIMIT - len('[1,"PING",{}]\r\n'))
    whole = f'[1,"PING",{{}}{padding}]\r\n'.encode()
    assert len(whole) == LIMIT
    raw.send(
        text(whole[:30_000], fin=False),
        client_frame(0, whole[30_000:60_000], fin=False),
        client_frame(0, whole[60_000:]),
    )
    assert raw.next_line()[2] == {"id": 1, "msg": "Not connected", "code": "not_connected"}
    raw.send(text(whole))
    assert raw.next_line()[2]["code"] == "not_connected"
    assert served(raw)


def test_W8_128_fragments_are_accepted(raw):
    parts = [text("[1,", fin=False), *[client_frame(0, fin=False)] * 126, client_frame(0, b'"PING",{}]\r\n')]
    raw.send(*parts)
    assert raw.next_line()[2]["code"] == "not_connected"


def test_W8_a_flood_of_empty_continuations_is_stopped(hookbox, watch):
    with Raw(hookbox.port) as raw:
        before = watch.resident
        raw.flood(text("a", fin=False) + client_frame(0, fin=False) * 200_000)
        assert raw.close_code() == 1008
        assert watch.resident < before + 2 * 1024 * 1024


def test_W9_a_binary_message_is_read_as_text(raw):
    raw.send(client_frame(2, '[1,"CONNECT",{"cookie_string":"é","payload":"\\"é世😀\\""}]\r\n'.encode()))
    assert raw.next_line()[2]["name"] == "é世😀"


def test_W14_nothing_is_answered_behind_a_close(raw):
    raw.send(CONNECT, close(1000), line(2, "SUBSCRIBE", channel_name="lobby"), client_frame(9))
    before, code, _ = raw.ending()
    assert code == 1000
    assert [payload.split(b'"')[1] for _, payload in before] in ([b"CONNECTED"], [])


def test_W14_what_came_before_a_close_is_answered_before_the_echo(raw, application):
    raw.send(text("not a frame\r\n"), close(1000))
    before, code, _ = raw.ending()
    assert (len(before), code) == (1, 1000)
    assert b"Invalid json" in before[0][1]


def test_W15_a_ping_flood_is_stopped_and_its_pongs_are_bounded(hookbox, watch):
    with Raw(hookbox.port, receive_buffer=4096) as raw:
        raw.send(CONNECT)
        raw.next_line()
        before = watch.resident
        raw.flood(client_frame(9, b"x" * 125) * 50_000, seconds=1.5, read=False)
        assert watch.resident < before + 3 * 1024 * 1024
        _, code, _ = raw.ending()
        assert code == 1008


def test_W15_while_one_floods_others_are_served(hookbox):
    with Raw(hookbox.port) as flooder, Raw(hookbox.port) as other:
        served(other)
        flooder.socket.setblocking(False)
        pings = client_frame(9) * 20_000
        late = []
        for frame_id in range(2, 22):
            try:
                flooder.socket.send(pings)
            except (BlockingIOError, ConnectionError):
                pass
            began = time.monotonic()
            other.send(line(frame_id, "PING"))
            assert other.next_line()[1:] == ["PONG", {"id": frame_id}]
            late.append(time.monotonic() - began)
        assert sorted(late)[10] < 0.25


def test_W15_pings_are_answered_and_unsolicited_pongs_ignored(raw):
    raw.send(client_frame(10, b"?"), client_frame(9, b"echo me"), client_frame(9))
    assert raw.next() == (10, b"echo me")
    assert raw.next() == (10, b"")
    assert served(raw)


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(text("x" * 300)[:1], id="W16-first-header-byte"),
        pytest.param(text("x" * 300)[:3], id="W16-length"),
        pytest.param(text("x" * 300)[:6], id="W16-mask"),
        pytest.param(text("x" * 300)[:8], id="W16-just-behind-the-mask"),
        pytest.param(text("x" * 300)[:20], id="W16-payload"),
        pytest.param(text("x", fin=False), id="W16-between-fragments"),
    ],
)
def test_a_message_must_be_whole_within_the_deadline(raw, begun):
    served(raw)
    raw.send(begun)
    began = time.monotonic()
    opcode, payload = raw.next()
    assert (opcode, payload[:2]) == (8, struct.pack("!H", 1008))
    assert 0.4 < time.monotonic() - began < 3


def test_W16_pings_between_fragments_do_not_prolong_it(raw):
    served(raw)
    raw.send(text("x", fin=False))
    raw.socket.settimeout(0.1)
    for _ in range(30):
        raw.send(client_frame(9))
        try:
            while True:
                opcode, payload = raw.next()
                if opcode == 8:
                    assert struct.unpack("!H", payload[:2]) == (1008,)
                    return
        except TimeoutError:
            pass
    raise AssertionError("the message may take for ever")


def test_W16_whole_messages_one_after_the_other_may_take_longer(raw):
    served(raw)
    stream = b"".join(line(n, "PING") for n in range(2, 12))
    cut = len(line(2, "PING")) + 3  # each piece ends inside a frame
    for start in range(0, len(stream), cut):
        raw.send(stream[start : start + cut])
        time.sleep(0.15)
    assert [raw.next_line()[1] for _ in range(10)] == ["PONG"] * 10


def test_W17_a_client_that_goes_leaves_nothing_behind(hookbox, watch):
    baseline = watch.sockets
    raws = [Raw(hookbox.port, CONNECT) for _ in range(30)]
    for raw in raws:
        raw.next_line()
    assert watch.sockets >= 30
    for n, raw in enumerate(raws):
        if n % 3 == 0:
            raw.socket.shutdown(socket.SHUT_WR)
        elif n % 3 == 1:
            raw.send(text("x" * 1000)[:500])
            raw.reset()
        else:
            raw.socket.close()
    eventually(lambda: watch.sockets <= baseline, what="sockets are left over")
    for raw in raws[::3]:
        assert raw.eof_within(5)
        raw.socket.close()


def test_W17_one_that_says_nothing_after_the_upgrade_leaves_nothing_behind(hookbox, watch):
    baseline = watch.sockets
    silent, cut = Raw(hookbox.port), Raw(hookbox.port)
    silent.socket.shutdown(socket.SHUT_WR)
    cut.reset()
    assert silent.eof_within(5)
    silent.socket.close()
    eventually(lambda: watch.sockets <= baseline, what="sockets are left over")


def test_W17_a_reset_while_the_application_decides_leaves_nothing_behind(hookbox, application, watch):
    import threading

    from hookbox.testing import Reply

    answer = threading.Event()
    application.answer("connect", Reply([True, {"name": "ann"}], wait_for=answer))
    raw = Raw(hookbox.port, CONNECT)
    application.wait_for("connect")
    baseline = watch.sockets
    raw.reset()
    answer.set()
    eventually(lambda: watch.sockets < baseline)


def test_W18_frames_may_come_with_the_handshake(hookbox):
    with Raw(hookbox.port, CONNECT + line(2, "SUBSCRIBE", channel_name="lobby")) as raw:
        assert raw.next_line()[1] == "CONNECTED"
        assert raw.next_line()[1] == "SUBSCRIBE"


def test_W18_half_a_frame_may_come_with_the_handshake(hookbox):
    for at in (1, 2, 3, 6, 8, 20):
        with Raw(hookbox.port, CONNECT[:at]) as raw:
            raw.send(CONNECT[at:])
            assert raw.next_line()[1] == "CONNECTED"


def test_W18_one_byte_in_a_segment(hookbox):
    with Raw(hookbox.port) as one, Raw(hookbox.port) as two:
        stream = CONNECT + line(2, "PING") + client_frame(9, b"now")
        for at in range(len(stream)):
            one.send(stream[at : at + 1])
            two.send(stream[at : at + 1])
        for raw in (one, two):
            frames = [raw.next() for _ in range(3)]
            assert (10, b"now") in frames
            names = [payload.split(b'"')[1] for opcode, payload in frames if opcode == 1]
            assert names == [b"CONNECTED", b"PONG"]


def test_W19_a_silent_connection_is_ended(raw):
    began = time.monotonic()
    _, code, reason = raw.ending()
    assert (code, reason) == (4501, "no CONNECT in time")
    assert 1 < time.monotonic() - began < 4


def test_W19_pings_and_refused_connects_do_not_save_it(hookbox, application):
    application.refuse("connect")
    with Raw(hookbox.port) as raw:
        raw.socket.settimeout(0.2)
        for frame_id in range(1, 30):
            raw.send(client_frame(9), line(frame_id, "CONNECT", cookie_string=""))
            try:
                while True:
                    opcode, payload = raw.next()
                    if opcode == 8:
                        assert struct.unpack("!H", payload[:2]) == (4501,)
                        return
            except TimeoutError:
                pass
    raise AssertionError("it is served for ever")


def test_W19_a_connected_one_stays(hookbox):
    with Raw(hookbox.port, CONNECT) as raw:
        raw.next_line()
        time.sleep(2.2)
        raw.send(line(2, "PING"))
        assert raw.next_line()[1] == "PONG"


def test_a_close_that_the_peer_does_not_answer_ends_the_connection_all_the_same(hookbox):
    with Raw(hookbox.port) as raw:
        opcode, payload = raw.next()
        assert (opcode, payload[:2]) == (8, struct.pack("!H", 4501))
        assert raw.eof_within(8)


LISTED = {1000, 1002, 1007, 1008, 1009, 4500, 4501, 4505}


def test_U6_mutated_streams_end_in_a_listed_way_and_leave_nothing(hookbox, watch):
    chance = random.Random(6)
    stream = (
        CONNECT + line(2, "SUBSCRIBE", channel_name="fuzz") + client_frame(9, b"p") + text("x", fin=False)
    )
    stream += (
        client_frame(0, '[3,"PUBLISH",{"channel_name":"fuzz","payload":"1"}]\r\n')
        + line(4, "PING")
        + close(1000)
    )
    baseline = watch.sockets
    for _ in range(400):
        damaged = bytearray(stream)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(damaged))
            match chance.randrange(3):
                case 0:
                    damaged[at] = chance.randrange(256)
                case 1:
                    del damaged[at : at + chance.randint(1, 5)]
                case 2:
                    damaged[at:at] = chance.randbytes(chance.randint(1, 5))
        with Raw(hookbox.port) as raw:
            cut = chance.randrange(len(damaged))
            raw.send(bytes(damaged[:cut]))
            raw.send(bytes(damaged[cut:]))
            if chance.random() < 0.3:
                continue
            raw.socket.shutdown(socket.SHUT_WR)
            try:
                _, code, _ = raw.ending()
            except (EOFError, ConnectionError):
                continue
            assert (
                code in LISTED or code is None or 1000 <= code <= 4999
            )  # our own, or an echo of what was sent
    eventually(lambda: watch.sockets <= baseline, 3, "sockets are left over")
