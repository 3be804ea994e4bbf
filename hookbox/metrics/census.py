"""How the store stands, counted now and then: no scrape waits for a store that is slow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gevent.event import Event

from hookbox.delivery.models import Endpoint
from hookbox.delivery.store.base import Standing
from hookbox.errors import DeliveryStoreError
from hookbox.web.handlers import breathing

if TYPE_CHECKING:
    from hookbox.server import Server

FRESH_SECONDS: Final = 2.0
"""For so long what was counted is shown again."""
PATIENCE_SECONDS: Final = 1.0
"""How long a scrape waits for what is being counted; then it shows what was counted before."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted.

    Args:
        standing: of the store.
        endpoints: by state; subscriptions are not among them.
        subscriptions: by dialect.
    """

    standing: Standing = field(default_factory=Standing)
    endpoints: Counter[str] = field(default_factory=Counter)
    subscriptions: Counter[str] = field(default_factory=Counter)


class Census:
    """Counts what is in a server's store.

    Args:
        server: whose.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._counted = Counted()
        self._at = -FRESH_SECONDS
        self._under_way: Event | None = None

    def seen(self) -> Counted:
        """What is in the store, as far as it is known. Blocks up to `PATIENCE_SECONDS`."""
        if self._server.clock.monotonic() - self._at >= FRESH_SECONDS:
            if self._under_way is None:
                self._under_way = Event()
                self._server.greenlets.spawn(self._count, self._under_way)
            self._under_way.wait(PATIENCE_SECONDS)
        return self._counted

    def _count(self, done: Event) -> None:
        try:
            deliveries = self._server.storeroom.deliveries()
            standing = deliveries.store.standing()
            self._counted = Counted(standing, *_sorted(deliveries.worker.endpoints.values()))
            self._at = self._server.clock.monotonic()
        except DeliveryStoreError:
            pass  # the metrics say so in other ways
        finally:
            self._under_way = None
            done.set()


def _sorted(endpoints: Iterable[Endpoint]) -> tuple[Counter[str], Counter[str]]:
    registered: Counter[str] = Counter()
    subscriptions: Counter[str] = Counter()
    for endpoint in breathing(list(endpoints)):
        if endpoint.is_subscription:
            subscriptions[endpoint.dialect] += 1
        else:
            registered[endpoint.state] += 1
    return registered, subscriptions
