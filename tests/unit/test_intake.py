"""What a caller of /dispatch wants, in every form, byte for byte."""

import json
from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.delivery.batch import BATCH
from hookbox.delivery.forms import (
    Field,
    File,
    read_multipart,
    read_url_encoded,
    write_multipart,
    write_url_encoded,
)
from hookbox.delivery.intake import read_dispatch
from hookbox.delivery.request import Request
from hookbox.errors import BadRequest

URL = "http://example.com/cb"
ENCODED = "http%3A%2F%2Fexample.com%2Fcb"


def form(body, query="", headers=(), content_type="application/x-www-form-urlencoded"):
    return read_dispatch(Request(body.encode("latin-1"), content_type, query, tuple(headers)))


def raw(body=b"{}", query="", content_type="application/json", **headers):
    given = tuple((name.replace("_", "-").lower(), value) for name, value in headers.items())
    return read_dispatch(Request(body, content_type, query, given))


def batch(**members):
    return read_dispatch(Request(json.dumps(members).encode(), BATCH))


def refused(status, *args, says="", **more):
    with pytest.raises(BadRequest, match=says) as error:
        (more.pop("reader", form))(*args, **more)
    assert error.value.status == status


def test_D01_the_fields_go_on_without_the_control_values():
    asked = form(f"_url={ENCODED}&event=signup&tag=a&tag=b&empty=&note=caf%C3%A9+%26+tea")
    assert [target.url for target in asked.targets] == [URL]
    assert asked.content.content_type == "application/x-www-form-urlencoded"
    assert asked.content.body == b"event=signup&tag=a&tag=b&empty=&note=caf%C3%A9+%26+tea"


def test_D02_repeats_blanks_order_and_odd_bytes_arrive_as_they_were():
    body = "b=2&a=&b=1&%FF=%fe+x&plus=%2B&c=%C3%A9&tilde=~&slash=/"
    asked = form(f"_url={ENCODED}&{body}")
    assert asked.content.body == b"b=2&a=&b=1&%FF=%FE+x&plus=%2B&c=%C3%A9&tilde=~&slash=%2F"
    assert json.loads(asked.content.payload) == {
        "b": ["2", "1"], "a": "", "\ufffd": "\ufffd x", "plus": "+", "c": "é", "tilde": "~", "slash": "/",
    }  # fmt: skip


def test_D03_a_file_arrives_with_name_type_and_bytes():
    content = bytes(range(256)) + b"\r\n--x\r\n"
    parts = [
        Field("_url", URL),
        Field("note", "caf\u00e9", "text/plain"),
        Field("pic", File('a "b".png', "image/png", content)),
        Field("note", "2"),
    ]
    content_type, body = write_multipart(parts)
    asked = read_dispatch(Request(body, content_type))
    assert asked.targets[0].url == URL
    boundary = asked.content.content_type.partition("boundary=")[2]
    assert boundary not in content_type
    (note, pic, second) = read_multipart(asked.content.body, boundary)
    assert (note.value, note.content_type, second.value) == ("caf\u00e9", "text/plain", "2")
    assert (pic.value.content_type, pic.value.content) == ("image/png", content)
    shown = json.loads(asked.content.payload)
    assert shown["pic"]["$file"]["size"] == len(content)
    assert shown["note"] == ["caf\u00e9", "2"]


@pytest.mark.parametrize("body", ["", "a=1", "_tag=x", "url=http://x/"])
def test_D04_without_a_destination_nothing_is_dispatched(body):
    refused(400, body, says="^400 No destination URL$")
    refused(400, reader=raw, says="^400 No destination URL$")


def test_D05_unknown_names_pass_and_an_underscore_more_escapes_a_known_one():
    asked = form(f"_url={ENCODED}&_foo=1&__url=2&__foo=3&___url=4&_delay=5&_delay=6")
    assert asked.content.body == b"_foo=1&_url=2&__foo=3&___url=4"
    assert asked.delay == 5


def test_D06_several_urls_are_several_destinations_each_once():
    asked = form("_url=http://a/&_url=http://b/&_url=http://a/&x=1")
    assert [target.url for target in asked.targets] == ["http://a/", "http://b/"]
    refused(400, "&".join(f"_url=http://a/{n}" for n in range(101)), says="100 destinations")


def test_D08_what_the_body_says_replaces_what_the_query_says():
    asked = form("a=body&_tag=inner", query="a=query&a=again&b=kept&_tag=outer&_topic=news")
    assert (asked.topic, asked.content.body) == ("news", b"b=kept&a=body")
    assert form("_tag=inner&_url=http://a/", query="_tag=outer").targets[0].tag == "inner"


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("padding", [True, False])
def test_D09_the_path_may_hold_the_url_in_base64(encode, padding):
    url = "http://example.com/??>>~~/cb?x=1"
    text = encode(url.encode()).decode()
    path = text if padding else text.rstrip("=")
    asked = read_dispatch(Request(b'{"a": 1}', "application/json", "_tag=t&x=ignored", path_url=path))
    assert asked.targets[0].url == url
    assert asked.targets[0].tag == "t"
    assert asked.content.body == b'{"a": 1}'
    with pytest.raises(BadRequest, match="base64"):
        read_dispatch(Request(b"", "", path_url="*" + path))


def test_D10_any_body_goes_on_as_it_is_with_its_destination_in_headers():
    asked = raw(
        b'  {"a": 1.50}\n', hookbox_url=URL, hookbox_tag="t", hookbox_type="a.b", hookbox_header="X-A: 1"
    )
    assert asked.content.body == b'{"a": 1.50}'
    assert asked.targets[0].headers == (("X-A", "1"),)
    assert (asked.type, asked.targets[0].tag) == ("a.b", "t")
    binary = raw(b"\x00\xff", f"_url={ENCODED}", "application/octet-stream")
    assert binary.content.body == b"\x00\xff"
    assert json.loads(binary.content.payload) == {
        "$base64": "AP8=",
        "content_type": "application/octet-stream",
    }
    assert json.loads(raw(b"x" * 65_537, "_topic=t", "image/png").content.payload) == {"$omitted": 65_537}
    assert (
        json.loads(raw("é".encode("latin-1"), "_topic=t", "text/plain; charset=latin-1").content.payload)
        == "é"
    )
    refused(400, b"{", "_topic=t", reader=raw, says="not JSON")


def test_D11_a_batch_has_destinations_of_their_own_kind():
    asked = batch(
        json={"é": [1.5, None]},
        type="t",
        id="key",
        retry=[1, 2],
        to=[
            {
                "url": "http://a/",
                "secret": "a" * 16,
                "headers": {"X-A": "1"},
                "tag": "t",
                "retry": "none",
                "timeout": 5,
            },
            {"endpoint": "ep_1"},
        ],
    )
    assert asked.content.body == '{"é":[1.5,null]}'.encode()
    assert asked.content.content_type == "application/json"
    first, second = asked.targets
    assert (first.url, first.secrets, first.headers, first.retry, first.timeout) == (
        "http://a/", ("a" * 16,), (("X-A", "1"),), (), 5,
    )  # fmt: skip
    assert (second.endpoint, second.retry) == ("ep_1", (1, 2))
    assert asked.key == "key"
    assert batch(topic="t", retry=[5]).usual.retry == (5,)
    assert batch(topic="t", retry=2).usual.retry == (5, 300)
    assert batch(body_base64="AP8=", content_type="image/x", topic="news").content.body == b"\x00\xff"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "No destination"),
        ({"to": []}, "No destination"),
        ({"to": "x"}, "list"),
        ({"to": [{}]}, r"to\[0\].*url or endpoint"),
        ({"to": [{"url": "http://a/"}, {"url": 5}]}, "url has to be a string"),
        ({"to": [{"url": "http://a/", "color": "red"}]}, r"to\[0\]: unknown member 'color'"),
        ({"to": [{"url": "http://a/", "headers": ["x"]}]}, "headers"),
        ({"to": [{"url": "http://a/", "timeout": 61}]}, r"to\[0\].timeout"),
        ({"to": [{"url": "http://a/", "retry": "soon"}]}, r"to\[0\].retry"),
        ({"topic": "t", "colour": 1}, "unknown member 'colour'"),
        ({"topic": "t", "body": "x", "json": 1}, "not several"),
        ({"topic": "t", "body_base64": "*"}, "base64"),
        ({"topic": "t", "delay": True}, "delay"),
        ({"topic": "t", "delay": -1}, "delay"),
        ({"topic": ["t"]}, "topic"),
        ({"topic": "t", "retry": [51, "x"]}, "retry"),
        ({"topic": "t", "body": "", "content_type": "a/b\r\nX: y"}, "content_type"),
        ({"topic": "t", "body": "", "content_type": "a" * 8193}, "content_type"),
        ({"topic": "t", "body": "", "content_type": "text/plain; x=\u20ac"}, "content_type"),
    ],
)
def test_a_batch_that_is_wrong_is_told_where(members, says):
    with pytest.raises(BadRequest, match=says):
        batch(**members)


def test_D12_an_empty_message_is_one():
    asked = form(f"_url={ENCODED}")
    assert (asked.content.body, asked.content.payload) == (b"", "{}")


def test_a_payload_in_one_field_is_json_as_it_stands():
    asked = form('_topic=news&_payload=+{"a": 1.0}%0A')
    assert asked.content.body == b'{"a": 1.0}'
    assert asked.content.content_type == "application/json"
    refused(400, "_topic=news&_payload=1&a=2", says="also 'a'")
    refused(400, "_topic=news&_payload={", says="_payload is not JSON")


def test_D14_the_idempotency_key_has_a_field_and_a_header():
    key = ("idempotency-key", "k")
    assert form("_topic=t&_id=k").key == form("_topic=t", headers=[key]).key == "k"
    assert form("_topic=t&_id=k", headers=[key]).key == "k"
    refused(400, "_topic=t&_id=other", headers=[key], says="different")
    refused(400, "_topic=t&_id=", says="idempotency key")
    refused(400, "_topic=t&_id=" + "k" * 256, says="idempotency key")
    assert raw(query="_topic=t", idempotency_key="k").key == "k"


def test_D14_the_same_request_has_the_same_fingerprint_whatever_its_token_and_wherever_the_key_stands():
    def fingerprint(body, **more):
        return form(f"_topic=t&{body}", **{"headers": [("idempotency-key", "k")], **more}).fingerprint

    one = fingerprint("a=1&_tag=x&_token=a")
    assert fingerprint("a=1&_tag=x&_token=a") == one
    assert fingerprint("_token=b&a=1&_tag=x") == one
    assert fingerprint("a=1", query="_token=b&_tag=x") == one
    assert fingerprint("a=1&_tag=x&_id=k", headers=()) == one
    assert fingerprint("a=1&_tag=y&_token=a") != one
    assert fingerprint("a=2&_tag=x&_token=a") != one


def test_D14_a_multipart_form_is_the_same_whatever_its_boundary():
    def fingerprint(value, file=b"content"):
        parts = [Field("_topic", "t"), Field("_id", "k"), Field("a", value), Field("f", File("n", "a/b", file))]
        content_type, body = write_multipart(parts)
        return read_dispatch(Request(body, content_type)).fingerprint

    assert fingerprint("1") == fingerprint("1")
    assert len({fingerprint("1"), fingerprint("2"), fingerprint("1", b"other")}) == 3


@pytest.mark.parametrize(
    "header",
    [
        "Host: x", "Content-Length: 5", "transfer-encoding: chunked", "Webhook-Id: x", "hookbox-hops: 0",
        "X-Hub-Signature: x", "Proxy-Authorization: x", "Cookie: a=b", "User-Agent: x", "Link: x", "No colon",
        ": x", "X Y: z", "X: \u00e9", "X: a\r\nB: c", "X: " + "a" * 4097,
    ],
)  # fmt: skip
def test_D15_headers_that_are_ours_or_malformed_are_refused(header):
    body = write_url_encoded([Field("_topic", "t"), Field("_header", header)]).decode()
    refused(400, body, says="header")


def test_D15_other_headers_go_along():
    asked = form("_url=http://a/&_header=Authorization:+Bearer+x&_header=X-B:2")
    assert asked.targets[0].headers == (("Authorization", "Bearer x"), ("X-B", "2"))
    refused(400, "_topic=t&" + "&".join(f"_header=X-{n}:1" for n in range(33)), says="32 headers")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("_delay=x", "_delay"), ("_delay=-1", "_delay"), ("_delay=nan", "_delay"), ("_delay=1_0", "_delay"),
        ("_delay=2592001", "_delay"), ("_ttl=inf", "_ttl"), ("_timeout=0", "_timeout"), ("_timeout=61", "_timeout"),
        ("_retry=soon", "_retry"), ("_retry=51", "_retry"), ("_secret=short", "_secret"), ("_type=a/b", "type"),
        ("_tag=" + "x" * 129, "_tag"), ("_url=http://a/%0D", "_url"), ("_url=%FF", "_url"),
        ("_errback=" + "x" * 8193, "8192 bytes"), ("a" * 1025 + "=1", "field name"),
    ],
)  # fmt: skip
def test_a_control_value_that_is_wrong_is_named(field, says):
    refused(400, f"_topic=t&{field}", says=says)


def test_hops_are_counted_from_the_header():
    assert [raw(query="_topic=t", hookbox_hops=hops).hops > 5 for hops in ("6", "000006", "9" * 5000)] == [True] * 3
    assert form("_topic=t", headers=[("hookbox-hops", "3")]).hops == 3
    assert form("_topic=t", headers=[("hookbox-hops", "many")]).hops == 0


def test_too_many_fields_are_too_many():
    assert form("&".join(["_topic=t", *(f"a{n}=" for n in range(999))]))
    refused(400, "&".join(["_topic=t", *(f"a{n}=" for n in range(1000))]), says="1000 fields")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"x", 415),
        ("multipart/form-data; boundary=", b"x", 415),
        ("multipart/form-data; boundary=x", b"nonsense", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--", 400),
    ],
)
def test_a_multipart_body_that_cannot_be_read_is_refused(content_type, body, status):
    with pytest.raises(BadRequest) as error:
        read_dispatch(Request(body, content_type))
    assert error.value.status == status


FIELDS = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=6)


@given(st.binary(max_size=200))
def test_any_form_written_anew_is_read_as_the_same(data):
    fields = read_url_encoded(data)
    assert read_url_encoded(write_url_encoded(fields)) == fields


@given(
    st.lists(st.tuples(st.text('abc é"\\;=\r\n', min_size=1, max_size=8), st.binary(max_size=40)), max_size=5)
)
def test_any_multipart_form_written_anew_keeps_its_bytes(parts):
    fields = [Field(name, File("f", "a/b", content)) for name, content in parts]
    _, body = write_multipart(fields, "boundary-of-the-test")
    if fields:
        read = read_multipart(body, "boundary-of-the-test")
        assert [item.value.content for item in read] == [content for _, content in parts]


@given(
    st.binary(max_size=300),
    st.sampled_from(
        ["", "application/json", "text/plain", "multipart/form-data; boundary=x", BATCH, "\x00", "a/b;c"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=60),
)
def test_any_request_is_a_dispatch_or_a_bad_request(body, content_type, query):
    try:
        read_dispatch(Request(body, content_type, query))
    except BadRequest as error:
        assert error.status in (400, 415)
