"""JSON as Hookbox reads and writes it: strict in, pure ASCII out."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.protocol.json_text import INTEGER_LIMIT, BadJSON, dump, load

numbers = st.integers(-INTEGER_LIMIT + 1, INTEGER_LIMIT - 1) | st.floats(
    allow_nan=False, allow_infinity=False
)
leaves = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(values)
def test_what_is_written_reads_back_the_same(value):
    text = dump(value)
    assert text.isascii()
    assert load(text, 100) == load(text.encode(), 100) == value


@given(values)
def test_raw_utf8_reads_like_escapes(value):
    assert load(json.dumps(value, ensure_ascii=False).encode(), 100) == value


@given(st.binary() | st.text(st.characters()))
def test_any_input_is_a_value_or_bad_json_and_a_value_can_be_sent_again(text):
    with suppress(BadJSON):
        value = load(text)
        assert load(dump(value)) == value
        json.dumps(value, ensure_ascii=False).encode()


@given(values.map(lambda value: json.dumps(value)), st.data())
def test_any_damage_is_a_value_or_bad_json(text, data):
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    with suppress(BadJSON):
        assert load(dump(load(damaged))) == load(damaged)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="M1-empty"),
        pytest.param(b"\xef\xbb\xbf{}", id="M1-byte-order-mark"),
        pytest.param("{} {}", id="M1-trailing-text"),
        pytest.param(b"[1]\x00", id="M1-trailing-nul"),
        pytest.param("'a'", id="M1-single-quotes"),
        pytest.param("[1,]", id="M1-trailing-comma"),
        pytest.param(b'"\xff"', id="M1-bad-utf8"),
        pytest.param('"\n"', id="M1-raw-control-character"),
        pytest.param("NaN", id="M2-nan"),
        pytest.param("[Infinity]", id="M2-infinity"),
        pytest.param("-Infinity", id="M2-minus-infinity"),
        pytest.param("1e400", id="M2-1e400"),
        pytest.param("-1E400", id="M2-minus-1E400"),
        pytest.param("1" * 310 + ".0", id="M2-float-of-310-digits"),
        pytest.param("[" + "9" * 4301 + "]", id="M2-4301-digits"),
        pytest.param(str(2**63), id="M2-2^63"),
        pytest.param(str(-(2**63)), id="M2-minus-2^63"),
        pytest.param(r'"\ud800"', id="M3-lone-high-surrogate"),
        pytest.param(r'"\uDC00x"', id="M3-lone-low-surrogate"),
        pytest.param(r'{"\udfff": 1}', id="M3-surrogate-in-key"),
        pytest.param(r'"\ude00\ud83d"', id="M3-pair-in-wrong-order"),
        pytest.param('"\ud800"', id="M3-raw-surrogate-in-text"),
        pytest.param(b'"\xed\xa0\x80"', id="M3-surrogate-in-utf8"),
    ],
)
def test_what_could_not_be_sent_to_a_browser_is_refused(text):
    with pytest.raises(BadJSON):
        load(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63) + 1), -(2**63) + 1),
        ("1e308", 1e308),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud800"', "\\ud800"),
        ('"1234567890123456789012345678901234567890"', "1234567890123456789012345678901234567890"),
        (' \t\r\n{"a" : 1}\n', {"a": 1}),
        (r'"\u0000"', "\0"),
    ],
)
def test_the_edge_of_what_is_allowed(text, value):
    assert load(text) == load(text.encode()) == value


def test_M4_of_a_repeated_key_the_last_value_wins():
    assert load('{"a": 1, "b": 2, "a": 3}') == {"a": 3, "b": 2}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("limit", [1, 2, 32, 200])
def test_M2_nesting_is_allowed_up_to_the_limit(opening, limit):
    def nested(depth):
        return (
            opening * (depth - 1)
            + ("[]" if opening == "[" else "{}")
            + ("]" if opening == "[" else "}") * (depth - 1)
        )

    load(nested(limit), limit)
    with pytest.raises(BadJSON, match="nested deeper"):
        load(nested(limit + 1), limit)


def test_many_values_side_by_side_are_not_deep():
    text = "[" + ",".join(["[{}]"] * 5000) + "]"
    assert len(load(text, 3)) == 5000
    with pytest.raises(BadJSON):
        load(text, 2)


def cpu_seconds(text):
    """The least CPU time that reading takes: what else runs on the machine does not count."""
    times = []
    for _ in range(5):
        before = time.thread_time()
        with suppress(BadJSON):
            load(text)
        times.append(time.thread_time() - before)
    return min(times)


@pytest.mark.parametrize("depth", [33, 1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[[{"a":', "}]]")])
def test_M2_deep_nesting_is_refused_in_5_ms(depth, opening, closing):
    for hostile in (opening * depth, opening * depth + "1" + closing * depth):
        with pytest.raises(BadJSON):
            load(hostile)
        assert cpu_seconds(hostile) < 0.005 * len(hostile) / 65_536 + 0.005


@pytest.mark.parametrize(
    "unit", ["1" * 64, "[],", '{"a":1},', "\\u0041", '"\\ud83d",', "1e9,", " ", "123456789012345678 "]
)
def test_M2_a_long_message_that_is_not_json_is_refused_in_5_ms(unit):
    text = unit * (65_536 // len(unit))
    assert cpu_seconds(text) < 0.005
    assert cpu_seconds(f'["{text}') < 0.005


def test_a_nan_is_not_written():
    with pytest.raises(ValueError, match="Out of range"):
        dump([float("nan")])


def test_text_is_written_as_the_original_wrote_it():
    assert dump({"t": "hé", "l": [1, 2.5, None, True], "e": "😀"}) == (
        '{"t": "h\\u00e9", "l": [1, 2.5, null, true], "e": "\\ud83d\\ude00"}'
    )
