"""Which messages a destination wants: patterns of topics, and filters of payloads.

A filter is a JSON object that is laid beside the payload: each of its keys has to match, more keys do not
matter. It never fails: what cannot be compared does not match.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from hookbox.core.values import JSON, JSONObject
from hookbox.errors import CommandRefused

DEEPEST: Final = 10
MOST_KEYS: Final = 100
LONGEST: Final = 16 * 1024
"""Bytes of a filter's JSON text."""


Matchers = Mapping[str, Callable[[Any, Any], bool]]
"""What each matcher says to the value that it has, and the one that was found."""


class BadFilter(CommandRefused):
    """A filter or a topic pattern that cannot be used; the text says what and why."""

    code = "bad_filter"


def read_pattern(text: str) -> str:
    """Check a pattern of topics: a name, `*` in place of any part between dots, `**` at the end for any rest.

    Raises:
        BadFilter: it is none.
    """
    head, rest = (text[:-2], True) if text.endswith("**") else (text, False)
    if rest and head and not head.endswith("."):
        raise BadFilter(f"topic pattern {text!r}: ** has to follow a dot")
    parts = head.removesuffix(".").split(".") if head else []
    if not (parts or rest) or not all(part == "*" or "*" not in part for part in parts):
        raise BadFilter(f"topic pattern {text!r}: * has to stand alone between dots, ** at the end")
    return text


def wants(pattern: str, topic: str) -> bool:
    """Whether a checked pattern matches a topic."""
    if "*" not in pattern:
        return pattern == topic
    if pattern == "**":
        return True
    parts = topic.split(".")
    if pattern.endswith(".**"):
        wanted = pattern[:-3].split(".")
        parts, more = parts[: len(wanted)], len(parts) > len(wanted)
        if not more:
            return False
    else:
        wanted = pattern.split(".")
    return len(wanted) == len(parts) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True))


def read_filter(value: JSON, matchers: Matchers | None = None) -> JSONObject:
    """Check a filter.

    Args:
        matchers: that it may use; `MATCHERS` unless given.

    Raises:
        BadFilter: it is not an object, has an unknown matcher, or is too large.
    """
    if not isinstance(value, dict):
        raise BadFilter("a filter has to be an object")
    if len(json.dumps(value).encode()) > LONGEST:
        raise BadFilter(f"a filter of more than {LONGEST} bytes")
    if _check(value, 1, MATCHERS if matchers is None else matchers) > MOST_KEYS:
        raise BadFilter(f"a filter of more than {MOST_KEYS} keys")
    return value


def _check(value: JSONObject, depth: int, matchers: Matchers) -> int:
    """How many keys a condition has, those inside of it included."""
    if depth > DEEPEST:
        raise BadFilter(f"a filter of more than {DEEPEST} objects inside each other")
    keys = len(value)
    for item in value.values():
        if isinstance(item, dict):
            name = matcher_name(item)
            if name is None:
                keys += _check(item, depth + 1, matchers)
            elif name in matchers:
                continue
            elif name == "$like":
                raise BadFilter("$like is not available here: it could hold up the whole server")
            else:
                raise BadFilter(f"unknown matcher {name}; there are {', '.join(matchers)}")
    return keys


def matches(needle: JSONObject, payload: JSON, matchers: Matchers | None = None) -> bool:
    """Whether a checked filter matches a payload. Never raises.

    Args:
        matchers: as for `read_filter`.
    """
    if not isinstance(payload, dict):
        return False
    known = MATCHERS if matchers is None else matchers
    return all(_fits(wanted, payload, key, known) for key, wanted in needle.items())


def _fits(wanted: JSON, payload: JSONObject, key: str, matchers: Matchers) -> bool:
    found = payload.get(key)
    if not isinstance(wanted, dict):
        return same(wanted, found)
    name = matcher_name(wanted)
    if name is None:
        return matches(wanted, found, matchers)
    test = matchers.get(name)
    return test is not None and test(wanted[name], found)


def matcher_name(value: Mapping[str, Any]) -> str | None:
    """The name of a matcher, if that is what an object stands for."""
    if len(value) == 1:
        (name,) = value
        if name.startswith("$"):
            return name
    return None


def same(one: JSON, other: JSON) -> bool:
    """JSON equality: numbers by value, true is not 1, lists in order, objects exactly."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def _text(value: JSON) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _both_text(test: Callable[[str, str], bool]) -> Callable[[JSON, JSON], bool]:
    return lambda wanted, found: isinstance(wanted, str) and isinstance(found, str) and test(found, wanted)


def _contains(wanted: JSON, found: JSON) -> bool:
    if isinstance(found, list):
        return any(same(wanted, item) for item in found)
    return isinstance(found, str) and isinstance(wanted, str) and wanted in found


MATCHERS: Final[Matchers] = {
    "$any": lambda wanted, found: True,
    "$is": same,
    "$text": lambda wanted, found: _text(wanted) == _text(found),
    "$startswith": _both_text(str.startswith),
    "$endswith": _both_text(str.endswith),
    "$contains": _contains,
}
