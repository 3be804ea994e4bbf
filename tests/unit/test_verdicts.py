import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import UnusableAnswer
from hookbox.webhooks.gate import Allow, Refuse
from hookbox.webhooks.verdicts import read_verdict

options = st.dictionaries(
    st.text(st.characters(codec="utf-8")), st.booleans() | st.integers(-9, 9) | st.none()
)


@given(st.integers(100, 599), st.binary())
def test_any_answer_is_a_verdict_or_unusable(status, body):
    with suppress(UnusableAnswer):
        assert isinstance(read_verdict(status, body), Allow | Refuse)


@given(options)
def test_a_yes_carries_its_options(given_options):
    assert read_verdict(200, json.dumps([True, given_options]).encode(), ["a=1", "b=2"]) == Allow(
        given_options, ("a=1", "b=2")
    )


@pytest.mark.parametrize(
    ("given_options", "reason"),
    [
        ({}, "Unauthorized"),
        ({"error": "no"}, "no"),
        ({"msg": "no"}, "no"),
        ({"error": "first", "msg": "second"}, "first"),
        ({"error": "", "msg": "second"}, "second"),
        ({"error": None}, "Unauthorized"),
        ({"error": 5}, "5"),
        ({"error": "nein, größer"}, "nein, größer"),
    ],
)
def test_a_no_says_why(given_options, reason):
    body = json.dumps([False, given_options]).encode()
    assert read_verdict(200, body, ["a=1"]) == Refuse(reason, given_options, ("a=1",))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"secret",
        b"[]",
        b"[true]",
        b"[1, {}]",
        b'["true", {}]',
        b"[null, {}]",
        b"[true, []]",
        b"[true, null]",
        b"[true, {}, {}]",
        b'{"ok": "true"}',
        b"[true, {",
        b'[true, {"a": NaN}]',
        b'[true, {"a": Infinity}]',
        b'[true, {"a": 1e999}]',
        b'[true, {"a": ' + b"[" * 1000 + b"]" * 1000 + b"}]",
        '[true, {"a": "é"}]'.encode("latin-1"),
        "[true, {}]".encode("utf-16"),
        b"\xef\xbb\xbf[true, {}]",
        b'[true, {"secret": "\\ud800"}]',
        b"<html>secret</html>",
    ],
)
def test_F4_only_literal_true_with_an_object_allows(body):
    with pytest.raises(UnusableAnswer, match=r"^Invalid json: ") as caught:
        read_verdict(200, body)
    assert "secret" not in str(caught.value) + caught.value.detail
    assert caught.value.code == "app_unavailable"


@pytest.mark.parametrize("status", [100, 201, 204, 301, 302, 401, 403, 404, 429, 500, 503])
def test_F5_another_status_denies_even_with_a_yes_in_it(status):
    with pytest.raises(UnusableAnswer, match=f"^Invalid callback response, status={status}$"):
        read_verdict(status, b"[true, {}]")
