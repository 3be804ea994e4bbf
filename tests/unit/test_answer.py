import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import BadAnswer
from hookbox.webhooks.answer import MOST_HEAD, AnswerReader

BODY = b"[true, {}]"
LIMIT = 1000


def read(data, limit=LIMIT, closed=False):
    reader = AnswerReader(limit)
    reader.feed(data)
    if closed:
        reader.end()
    return reader


def outcome(pieces, limit=LIMIT):
    """What the reader makes of an answer that comes in these pieces before the connection closes."""
    reader = AnswerReader(limit)
    try:
        for piece in pieces:
            if not reader.done:
                reader.feed(piece)
        reader.end()
    except BadAnswer as error:
        return str(error)
    return reader.status, reader.reason, reader.headers, reader.body


def answer(*lines, body=BODY):
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body])


def chunked(pieces, extension=b"", trailer=b""):
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces if piece)
    return answer(b"Transfer-Encoding: chunked", body=body + b"0\r\n" + trailer + b"\r\n")


@pytest.mark.parametrize(
    "data",
    [
        answer(b"Content-Length: 10"),
        answer(b"content-length:10", b"Connection: keep-alive"),
        answer(b"Content-Length: \t10 "),
        chunked([BODY]),
        chunked([BODY[:1], BODY[1:]]),
        chunked([BODY], extension=b";a=b"),
        chunked([BODY], extension=b" "),
        chunked([BODY], trailer=b"Expires: never\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"Content-Length: 10"),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + answer(b"Content-Length: 10"),
        b"HTTP/1.1 200\r\nContent-Length: 10\r\n\r\n" + BODY,
        b"HTTP/1.1 200 \r\nContent-Length: 10\r\n\r\n" + BODY,
        answer(b"Content-Length: 10", b"Content-Encoding: identity"),
        answer(b"Content-Length: 10", "X-Name: größer".encode()),
        answer(b"Content-Length: 10", "X-Name: größer".encode("latin-1")),
    ],
)
def test_a_whole_answer_is_read_and_its_connection_may_be_used_again(data):
    reader = read(data)
    assert reader.done
    assert (reader.status, reader.body, reader.reusable) == (200, BODY, True)


@pytest.mark.parametrize(
    "data",
    [
        answer(b"Content-Length: 10", b"Connection: close"),
        answer(b"Content-Length: 10", b"Connection: Keep-Alive, Close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY,
        answer(b"Content-Length: 10") + b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[true, {}]",
        chunked([BODY]) + b"x",
    ],
)
def test_a_connection_that_ends_or_holds_more_is_not_used_again(data):
    reader = read(data)
    assert (reader.done, reader.body, reader.reusable) == (True, BODY, False)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_answer_without_a_length_ends_with_the_connection(version):
    reader = read(b"HTTP/%s 200 OK\r\n\r\n" % version + BODY)
    assert not reader.done
    reader.end()
    assert (reader.done, reader.body, reader.reusable) == (True, BODY, False)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_cannot_have_a_body_ends_with_its_head(status):
    assert read(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status).done


def test_all_set_cookie_headers_are_kept_apart_and_in_order():
    reader = read(answer(b"Set-Cookie: a=1; Path=/", b"X: y", b"set-cookie: b=2, c", b"Content-Length: 10"))
    assert reader.values("set-cookie") == ["a=1; Path=/", "b=2, c"]


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"[true, {}]",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 10\r\n\r\n" + BODY,
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        answer(b"Content-Length: 10\nX: y"),
        answer(b"Content-Length: 10", b" folded"),
        answer(b"Content-Length: 10", b"Name : value"),
        answer(b"Content-Length: 10", b": value"),
        answer(b"Content-Length: 10", b"no colon"),
        answer(b"Content-Length: 10", b"X: a\0b"),
        answer(b"Content-Length: 10", b"X: a\rb"),
        answer(b"Content-Length: 10", b"Content-Length: 10"),
        answer(b"Content-Length: 10, 10"),
        answer(b"Content-Length: +10"),
        answer(b"Content-Length: 1_0"),
        answer(b"Content-Length: -1"),
        answer(b"Content-Length:"),
        answer(b"Content-Length: 99999999999999999999"),
        answer(b"Content-Length: 10", b"Transfer-Encoding: chunked"),
        answer(b"Transfer-Encoding: gzip, chunked"),
        answer(b"Transfer-Encoding: xchunked"),
        answer(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        answer(b"Transfer-Encoding: chunked", body=b"x\r\n"),
        answer(b"Transfer-Encoding: chunked", body=b"-1\r\n"),
        answer(b"Transfer-Encoding: chunked", body=b"0x1\r\na\r\n0\r\n\r\n"),
        answer(b"Transfer-Encoding: chunked", body=b"1\nab\r\n0\r\n\r\n"),
        answer(b"Transfer-Encoding: chunked", body=b"1\r\nab\r\n0\r\n\r\n"),
        answer(b"Transfer-Encoding: chunked", body=b"1" * 300),
        answer(b"Transfer-Encoding: chunked", body=b"f" * 16 + b"\r\n"),
        answer(*[b"X: y"] * 101),
    ],
)
def test_F4_what_is_not_strictly_http_is_refused(data):
    with pytest.raises(BadAnswer):
        read(data)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"gzip, identity"])
def test_F7_compression_is_refused(coding):
    with pytest.raises(BadAnswer, match="compressed"):
        read(answer(b"Content-Encoding: " + coding, b"Content-Length: 10"))


@pytest.mark.parametrize(
    "data",
    [
        answer(b"Content-Length: 11", body=b""),
        answer(b"X: y", body=b"x" * 11),
        answer(b"Transfer-Encoding: chunked", body=b"b\r\n"),
        chunked([b"x"] * 11),
        answer(
            b"Transfer-Encoding: chunked",
            body=(b"1" + b" " * 200 + b"\r\nx\r\n") * 10 + b"0\r\n" + b"T: x\r\n" * 6000,
        ),
    ],
)
def test_F7_more_than_the_limit_is_refused_as_soon_as_it_is_clear(data):
    with pytest.raises(BadAnswer, match="than"):
        read(data, limit=10)


def test_a_body_of_just_the_limit_is_read():
    assert read(answer(b"Content-Length: 10"), limit=10).body == BODY
    assert read(chunked([BODY]), limit=10).body == BODY
    assert read(answer(b"X: y"), limit=10, closed=True).body == BODY


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * MOST_HEAD,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
        b"HTTP/1.1 100 Continue\r\nX: "
        + b"y" * (MOST_HEAD - 100)
        + b"\r\n\r\n"
        + answer(b"X: " + b"y" * 100),
    ],
)
def test_F7_a_head_without_end_is_refused(data):
    with pytest.raises(BadAnswer, match="head of more than"):
        read(data)


def test_a_connection_closed_too_early_is_told():
    whole = chunked([BODY])
    for end in range(len(whole)):
        assert "connection closed in the" in outcome([whole[:end]])


answers = st.one_of(
    st.builds(lambda body: answer(b"Content-Length: %d" % len(body), body=body), st.binary(max_size=50)),
    st.builds(
        lambda pieces, trailer: chunked(pieces, trailer=trailer),
        st.lists(st.binary(max_size=20)),
        st.sampled_from([b"", b"A: b\r\n"]),
    ),
    st.builds(lambda body: answer(b"X: y", body=body), st.binary(max_size=50)),
    st.builds(lambda body: b"HTTP/1.1 102 X\r\n\r\n" + answer(b"X: y", body=body), st.binary(max_size=50)),
)


@st.composite
def mutated(draw):
    data = bytearray(draw(answers))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(
            st.sampled_from([b"\r\n", b"\0", b":", b"0", b"\n", b";", b" ", b"f"])
        )
    return bytes(data)


@given(mutated(), st.lists(st.integers(0, 300)))
def test_cuts_do_not_matter(data, cuts):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:stop] for start, stop in itertools.pairwise(edges)]
    cut, whole = outcome(pieces), outcome([data])
    # A fault may be found before a cut that would also be one; that it is a fault does not change.
    assert cut == whole or (isinstance(cut, str) and isinstance(whole, str))


@given(st.binary() | st.binary().map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail))
def test_any_bytes_are_an_answer_or_refused(data):
    assert isinstance(outcome([data]), tuple | str)
