"""RTJP: lines of a byte stream, each `[id, name, args]`."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookbox.errors import ProtocolError
from hookbox.protocol.rtjp import (
    ClientFrame,
    EncodedFrame,
    LineBuffer,
    error_frame,
    frame,
    read_frame,
    text_header,
)


def read(line):
    try:
        return read_frame(line)
    except ProtocolError as error:
        return error.code, str(error), error.frame_id


# reading


@given(
    st.integers(-(2**63) + 1, 2**63 - 1), st.text(min_size=1), st.dictionaries(st.text(), st.integers(0, 9))
)
def test_a_frame_reads_as_it_was_sent(frame_id, name, args):
    for ascii_only in (True, False):
        line = json.dumps([frame_id, name, args], ensure_ascii=ascii_only).encode()
        assert read(line) == ClientFrame(frame_id, name, args)


@given(st.binary())
@example(b'[true, "PING", {}]')
@example(b'[1, "", {}]')
def test_any_line_is_a_frame_or_a_protocol_error(line):
    with suppress(ProtocolError):
        assert isinstance(read_frame(line), ClientFrame)


@given(st.lists(st.sampled_from(list('[]{}",:\\ud8e01-NaP\n\r\0 '))).map("".join))
def test_any_line_that_looks_like_json_is_a_frame_or_a_protocol_error(text):
    with suppress(ProtocolError):
        assert isinstance(read_frame(text.encode()), ClientFrame)


BAD_JSON = "bad_json", "Invalid json", None
NO_ID = "bad_frame", "Invalid frame id (must be int)", None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param(b"nonsense", BAD_JSON, id="M1-not-json"),
        pytest.param(b"", BAD_JSON, id="M1-empty-line"),
        pytest.param(b'\xef\xbb\xbf[1,"PING",{}]', BAD_JSON, id="M1-byte-order-mark"),
        pytest.param(b'[1,"PING",{}]x', BAD_JSON, id="M1-trailing-bytes"),
        pytest.param(b'[1,"PING",{"a":"\xe9"}]', BAD_JSON, id="M1-bad-utf8"),
        pytest.param(b"{}", ("bad_frame", "Invalid frame (not a list)", None), id="M1-object"),
        pytest.param(b"7", ("bad_frame", "Invalid frame (not a list)", None), id="M1-number"),
        pytest.param(b"null", ("bad_frame", "Invalid frame (not a list)", None), id="M1-null"),
        pytest.param(b"[]", ("bad_frame", "Invalid frame length", None), id="empty-list"),
        pytest.param(b"[4]", ("bad_frame", "Invalid frame length", 4), id="one-item"),
        pytest.param(b'["x",1]', ("bad_frame", "Invalid frame length", None), id="two-items"),
        pytest.param(b'[5,"A",{},0]', ("bad_frame", "Invalid frame length", 5), id="four-items"),
        pytest.param(b'["1","A",{}]', NO_ID, id="id-string"),
        pytest.param(b'[1.0,"A",{}]', NO_ID, id="id-float"),
        pytest.param(b'[true,"A",{}]', NO_ID, id="id-boolean"),
        pytest.param(b'[null,"A",{}]', NO_ID, id="M14-id-missing"),
        pytest.param(b'[{},"A",{}]', NO_ID, id="M14-id-object"),
        pytest.param(b'["' + b"1" * 300 + b'","A",{}]', NO_ID, id="M14-id-of-300-characters"),
        pytest.param(b'["x",5,[]]', NO_ID, id="checks-run-in-order"),
        pytest.param(
            b"[6,7,{}]", ("bad_frame", "Invalid frame name (must be string)", 6), id="M5-name-number"
        ),
        pytest.param(
            b"[6,[],{}]", ("bad_frame", "Invalid frame name (must be string)", 6), id="M5-name-list"
        ),
        pytest.param(
            b"[6,{},{}]", ("bad_frame", "Invalid frame name (must be string)", 6), id="M5-name-dict"
        ),
        pytest.param(b'[6,"",3]', ("bad_frame", "Invalid frame name (must be string)", 6), id="name-empty"),
        pytest.param(
            b'[8,"A",[]]',
            ("bad_frame", "Invalid frame keyword arguments (must be dictionary)", 8),
            id="args-list",
        ),
        pytest.param(
            b'[8,"A",null]',
            ("bad_frame", "Invalid frame keyword arguments (must be dictionary)", 8),
            id="args-null",
        ),
        pytest.param(b"[" + b"9" * 20 + b',"A",{}]', BAD_JSON, id="M2-id-over-2^63"),
        pytest.param(b'[1,"A",{"x":' + b"[" * 31 + b"]" * 31 + b"}]", BAD_JSON, id="M2-depth-33"),
        pytest.param(b'[1,"A",{"x":NaN}]', BAD_JSON, id="M2-nan"),
        pytest.param(b'[1,"A",{"x":"\\ud800"}]', BAD_JSON, id="M3-lone-surrogate"),
    ],
)
def test_a_fault_has_the_text_and_id_of_the_original(line, fault):
    assert read(line) == fault


def test_nesting_is_counted_from_the_frame_itself():
    assert read(b'[1,"A",{"x":' + b"[" * 30 + b"]" * 30 + b"}]").id == 1


def test_M4_of_a_repeated_key_the_last_value_wins():
    assert read(b'[1,"A",{"a":1,"a":2}]').args == {"a": 2}


# cutting


def feed_all(limit, pieces):
    """Every line, and whether the stream ended by a fault."""
    buffer, lines = LineBuffer(), []
    for piece in pieces:
        try:
            lines.extend(buffer.feed(piece, limit))
        except ProtocolError as error:
            return lines, error.code
    return lines, None


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


streams = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"x", b"abc", b"[1]", b"\r\r\n"])).map(b"".join)


@given(streams, st.lists(st.integers(0, 200)))
def test_cuts_do_not_matter(data, places):
    pieces = cut(data, places)
    assert feed_all(1000, pieces) == feed_all(1000, [data])
    *lines, _ = data.split(b"\r\n")
    assert feed_all(1000, pieces) == (lines, None)


def test_a_lone_newline_ends_nothing():
    assert list(LineBuffer().feed(b"a\nb\rc\r\n", 100)) == [b"a\nb\rc"]


def test_a_delimiter_may_arrive_in_two_parts():
    buffer = LineBuffer()
    assert list(buffer.feed(b"a\r", 100)) == []
    assert list(buffer.feed(b"\nb", 100)) == [b"a"]
    assert list(buffer.feed(b"\r\n", 100)) == [b"b"]


@given(st.lists(st.integers(0, 40)))
def test_a_line_may_have_just_the_limit_wherever_it_is_cut(places):
    fits, over = b"x" * 18 + b"\r\n", b"x" * 19 + b"\r\n"
    assert feed_all(20, cut(fits * 2, places)) == ([b"x" * 18] * 2, None)
    assert feed_all(20, cut(over, places)) == ([], "too_large")
    assert feed_all(20, cut(b"x" * 21, places)) == ([], "too_large")


@given(streams, st.lists(st.integers(0, 200)))
@example(b"abc\r\nabcabcabcabc\r\n", [])
def test_cuts_do_not_matter_to_the_lines_before_one_that_is_too_long(data, places):
    assert feed_all(8, cut(data, places)) == feed_all(8, [data[i : i + 1] for i in range(len(data))])


# writing


def test_a_frame_is_written_as_the_original_wrote_it():
    unauthorized = error_frame(1, "Unauthorized", "denied").line(1)
    assert unauthorized == b'[1, "ERROR", {"id": 1, "msg": "Unauthorized", "code": "denied"}]\r\n'
    assert frame("SET_COOKIE", {"cookie": "sid=é; 😀"}).line(12) == (
        b'[12, "SET_COOKIE", {"cookie": "sid=\\u00e9; \\ud83d\\ude00"}]\r\n'
    )


@pytest.mark.parametrize("size", [1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_websocket_message_carries_the_same_line(size):
    encoded = EncodedFrame("X", '"' + "a" * size + '"')
    line = encoded.line(7)
    assert encoded.message(7) == text_header(len(line)) + line
    assert encoded.size >= len(line)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_length_is_written_in_its_shortest_form(size, header):
    assert text_header(size) == header
