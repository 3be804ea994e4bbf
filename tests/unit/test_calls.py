from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from hookbox.errors import ConfigError
from hookbox.settings import Settings
from hookbox.webhooks.calls import Calls, encode_form
from hookbox.webhooks.gate import Question
from hookbox.webhooks.outgoing import Headers
from hookbox.webhooks.target import Target

texts = st.text(st.characters(codec="utf-8"))
DEFAULTS = Settings()


@given(st.dictionaries(texts.filter(bool), texts))
def test_a_form_is_read_back_by_the_standard_library(fields):
    encoded = encode_form(fields)
    assert encoded.isascii()
    assert dict(parse_qsl(encoded, keep_blank_values=True)) == fields


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://app/", Target("http", "app", 80)),
        ("https://app", Target("https", "app", 443)),
        ("http://user:pass@app:8000/x", Target("http", "app", 8000)),
        ("http://[::1]:8000/x", Target("http", "::1", 8000)),
    ],
)
def test_a_target_is_read_off_a_url(url, target):
    assert Target.of(url) == target


def test_an_ipv6_target_is_written_in_brackets():
    assert str(Target("http", "::1", 8000)) == "http://[::1]:8000"


def test_the_host_header_leaves_out_the_port_that_the_scheme_implies():
    assert [Target("https", "app", port).authority for port in (443, 80)] == ["app", "app:80"]


@pytest.mark.parametrize(
    "url", ["", "app:8000/x", "ftp://app/", "http://", "http://secret:99999/", "http://:80/"]
)
def test_what_does_not_make_a_url_names_the_setting_and_not_its_value(url):
    with pytest.raises(ConfigError, match="cb_single_url") as caught:
        Calls(Settings(cb_single_url=url or " "))
    assert "secret" not in str(caught.value)


def test_credentials_in_the_url_become_a_header_as_requests_does_it():
    calls = Calls(Settings(cb_single_url="http://user:pass@app/x"))
    request = calls.request(Question("connect", {}), "key")
    assert request.headers["Authorization"] == "Basic dXNlcjpwYXNz"


def test_one_question_leaves_nothing_behind_for_the_next():
    calls = Calls(DEFAULTS)
    calls.request(Question("connect", {"a": "b"}, "cookie=1", "192.0.2.1"), "first")
    request = calls.request(Question("connect", {}), "second")
    assert not {"Cookie", "X-Real-IP"} & set(request.headers)
    assert (request.body, request.headers["Idempotency-Key"]) == ("action=connect", "second")


names = st.sampled_from(["Cookie", "cookie", "X-Real-IP", "x-real-ip", "Accept"])


@given(st.lists(st.tuples(names, texts)), st.lists(st.tuples(names, texts)))
def test_lean_headers_behave_like_those_of_requests(before, after):
    lean, plain = Headers(before), CaseInsensitiveDict(before)
    lean_copy, plain_copy = lean.copy(), plain.copy()
    for name, value in after:
        lean_copy[name] = value
        plain_copy[name] = value
    assert list(lean_copy.items()) == list(plain_copy.items())
    assert lean_copy == plain_copy
    assert list(lean.items()) == list(plain.items())
