"""Conditions of listeners: which of a hook's events they want."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any as Anything
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django.match.able import (
    Any,
    Contains,
    Endswith,
    Is,
    Like,
    Matcher,
    Startswith,
    Text,
)
from hookbox.contrib.django.match.strategy import deepmatch
from hookbox.contrib.django.match.written import from_json, has_like, to_json

CONDITION_PASS: Final = 0
CONDITION_EXACT: Final = 1
CONDITION_STARTSWITH: Final = 2
CONDITION_ENDSWITH: Final = 3
CONDITION_CONTAINS: Final = 4

MATCHABLE_CHOICES: Final[tuple[tuple[int, Promise], ...]] = (
    (CONDITION_PASS, _("anything")),
    (CONDITION_EXACT, _("exact")),
    (CONDITION_STARTSWITH, _("starts with")),
    (CONDITION_ENDSWITH, _("ends with")),
    (CONDITION_CONTAINS, _("contains")),
)

CONST_TO_MATCHABLE: Final[dict[int, type[Matcher]]] = {
    CONDITION_PASS: Any,
    CONDITION_EXACT: Is,
    CONDITION_STARTSWITH: Startswith,
    CONDITION_ENDSWITH: Endswith,
    CONDITION_CONTAINS: Contains,
}

__all__ = [
    "CONDITION_CONTAINS", "CONDITION_ENDSWITH", "CONDITION_EXACT", "CONDITION_PASS", "CONDITION_STARTSWITH",
    "CONST_TO_MATCHABLE", "MATCHABLE_CHOICES",
    "Any", "Contains", "Endswith", "Is", "Like", "Matcher", "Startswith", "Text",
    "const_to_matchable", "deepmatch", "from_json", "has_like", "mtuplelist_to_matchdict", "to_json",
]  # fmt: skip


def const_to_matchable(const: int | str, value: Anything, *, exact: type[Matcher] = Is) -> Matcher:
    """The matcher for a constant.

    Args:
        const: one of `CONDITION_*`, as a form sends it or as a number.
        exact: what `CONDITION_EXACT` is; text from a form is compared as `Text`.

    Raises:
        KeyError: there is no such constant.
        ValueError: it is no number.
    """
    number = int(const)
    return (exact if number == CONDITION_EXACT else CONST_TO_MATCHABLE[number])(value)


def mtuplelist_to_matchdict(
    mtuplelist: Iterable[tuple[str, int | str, Anything]], *, exact: type[Matcher] = Is
) -> dict[str, Matcher]:
    """A condition from tuples `(name, constant, value)`; those with `CONDITION_PASS` ask nothing, and go."""
    return {
        name: const_to_matchable(const, value, exact=exact)
        for name, const, value in mtuplelist
        if int(const) != CONDITION_PASS
    }
