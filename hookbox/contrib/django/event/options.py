"""How a hook is told what it is: by attributes of its class, and by arguments, which come first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from inspect import Parameter, getattr_static, signature
from types import FunctionType
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from hookbox.contrib.django.event.base import Hook

_name = re.compile(r"[A-Za-z0-9_.-]{1,120}").fullmatch

OLD_ASYNC = "async"
"""What `async_` was called before the word was reserved."""


def apply_options(hook: Hook, options: dict[str, Any]) -> None:
    """Set what was given; None leaves the class's attribute alone.

    Raises:
        TypeError: an option is unknown, or `async` and `async_` contradict each other.
    """
    given = dict(options)
    if OLD_ASYNC in given:
        old = given.pop(OLD_ASYNC)
        if given.get("async_") not in (None, old):
            raise TypeError("async and async_ are the same argument, and were given differently")
        given["async_"] = old
    for name, value in given.items():
        if name not in hook.OPTIONS:
            known = ", ".join(sorted(hook.OPTIONS))
            raise TypeError(
                f"{type(hook).__name__}() got an unexpected keyword argument {name!r}; there are {known}"
            )
        if value is not None:
            setattr(hook, name, value)
    if given.get("async_") is None:
        hook.async_ = _class_async(type(hook))


def _class_async(cls: type) -> bool:
    """The class's `async_`, or its attribute literally called `async`: whichever is nearer."""
    for each in cls.__mro__:
        for name in ("async_", OLD_ASYNC):
            if name in vars(each):
                return bool(vars(each)[name])
    return True


def read_name(cls: type, name: str | None) -> str:
    """A hook's name; where there is none, its class's.

    Raises:
        ImproperlyConfigured: it has other characters than may be sent in a header, or too many.
    """
    name = name or f"{cls.__module__}.{cls.__name__}"
    if not _name(name):
        raise ImproperlyConfigured(
            f"hook name {name!r}: a name is 1 to 120 letters, digits, dots, dashes and underscores"
        )
    return name


def read_names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """Names of arguments or fields, each once, in their order (sets have none, and are sorted).

    Raises:
        TypeError: it is a single text.
    """
    if isinstance(names, str):
        raise TypeError(f"{what} has to be a list of names, not the text {names!r}; write [{names!r}]")
    return tuple(dict.fromkeys(sorted(names) if isinstance(names, set | frozenset) else names))


def callable_option(hook: Hook, name: str) -> Callable[..., Any] | None:
    """An option that may be a function of one argument, ready to be called with it.

    In a class body such a function turns into a method; whether it takes `self` says what it was meant as.
    """
    value = getattr(hook, name)
    if not callable(value):
        return None
    written = getattr_static(hook, name)
    if isinstance(written, FunctionType) and name not in vars(hook) and _needed(written) == 1:
        return written
    return value  # type: ignore[no-any-return]  # whatever it returns is looked at


def _needed(function: FunctionType) -> int:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature(function).parameters.values()
    return sum(each.kind in kinds and each.default is Parameter.empty for each in parameters)
