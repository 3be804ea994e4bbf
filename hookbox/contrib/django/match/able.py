"""Matchers: what a listener may ask of a value besides being equal."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any as Anything
from typing import ClassVar, Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django.payload import NotJSON, to_plain
from hookbox.core.values import JSON
from hookbox.delivery.match import MATCHERS, Matchers, same

LONGEST_PATTERN: Final = 200
LONGEST_TEXT: Final = 4096
"""Characters of a value that `Like` looks at."""


class Matcher:
    """Something that is equal to whatever it matches, and to a matcher of its kind with the same value.

    Args:
        value: to compare with; what JSON can hold.

    Raises:
        ValidationError: it is something else.
    """

    sign: ClassVar[str]
    """The key that stands for the class in JSON."""

    __hash__ = None  # type: ignore[assignment]  # what is equal to many values has no hash that fits

    def __init__(self, value: Anything) -> None:
        self.value = value
        self._plain = self._read(value)

    def _read(self, value: Anything) -> JSON:
        try:
            return to_plain(value)
        except NotJSON as error:
            text = _("%(matcher)s cannot compare with this: %(why)s")
            shown = {"matcher": type(self).__name__, "why": str(error)}
            raise ValidationError(text, code="bad_matcher", params=shown) from error

    def to_json(self) -> dict[str, JSON]:
        """As it is stored."""
        return {self.sign: self._plain}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Matcher):
            return type(self) is type(other) and same(self._plain, other._plain)
        try:
            return LANGUAGE[self.sign](self._plain, to_plain(other))
        except NotJSON:
            return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class Any(Matcher):
    """Matches everything, and what is not there."""

    sign = "$any"

    def __init__(self, value: Anything = None) -> None:
        super().__init__(None)

    def to_json(self) -> dict[str, JSON]:
        """As it is stored."""
        return {self.sign: True}

    def __eq__(self, other: object) -> bool:
        return not isinstance(other, Matcher) or isinstance(other, Any)

    def __repr__(self) -> str:
        return "Any()"


class Is(Matcher):
    """Equality: numbers by value, `True` is not 1, objects without further keys."""

    sign = "$is"


class Text(Matcher):
    """Equality of texts: what is no text is compared as its JSON text, null as the empty one."""

    sign = "$text"


class Startswith(Matcher):
    """Matches text that starts with the value."""

    sign = "$startswith"


class Endswith(Matcher):
    """Matches text that ends with the value."""

    sign = "$endswith"


class Contains(Matcher):
    """Matches text that has the value in it, and lists that have it as an element."""

    sign = "$contains"


class Like(Matcher):
    """Matches text in which a regular expression finds something; it looks at the first 4096 characters.

    While an expression backtracks nothing else in the process runs, so take none from just anybody.

    Raises:
        ValidationError: it is no regular expression, or has more than 200 characters.
    """

    sign = "$like"

    def _read(self, value: Anything) -> JSON:
        if not isinstance(value, str):
            raise ValidationError(_("Like needs the text of a regular expression."), code="bad_matcher")
        if len(value) > LONGEST_PATTERN:
            text = _("A regular expression of %(length)d characters, limit %(limit)d.")
            sizes = {"length": len(value), "limit": LONGEST_PATTERN}
            raise ValidationError(text, code="bad_matcher", params=sizes)
        try:
            _compiled(value)
        except (re.error, RecursionError, OverflowError) as error:
            shown = {"pattern": value, "why": str(error)}
            text = _("%(pattern)r is no regular expression: %(why)s")
            raise ValidationError(text, code="bad_matcher", params=shown) from error
        return super()._read(value)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _like(pattern: Anything, found: Anything) -> bool:
    if not isinstance(found, str):
        return False
    try:
        return bool(_compiled(pattern).search(found[:LONGEST_TEXT]))
    except (re.error, RecursionError, OverflowError, TypeError):
        return False  # stored by a way that does not check


LANGUAGE: Final[Matchers] = {**MATCHERS, Like.sign: _like}
"""The server's matchers, and `$like`."""

_CLASSES: Final[tuple[type[Matcher], ...]] = (Any, Is, Text, Startswith, Endswith, Contains, Like)
BY_SIGN: Final[dict[str, type[Matcher]]] = {each.sign: each for each in _CLASSES}
