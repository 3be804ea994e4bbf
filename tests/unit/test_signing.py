"""Signatures of deliveries: the published vectors, byte for byte, and whatever must not pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import BadSignature
from hookbox.webhooks import verify
from hookbox.webhooks.signing import Secret, sign

NEW = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OLD = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
ID = "msg_01JD4YV4Q0X6T3B2N8K7M5R9ZE"
AT = 1732104000
BODY = (
    b'{"type":"message.published","timestamp":"2024-11-20T12:00:00.000Z",'
    b'"data":{"topic":"news","seq":42,"payload":{"title":"hello"}}}'
)
SIGNED = "v1,RhS+fHm1NdmtG3qCJ9d2J4YQzu4WBNveiIxrd5GS5VA="


def headers(signature=SIGNED, **changed):
    return {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": signature} | {
        f"webhook-{name}": value for name, value in changed.items()
    }


def test_S01_the_vectors_byte_for_byte():
    assert sign([Secret.read(NEW)], ID, AT, BODY) == SIGNED
    form = b"event=signup&user=42&tag=a&tag=b&note=caf%C3%A9+%26+tea"
    assert sign([Secret.read(NEW)], ID, AT, form) == "v1,eRPPORXa/VZI4mvtTWZ7ERpwIKmjqCZwKKJtzVXYF1I="


def test_S01_the_public_vector():
    key = Secret.read("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_S02_while_one_secret_takes_the_others_place_both_sign_newest_first():
    both = sign([Secret.read(NEW), Secret.read(OLD)], ID, AT, BODY)
    assert both == f"{SIGNED} v1,PKMA8128i+TlJj99CMTIvW35zluGMj8ANA7e97Rttc4="
    for secret in (NEW, OLD, [OLD, NEW]):
        verify(BODY, headers(both), secret, now=AT)


def test_S03_any_text_can_be_a_secret_if_it_is_long_enough():
    secret = Secret.read("correct horse battery staple")
    assert secret.raw
    assert secret.key == b"correct horse battery staple"
    verify(BODY, headers(sign([secret], ID, AT, BODY)), str(secret), now=AT)


@pytest.mark.parametrize("text", ["short", "whsec_", "whsec_AAAA", "whsec_not base64 at all!", "é" * 7])
def test_what_cannot_be_a_secret_is_refused(text):
    with pytest.raises(ValueError, match="bytes"):
        Secret.read(text)


def test_a_secret_is_never_shown_by_accident():
    assert "AAEC" not in repr(Secret.read(NEW))
    assert str(Secret.read(NEW)) == NEW
    assert len(Secret.new().key) == 32


def test_S04_binary_bodies_can_be_verified():
    body = bytes(range(256))
    verify(body, headers(sign([Secret.read(NEW)], ID, AT, body)), NEW, now=AT)


@pytest.mark.parametrize(
    "names", [str.lower, str.title, lambda name: "HTTP_" + name.upper().replace("-", "_")]
)
def test_headers_may_be_written_as_frameworks_write_them(names):
    verify(BODY, {names(name): value for name, value in headers().items()}, NEW, now=AT)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY + b" ", {}),
        (BODY, {"id": "msg_other"}),
        (BODY, {"timestamp": str(AT + 1)}),
        (BODY, {"timestamp": "soon"}),
        (BODY, {"timestamp": "²"}),
        (BODY, {"signature": ""}),
        (BODY, {"signature": "v1,"}),
        (BODY, {"signature": "v1a,RhS+fHm1NdmtG3qCJ9d2J4YQzu4WBNveiIxrd5GS5VA="}),
        (BODY, {"signature": SIGNED.replace("RhS", "RhT")}),
        (BODY, {"signature": "v1,é"}),
    ],
)
def test_S06_what_was_changed_does_not_pass(body, changed):
    with pytest.raises(BadSignature):
        verify(body, headers(**changed), NEW, now=AT)


def test_S06_the_tolerance_is_to_the_second():
    for off in (-300, 300):
        verify(BODY, headers(), NEW, now=AT + off)
    for off, says in ((-301, "future"), (301, "too old")):
        with pytest.raises(BadSignature, match=says):
            verify(BODY, headers(), NEW, now=AT + off)


def test_unknown_versions_are_skipped():
    verify(BODY, headers(f"v2,abc {SIGNED} nonsense"), NEW, now=AT)


@given(st.binary(), st.binary(min_size=24, max_size=64))
def test_what_is_signed_passes_and_with_another_secret_it_does_not(body, key):
    signed = headers(sign([Secret(key)], ID, AT, body))
    verify(body, signed, str(Secret(key)), now=AT)
    with pytest.raises(BadSignature):
        verify(
            body,
            signed,
            str(Secret(key + b"x" if len(key) < 64 else key[:-1] + bytes([key[-1] ^ 1]))),
            now=AT,
        )
