"""Who looks on while things happen: metrics, the console, tests. Nobody who acts waits for them or fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hookbox.core.connection import Connection
from hookbox.core.values import JSONObject

Seen = TypeVar("Seen")


class Watchers(Generic[Seen]):
    """Those who want to see things of one sort; false while there are none.

    Args:
        on_error: is given what a watcher raised; the others still see the thing.
    """

    __slots__ = ("_on_error", "_watchers")

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._watchers: tuple[Callable[[Seen], None], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def add(self, watcher: Callable[[Seen], None]) -> None:
        """Show a watcher everything from now on. It must not block."""
        self._watchers += (watcher,)

    def remove(self, watcher: Callable[[Seen], None]) -> None:
        """Show it no more; safe to repeat."""
        self._watchers = tuple(other for other in self._watchers if other != watcher)

    def show(self, thing: Seen) -> None:
        """Show a thing to each of them."""
        for watcher in self._watchers:
            try:
                watcher(thing)
            except Exception as error:
                self._on_error(error)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened to one connection.

    Args:
        kind: in one word, such as `opened`, `connected`, `subscribed`, `refused`, `closed`.
        connection: whose life it belongs to. Only what is copied out of it at once is of that moment.
        about: what else there is to say, fit for an operator: no cookie, no secret, no payload.
    """

    kind: str
    connection: Connection
    about: JSONObject = field(default_factory=dict)


class Journal(Watchers[Note]):
    """What happens to connections, for those who follow one. Costs next to nothing while nobody does."""

    __slots__ = ()

    def note(self, kind: str, connection: Connection, **about: object) -> None:
        """Show that something happened; see `Note`."""
        if self._watchers:
            self.show(Note(kind, connection, about))  # type: ignore[arg-type]  # what is said is JSON
