"""Whether a payload is what a condition asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from hookbox.contrib.django.match.able import LANGUAGE, Matcher
from hookbox.contrib.django.match.written import write
from hookbox.contrib.django.payload import NotJSON, to_plain
from hookbox.core.values import JSON
from hookbox.delivery.match import matcher_name, matches


def deepmatch(needle: Any, haystack: Any) -> bool:
    """Whether each key of the needle matches, here and in the objects inside; more keys do not matter.

    A matcher may stand on either side. Nothing raises: what cannot be compared does not match.
    """
    try:
        return _deepmatch(needle, haystack)
    except (ValidationError, NotJSON, RecursionError):
        return False


def fits(needle: Mapping[str, Any], payload: JSON) -> bool:
    """`deepmatch` for what is plain JSON already.

    Raises:
        ValidationError: the needle is no condition.
    """
    return matches(write(needle), payload, LANGUAGE)


def _deepmatch(needle: Any, haystack: Any) -> bool:
    if not isinstance(needle, Mapping) or not isinstance(haystack, Mapping):
        return False
    rest = {}
    for key, wanted in needle.items():
        found = haystack.get(key)
        if isinstance(found, Matcher):
            if found != wanted:
                return False
        elif _is_condition(wanted) and isinstance(found, Mapping):
            if not _deepmatch(wanted, found):
                return False
        else:
            rest[key] = wanted
    return fits(rest, to_plain({key: haystack[key] for key in rest if key in haystack}))


def _is_condition(wanted: Any) -> bool:
    """Whether this is a condition inside of another, and no matcher in JSON form."""
    return isinstance(wanted, Mapping) and not (
        len(wanted) == 1 and isinstance(next(iter(wanted)), str) and matcher_name(wanted) is not None
    )
