"""The pure reader of request heads: rows H1 to H10, and that any bytes are a head or a refusal."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookbox.errors import BadRequest
from hookbox.web.request_head import HeadLimits, check_beginning, read_head, split_list

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"
KNOWN = {400, 414, 417, 431, 501, 505}


def head(*lines, first="GET / HTTP/1.1", host="Host: h"):
    return "\r\n".join([first, *([host] if host else []), *lines, "", ""]).encode("latin-1")


def refusal(data, limits=None):
    with pytest.raises(BadRequest) as caught:
        read_head(data, limits) if limits else read_head(data)
    return caught.value.status


def test_a_request_is_read_into_the_shapes_of_WSGI():
    request = read_head(
        head(
            "Content-Type: text/plain", "content-length: 5", "X-A:  v\t", first="POST /a%20b/c?x=%20 HTTP/1.1"
        )
    )
    assert request.method == "POST"
    assert (request.raw_path, request.path, request.query) == ("/a%20b/c", "/a b/c", "x=%20")
    assert request.headers == {
        "HTTP_HOST": "h",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "HTTP_X_A": "v",
    }
    assert (request.length, request.chunked, request.keep_alive) == (5, False, True)
    assert request.version == "HTTP/1.1"
    assert not request.expects_continue


def test_a_path_in_utf8_comes_as_its_bytes_in_latin_1():
    assert read_head(head(first="GET /%C3%BC HTTP/1.1")).path == "/ü".encode().decode("latin-1")


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Upgrade, Close", False),
        ("1.1", "closet", True),
        ("1.0", None, False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "close", False),
    ],
)
def test_whether_the_connection_goes_on(version, connection, kept):
    lines = [f"Connection: {connection}"] if connection else []
    assert read_head(head(*lines, first=f"GET / HTTP/{version}")).keep_alive is kept


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET /", 400),
        ("GET / HTTP/0.9", 400),
        ("GET / HTTP/1.9", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/x", 505),
        ("GET / HTTP/1.10", 505),
        ("GET / HTTP/01.1", 505),
        ("GET / http/1.1", 400),
        ("GET / FTP/1.1", 400),
        ("PRI * HTTP/2.0", 505),
    ],
)
def test_H3_versions(first, status):
    assert refusal(head(first=first)) == status


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(host=""), 400),
        (head(host="Host:"), 400),
        (head("Host: h"), 400),
        (head(host="Host: a, b"), 400),
        (head(host="Host: a b"), 400),
        (head(host="Host: user@h"), 400),
        (head(host="Host: h:port"), 400),
        (head(host="Host: h/path"), 400),
        (head(first="GET http://other/ HTTP/1.1"), 400),
        (head(first="GET http://user@h/ HTTP/1.1"), 400),
        (head(first="GET ftp://h/ HTTP/1.1"), 400),
        (head(host="", first="GET http://user@h/ HTTP/1.0"), 400),
        (head(host="", first="GET http://h:port/ HTTP/1.0"), 400),
        (head(host="", first="GET http://h\xab/ HTTP/1.0"), 400),
    ],
)
def test_H4_hosts(data, status):
    assert refusal(data) == status


@pytest.mark.parametrize("host", ["h", "h:1", "127.0.0.1:8001", "[::1]", "[::1]:80", "a_b.example.", "H:"])
def test_H4_good_hosts(host):
    assert read_head(head(host=f"Host: {host}")).host == host


def test_H4_an_absolute_target_of_the_same_host_is_its_path():
    request = read_head(head(first="GET HTTP://H/a?b HTTP/1.1"))
    assert (request.path, request.query) == ("/a", "b")
    assert read_head(head(first="GET http://h HTTP/1.1")).path == "/"
    assert read_head(head(first="GET http://h?q HTTP/1.1")).query == "q"
    assert read_head(head(host="", first="GET http://h/ HTTP/1.0")).host == "h"


@pytest.mark.parametrize(
    "value", ["1_0", "+5", "-1", "5x", "", "9" * 20, "0x5", "5, 5", "5 5", "\xb2", "1e3"]
)
def test_H5_content_lengths(value):
    assert refusal(head(f"Content-Length: {value}")) == 400


@pytest.mark.parametrize("second", ["5", "6"])
def test_H5_two_content_lengths_are_refused_even_if_equal(second):
    assert refusal(head("Content-Length: 5", f"content-length: {second}")) == 400


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Transfer-Encoding: chunked, chunked"], 501),
        (["Transfer-Encoding: xchunked"], 501),
        (["Transfer-Encoding: identity"], 501),
        (["Transfer-Encoding:"], 501),
        (["Transfer-Encoding: \x0bchunked"], 400),
    ],
)
def test_H6_transfer_codings(lines, status):
    assert refusal(head(*lines)) == status


def test_H6_chunked_is_only_for_HTTP_1_1():
    assert read_head(head("Transfer-Encoding: Chunked")).chunked
    assert refusal(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0")) == 400


def test_H6_a_header_with_an_underscore_cannot_pass_for_another():
    request = read_head(head("Content_Length: 5", "Transfer_Encoding: chunked", "X_Forwarded_For: 1.2.3.4"))
    assert request.length is None
    assert not request.chunked
    assert request.headers == {"HTTP_HOST": "h"}


@pytest.mark.parametrize(
    "line",
    [
        "Name : v",
        "Name",
        "Host",
        " folded",
        "\tfolded",
        ": v",
        "N\xe4me: v",
        "a b: v",
        "N: a\0b",
        "N: a\x1bb",
        "N: \x7f",
    ]
    + ["N: a\rb", "N: a\nb", "N: a\n", "N: a\r", "\r", "\n"],
)
def test_H7_header_lines(line):
    assert refusal(head(line)) == 400


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\nHost: h\n\n", b"GET / HTTP/1.1\r\nHost: h\n\r\n"])
def test_H7_bare_line_feeds(data):
    assert refusal(data) == 400


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "BREW", "get", "PROPFIND"])
def test_H9_methods_that_nobody_answers(method):
    assert refusal(head(first=f"{method} / HTTP/1.1")) == 501


@pytest.mark.parametrize(
    "first", [" / HTTP/1.1", "G@T / HTTP/1.1", "GET  / HTTP/1.1", "GET\t/\tHTTP/1.1", " GET / HTTP/1.1"]
)
def test_malformed_request_lines(first):
    assert refusal(head(first=first)) == 400


@pytest.mark.parametrize(
    "target",
    [
        "/%00",
        "/%0d%0a",
        "/%1b",
        "/%7F",
        "/..",
        "/../x",
        "/a/..",
        "/%2e%2e/x",
        "/a/%2E./b",
        "/%ff",
        "/%c3",
        "/%ed%a0%80",
    ]
    + ["/%", "/%4", "/%zz", "/a#b", "/\xff", "/\xc3\xbc", "*", "", "x", "h:80", "//../", "/a\tb"],
)
def test_H10_targets(target):
    assert refusal(head(first=f"GET {target} HTTP/1.1")) == 400


@pytest.mark.parametrize("target", ["/a..b", "/...", "/%25", "/%2F", "/?a=../b", "/?%zz", "/a;b=c", "//x"])
def test_H10_targets_that_look_odd_but_are_not(target):
    assert read_head(head(first=f"GET {target} HTTP/1.1")).raw_path == target.partition("?")[0]


def test_OPTIONS_may_ask_about_the_server():
    assert read_head(head(first="OPTIONS * HTTP/1.1")).path == "*"


SMALL = HeadLimits(request_line=50, header_line=60, headers_total=150, header_count=4)


@pytest.mark.parametrize(
    ("id", "lines", "status"),
    [
        ("H1", {"first": "GET /" + "x" * 37 + " HTTP/1.1"}, 414),
        ("H2-line", {"more": ["A: " + "x" * 58]}, 431),
        ("H2-count", {"more": ["A: 1"] * 4}, 431),
        ("H2-total", {"more": ["A: " + "x" * 57] * 3}, 431),
    ],
)
def test_H1_H2_one_over_each_limit(id, lines, status):
    first = lines.get("first", "GET / HTTP/1.1")
    assert refusal(head(*lines.get("more", []), first=first), SMALL) == status


def test_H1_H2_at_each_limit():
    line = "GET /" + "x" * 36 + " HTTP/1.1"
    assert len(line) == 50
    read_head(head(first=line), SMALL)
    read_head(head("A: " + "x" * 57), SMALL)
    read_head(head("A: 1", "A: 1", "A: 1"), SMALL)
    full = head("A: " + "x" * 57, "B: " + "x" * 57, "C: " + "x" * 12)
    assert len(full) == len("GET / HTTP/1.1\r\n") + 150 + 2
    read_head(full, SMALL)


def test_repeated_headers_are_joined_cookies_by_a_semicolon():
    headers = read_head(head("A: 1", "a: 2", "Cookie: a=b", "Cookie: c=d")).headers
    assert headers["HTTP_A"] == "1,2"
    assert headers["HTTP_COOKIE"] == "a=b; c=d"
    for name in ("Authorization", "Content-Type"):
        assert refusal(head(f"{name}: a", f"{name}: a")) == 400


def test_only_one_expectation_is_met():
    assert read_head(head("Expect: 100-Continue")).expects_continue
    assert refusal(head("Expect: 200-ok")) == 417


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"GET / HTTP/1.1\r\n\r\nHost: h\r\n\r\n"]
)
def test_what_is_not_a_whole_head(data):
    assert refusal(data) == 400


def test_lists_are_split_in_lower_case():
    assert split_list(" A ,,b,\tC") == ["a", "b", "c"]


# any bytes


LINES = st.lists(
    st.one_of(st.binary(max_size=40), st.sampled_from([b"Host: h", b"Content-Length: 1", b"A: b"])),
    max_size=6,
)


@given(
    st.one_of(
        st.binary(max_size=200),
        LINES.map(lambda lines: b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"),
    )
)
@example(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
def test_any_bytes_are_a_head_or_a_refusal(data):
    try:
        request = read_head(data)
    except BadRequest as refused:
        assert refused.status in KNOWN
        assert refused.reason.isascii()
    else:
        assert not any(ord(c) < 32 or c == "\x7f" for c in request.path + request.query + request.host)
        assert not any(c in value for value in request.headers.values() for c in "\r\n\0")


NAMES = st.text(TOKEN.replace("_", ""), min_size=1, max_size=20)
VALUES = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=40
)


@given(st.dictionaries(NAMES.map(lambda name: "x-" + name.lower()), VALUES))
def test_good_headers_come_back_as_they_were(headers):
    got = read_head(head(*(f"{name}: {value}" for name, value in headers.items()))).headers
    assert got == {"HTTP_HOST": "h"} | {
        "HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()
    }


@given(st.binary(max_size=120), st.lists(st.integers(0, 120), max_size=5))
@example(b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", [23])
@example(b"\x16\x03\x01\r\n\r\n", [1])
def test_what_is_refused_early_would_have_been_refused_whole(data, cuts):
    if b"\r\n\r\n" not in data:
        data += b"\r\n\r\n"
    data = data[: data.index(b"\r\n\r\n") + 4]
    seen, refused = 0, False
    for cut in sorted({min(cut, len(data) - 4) for cut in cuts}):
        try:
            check_beginning(data[:cut], seen) if cut else None
        except BadRequest:
            refused = True
            break
        seen = cut
    if refused:
        with pytest.raises(BadRequest):
            read_head(data)


@given(st.integers(1, 60))
def test_a_good_head_passes_wherever_it_is_cut(cut):
    good = head("Content-Length: 10", "X-A: b", first="POST /a/b?c=d HTTP/1.1")
    check_beginning(good[:cut], 0)
    check_beginning(good[: cut + 5], cut)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0", 400),
        (bytes.fromhex("16030100a5010000"), 400),
        (b"SSH-2.0-x\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"x" * 51, 414),
        (b"GET / HTTP/2.0\r\nA", 505),
        (b"BREW / HTTP/1.1\r\n", 501),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 70, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 26, 431),
        (b" ", 400),
        (b"G@", 400),
    ],
)
def test_H11_the_beginning_is_enough_to_refuse(data, status):
    with pytest.raises(BadRequest) as caught:
        check_beginning(data, 0, SMALL)
    assert caught.value.status == status


def test_unknown_header_names_fill_no_memory():
    from hookbox.web import request_head

    for number in range(2000):
        with suppress(BadRequest):
            read_head(head(f"X-Made-Up-{number}: v"))
    assert len(request_head._KEYS) <= request_head._MOST_KEYS
