"""Calls a callback with what it asks for by the names of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asgiref.sync import async_to_sync, iscoroutinefunction

OFFERED: Final = frozenset({"data", "request", "form"})
"""Given to a callback that has a parameter of this name, wherever that stands."""

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Prepared:
    """A function, async ones included, whose signature was looked at once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._waits = is_async(function)
        parameters = _parameters(function)
        named = [p.name for p in parameters if p.kind in _BY_NAME]
        self._wanted = OFFERED.intersection(named)
        self._places: list[str] | None = None
        places = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        if self._wanted.intersection(places):
            self._places = [name for name in places if name not in self._wanted]

    def __call__(self, args: Sequence[Any], payload: str | None, offered: Mapping[str, Any]) -> Any:
        """Call it.

        Args:
            args: by position; a parameter with an offered name takes no place among them.
            payload: the last of them, unless there is none. Whoever takes `data` need not take this too.
            offered: a value for each name in `OFFERED`.
        """
        wanted = {name: offered[name] for name in self._wanted}
        given = [*args] if payload is None else [*args, payload]
        function = async_to_sync(self._function) if self._waits else self._function
        if self._places is None:
            return function(*given, **wanted)
        if payload is not None and "data" in wanted and len(given) == len(self._places) + 1:
            given.pop()
        if len(given) > len(self._places):
            return function(*given, **wanted)  # which says what is wrong with it
        return function(**dict(zip(self._places, given, strict=False)), **wanted)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether what a call returns has to be awaited."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some that are written in C
        return []
