"""The places of connections that were cut off: kept for a while, and given back to whoever shows the key.

Only this process can make a key: it is a keyed hash of the connection's id and of its cookies. So nothing has
to be stored for it, and it is worthless with other cookies, for another connection, or after a restart.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from hookbox.core.values import JSON, ChannelName, ConnectionId

if TYPE_CHECKING:
    from hookbox.core.user import User


@dataclass(frozen=True, slots=True)
class Place:
    """What a connection had that a later one may take over.

    Args:
        user: whose connection it was.
        kept_cookies: set by answers of the application.
        own_channels: what it had subscribed to itself, with `per_connection_subscriptions`.
        welcome: the payload with which the application replaced the client's, as the only item; or nothing.
        session: to which it belonged, empty for none.
        until: on the clock of `Places.keep` and `Places.take`, seconds.
    """

    user: User
    kept_cookies: Mapping[str, str | None] | None = field(repr=False)
    own_channels: frozenset[ChannelName] | None
    welcome: tuple[JSON, ...]
    session: str
    until: float


class Places:
    """Places of connections that have gone, by their ids, and the keys to them.

    Args:
        secret: that keys are made with; by default a new one.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._kept: dict[ConnectionId, Place] = {}
        self._of_session: dict[str, dict[ConnectionId, None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, connection: ConnectionId, cookies: str) -> str:
        """The key to a connection's place: 256 bits, unguessable, good with the same cookies only.

        Args:
            cookies: value of a Cookie header; the order in it does not matter.

        Source: RFC 7693 section 2.9 (keyed BLAKE2).
        """
        same = "; ".join(sorted(cookies.split("; ")))
        digest = blake2b(f"{connection}\n{same}".encode(), digest_size=32, key=self._secret).digest()
        return urlsafe_b64encode(digest).decode().rstrip("=")

    def fits(self, key: str, connection: ConnectionId, cookies: str) -> bool:
        """Whether a key is the right one; how long this takes says nothing about it."""
        return hmac.compare_digest(key.encode(), self.key(connection, cookies).encode())

    def keep(self, connection: ConnectionId, place: Place, now: float) -> None:
        """Keep a place until its time is over."""
        self.forget_old(now)
        self._remove(connection)
        self._put(connection, place)

    def take(self, connection: ConnectionId, now: float) -> Place | None:
        """Give a place away, if it is still kept."""
        place = self._remove(connection)
        return place if place is not None and now < place.until else None

    def add_cookies(self, connection: ConnectionId, cookies: Mapping[str, str | None], session: str) -> None:
        """An answer that came after the cut has set cookies: whoever takes the place has to have them.

        Args:
            session: to which the place belongs with them.
        """
        place = self._kept.get(connection)
        if place is not None:
            self._change(connection, place, cookies, session)

    def has(self, session: str) -> bool:
        """Whether a place of that session is kept."""
        return session in self._of_session

    def forget_old(self, now: float) -> None:
        """Give up places whose time is over; they are in the order of their ends."""
        while self._kept:
            first = next(iter(self._kept))
            if now < self._kept[first].until:
                return
            self._remove(first)

    def forget_user(self, user: User) -> list[ConnectionId]:
        """Give up all places of a user, who must not come back unasked; returns whose they were."""
        return self._forget([name for name, place in self._kept.items() if place.user is user])

    def forget_session(self, session: str) -> list[ConnectionId]:
        """Give up all places of a session that has ended; returns whose they were."""
        return self._forget(list(self._of_session.get(session, ())))

    def change_session(self, session: str, new: str, changes: Mapping[str, str | None]) -> None:
        """The application has changed cookies of a session, and by that the session itself."""
        for connection in list(self._of_session.get(session, ())):
            self._change(connection, self._kept[connection], changes, new)

    def _forget(self, connections: list[ConnectionId]) -> list[ConnectionId]:
        for connection in connections:
            self._remove(connection)
        return connections

    def _change(
        self, connection: ConnectionId, place: Place, cookies: Mapping[str, str | None], session: str
    ) -> None:
        """Let a place have other cookies; it stays where it is in the order."""
        self._forget_session_of(connection, place)
        kept = {**(place.kept_cookies or {}), **cookies}
        self._put(connection, replace(place, kept_cookies=kept, session=session))

    def _put(self, connection: ConnectionId, place: Place) -> None:
        self._kept[connection] = place
        if place.session:
            self._of_session.setdefault(place.session, {})[connection] = None

    def _remove(self, connection: ConnectionId) -> Place | None:
        place = self._kept.pop(connection, None)
        if place is not None:
            self._forget_session_of(connection, place)
        return place

    def _forget_session_of(self, connection: ConnectionId, place: Place) -> None:
        if not place.session:
            return
        others = self._of_session[place.session]
        del others[connection]
        if not others:
            del self._of_session[place.session]
