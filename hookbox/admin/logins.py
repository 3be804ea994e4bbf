"""Who is logged in at the console, and how often somebody may try to be."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import TYPE_CHECKING, Final

from gevent.threadpool import ThreadPool

from hookbox.admin.passwords import LONGEST, Kept, keep, read_kept
from hookbox.core.limits import Bucket
from hookbox.errors import ConfigError, LimitReached

if TYPE_CHECKING:
    from hookbox.clock import Clock

IDLE_SECONDS: Final = 1800.0
LONGEST_SECONDS: Final = 43_200.0
MOST_LOGINS: Final = 100
TRIES: Final = 5
"""At once from one address; after them one a minute."""
TRIES_PER_SECOND: Final = 1 / 60
FORGOTTEN_SECONDS: Final = TRIES / TRIES_PER_SECOND
"""After so long without a try all are there again."""
MOST_ADDRESSES: Final = 10_000
MOST_WAITING: Final = 8
"""Passwords that wait to be compared: each takes a tenth of a second of one thread."""


@dataclass(slots=True, eq=False)
class Login:
    """Somebody logged in.

    Args:
        csrf: what every change has to bring along.
        began: monotonic seconds.
        seen: monotonic seconds of the last thing it did.
    """

    csrf: str = field(repr=False)
    began: float
    seen: float
    over: bool = False

    @property
    def ends(self) -> float:
        """Monotonic seconds when it ends if nothing else happens."""
        return min(self.seen + IDLE_SECONDS, self.began + LONGEST_SECONDS)


class TooManyTries(LimitReached):
    """Somebody tries passwords faster than allowed.

    Args:
        retry_after: seconds.
    """

    code = "rate"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many attempts to log in; try again in {retry_after} seconds")
        self.retry_after = retry_after


class Tries:
    """How often each address may try to log in.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._buckets)

    def take(self, address: str) -> None:
        """Count one try.

        Raises:
            TooManyTries: there were too many.
        """
        if not self._bucket(address).take(self._now(), TRIES_PER_SECOND, TRIES):
            raise TooManyTries(ceil(1 / TRIES_PER_SECOND))

    def forgive(self, address: str) -> None:
        """Who knows the password did not guess."""
        self._buckets.pop(_network(address), None)

    def _bucket(self, address: str) -> Bucket:
        name, most = _network(address), MOST_ADDRESSES
        for wider in (_network(address, 16, 32), ""):  # who has that many has them close together
            if name in self._buckets or len(self._buckets) < most:
                break
            name, most = wider, 2 * MOST_ADDRESSES
        return self._buckets.setdefault(name, Bucket(TRIES, self._now()))

    def forget_full(self) -> None:
        """Drop those that may try as often as one who never did; called now and then."""
        now = self._now()
        full = [name for name, bucket in self._buckets.items() if now - bucket.used >= FORGOTTEN_SECONDS]
        for name in full:
            del self._buckets[name]


def _network(address: str, bits: int = 32, bits6: int = 64) -> str:
    """What counts as one address.

    Args:
        bits: of IPv4 that count.
        bits6: of IPv6; one customer has a network of 64, or more.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    kept = bits6 if isinstance(parsed, IPv6Address) else bits
    return f"{int(parsed) >> (parsed.max_prefixlen - kept)}/{kept}"


class Logins:
    """All who are logged in, by their cookies.

    Args:
        password: the setting now; empty for none.
        clock: for the ends.
    """

    def __init__(self, password: Callable[[], str], clock: Clock) -> None:
        self._password = password
        self._clock = clock
        self._by_digest: dict[bytes, Login] = {}
        self._made_for = ""
        self._kept: Kept | None = None
        self._thread = ThreadPool(1)
        self._waiting = 0
        self.tries = Tries(clock.monotonic)

    def open(self, password: str, address: str) -> str | None:
        """Log in; returns the value of the cookie, None if the password is wrong. Blocks.

        Raises:
            TooManyTries: too many from this address, or altogether at this moment.
            ConfigError: the setting cannot be used.
        """
        self.tries.take(address)
        if self._waiting >= MOST_WAITING:
            raise TooManyTries(1)
        self._waiting += 1
        try:
            good = len(password) <= LONGEST and self._fits(password)
        finally:
            self._waiting -= 1
        if not good:
            return None
        self.tries.forgive(address)
        cookie = secrets.token_urlsafe(32)
        now = self._clock.monotonic()
        while len(self._by_digest) >= MOST_LOGINS:
            self._end(next(iter(self._by_digest)))
        self._by_digest[_digest(cookie)] = Login(secrets.token_urlsafe(32), now, now)
        return cookie

    def _fits(self, password: str) -> bool:
        """Compare in the thread; what is kept of the setting is made there, too, once."""
        while True:
            self._look_at_password()
            made_for = self._made_for
            kept = self._kept
            if kept is None:
                kept = read_kept(made_for)
            if kept is None:
                kept = self._thread.apply(keep, (made_for,))
            good: bool = self._thread.apply(kept.fits, (password,))
            if self._password() == made_for:  # it may have been changed meanwhile
                self._kept = kept
                return bool(made_for) and good

    def find(self, cookie: str, *, acts: bool = True) -> Login | None:
        """Who has this cookie, if the login has not ended.

        Args:
            acts: whether it is a sign of somebody being there.
        """
        self._look_at_password()
        if not cookie:
            return None
        digest = _digest(cookie)
        login = self._by_digest.get(digest)
        if login is None:
            return None
        now = self._clock.monotonic()
        if now >= login.ends:
            self._end(digest)
            return None
        if acts:
            login.seen = now
        return login

    def close(self, login: Login) -> None:
        """Log out; safe to repeat."""
        for digest in [digest for digest, other in self._by_digest.items() if other is login]:
            self._end(digest)

    def check(self) -> None:
        """End what is over; called about once a second."""
        self._look_at_password()
        self.tries.forget_full()
        now = self._clock.monotonic()
        for digest in [digest for digest, login in self._by_digest.items() if now >= login.ends]:
            self._end(digest)

    def _look_at_password(self) -> None:
        """Another password ends all logins."""
        password = self._password()
        if password != self._made_for:
            self._made_for, self._kept = password, None
            for digest in list(self._by_digest):
                self._end(digest)

    def _end(self, digest: bytes) -> None:
        self._by_digest.pop(digest).over = True


def same_text(one: str, other: str) -> bool:
    """Whether two secrets are the same; how long this takes says nothing about them."""
    return hmac.compare_digest(one.encode(), other.encode())


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogateescape")).digest()


__all__ = ["ConfigError", "Login", "Logins", "TooManyTries", "Tries", "same_text"]
