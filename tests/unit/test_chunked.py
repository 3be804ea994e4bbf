"""The pure decoder of chunked bodies: H6, and that cuts do not matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import BadRequest
from hookbox.web.chunked import ChunkedBody

LIMIT = 1000


def decode(*pieces, limit=LIMIT):
    body = ChunkedBody(limit)
    for piece in pieces:
        assert not body.done
        body.feed(piece)
    return body


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"3;x\r\nabc\r\n0;y=z\r\n\r\n", b"abc"),
        (b'3 ; a="b c"\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"3\r\nabc\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n", b"abc"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
    ],
)
def test_good_bodies(data, body):
    whole = decode(data + b"next")
    assert (whole.done, whole.body, whole.leftover) == (True, body, b"next")
    in_bytes = decode(*(data[n : n + 1] for n in range(len(data))))
    assert (in_bytes.done, in_bytes.body, in_bytes.leftover) == (True, body, b"")


BAD = {
    "17 digits": b"00000000000000001\r\nx\r\n0\r\n\r\n",
    "17 digits, no end": b"00000000000000001",
    "sign": b"+3\r\nabc\r\n",
    "minus": b"-1\r\n",
    "prefix": b"0x3\r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "blank first": b" 3\r\nabc\r\n",
    "empty": b"\r\n",
    "not hexadecimal": b"g\r\n",
    "bare line feed": b"3\nabc\r\n",
    "bare line feed in extension": b"3;a\nb\r\nabc\r\n",
    "control in extension": b"3;a\0\r\nabc\r\n",
    "longer than said": b"3\r\nabcd\r\n",
    "shorter than said": b"3\r\nab\r\n0\r\n\r\n",
    "bare line feed behind": b"3\r\nabc\n0\r\n\r\n",
    "trailer without colon": b"0\r\nTrailer\r\n\r\n",
    "trailer folded": b"0\r\nA: b\r\n c\r\n\r\n",
    "many trailers": b"0\r\n" + b"A: b\r\n" * 100 + b"\r\n",
    "long extension": b"3;" + b"x" * 2000,
    "long trailer": b"0\r\nA: " + b"x" * 2000,
}


@pytest.mark.parametrize("name", BAD)
def test_H6_malformed_bodies(name):
    for pieces in ([BAD[name]], [BAD[name][n : n + 1] for n in range(len(BAD[name]))]):
        with pytest.raises(BadRequest) as caught:
            decode(*pieces)
        assert caught.value.status == 400


def test_H8_the_limit_counts_before_the_bytes_have_come():
    assert decode(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n").done
    for data in (b"3e9\r\n", b"ffffffffffffffff\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n"):
        with pytest.raises(BadRequest) as caught:
            decode(data)
        assert caught.value.status == 413


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.lists(st.integers(0, 400), max_size=6))
def test_cuts_do_not_matter(chunks, cuts):
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    places = sorted({cut for cut in cuts if 0 < cut < len(data)})
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    got = decode(*pieces)
    assert got.done
    assert got.body == b"".join(chunks)


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_bytes_are_a_body_or_a_refusal_and_never_over_the_limit(pieces):
    body = ChunkedBody(20)
    try:
        for piece in pieces:
            if not body.done:
                body.feed(piece)
    except BadRequest as refused:
        assert refused.status in (400, 413)
    assert len(body.body) <= 20
