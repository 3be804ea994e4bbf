"""How the server does, looked at every five seconds and remembered for an hour, for the plots."""

from __future__ import annotations

import math
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hookbox.core.values import JSON
from hookbox.errors import DeliveryStoreError
from hookbox.webhooks.asked import Asked, Verdict

if TYPE_CHECKING:
    from hookbox.server import Server

EVERY_SECONDS: Final = 5.0
KEPT: Final = 720
COLUMNS: Final = (
    "at", "connections", "publications", "deliveries", "webhooks", "webhook_ms", "webhook_p95_ms",
    "failures", "memory", "lag_ms",
)  # fmt: skip
"""`publications`, `deliveries` (attempts), `webhooks` and `failures` are per second, `memory` is in bytes."""
MOST_TIMES: Final = 10_000
"""Webhooks of which the time is looked at, in one sample."""
PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")
STATM: Final = Path("/proc/self/statm")


class Samples:
    """The plots' numbers.

    Args:
        server: that is looked at.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.rows: deque[list[JSON]] = deque(maxlen=KEPT)
        self._at = server.clock.monotonic()
        self._times: list[float] = []
        self._asked = self._failed = 0
        self._publications = server.site.counters.publications
        self._attempts = self._attempts_so_far()

    def note(self, asked: Asked) -> None:
        """Count a webhook."""
        self._asked += 1
        self._failed += asked.verdict in (Verdict.FAILED, Verdict.NOT_ASKED)
        if len(self._times) < MOST_TIMES:
            self._times.append(asked.took)

    def look(self, now: float) -> list[JSON] | None:
        """Take a sample if it is time to; returns it.

        Args:
            now: monotonic seconds.
        """
        seconds = now - self._at
        if seconds < EVERY_SECONDS:
            return None
        self._at = now
        row = self._sample(seconds)
        self.rows.append(row)
        return row

    def _sample(self, seconds: float) -> list[JSON]:
        server = self._server
        publications, attempts = server.site.counters.publications, self._attempts_so_far()
        times = sorted(self._times)
        row: list[JSON] = [
            round(server.clock.now(), 3),
            len(server.site.hub.connections),
            round((publications - self._publications) / seconds, 3),
            round(max(0, attempts - self._attempts) / seconds, 3),
            round(self._asked / seconds, 3),
            _ms(sum(times) / len(times)) if times else None,
            _ms(times[math.ceil(0.95 * len(times)) - 1]) if times else None,  # of two, the slower one
            round(self._failed / seconds, 3),
            resident_bytes(),
            _ms(server.loop_lag),
        ]
        self._publications, self._attempts = publications, attempts
        self._times, self._asked, self._failed = [], 0, 0
        return row

    def _attempts_so_far(self) -> int:
        try:
            worker = self._server.storeroom.deliveries().worker
        except DeliveryStoreError:
            return 0
        return sum(worker.counts().attempts.values())


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def resident_bytes() -> int:
    """Memory that the process holds; 0 where the system does not tell."""
    try:
        return int(STATM.read_text().split()[1]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
