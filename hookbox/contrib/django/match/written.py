"""Conditions as they are stored: `{"name": {"$startswith": "J"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django.match.able import BY_SIGN, LANGUAGE, Like, Matcher
from hookbox.contrib.django.payload import NotJSON, to_plain
from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.match import BadFilter, matcher_name, read_filter


def to_json(match: Mapping[str, Any]) -> JSONObject:
    """A condition in JSON form.

    Args:
        match: values, matchers, conditions inside of it, or JSON form.

    Raises:
        ValidationError: it cannot be one; the text says why.
    """
    written = write(match)
    from_json(written)
    return written


def from_json(value: Any) -> dict[str, Any]:
    """A condition with matchers in place of their JSON form.

    Raises:
        ValidationError: it is none; the text says why.
    """
    try:
        return _read(read_filter(to_plain(value), LANGUAGE))
    except (BadFilter, NotJSON) as error:
        raise ValidationError(
            _("Not a condition: %(why)s"), code="bad_match", params={"why": str(error)}
        ) from error


def has_like(value: JSON) -> bool:
    """Whether a condition in JSON form uses `Like`, which only superusers may set."""
    return isinstance(value, dict) and any(map(_uses_like, value.values()))


def write(match: Mapping[str, Any]) -> JSONObject:
    """`to_json`, unchecked but for what no JSON can hold."""
    if not isinstance(match, Mapping):
        text = _("A condition has to be a dict, not %(type)s.")
        raise ValidationError(text, code="bad_match", params={"type": type(match).__name__})
    return {str(key): _written(value) for key, value in match.items()}


def _written(value: Any) -> JSON:
    if value is None or type(value) is str or type(value) is bool:
        return value
    if isinstance(value, Matcher):
        return dict(value.to_json())
    if isinstance(value, Mapping):
        return to_plain(value) if _is_literal(value) else write(value)
    try:
        return to_plain(value)
    except NotJSON as error:
        raise ValidationError(
            _("Cannot be compared with: %(why)s"), code="bad_match", params={"why": str(error)}
        ) from error


def _uses_like(value: JSON) -> bool:
    if not isinstance(value, dict):
        return False
    name = matcher_name(value)
    return has_like(value) if name is None else name == Like.sign


def _is_literal(value: Mapping[Any, Any]) -> bool:
    """Whether this is a matcher in JSON form."""
    return all(isinstance(key, str) for key in value) and matcher_name(value) is not None


def _read(value: JSONObject) -> dict[str, Any]:
    return {key: _object(item) if isinstance(item, dict) else item for key, item in value.items()}


def _object(value: JSONObject) -> Any:
    name = matcher_name(value)
    return _read(value) if name is None else BY_SIGN[name](value[name])
