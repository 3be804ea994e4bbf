"""What is secret is not shown, whatever it is and wherever it stands."""

import json
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.webhooks import masking
from hookbox.webhooks.asked import Asked, Verdict, WebhookLog
from hookbox.webhooks.gate import Question
from hookbox.webhooks.shown import asked_in_full, asked_item

WORDS = st.text("abcdefghijklmnop0123456789-_.%+", max_size=30)
CANARIES = WORDS.map(lambda text: f"canary{text}yranac")
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
BODIES = {
    "verdict": lambda canary: json.dumps([True, {"override_payload": canary, "initial_data": {"x": canary}}]),
    "refusal": lambda canary: json.dumps([False, {"error": f"no, {canary}"}]),
    "page": lambda canary: f"<html><title>at {canary}</title>{canary}",
    "text": lambda canary: canary,
    "bare": lambda canary: json.dumps(canary),
}
ODD = st.text("abc0123456789-_.%+ \"'&<>é/\\", max_size=30).map(lambda text: f"canary{text}yranac")


@pytest.mark.parametrize("kind", BODIES)
@given(canary=CANARIES, rest=WORDS, status=st.sampled_from([200, 302, 403, 500]), verdict=st.sampled_from(Verdict))
def test_A13_no_canary_of_a_webhook_is_shown(kind, canary, rest, status, verdict):
    fields = {"payload": json.dumps(canary), "conn_id": "c1", "secret": canary, "new_field": canary}
    cookies = f"sessionid={canary}; other={rest}"
    asked = Asked(
        "k1",
        1.0,
        Question("message", fields, cookies),
        url=f"http://u:{canary}@host/p?token={quote(canary)}",
        verdict=verdict,
        why=f"said {canary}",
        status=status,
        content_type="text/html",
        location=f"/login?next={quote_plus(canary)}#{canary}",
        body=BODIES[kind](canary).encode(),
        size=10,
        set_cookies=(f"sessionid={canary}; HttpOnly", f"x={canary}"),
    )
    for shown in (asked_item(asked, [canary]), asked_in_full(asked, [canary])):
        assert canary not in json.dumps(shown)


@given(st.text())
def test_A12_a_masked_secret_shows_its_length_and_no_more_than_two_characters(secret):
    masked = masking.mask(secret)
    assert masked.endswith(f"…({len(secret)})")
    assert len(masked.partition("…")[0]) <= (2 if len(secret) >= 16 else 0)


@given(JSONS, CANARIES)
def test_A13_what_stands_under_a_hidden_name_is_masked_however_deep(value, canary):
    hidden = masking.hide_keys({"a": [value, {"body": {"x": [canary]}}]}, frozenset({"body"}))
    assert canary not in json.dumps(hidden)
    assert hidden["a"][1]["body"] == masking.MASKED


@given(st.text(), st.lists(st.text("ab%+ é", min_size=6)))
def test_A13_scrubbed_text_holds_none_of_the_secrets(text, secrets):
    scrubbed = masking.scrub(text + "".join(secrets) + text, secrets)
    for secret in secrets:
        assert secret not in scrubbed or secret in masking.STARS


@given(st.text())
def test_any_url_can_be_masked(url):
    assert isinstance(masking.mask_url(url), str)


@given(st.binary())
def test_any_answer_can_be_masked(body):
    json.dumps(masking.mask_answer(body))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:canary@host/p?a=canary&b=2#canary", "http://***@host/p?a=***&b=***"),
        ("http://u:can@ary@host/", "http://***@host/"),
        ("http://u:can ary@host/", "http://***@host/"),
        ("//u:canary@host", "//***@host"),
        ("/p?canary", "/p?***"),
        ("http://host/@name", "http://host/@name"),
    ],
)
def test_A12_a_url_is_shown_without_what_may_be_secret_in_it(url, shown):
    assert masking.mask_url(url) == shown


def test_A12_a_set_cookie_without_a_name_is_a_value():
    assert masking.mask_set_cookie("canary0123456789; Path=/") == "ca…(16); Path=/"


@given(ODD)
def test_A13_a_secret_is_found_as_pages_and_json_spell_it(secret):
    for text in (json.dumps({"x": secret}), json.dumps(secret, ensure_ascii=False), escape(secret), quote(secret)):
        assert "canary" not in masking.scrub(text, [secret])


def test_what_is_remembered_of_webhooks_has_a_bound_in_bytes_too():
    log = WebhookLog(lambda: 500, most_bytes=1000)
    for number in range(9):
        log.keep(Asked(f"k{number}", 1.0, Question("publish", {"payload": "x" * 300}), body=b"x" * 100))
    assert [asked.id for asked in log] == ["k7", "k8"]
    log.keep(Asked("large", 1.0, Question("publish", {"payload": "x" * 3000})))
    assert [asked.id for asked in log] == ["large"]
    log.keep(Asked("small", 1.0, Question("publish", {})))
    assert [asked.id for asked in log] == ["small"]
