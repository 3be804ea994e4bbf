"""What hooks say, as JSON: made once, so that it is matched and sent as one and the same text."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder

from hookbox.core.values import JSON, JSONObject
from hookbox.protocol.json_text import BadJSON, load

DEEPEST: Final = 60
"""Lists and objects inside each other; the server takes a few more, for what it wraps around."""


class NotJSON(ValueError):
    """A value that a webhook cannot carry; the text says which, and why."""


class PayloadEncoder(DjangoJSONEncoder):
    """Django's encoder, which also writes sets as sorted lists and bytes as base64."""

    def default(self, o: Any) -> Any:
        """The plain value for what JSON has no word for."""
        if isinstance(o, set | frozenset):
            return in_order(o)
        if isinstance(o, bytes | bytearray | memoryview):
            return b64encode(bytes(o)).decode("ascii")
        return super().default(o)


def in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    """The members of a set, always in the same order."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def to_text(value: Any) -> str:
    """Compact JSON text, which Hookbox accepts.

    Raises:
        NotJSON: it cannot be written.
    """
    return _checked(value)[0]


def check_text(text: str) -> None:
    """Check JSON text that somebody else has written.

    Raises:
        NotJSON: Hookbox does not take it.
    """
    try:
        load(text, DEEPEST)
    except BadJSON as error:
        raise NotJSON(f"Hookbox does not take it: {error}") from error


def to_plain(value: Any) -> JSON:
    """What a receiver reads out of the JSON text of a value.

    Raises:
        NotJSON: it cannot be written.
    """
    return _checked(value)[1]


def to_plain_object(payload: Mapping[str, Any]) -> JSONObject:
    """`to_plain` of a payload.

    Raises:
        NotJSON: it is no object, or an argument cannot be written; names it.
    """
    if not isinstance(payload, Mapping):
        raise NotJSON(f"a payload has to be a dict, not {type(payload).__name__}")
    try:
        plain = to_plain(dict(payload))
    except NotJSON as error:
        raise NotJSON(_blame(payload) or str(error)) from error
    assert isinstance(plain, dict)
    return plain


def _checked(value: Any) -> tuple[str, JSON]:
    try:
        text = json.dumps(
            value, cls=PayloadEncoder, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        )
        return text, load(text, DEEPEST)
    except BadJSON as error:
        raise NotJSON(f"Hookbox does not take it: {error}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSON(str(error)) from error


def _blame(payload: Mapping[str, Any]) -> str:
    for name, value in payload.items():
        try:
            to_plain(value)
        except NotJSON as error:
            return f"argument {name!r} cannot be sent as JSON: {error}; leave it out in prepare_payload()"
    return ""
