"""Which endpoints want a topic: known without asking each of them at every publication."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hookbox.delivery.match import wants
from hookbox.delivery.models import Endpoint, EndpointId

MOST_REMEMBERED: Final = 10_000
"""Topics whose endpoints are remembered at once."""

NOBODY: Final[tuple[EndpointId, ...]] = ()


class Wanting:
    """An index from topics to the endpoints that want them."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[EndpointId, None]] = {}
        self._patterns: dict[EndpointId, tuple[str, ...]] = {}
        self._known: dict[str, tuple[EndpointId, ...]] = {}

    def of(self, topic: str) -> tuple[EndpointId, ...]:
        """The endpoints that want a topic, by id; the same tuple until one of them changes."""
        if not self._exact and not self._patterns:
            return NOBODY
        known = self._known.get(topic)
        if known is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            known = self._known[topic] = tuple(sorted(self._look(topic)))
        return known

    def _look(self, topic: str) -> set[EndpointId]:
        by_pattern = (
            name
            for name, patterns in self._patterns.items()
            if any(wants(pattern, topic) for pattern in patterns)
        )
        return {*self._exact.get(topic, ()), *by_pattern}

    def change(self, before: Endpoint | None, now: Endpoint | None) -> None:
        """Take in that an endpoint is new, different, or gone."""
        old, new = _wanted(before), _wanted(now)
        if old == new:
            return
        if before is not None:
            self._remove(before.id, old)
        if now is not None:
            self._add(now, new)
        if any("*" in topic for topic in (*old, *new)):  # of a subscription that is no pattern, but rare
            self._known.clear()
        for topic in (*old, *new):
            self._known.pop(topic, None)

    def _add(self, endpoint: Endpoint, topics: Iterable[str]) -> None:
        patterns = () if endpoint.is_subscription else tuple(topic for topic in topics if "*" in topic)
        if patterns:
            self._patterns[endpoint.id] = patterns
        for topic in topics:
            if topic not in patterns:
                self._exact.setdefault(topic, {})[endpoint.id] = None

    def _remove(self, name: EndpointId, topics: Iterable[str]) -> None:
        self._patterns.pop(name, None)
        for topic in topics:
            names = self._exact.get(topic)
            if names is not None:
                names.pop(name, None)
                if not names:
                    del self._exact[topic]


def _wanted(endpoint: Endpoint | None) -> tuple[str, ...]:
    return () if endpoint is None else endpoint.topics
