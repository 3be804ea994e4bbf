"""Which events a listener wants."""

import datetime
import decimal
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from hookbox.contrib.django import match
from hookbox.contrib.django.match import (
    Any,
    Contains,
    Endswith,
    Is,
    Like,
    Startswith,
    Text,
    able,
    deepmatch,
    from_json,
    has_like,
    strategy,
    to_json,
)

TABLE = [
    ({}, {"x": 1}, True),
    ({}, {}, True),
    ({"a": "x"}, {"a": "x", "b": 1}, True),
    ({"a": 1}, {"a": "1"}, False),
    ({"a": 1.0}, {"a": 1}, True),
    ({"a": True}, {"a": 1}, False),
    ({"a": Is(1)}, {"a": True}, False),
    ({"a": "x"}, {}, False),
    ({"a": None}, {}, True),
    ({"a": None}, {"a": None}, True),
    ({"a": Any()}, {}, True),
    ({"a": Startswith("x")}, {}, False),
    ({"a": Startswith("")}, {}, False),
    ({"a": Startswith("1")}, {"a": 12}, False),
    ({"a": Contains("1")}, {"a": None}, False),
    ({"a": Contains("1")}, {"a": ["1", "2"]}, True),
    ({"a": Text("1")}, {"a": 1}, True),
    ({"a": Text("")}, {}, True),
    ({"a": Text("true")}, {"a": True}, True),
    ({"a": Like("^b")}, {"a": "abc"}, False),
    ({"a": Like("b")}, {"a": "abc"}, True),
    ({"a": Like("1")}, {"a": 1}, False),
    ({"a": {"b": Endswith("z")}}, {"a": {"b": "xyz", "c": 1}}, True),
    ({"a": {"b": 1}}, {"a": {"b": 1, "x": 2}}, True),
    ({"a": Is({"b": 1})}, {"a": {"b": 1, "x": 2}}, False),
    ({"a": {"b": 1}}, {"c": 1}, False),
    ({"a": {"b": 1}}, {"a": "str"}, False),
    ({"a": {"b": 1}}, {"a": None}, False),
    ({"a": {"b": 1}}, {"a": [1]}, False),
    ({"a": {}}, {"a": {"b": 1}}, True),
    ({"a": {}}, {"a": "str"}, False),
    ({"a": {}}, {}, False),
    ({"a": {"b": Any()}}, {}, False),
    ({"a": {"b": Any()}}, {"a": {}}, True),
    ({"a": [2, 1]}, {"a": [1, 2]}, False),
    ({"a": "George Constanza"}, {"a": Endswith("Constanza")}, True),
    ({"a": "George Constanza"}, {"a": Endswith("Seinfeld")}, False),
    ({"a": {"b": "xyz"}}, {"a": {"b": Endswith("z")}}, True),
    ({}, "text", False),
    ({"a": 1}, None, False),
    ({"a": 1}, [1], False),
    ("a", {"a": 1}, False),
]
DURIAN = [
    ({"name": Like("Constanza")}, {"name": "George Constanza"}, True),
    ({"name": Like("Seinfeld")}, {"name": "George Constanza"}, False),
    ({"name": Startswith("George")}, {"name": "George Constanza"}, True),
    ({"name": Startswith("Cosmo")}, {"name": "George Constanza"}, False),
    (
        {"name": {"first": Startswith("El"), "last": Endswith("es")}},
        {"name": {"first": "Elaine", "last": "Benes"}},
        True,
    ),
    ({"foo": "bar", "baz": {"x": "x"}}, {"foo": "bar"}, False),
    ({"a": "b", "c": {"d": "e"}}, {"a": "b", "c": {"d": "e"}}, True),
    ({"a": "b", "c": {"d": "e"}}, {"a": "b", "c": {"x": "y"}}, False),
]
VALUES_OF_PYTHON = [
    ({"a": decimal.Decimal("9.90")}, {"a": decimal.Decimal("9.90")}, True),
    ({"a": Is(datetime.date(2026, 1, 2))}, {"a": "2026-01-02"}, True),
    ({"a": uuid.UUID(int=1)}, {"a": uuid.UUID(int=1)}, True),
    ({"a": Startswith(gettext_lazy("anything"))}, {"a": "anything goes"}, True),
    ({"a": (1, 2)}, {"a": [1, 2]}, True),
    ({"a": {3, 1, 2}}, {"a": [1, 2, 3]}, True),
    ({"a": {"$startswith": "J"}}, {"a": "Joe"}, True),
    ({"a": {"$is": {"$x": 1}}}, {"a": {"$x": 1}}, True),
    ({"a": {"$unknown": 1}}, {"a": 1}, False),
    ({"a": ...}, {"a": 1}, False),
    ({"a": 1}, {"a": ...}, False),
    ({"a": 1}, {"a": 1, "b": ...}, True),
    ({1: "x"}, {"1": "x"}, False),
]


@pytest.mark.parametrize(("needle", "haystack", "matched"), [*TABLE, *DURIAN, *VALUES_OF_PYTHON], ids=repr)
def test_the_table_of_matches_for_django(needle, haystack, matched):
    assert deepmatch(needle, haystack) is matched


@pytest.mark.parametrize(
    ("needle", "haystack", "matched"),
    [row for row in [*TABLE, *DURIAN] if isinstance(row[0], dict) and "Endswith" not in repr(row[1])],
    ids=repr,
)
def test_what_was_stored_matches_the_same(needle, haystack, matched):
    assert deepmatch(from_json(to_json(needle)), haystack) is matched
    assert deepmatch(to_json(needle), haystack) is matched


def test_deep_nesting_on_either_side_is_no_match_and_no_error():
    deep = current = {}
    for _ in range(5000):
        current["a"] = {}
        current = current["a"]
    assert not deepmatch(deep, deep)
    assert not deepmatch({"a": {"b": 1}}, deep)


@pytest.mark.parametrize(
    ("matcher", "fits", "not_"),
    [
        (Any(), [1, None, "x", [], ...], []),
        (Any("whatever"), [1], []),
        (Is("Joe"), ["Joe"], ["joe", None, 1]),
        (Is(1), [1, 1.0], [True, "1"]),
        (Startswith("J"), ["Joe"], ["joe", None, 3, ["J"]]),
        (Endswith("e"), ["Joe"], ["eJ", None]),
        (Contains("o"), ["Joe", ["o"]], ["x", None, 1, {"o": 1}]),
        (Like("^J.e$"), ["Joe"], ["Joey", None, 1]),
        (Text("1"), [1, "1"], [1.5, True, None]),
    ],
    ids=repr,
)
def test_a_matcher_equals_what_it_matches(matcher, fits, not_):
    for value in fits:
        assert matcher == value
        assert (matcher != value) is False
    for value in not_:
        assert matcher != value


def test_the_left_side_may_be_a_plain_value():
    joe, jim = "Joe", "Jim"
    assert joe == Startswith("Jo")
    assert jim != Startswith("Jo")


def test_matchers_are_equal_when_class_and_value_are():
    assert Startswith("J") == Startswith("J")
    assert Startswith("J") != Startswith("K")
    assert Startswith("J") != Endswith("J")
    assert Is(1) == Is(1.0)
    assert Is(1) != Is(True)
    assert Any() == Any("x")
    assert Any() != Is(1)  # else it would depend on which side it stands


def test_matchers_show_what_they_are():
    assert repr(Startswith("J")) == "Startswith('J')"
    assert repr(Is({"a": 1})) == "Is({'a': 1})"
    assert repr(Any()) == "Any()"


def test_matchers_cannot_be_hashed():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Startswith("J"))


def test_modules_and_names_of_durian_are_there():
    assert able.Startswith is match.Startswith
    assert strategy.deepmatch is match.deepmatch
    assert [
        match.CONDITION_PASS, match.CONDITION_EXACT, match.CONDITION_STARTSWITH, match.CONDITION_ENDSWITH, match.CONDITION_CONTAINS,
    ] == [0, 1, 2, 3, 4]  # fmt: skip
    assert [(number, str(text)) for number, text in match.MATCHABLE_CHOICES] == [
        (0, "anything"), (1, "exact"), (2, "starts with"), (3, "ends with"), (4, "contains"),
    ]  # fmt: skip


def test_a_list_of_tuples_becomes_a_condition_and_pass_asks_nothing():
    condition = match.mtuplelist_to_matchdict(
        [
            ("name", match.CONDITION_ENDSWITH, "Constanza"),
            ("zipcode", str(match.CONDITION_STARTSWITH), "70"),
            ("address", match.CONDITION_EXACT, "Milkyway"),
            ("work", match.CONDITION_CONTAINS, "andeley"),
            ("zoo", match.CONDITION_PASS, "zoo"),
        ]
    )
    assert condition == {
        "name": Endswith("Constanza"),
        "zipcode": Startswith("70"),
        "address": Is("Milkyway"),
        "work": Contains("andeley"),
    }
    matching = {
        "name": "George Constanza",
        "zipcode": "70312",
        "address": "Milkyway",
        "work": "Vandeley Industries",
    }
    assert deepmatch(matching, condition)
    assert deepmatch(condition, matching)
    assert not deepmatch({**matching, "name": "Jerry Seinfeld"}, condition)
    assert not deepmatch(condition, {**matching, "work": "Comedian"})


def test_exact_is_equality_in_code_and_of_texts_in_forms():
    assert match.const_to_matchable(match.CONDITION_EXACT, "1") == Is("1")
    assert match.const_to_matchable("1", "1", exact=Text) == Text("1")
    assert match.const_to_matchable(match.CONDITION_PASS, "1") == Any()
    assert match.mtuplelist_to_matchdict([("a", 1, "x")], exact=Text) == {"a": Text("x")}
    with pytest.raises(KeyError):
        match.const_to_matchable(9, "x")


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        ({}, {}),
        ({"a": "x"}, {"a": "x"}),
        ({"a": Any()}, {"a": {"$any": True}}),
        ({"a": Is(1)}, {"a": {"$is": 1}}),
        ({"a": Text("1")}, {"a": {"$text": "1"}}),
        ({"a": Startswith("x")}, {"a": {"$startswith": "x"}}),
        ({"a": Endswith("x")}, {"a": {"$endswith": "x"}}),
        ({"a": Contains("x")}, {"a": {"$contains": "x"}}),
        ({"a": Like("x+")}, {"a": {"$like": "x+"}}),
        ({"a": {"b": Startswith("x"), "c": 1}}, {"a": {"b": {"$startswith": "x"}, "c": 1}}),
        ({"a": Is({"$any": 1})}, {"a": {"$is": {"$any": 1}}}),
        ({"a": {"$a": 1, "$b": 2}}, {"a": {"$a": 1, "$b": 2}}),
    ],
    ids=repr,
)
def test_conditions_are_stored_as_json(condition, written):
    assert to_json(condition) == written
    assert from_json(written) == condition


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
MATCHERS = st.one_of(
    st.builds(Any),
    st.builds(Like, st.sampled_from(["a", "^b+$", "(c|d)", ""])),
    *(st.builds(each, JSON) for each in (Is, Text, Startswith, Endswith, Contains)),
)
KEYS = st.text(max_size=3).filter(lambda key: not key.startswith("$"))
CONDITIONS = st.recursive(
    st.dictionaries(
        KEYS, MATCHERS | st.text(max_size=5) | st.integers(0, 9) | st.lists(st.integers(0, 9)), max_size=3
    ),
    lambda inner: st.dictionaries(KEYS, inner | MATCHERS, max_size=3),
    max_leaves=6,
)


@given(CONDITIONS, JSON)
def test_any_condition_comes_back_as_it_was_and_matches_the_same(condition, payload):
    written = to_json(condition)
    assert from_json(written) == condition
    assert to_json(from_json(written)) == written
    assert deepmatch(condition, payload) is deepmatch(written, payload)


@given(JSON, JSON)
def test_any_json_is_a_condition_or_told_to_be_none(value, payload):
    try:
        condition = from_json(value)
    except ValidationError:
        assert deepmatch(value, payload) in (True, False)
    else:
        assert to_json(condition) == value or "$any" in repr(value)
        assert deepmatch(condition, payload) in (True, False)


@given(st.dictionaries(KEYS, JSON, max_size=3))
def test_every_payload_is_itself(payload):
    assert deepmatch({key: Is(value) for key, value in payload.items()}, payload)


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ([1], "dict"),
        ("x", "dict"),
        (None, "dict"),
        ({"a": {"$regex": "x"}}, "unknown matcher"),
        ({"a": {"$like": "("}}, "no regular expression"),
        ({"a": {"$like": 1}}, "regular expression"),
        ({"a": {"$like": "x" * 201}}, "201 characters, limit 200"),
        ({"a": ...}, "ellipsis"),
        ({"a": [Startswith("x")]}, "Startswith"),
        ({"a": float("nan")}, "JSON"),
        ({"a": 2**63}, "Hookbox"),
        (nested(11), "inside each other"),
        ({str(n): n for n in range(101)}, "keys"),
        ({"a": "x" * 16_384}, "bytes"),
        ({"a": [[[]]] * 3 and eval("[" * 61 + "]" * 61)}, "Hookbox"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_condition_that_cannot_be_used_is_told(condition, says):
    with pytest.raises(ValidationError, match=says):
        to_json(condition)


@pytest.mark.parametrize("stored", [[1], "x", None, 3, {"a": {"$nope": 1}}, {"a": {"$like": "("}}], ids=repr)
def test_something_stored_that_is_no_condition_is_told(stored):
    with pytest.raises(ValidationError):
        from_json(stored)


def test_a_condition_at_its_limits_is_fine():
    assert from_json(nested(10))
    assert from_json({str(n): n for n in range(100)})
    assert Like("x" * 200)


@pytest.mark.parametrize("wrong", [..., Startswith("x"), float("inf"), "\ud800"], ids=repr)
def test_a_matcher_takes_only_what_json_can_hold(wrong):
    with pytest.raises(ValidationError, match="Startswith cannot compare"):
        Startswith(wrong)


def test_a_regular_expression_sees_the_first_4096_characters_only():
    assert deepmatch({"a": Like("z")}, {"a": "x" * 4095 + "z"})
    assert not deepmatch({"a": Like("z")}, {"a": "x" * 4096 + "z"})


def test_regular_expressions_are_found_wherever_they_are():
    assert has_like({"a": {"b": {"$like": "x"}}, "c": 1})
    assert not has_like({"a": {"$is": {"$like": "x"}}})
    assert not has_like({"$like": "x"})  # at the top this is a key of the payload
    assert not has_like([1])
