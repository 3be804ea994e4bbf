"""Callbacks: the project's own functions and classes that say what browsers may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, TypeVar, overload

from hookbox.contrib.django.callables import Prepared

OPERATIONS: Final = (
    "connect", "disconnect", "create", "destroy", "subscribe", "unsubscribe", "publish", "message",
    "hub_subscribe",
)  # fmt: skip

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Callback:
    """What is called for one operation.

    Args:
        source: what was registered: a function, or an instance or class of handlers.
        operation: one of `OPERATIONS`.
        name: for the log.
        of_handler: whether it is a handler's method, which is not told the operation.
        call: calls it.
    """

    source: object
    operation: str
    name: str
    of_handler: bool
    call: Prepared


_callbacks: tuple[Callback, ...] = ()  # replaced as a whole, as other threads walk over it
_changing: Final = Lock()
"""Held from looking at `_callbacks` until it is replaced: apps may be imported in several threads."""


def callbacks_for(operation: str) -> list[Callback]:
    """What is to be called for an operation, in the order of registration."""
    return [callback for callback in _callbacks if callback.operation == operation]


@overload
def whcallback(operation: Function, /) -> Function: ...


@overload
def whcallback(*operations: str) -> Callable[[Function], Function]: ...


def whcallback(*operations: Any) -> Any:
    """Register a function for all operations, `@whcallback`, or for some: `@whcallback("create", "publish")`.

    It is called as `f(op, user, channel, payload)`, with as many of the last two as the operation has, and
    returned as it is.

    Raises:
        ValueError: there is no such operation.
    """
    if len(operations) == 1 and callable(operations[0]):
        return _register_function(operations[0], OPERATIONS)
    for operation in operations:
        if operation not in OPERATIONS:
            raise ValueError(f"there is no operation {operation!r}; there are {', '.join(OPERATIONS)}")
    return lambda function: _register_function(function, operations or OPERATIONS)


def register_channel_handler(handler: T) -> T:
    """Register an object with methods like `create` and `subscribe`, or a class, which is instantiated.

    Registering it again does nothing. It is returned as it is, so this is also a decorator of classes.
    """
    if any(callback.source is handler for callback in _callbacks):
        return handler
    methods = handler() if isinstance(handler, type) else handler
    found = {operation: getattr(methods, operation, None) for operation in OPERATIONS}
    name = type(methods).__qualname__
    _add(
        Callback(handler, operation, f"{name}.{operation}", True, Prepared(method))
        for operation, method in found.items()
        if callable(method)
    )
    return handler


def unregister_channel_handler(handler: object) -> None:
    """Have a handler, or a function, called no more.

    Raises:
        ValueError: it is not registered.
    """
    global _callbacks
    with _changing:
        others = tuple(callback for callback in _callbacks if callback.source is not handler)
        if len(others) == len(_callbacks):
            raise ValueError(f"{handler!r} is not registered")
        _callbacks = others


def clear_callbacks() -> None:
    """Forget all callbacks; for tests."""
    global _callbacks
    _callbacks = ()


@contextmanager
def isolated_callbacks() -> Iterator[None]:
    """Inside there are only the callbacks registered inside, and afterwards those from before; for tests."""
    global _callbacks
    before, _callbacks = _callbacks, ()
    try:
        yield
    finally:
        _callbacks = before


def _register_function(function: Function, operations: tuple[str, ...]) -> Function:
    prepared = Prepared(function)
    name = getattr(function, "__qualname__", repr(function))
    _add(Callback(function, operation, name, False, prepared) for operation in dict.fromkeys(operations))
    return function


def _add(wanted: Iterable[Callback]) -> None:
    """Add those that are not there yet: all or, if one cannot be made, none."""
    global _callbacks
    made = tuple(wanted)
    with _changing:
        known = {(id(callback.source), callback.operation) for callback in _callbacks}
        _callbacks += tuple(each for each in made if (id(each.source), each.operation) not in known)
