"""The call for numbers: what waits, since when, and for whom."""

from __future__ import annotations

from typing import Final

from hookbox.core.values import JSONObject
from hookbox.delivery.models import State
from hookbox.delivery.store.base import Standing
from hookbox.web.backlog import shown
from hookbox.web.backlog.asked import Asked, write_cursor
from hookbox.web.backlog.office import Office

FRESH: Final = 2.0
"""Seconds for which numbers are shown again, as counting takes a while with much in the store."""


class Stats:
    """Counts, but not more often than it has to."""

    def __init__(self) -> None:
        self._at = -FRESH
        self._standing = Standing()

    def __call__(self, office: Office, asked: Asked) -> JSONObject:
        """How things stand; the endpoints a page at a time."""
        now = office.clock.monotonic()
        if now - self._at >= FRESH:
            self._standing, self._at = office.store.standing(), now
        standing, counts = self._standing, office.worker.counts()
        return {
            "deliveries": {state.value: standing.states.get(state, 0) for state in State},
            "oldest_due": shown.time(standing.oldest_due_ms),
            "in_flight": counts.in_flight,
            "receivers_stopped": counts.stopped,
            "attempts": dict(counts.attempts),
            "store_bytes": standing.bytes,
            **self._endpoints(office, asked),
        }

    def _endpoints(self, office: Office, asked: Asked) -> JSONObject:
        limit = asked.limit()
        page = office.backlog.endpoints(asked.cursor("e"))[:limit]
        owed = office.backlog.owed_to([endpoint.id for endpoint in page])
        shown_page: JSONObject = {
            endpoint.id: {
                "state": (office.worker.endpoint(endpoint.id) or endpoint).state,
                "owed": {state.value: count for state, count in owed[endpoint.id].items()},
            }
            for endpoint in page
        }
        place = page[-1].id if len(page) == limit else None
        return {"endpoints": shown_page, "cursor": write_cursor("e", place)}
