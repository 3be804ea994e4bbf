"""WebSocket frames, judged by a server: exact close codes, whatever comes and however it is cut."""

import random
import struct

import pytest
from client_frames import client_frame, close, text
from hypothesis import example, given
from hypothesis import strategies as st

from hookbox.protocol.disconnects import MESSAGE_TOO_BIG, RESTART, Disconnect
from hookbox.protocol.websocket import Codecs, Event, ServerProtocol, close_frame, ping_frame

LIMIT = 65_536


def outcome(codec, pieces):
    """What came of some pieces: messages and events, the answers, and the code of the fault."""
    items, answers = [], b""
    for piece in pieces:
        received = codec.receive(piece)
        items += received.items
        answers += b"".join(codec.data_to_send())
        if received.fault is not None:
            return items, answers, received.fault.code
        if Event.CLOSE in received.items:
            break
    return items, answers, None


def judged(*frames, max_message=LIMIT, max_fragments=128):
    return outcome(ServerProtocol(max_message, max_fragments), [b"".join(frames)])


def fault(*frames, **limits):
    """The code of the fault; nothing may be answered by the codec itself then."""
    items, answers, code = judged(*frames, **limits)
    assert items == []
    assert answers == b""
    return code


# rows of malformed input


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_W1_an_unmasked_frame(opcode):
    assert fault(client_frame(opcode, b"hi", mask=None)) == 1002
    assert fault(client_frame(opcode, b"hi", mask=None)[:2]) == 1002, "the header alone decides"


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [1, 2, 8, 9, 10])
def test_W2_a_reserved_bit(opcode, rsv):
    assert fault(client_frame(opcode, b"\x03\xe8", rsv=rsv)) == 1002
    assert fault(client_frame(opcode, b"\x03\xe8", rsv=rsv)[:2]) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_W2_an_unknown_opcode(opcode):
    assert fault(client_frame(opcode)) == 1002
    assert fault(client_frame(opcode, b"xx")[:2]) == 1002


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_W3_a_control_frame_that_is_long_or_fragmented(opcode):
    assert fault(client_frame(opcode, b"\x03\xe8" + b"x" * 124)) == 1002
    assert fault(client_frame(opcode, b"x" * 126)[:2]) == 1002
    assert fault(client_frame(opcode, b"\x03\xe8", form=16)) == 1002
    assert fault(client_frame(opcode, b"\x03\xe8", fin=False)) == 1002
    assert judged(client_frame(opcode, b"\x03\xe8" + b"x" * 123))[2] is None


def test_W3_a_long_ping_inside_a_nearly_full_message_is_judged_by_its_own_limit():
    almost = text(b"x" * LIMIT, fin=False)
    items, answers, code = judged(almost, client_frame(9, b"p" * 125), client_frame(0))
    assert (items, code) == ([Event.PING, b"x" * LIMIT], None)
    assert answers == b"\x8a\x7d" + b"p" * 125
    assert judged(almost, client_frame(9, b"p" * 126))[2] == 1002


@pytest.mark.parametrize("fin", [True, False])
def test_W4_a_continuation_without_a_start(fin):
    assert fault(client_frame(0, b"x", fin=fin)) == 1002
    assert fault(client_frame(0, b"x" * 200, fin=fin)[:2]) == 1002
    assert judged(text(b"done"), client_frame(0, b"x", fin=fin))[2] == 1002


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("fin", [True, False])
def test_W4_a_new_message_inside_a_message(opcode, fin):
    assert fault(text(b"a", fin=False), client_frame(opcode, b"b", fin=fin)) == 1002
    assert fault(text(b"a" * LIMIT, fin=False), client_frame(opcode, b"b", fin=fin)) == 1002


@pytest.mark.parametrize("opcode", [0, 1, 2])
@pytest.mark.parametrize(
    ("size", "form"), [(5, 16), (125, 16), (0, 64), (5, 64), (126, 64), (500, 64), (65_535, 64)]
)
def test_W5_a_length_not_in_its_shortest_form(opcode, size, form):
    start = [] if opcode else [text(b"", fin=False)]
    whole = client_frame(opcode, b"x" * size, form=form)
    assert fault(*start, whole) == 1002
    assert fault(*start, whole[: 4 if form == 16 else 10]) == 1002


def test_W5_a_length_with_bit_63_set():
    assert fault(b"\x81\xff" + (2**63).to_bytes(8, "big")) == 1002
    assert fault(b"\x81\xff" + b"\xff" * 8) == 1002


@pytest.mark.parametrize("size", [LIMIT + 1, 2**33, 2**62, 2**63 - 1])
def test_W6_a_message_too_big_is_refused_by_its_header_alone(size):
    for opcode in (1, 2):
        assert fault(client_frame(opcode, length=size)[:10]) == 1009
        assert fault(client_frame(opcode, length=size, fin=False)[:10]) == 1009


def test_W7_the_limit_holds_for_the_sum_of_fragments():
    half = b"x" * (LIMIT // 2)
    start = text(half, fin=False)
    assert judged(start, client_frame(0, half)) == ([half + half], b"", None)
    assert judged(start, client_frame(0, half, fin=False), client_frame(0)) == ([half + half], b"", None)
    assert fault(start, client_frame(0, half + b"x")) == 1009
    assert fault(start, client_frame(0, half + b"x")[:4]) == 1009
    assert fault(start, client_frame(0, half, fin=False), client_frame(0, b"x")) == 1009
    assert judged(text(half + half)) == ([half + half], b"", None)


def test_W7_a_message_does_not_count_against_the_next():
    big = text(b"x" * LIMIT)
    pieces = text(b"x" * (LIMIT - 1), fin=False) + client_frame(0, b"y")
    items, _, code = judged(big, pieces, big, pieces)
    assert (len(items), code) == (4, None)


def test_W8_fragments_are_counted():
    def fragments(count):
        return [text(b"a", fin=False), *[client_frame(0, b"", fin=False)] * (count - 2), client_frame(0)]

    assert judged(*fragments(128)) == ([b"a"], b"", None)
    assert fault(*fragments(129)) == 1008
    assert judged(*fragments(128), *fragments(128))[2] is None


def test_W8_empty_continuations_without_end_are_stopped_at_the_129th():
    codec = ServerProtocol(LIMIT, 128)
    assert codec.receive(text(b"", fin=False)).fault is None
    for _ in range(127):
        assert codec.receive(client_frame(0, fin=False)).fault is None
    assert codec.receive(client_frame(0, fin=False)).fault.code == 1008


def test_W9_a_binary_message_is_read_as_text():
    assert judged(client_frame(2, "é世😀".encode())) == (["é世😀".encode()], b"", None)
    assert fault(client_frame(2, b"\xff")) == 1007


BAD_UTF8 = {
    "ff": b"a\xff",
    "c3-at-end": b"a\xc3",
    "f4-90": b"\xf4\x90\x80\x80",
    "surrogate": b"\xed\xa0\x80",
    "overlong": b"\xc0\x80",
    "f5": b"\xf5\x80\x80\x80",
    "lone-continuation": b"\x80",
}


@pytest.mark.parametrize("payload", BAD_UTF8.values(), ids=BAD_UTF8.keys())
def test_W10_bad_utf8(payload):
    assert fault(text(payload)) == 1007
    for at in range(len(payload) + 1):
        assert fault(text(payload[:at], fin=False), client_frame(0, payload[at:])) == 1007


@pytest.mark.parametrize("name", ["ff", "f4-90", "surrogate", "overlong", "f5", "lone-continuation"])
def test_W10_is_told_at_the_fragment_where_it_becomes_certain(name):
    payload = BAD_UTF8[name]
    certain = {"ff": 2, "f4-90": 2, "surrogate": 2, "overlong": 1, "f5": 1, "lone-continuation": 1}[name]
    codec = ServerProtocol(LIMIT, 128)
    for at in range(len(payload)):
        opcode = 0 if at else 1
        received = codec.receive(client_frame(opcode, payload[at : at + 1], fin=False))
        assert (received.fault is not None) == (at + 1 >= certain), at
        if received.fault is not None:
            assert received.fault.code == 1007
            break


def test_W10_characters_may_be_cut_by_fragments():
    whole = "é世😀".encode()
    for at in range(len(whole) + 1):
        assert judged(text(whole[:at], fin=False), client_frame(0, whole[at:])) == ([whole], b"", None)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_W11_a_close_code_that_must_not_be_sent(code):
    assert fault(close(code)) == 1002
    assert fault(close(code, b"reason")) == 1002


def test_W11_a_close_body_of_one_byte():
    assert fault(client_frame(8, b"\x03")) == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
@pytest.mark.parametrize("reason", [b"", b"bye", "é世".encode(), b"x" * 123])
def test_W12_a_close_is_echoed(code, reason):
    body = struct.pack("!H", code) + reason
    assert judged(close(code, reason)) == ([Event.CLOSE], bytes([0x88, len(body)]) + body, None)


def test_W12_a_close_without_a_code_is_echoed_without_one():
    assert judged(client_frame(8)) == ([Event.CLOSE], b"\x88\x00", None)


def test_W12_a_close_inside_a_message_is_a_close():
    assert judged(text(b"begun", fin=False), close(1000)) == ([Event.CLOSE], b"\x88\x02\x03\xe8", None)


@pytest.mark.parametrize("payload", BAD_UTF8.values(), ids=BAD_UTF8.keys())
def test_W13_a_close_reason_that_is_not_utf8(payload):
    assert fault(close(1000, payload)) == 1007


@pytest.mark.parametrize("after", [text(b"late"), client_frame(9, b"late"), b"\xff" * 50, text(b"\xff")])
def test_W14_what_comes_after_a_close_is_ignored(after):
    assert judged(close(1000), after) == ([Event.CLOSE], b"\x88\x02\x03\xe8", None)
    codec = ServerProtocol(LIMIT, 128)
    outcome(codec, [close(1000)])
    assert outcome(codec, [after]) == ([], b"", None)


def test_what_came_before_a_fault_is_kept():
    assert judged(text(b"one"), client_frame(9, b"p"), text(b"two", mask=None)) == (
        [b"one", Event.PING],
        b"\x8a\x01p",
        1002,
    )
    assert judged(text(b"one"), text(b"\xff"), text(b"two")) == ([b"one"], b"", 1007)


def test_what_comes_after_a_fault_is_ignored():
    codec = ServerProtocol(LIMIT, 128)
    assert codec.receive(text(b"x", mask=None)).fault.code == 1002
    late = codec.receive(text(b"late"))
    assert late.items == []
    assert late.fault.code == 1002


def test_pings_are_answered_in_order_also_inside_a_message():
    parts = [
        text(b"a", fin=False), client_frame(9, b"1"), client_frame(0, b"b", fin=False), client_frame(9), client_frame(10, b"?"), client_frame(0, b"c"),
    ]  # fmt: skip
    assert judged(*parts) == ([Event.PING, Event.PING, Event.PONG, b"abc"], b"\x8a\x011\x8a\x00", None)


# cuts


good_frames = st.one_of(
    st.binary(max_size=10).map(lambda data: client_frame(9, data)),
    st.text(max_size=50).map(lambda data: text(data.encode())),
    st.text(max_size=5).map(
        lambda data: text(b"", fin=False) + client_frame(9) + client_frame(0, data.encode())
    ),
    st.integers(100, 200).map(lambda size: client_frame(2, b"x" * size)),
    st.just(client_frame(10)),
)
bad_frames = st.one_of(
    st.sampled_from([1000, 1005, 4999]).map(close),
    st.binary(max_size=4).map(text),
    st.binary(max_size=12),
    st.just(client_frame(0)),
    st.just(text(b"\xff", fin=False)),
    st.integers(0, 15).map(lambda opcode: client_frame(opcode, b"\x03\xe8xx")),
)
streams = st.tuples(st.lists(good_frames), st.lists(bad_frames)).map(
    lambda parts: b"".join(parts[0] + parts[1])
)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


@given(streams, st.lists(st.integers(0, 1000)))
@example(text(b"hello"), [6])  # a cut just behind the mask
def test_cuts_do_not_matter(data, places):
    def all_of(pieces):
        return outcome(ServerProtocol(300, 5), [piece for piece in pieces if piece])

    assert all_of(cut(data, places)) == all_of([data]) == all_of(data[i : i + 1] for i in range(len(data)))


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_items_or_a_fault(pieces):
    codec = ServerProtocol(100, 5)
    for piece in pieces:
        received = codec.receive(piece)
        for item in received.items:
            assert isinstance(item, Event) or item.decode() is not None
        codec.data_to_send()


def test_mutated_streams_are_items_or_a_fault():
    chance = random.Random(20_26)
    allowed = {None, 1002, 1007, 1008, 1009}
    stream = bytearray(
        text(b"hello")
        + client_frame(9, b"ping")
        + text(b"x" * 200)
        + text(b"a", fin=False)
        + client_frame(0, b"b")
        + close(1000)
    )
    for _ in range(5000):
        damaged = stream.copy()
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert judged(bytes(damaged), max_message=300, max_fragments=3)[2] in allowed


# borrowing


def every_state():
    """Every stream of one connection that stops anywhere."""
    stream = (
        text(b"hello")
        + client_frame(9, b"p")
        + text(b"a", fin=False)
        + client_frame(0, b"")
        + client_frame(2, b"y" * 126)
    )
    return [stream[:end] for end in range(1, len(stream) + 1)]


def test_W18_a_codec_is_given_back_only_between_messages():
    boundaries = {len(text(b"hello")), len(text(b"hello") + client_frame(9, b"p"))}
    whole = every_state()[-1]
    boundaries |= {len(whole) - len(client_frame(2, b"y" * 126)), len(whole)}
    for begun in every_state():
        codec = ServerProtocol(LIMIT, 128)
        outcome(codec, [begun])
        assert codec.reusable == (len(begun) in boundaries), begun
        assert codec.unfinished != codec.reusable


def test_two_connections_that_share_codecs_never_see_each_others_bytes():
    chance = random.Random(7)
    codecs = Codecs(1000, 10)
    streams = [
        b"".join(text(b"%d-%d" % (who, n)) if n % 3 else text(b"%d-" % who, fin=False) + client_frame(9) + client_frame(0, b"%d" % n) for n in range(100))
        for who in range(5)
    ]  # fmt: skip
    got = [[] for _ in streams]
    held = [None] * len(streams)
    while any(streams):
        who = chance.randrange(len(streams))
        size = chance.choice([1, 1, 2, 6, 7, 13, 50])
        piece, streams[who] = streams[who][:size], streams[who][size:]
        if not piece:
            continue
        codec = held[who] or codecs.take()
        received = codec.receive(piece)
        assert received.fault is None
        codec.data_to_send()
        got[who] += [item for item in received.items if isinstance(item, bytes)]
        held[who] = None if codec.reusable else codec
        if codec.reusable:
            codecs.give_back(codec)
    assert got == [[b"%d-%d" % (who, n) for n in range(100)] for who in range(5)]


@pytest.mark.parametrize("ending", [close(1000), text(b"", mask=None), text(b"\xff")])
def test_a_codec_that_saw_the_end_is_not_reused(ending):
    codec = ServerProtocol(LIMIT, 128)
    received = codec.receive(ending)
    assert not codec.reusable or received.fault is not None


# the short cut


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1000])
def test_one_whole_text_frame_needs_no_codec(size):
    assert Codecs(1000, 10).read_whole(text(b"x" * size)) == b"x" * size


@pytest.mark.parametrize(
    "data",
    [
        b"",
        text(b"hello")[:-1],
        text(b"hello") + b"x",
        text(b"hello") * 2,
        text(b"hello", mask=None),
        text(b"hello", fin=False),
        text(b"hello", rsv=4),
        text(b"hello", form=16),
        text(b"x" * 126, form=64),
        text(b"x" * 119, form=64),  # as long as a frame of 127 bytes would be
        text(b"x" * 1001),
        text("é".encode()),
        text(b"\xff"),
        client_frame(2, b"hello"),
        client_frame(9, b"hello"),
        close(1000),
    ],
)
def test_everything_else_is_left_to_a_codec(data):
    assert Codecs(1000, 10).read_whole(data) is None


@given(st.binary(max_size=20), st.sampled_from([b"", text(b"hello"), text(b"x" * 126)]), st.integers(0, 12))
def test_the_short_cut_never_differs_from_a_codec(junk, frame, at):
    data = frame[:at] + junk + frame[at:]
    whole = Codecs(1000, 10).read_whole(data)
    assert whole is None or judged(data, max_message=1000) == ([whole], b"", None)


# writing


def test_a_close_frame_carries_code_and_reason():
    assert close_frame(RESTART) == b"\x88\x11" + struct.pack("!H", 1012) + b"server restarts"


def test_every_close_frame_is_a_valid_control_frame():
    from hookbox.protocol import disconnects

    all_of_them = [value for value in vars(disconnects).values() if isinstance(value, Disconnect)]
    assert len(all_of_them) >= 20
    for why in all_of_them:
        assert len(close_frame(why)) <= 127
        assert len(why.reason.encode()) <= disconnects.REASON_LIMIT


def test_a_ping_is_empty():
    assert ping_frame() == b"\x89\x00"


def test_changed_limits_hold_for_every_message_that_begins_later():
    codecs = Codecs(1000, 10)
    begun, idle = codecs.take(), codecs.take()
    codecs.give_back(idle)
    assert begun.receive(text(b"x" * 200, fin=False)).fault is None
    codecs.change(100, 10)
    assert begun.receive(client_frame(0, b"x" * 200)).items == [b"x" * 400], "it began before"
    codecs.give_back(begun)
    for _ in range(2):
        codec = codecs.take()
        assert codec.receive(text(b"x" * 101)).fault is MESSAGE_TOO_BIG
