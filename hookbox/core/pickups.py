"""Cookies that wait for browsers to fetch them: by keys that nobody can guess, good once and for a while."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from hookbox.core.cookies import SetCookie
from hookbox.core.values import ConnectionId

LIFE_SECONDS: Final = 60.0
"""How long a key is good."""
MOST_KEYS: Final = 16
MOST_COOKIES: Final = 50
MOST_BYTES: Final = 16_384
"""What may wait for one connection; an answer's head must hold it, and browsers take 4096 bytes a cookie."""
MOST_BYTES_ALTOGETHER: Final = 16_777_216


class Waiting(NamedTuple):
    """One cookie.

    Args:
        name: its own.
        header: value of the Set-Cookie header.
        known: what the browser may show of that name; with anything else it has got a newer one by itself.
    """

    name: str
    header: str
    known: frozenset[str | None]

    def is_newer_than(self, shown: str | None) -> bool:
        """Whether the browser should have it, with what it shows now; without one it cannot have a newer."""
        return shown is None or not self.known or shown in self.known


class Parcel:
    """What waits for one connection. Two cookies of one name, domain and path are one: the later.

    Args:
        owner: whose it is.
    """

    __slots__ = ("cookies", "keys", "owner", "until")

    def __init__(self, owner: ConnectionId) -> None:
        self.owner = owner
        self.cookies: dict[tuple[str, str, str], Waiting] = {}
        self.keys: dict[str, float] = {}
        self.until = 0.0

    @property
    def size(self) -> int:
        """Characters of all cookies."""
        return sum(len(cookie.header) for cookie in self.cookies.values())


class Pickups:
    """Cookies that wait, by connection.

    A connection has one parcel, however often something is put into it: the first of its keys that is used
    gets everything, the others get nothing more. So what a browser fetches is always the newest.

    Args:
        most_bytes: characters of cookies that may wait altogether; the oldest parcel has to go first.
    """

    def __init__(self, most_bytes: int = MOST_BYTES_ALTOGETHER) -> None:
        self._most_bytes = most_bytes
        self._size = 0
        self._parcels: dict[ConnectionId, Parcel] = {}  # in the order of their last announcement
        self._by_key: dict[str, Parcel] = {}
        self.dropped = 0
        """Cookies that had to go because too much waited."""

    def __len__(self) -> int:
        return len(self._parcels)

    def put(
        self,
        owner: ConnectionId,
        cookies: Iterable[SetCookie],
        now: float,
        keep: float,
        known: Mapping[str, frozenset[str | None]] = MappingProxyType({}),
    ) -> str:
        """Let cookies wait.

        Args:
            now: monotonic seconds.
            keep: seconds for which they wait beyond the life of the key, so that `again` finds them.
            known: see `Waiting`, by name; a cookie that is not in it is not judged.

        Returns:
            the key to everything that waits for this connection; empty if nothing does, as it was too much.
        """
        self._forget_old(now)
        parcel = self._parcels.pop(owner, None) or Parcel(owner)
        self._size -= parcel.size
        for cookie in cookies:
            parcel.cookies.pop(cookie.identity, None)
            values = known.get(cookie.name, frozenset())
            parcel.cookies[cookie.identity] = Waiting(cookie.name, cookie.for_browser, values)
        while parcel.size > MOST_BYTES or len(parcel.cookies) > MOST_COOKIES:
            del parcel.cookies[next(iter(parcel.cookies))]
            self.dropped += 1
        self._size += parcel.size
        self._parcels[owner] = parcel
        if not parcel.cookies:
            self._forget(parcel)
            return ""
        while self._size > self._most_bytes and len(self._parcels) > 1:
            oldest = next(iter(self._parcels.values()))
            self.dropped += len(oldest.cookies)
            self._forget(oldest)
        return self._new_key(parcel, now, keep)

    def again(self, owner: ConnectionId, now: float, keep: float) -> str:
        """Another key to what still waits for a connection; empty if nothing does."""
        self._forget_old(now)
        parcel = self._parcels.get(owner)
        if parcel is None or not parcel.cookies:
            return ""
        self._parcels[owner] = self._parcels.pop(owner)
        return self._new_key(parcel, now, keep)

    def waits(self, owner: ConnectionId, cookie: SetCookie) -> bool:
        """Whether an earlier cookie of that name, domain and path waits for a connection."""
        parcel = self._parcels.get(owner)
        return parcel is not None and cookie.identity in parcel.cookies

    def take(
        self, key: str, now: float, shown: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[str, ...] | None:
        """Use a key up.

        Args:
            shown: the cookies that the browser has now. A value that the application's answer did not know of
                is newer, say of a login in another tab, and stays.

        Returns:
            values of Set-Cookie headers, none if another key got them; None if the key is not good.
        """
        self._forget_old(now)
        parcel = self._by_key.pop(key, None)
        if parcel is None:
            return None
        until = parcel.keys.pop(key)
        if now >= until:
            return None
        cookies = tuple(c.header for c in parcel.cookies.values() if c.is_newer_than(shown.get(c.name)))
        self._size -= parcel.size
        parcel.cookies.clear()
        if not parcel.keys:
            self._forget(parcel)
        return cookies

    def forget(self, owner: ConnectionId) -> None:
        """Drop what waits for a connection that the application has ended, and its keys. Safe to repeat."""
        parcel = self._parcels.get(owner)
        if parcel is not None:
            self._forget(parcel)

    def _new_key(self, parcel: Parcel, now: float, keep: float) -> str:
        key = secrets.token_urlsafe(32)
        parcel.keys[key] = now + LIFE_SECONDS
        parcel.until = now + LIFE_SECONDS + keep
        self._by_key[key] = parcel
        while len(parcel.keys) > MOST_KEYS:
            oldest = next(iter(parcel.keys))
            del parcel.keys[oldest], self._by_key[oldest]
        return key

    def _forget_old(self, now: float) -> None:
        while self._parcels:
            first = next(iter(self._parcels.values()))
            if now < first.until:
                return
            self._forget(first)

    def _forget(self, parcel: Parcel) -> None:
        del self._parcels[parcel.owner]
        self._size -= parcel.size
        for key in parcel.keys:
            del self._by_key[key]
