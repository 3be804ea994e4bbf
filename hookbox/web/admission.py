"""How many connections may be open, together and from one address."""

from __future__ import annotations

import logging
import resource
from collections import Counter
from collections.abc import Callable

from hookbox.core.limits import Bucket
from hookbox.settings import Settings

logger = logging.getLogger(__name__)


class Refused(Exception):
    """One connection too many; `status` is the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Admission:
    """Counts open connections of all kinds.

    Limits may be changed at any time.

    Args:
        limit: how many may be open.
        spare: how many more, at most, for as long as it takes to tell them that there is no place.
        per_address: how many from one address; 0 means any number.
        rate: new ones per second from one address; 0 means any number.
        now: monotonic seconds.
    """

    def __init__(
        self, limit: int, per_address: int, rate: float, now: Callable[[], float], spare: int = 32
    ) -> None:
        self.limit = limit
        self.spare = spare
        self.per_address = per_address
        self.rate = rate
        self.open = 0
        self.refused = 0
        self.refusals: Counter[str] = Counter()
        """The same, by the setting whose limit it was."""
        self._at_the_door = 0
        self._now = now
        self._by_address: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}

    def arrive(self) -> bool:
        """Count a socket that was accepted, until it is told whether it may stay (`pass_on`).

        Returns:
            False if there is not even a place to be told so; then it is not counted.
        """
        if self.open + self._at_the_door >= self.limit + self.spare:
            self.refused += 1
            self.refusals["connections"] += 1
            return False
        self._at_the_door += 1
        return True

    def pass_on(self) -> None:
        """One that arrived was let in, or told off."""
        self._at_the_door -= 1

    def enter(self, address: str) -> None:
        """Count a connection in.

        Raises:
            Refused: it is one too many; then it is not counted.
        """
        if self.open >= self.limit:
            raise self._refusal(503, "too many connections", "connections")
        if self.per_address and self._by_address.get(address, 0) >= self.per_address:
            raise self._refusal(429, "too many connections from your address", "connections_per_ip")
        if self.rate and not self._bucket(address).take(self._now(), self.rate, self._burst):
            raise self._refusal(429, "too many new connections from your address", "accept_rate")
        self.open += 1
        if self.per_address:
            self._by_address[address] = self._by_address.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self.open -= 1
        left = self._by_address.get(address, 0) - 1
        if left > 0:
            self._by_address[address] = left
        else:
            self._by_address.pop(address, None)

    def _bucket(self, address: str) -> Bucket:
        if len(self._buckets) > 10_000:
            self._buckets.clear()
        return self._buckets.setdefault(address, Bucket(self._burst, self._now()))

    @property
    def _burst(self) -> float:
        return max(1.0, self.rate)

    def _refusal(self, status: int, reason: str, limit: str) -> Refused:
        self.refused += 1
        self.refusals[limit] += 1
        return Refused(status, reason)


def connection_limit(settings: Settings) -> int:
    """How many connections may be open: as set, but no more than the open files allowed less a reserve."""
    most = files_allowed() - reserve(files_allowed())
    if settings.connections > most:
        logger.warning(
            "connections = %d, but %d is what the limit on open files allows; raise that (LimitNOFILE)",
            settings.connections,
            most,
        )
    return min(settings.connections or most, most)


def files_allowed() -> int:
    """How many files this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1_048_576 if soft == resource.RLIM_INFINITY else soft


def reserve(files: int) -> int:
    """How many of them are not for connections but for asking the application, logs and the like."""
    return min(512, files // 4)
