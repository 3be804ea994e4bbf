"""Which messages a destination wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.delivery.match import BadFilter, matches, read_filter, read_pattern, wants

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("pattern", "topic", "wanted"),
    [
        ("news", "news", True),
        ("news", "news.uk", False),
        ("orders.*", "orders.new", True),
        ("orders.*", "orders", False),
        ("orders.*", "orders.new.uk", False),
        ("*.new", "orders.new", True),
        ("orders.*.uk", "orders.new.uk", True),
        ("orders.**", "orders.new.uk", True),
        ("orders.**", "orders.new", True),
        ("orders.**", "orders", False),
        ("*.**", "a.b.c", True),
        ("*", "news", True),
        ("*", "a.b", False),
        ("**", "anything.at.all", True),
        ("room:1", "room:1", True),
    ],
)
def test_patterns_of_topics(pattern, topic, wanted):
    assert wants(read_pattern(pattern), topic) is wanted


@pytest.mark.parametrize("pattern", ["", "a*", "*a", "a.b*", "**.a", "a**", "a.***", "a.**.b"])
def test_a_pattern_that_cannot_be_used_is_told(pattern):
    with pytest.raises(BadFilter, match="topic pattern"):
        read_pattern(pattern)


@pytest.mark.parametrize(
    ("needle", "payload", "matched"),
    [
        ({}, {"a": 1}, True),
        ({"a": "x"}, {"a": "x", "b": 1}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": {"$is": 1}}, {"a": True}, False),
        ({"a": "x"}, {}, False),
        ({"a": None}, {}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": {"$any": True}}, {}, True),
        ({"a": {"$startswith": "x"}}, {}, False),
        ({"a": {"$startswith": ""}}, {}, False),
        ({"a": {"$startswith": "1"}}, {"a": 12}, False),
        ({"a": {"$startswith": "J"}}, {"a": "Jerry"}, True),
        ({"a": {"$contains": "1"}}, {"a": None}, False),
        ({"a": {"$contains": "1"}}, {"a": ["1", "2"]}, True),
        ({"a": {"$contains": True}}, {"a": [1]}, False),
        ({"a": {"$contains": "err"}}, {"a": "Jerry"}, True),
        ({"a": {"$text": "1"}}, {"a": 1}, True),
        ({"a": {"$text": ""}}, {}, True),
        ({"a": {"$text": "true"}}, {"a": True}, True),
        ({"a": {"b": {"$endswith": "z"}}}, {"a": {"b": "xyz", "c": 1}}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "x": 2}}, True),
        ({"a": {"$is": {"b": 1}}}, {"a": {"b": 1, "x": 2}}, False),
        ({"a": {"$is": {"b": 1}}}, {"a": {"b": 1}}, True),
        ({"a": {"b": 1}}, {"c": 1}, False),
        ({"a": {"b": 1}}, {"a": "str"}, False),
        ({"a": {"b": 1}}, {"a": None}, False),
        ({"a": {"b": 1}}, {"a": [1]}, False),
        ({"a": {}}, {"a": {"b": 1}}, True),
        ({"a": {}}, {"a": "str"}, False),
        ({"a": {}}, {}, False),
        ({"a": {"b": {"$any": True}}}, {}, False),
        ({"a": {"b": {"$any": True}}}, {"a": {}}, True),
        ({"a": [2, 1]}, {"a": [1, 2]}, False),
        ({"a": [1, [True]]}, {"a": [1, [1]]}, False),
        ({"a": 1}, [1], False),
        ({}, "text", False),
    ],
)
def test_the_table_of_matches(needle, payload, matched):
    assert matches(read_filter(needle), payload) is matched


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("needle", "says"),
    [
        ([1], "object"),
        ("x", "object"),
        ({"a": {"$like": "(a+)+b"}}, "like"),
        ({"a": {"$regex": "x"}}, "unknown matcher"),
        (nested(11), "inside each other"),
        ({str(n): n for n in range(101)}, "keys"),
        ({"a": "x" * 16_384}, "bytes"),
    ],
)
def test_a_filter_that_cannot_be_used_is_told(needle, says):
    with pytest.raises(BadFilter, match=says):
        read_filter(needle)


def test_a_filter_at_its_limits_is_fine():
    assert read_filter(nested(10))
    assert read_filter({str(n): n for n in range(100)})


@given(JSON, JSON)
def test_whatever_is_compared_nothing_fails(needle, payload):
    try:
        assert matches(read_filter(needle), payload) in (True, False)
    except BadFilter:
        pass


@given(st.dictionaries(st.text(min_size=1, max_size=3).filter(lambda key: key[0] != "$"), JSON, max_size=3))
def test_everything_is_exactly_itself(payload):
    assert matches({key: {"$is": value} for key, value in payload.items()}, payload)
