"""What has happened to connections: the last notes of the journal, by which one can be followed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hookbox.core.connection import Connection
from hookbox.core.cookies import read_cookies
from hookbox.core.values import JSON, JSONObject
from hookbox.core.watchers import Note
from hookbox.webhooks.masking import scrub

KEPT: Final = 10_000
LONGEST: Final = 500
"""Characters of a text in a note: applications and headers may say as much as they like."""
OWN_WORDS: Final = ("why", "reason")
"""What of a note somebody may have put anything into."""


@dataclass(slots=True)
class Kept:
    """One note, as it was at that moment.

    Args:
        at: seconds since the epoch.
    """

    at: float
    kind: str
    connection: str
    session: str
    user: str
    about: JSONObject

    def item(self) -> JSONObject:
        """The note as the console shows it."""
        return {
            "at": self.at,
            "kind": self.kind,
            "connection": self.connection,
            "session": self.session,
            "user": self.user,
            "about": self.about,
        }


class Past:
    """The last notes.

    Args:
        now: seconds since the epoch.
        secrets: the configured ones, which are left out wherever they stand, like the connection's cookies.
    """

    def __init__(self, now: Callable[[], float], secrets: Callable[[], Iterable[str]] = tuple) -> None:
        self._now = now
        self._secrets = secrets
        self._kept: deque[Kept] = deque(maxlen=KEPT)
        self._later_ids: dict[str, str] = {}
        """What those were called first that have taken the place of an earlier connection."""

    def keep(self, note: Note) -> Kept:
        """Remember what happened; returns what is remembered.

        A connection that takes the place of an earlier one bears its id from then on, so what it did before
        belongs there, too.
        """
        connection = note.connection
        user = connection.user.name if connection.user else ""
        about = {name: self._fit(connection, name, value) for name, value in note.about.items()}
        kept = Kept(self._now(), note.kind, connection.id, connection.session, user, about)
        before = kept.about.pop("before", None)
        if isinstance(before, str):
            self._later_ids[before] = kept.connection
            if len(self._later_ids) > KEPT:
                del self._later_ids[next(iter(self._later_ids))]
        self._kept.append(kept)
        return kept

    def _fit(self, connection: Connection, name: str, value: JSON) -> JSON:
        """A value as it is; a text not too long, and without secrets."""
        if not isinstance(value, str):
            return value
        if name not in OWN_WORDS:
            return value[:LONGEST]
        cookies = read_cookies(f"{connection.cookies}; {connection.request_cookies}").values()
        return scrub(value[: 2 * LONGEST], [*self._secrets(), *cookies])[:LONGEST]

    def _all(self) -> list[Kept]:
        """All of them, by the ids that their connections have in the end."""
        for kept in self._kept:
            kept.connection = self._later_ids.get(kept.connection, kept.connection)
        return list(self._kept)

    def of_connection(self, connection: str) -> list[Kept]:
        """The notes of one connection, oldest first."""
        return [kept for kept in self._all() if kept.connection == connection]

    def of_session(self, session: str) -> list[Kept]:
        """The notes of all connections of one login of the application, oldest first."""
        everything = self._all()
        names = {kept.connection for kept in everything if kept.session == session}
        return [kept for kept in everything if kept.connection in names]


def in_order(items: list[JSONObject]) -> list[JSON]:
    """Items by the time at which they happened."""

    def at(item: JSONObject) -> float:
        value = item["at"]
        return value if isinstance(value, float | int) else 0.0

    return [*sorted(items, key=at)]
