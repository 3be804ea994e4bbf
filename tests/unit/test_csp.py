"""Comet packets: what clients may send, how what we send is numbered, kept and dressed."""

import base64
import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import ProtocolError
from hookbox.protocol.csp import (
    PACKET_BYTES,
    Incoming,
    Outgoing,
    Packet,
    encode_packets,
    null_packet,
    read_batch,
)
from hookbox.protocol.csp_variables import Variables, read_acknowledged, read_query

VARIABLES = ("rp", "rs", "bp", "bs", "p", "ps", "du", "is", "i", "se", "ct")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def shown(outgoing, after=0):
    return [json.loads(packet.text) for packet in outgoing.show(after)]


def stream_of(packets) -> bytes:
    """What a client makes of packets."""
    return b"".join(base64.urlsafe_b64decode(json.loads(packet.text)[2]) for packet in packets)


# client to server


@given(st.binary())
def test_any_body_is_packets_or_a_protocol_error(body):
    with suppress(ProtocolError):
        assert all(isinstance(packet, Packet) for packet in read_batch(body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_packets_or_a_protocol_error(value):
    with suppress(ProtocolError):
        read_batch(json.dumps(value).encode())


@given(st.binary(max_size=200), st.sampled_from(["-_", "+/"]), st.integers(0, 4))
def test_base64_is_read_in_either_alphabet_with_any_padding(data, alphabet, padding):
    text = base64.b64encode(data, altchars=alphabet.encode()).decode().rstrip("=") + "=" * padding
    assert read_batch(json.dumps([[1, 1, text]]).encode()) == [Packet(1, data)]


@given(st.text())
def test_encoding_0_is_the_utf_8_of_the_text(text):
    assert read_batch(json.dumps([[7, 0, text]], ensure_ascii=False).encode()) == [Packet(7, text.encode())]


def test_the_null_packet_ends_the_stream_whatever_its_encoding():
    assert read_batch(b"[[4,0,null],[5,1,null],[6,9,null]]") == [
        Packet(4, None),
        Packet(5, None),
        Packet(6, None),
    ]


def test_an_empty_batch_is_a_bare_acknowledgement():
    assert read_batch(b"[]") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"[1]",
        b"[[1,1]]",
        b"[[1,1,2]]",
        b'[["1",1,""]]',
        b'[[1.0,1,""]]',
        b'[[true,1,""]]',
        b'[[1,2,""]]',
        b'[[1,1,"A"]]',
        b'[[1,1,"A=B"]]',
        b'[[1,1,"A b="]]',
        b'[[1,1,"\xc3\xa9\xc3\xa9"]]',
        b'[[1,0,"\\ud800"]]',
        b'[[1,0,"\xff"]]',
        b'[[1,1,"QQ"],[2]]',
        b"[" * 100_000,
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(body):
    with pytest.raises(ProtocolError):
        read_batch(body)


def test_the_same_packet_twice_counts_once():
    incoming = Incoming()
    assert incoming.take([Packet(1, b"a"), Packet(2, b"b")]) == b"ab"
    assert incoming.take([Packet(1, b"a"), Packet(2, b"b"), Packet(3, b"c")]) == b"c"


def test_several_packets_in_one_send_are_all_taken_and_gaps_are_let_pass():
    incoming = Incoming()
    assert incoming.take([Packet(1, b"a"), Packet(5, b"b"), Packet(9, b"c")]) == b"abc"


def test_nothing_after_a_null_packet_is_read():
    incoming = Incoming()
    assert incoming.take([Packet(1, b"a"), Packet(2, None), Packet(3, b"b")]) == b"a"
    assert incoming.ended
    assert incoming.take([Packet(4, b"c")]) == b""


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)), st.data())
def test_cuts_and_repeats_do_not_matter(stream, cuts, data):
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    incoming, taken, at = Incoming(), b"", 0
    while at < len(pieces):
        first = data.draw(st.integers(0, at), label="repeated from")
        until = data.draw(st.integers(at + 1, len(pieces)), label="sent up to")
        batch = [[n + 1, 1, b64(pieces[n])] for n in range(first, until)]
        taken += incoming.take(read_batch(json.dumps(batch).encode()))
        at = until
    assert taken == stream


# server to client


@pytest.mark.parametrize(
    "size", [1, PACKET_BYTES - 1, PACKET_BYTES, PACKET_BYTES + 1, 2 * PACKET_BYTES, 1_000_000]
)
def test_a_long_write_is_cut_into_small_packets_that_add_up(size):
    data = (b"0123456789" * (size // 10 + 1))[:size]
    packets = encode_packets(3, data, frames=5)
    assert stream_of(packets) == data
    assert all(packet.size <= PACKET_BYTES for packet in packets)
    assert [packet.id for packet in packets] == list(range(3, 3 + len(packets)))
    assert [packet.frames for packet in packets] == [0] * (len(packets) - 1) + [5]


def test_a_packet_is_padded_url_safe_base64():
    assert encode_packets(1, b"\xfb\xff\xfe\xfb", frames=1)[0].text == b'[1, 1, "-__--w=="]'


def test_what_is_not_acknowledged_is_shown_again_unchanged():
    outgoing = Outgoing()
    outgoing.append(encode_packets(1, b"one", 1))
    outgoing.append(encode_packets(2, b"two", 1))
    first = outgoing.show()
    assert outgoing.show() == first
    outgoing.acknowledge(1)
    assert outgoing.show() == first[1:]
    outgoing.acknowledge(0)
    assert outgoing.show() == first[1:]
    outgoing.acknowledge(2)
    assert outgoing.show() == []
    assert (outgoing.size, outgoing.frames, outgoing.next_id) == (0, 0, 3)


def test_an_acknowledgement_above_the_last_packet_shown_means_that_packet():
    outgoing = Outgoing()
    outgoing.append(encode_packets(1, b"one", 1))
    outgoing.acknowledge(999)
    assert shown(outgoing) == [[1, 1, b64(b"one")]]
    outgoing.append(encode_packets(2, b"two", 1))
    outgoing.acknowledge(999)
    assert shown(outgoing) == [[2, 1, b64(b"two")]]


def test_a_stream_goes_on_after_what_it_has_shown():
    outgoing = Outgoing()
    for number in range(1, 6):
        outgoing.append(encode_packets(number, b"%d" % number, 1))
    assert [packet.id for packet in outgoing.show(after=3)] == [4, 5]
    assert outgoing.show(after=5) == []


def test_dropping_uses_the_ids_of_packets_never_shown_again():
    outgoing = Outgoing()
    outgoing.append(encode_packets(1, b"one", 1))
    outgoing.show()
    outgoing.append(encode_packets(2, b"two", 1))
    outgoing.drop()
    outgoing.append([null_packet(outgoing.next_id)])
    assert shown(outgoing) == [[2, 0, None]]


# variables


def test_a_query_is_read_with_its_escapes_and_the_last_of_a_name_counts():
    query = read_query("s=ab&a=3&d=%5B%22h%C3%A9+%22%5D&a=4&x")
    assert query == {"s": b"ab", "a": b"4", "d": b'["h\xc3\xa9 "]', "x": b""}


@given(st.text(st.characters(max_codepoint=255)))
def test_any_query_is_read(text):
    Variables().updated(read_query(text))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"3", 3),
        (b"-1", -1),
        (b"", -1),
        (b"x", -1),
        (b"1_0", -1),
        (b" 3", -1),
        (b"\xb2", -1),
        (b"9" * 30, -1),
    ],
)
def test_a_bad_acknowledgement_acknowledges_nothing(value, expected):
    assert read_acknowledged(value) == expected


def test_the_documented_variables_dress_answers_as_they_always_did():
    variables = Variables().updated(read_query("bp=B&bs=E&rp=R&rs=S&ps=4&p=PRE&du=1"))
    assert variables.reply('"OK"') == b'R("OK")S'
    assert variables.preamble() + variables.batch([]) == b"    PREB([])E"
    assert variables.du == 1


def test_a_jsonp_handshake_is_dressed():
    variables = Variables().updated(read_query("d=%7B%7D&ct=application%2Fjavascript&n=0.75&rs=%3B&rp=cb1"))
    assert variables.reply('{"session": "k"}') == b'cb1({"session": "k"});'
    assert variables.ct == "application/javascript"


def test_event_stream_framing_ends_each_batch_with_the_last_id():
    variables = Variables().updated(read_query("bp=data%3A+&bs=%0D%0A&se=1&ct=text%2Fevent-stream"))
    assert variables.batch([]) == b"data: ([])\r\n\r\n"
    assert variables.batch([null_packet(7)]) == b"data: ([[7, 0, null]])\r\nid: 7\r\n\r\n"


@pytest.mark.parametrize(
    "query",
    [
        "rp=%3Cscript%3E",
        "bp=a(b",
        "p=" + "x" * 65,
        "rs=%3C",
        "bs=alert(1)//",
        "rp=a%0A",
        "du=x",
        "ps=1.5",
        "se=yes",
    ],
)
def test_a_value_that_does_not_parse_is_passed_over(query):
    before = Variables(rp="r", bp="b", p="p", rs=";", bs=";", du=7)
    assert before.updated(read_query(query)) == before


@pytest.mark.parametrize(("du", "kept"), [("-5", 0), ("0", 0), ("39", 39), ("41", 40), ("99999999", 40)])
def test_the_hold_is_clamped_to_0_to_40_seconds(du, kept):
    assert Variables().updated(read_query("du=" + du)).du == kept


@pytest.mark.parametrize("ct", ["text/html", "image/svg+xml", "text/plain;x", "text/html%0d%0aX: y", ""])
def test_an_unlisted_content_type_is_served_as_plain_text(ct):
    assert Variables(ct="text/javascript").updated(read_query("ct=" + ct)).ct == "text/plain"


def test_the_idle_limit_is_twice_the_hold_or_a_minute():
    assert Variables().idle_limit == 60.0
    assert Variables(du=10).idle_limit == 20.0
    assert Variables(du=0).idle_limit == 60.0


@given(st.dictionaries(st.sampled_from([*VARIABLES]), st.text(max_size=80)))
def test_whatever_a_query_sets_an_answer_has_no_markup_in_it(values):
    variables = Variables().updated({name: value.encode() for name, value in values.items()})
    answer = variables.preamble() + variables.batch([]) + variables.reply('"OK"')
    assert not set(answer) & set(b"<>&'=")
    assert "\r" not in variables.ct + variables.rp
