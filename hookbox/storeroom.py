"""Everything that stands on the store, opened and closed together: deliveries, streams, the hub."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

import gevent
from gevent.lock import RLock

from hookbox.commands.channels import is_still_so
from hookbox.delivery.deliveries import Deliveries, addresses_of
from hookbox.delivery.memory import recall
from hookbox.delivery.tellings import Application
from hookbox.errors import DeliveryStoreError
from hookbox.protocol.disconnects import RESTART

if TYPE_CHECKING:
    from hookbox.delivery.hub.hub import Hub
    from hookbox.server import Server
    from hookbox.settings import Settings
    from hookbox.transports.stream import Streams

logger = logging.getLogger(__name__)

TAKE_BACK_AGAIN_SECONDS: Final = 0.5
SHORTEST_ON_DISK: Final = 3600.0
HUB_GRACE_SECONDS: Final = 2.0
"""How long the hub may take to finish what it is asking."""


class StoreRoom:
    """What stands on one server's store.

    Args:
        server: whose broker, site and settings it works with.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._streams: Streams | None = None
        self._deliveries: Deliveries | None = None
        self._hub: Hub | None = None
        self._hub_begins = RLock()
        self._addresses: frozenset[tuple[str, int]] | None = None

    def open(self) -> None:
        """Take up what is owed, and deliver it from now on. Blocks; may be repeated after `close`.

        Raises:
            DeliveryStoreError: the store cannot be used; this process does not hold it then.
        """
        server = self._server
        site = server.site
        deliveries = Deliveries(
            lambda: server.settings,
            server.clock,
            server.resolver,
            self._own_addresses,
            Application(
                site.app, server.webhooks.url, lambda event: is_still_so(site, event), server.greenlets
            ),
            self._own_url,
        )
        try:
            self._take_up(deliveries)
        except BaseException:
            deliveries.stop(0)
            raise
        self._deliveries = deliveries
        site.exits = deliveries.exits
        if deliveries.tellings is not None:
            site.tellings = deliveries.tellings
        if self._streams is not None:
            self._streams.end(RESTART)  # they read from a store that is closed
        self._streams = self._hub = None

    def _take_up(self, deliveries: Deliveries) -> None:
        broker, server = self._server.broker, self._server
        deliveries.numbers.begin()
        broker.numbers = deliveries.numbers
        broker.on_broken = deliveries.store.broken
        broker.disk_seconds = _disk_seconds(server.settings)
        if not len(broker):
            recall(deliveries.store, broker, server.clock, server.settings.datetime_utc)
        deliveries.start()

    def take_back(self) -> None:
        """The same after the store was given away in vain, again and again until it works. Blocks.

        Whoever was to have it may hold it for a moment still. A server that is drained meanwhile leaves it.
        """
        while not self._server.site.draining:
            try:
                self.open()
            except DeliveryStoreError as error:
                logger.error("the store cannot be taken back yet: %s", error)
                gevent.sleep(TAKE_BACK_AGAIN_SECONDS)
            else:
                return

    def warm_up(self) -> None:
        """Begin what can wait until the server has started: streams, and what the hub was about to do."""
        self.deliveries().warm_up()
        self.streams()
        self.hub()

    def close(self, grace_seconds: float) -> None:
        """Let attempts under way finish, then close the store. Blocks; safe to repeat."""
        self._server.site.tell_at_once()
        if self._hub is not None:
            self._hub.stop(min(grace_seconds, HUB_GRACE_SECONDS))
        if self._deliveries is not None:
            self._deliveries.stop(grace_seconds)

    def reconfigure(self) -> None:
        """Go by the settings that are in force now."""
        self._server.broker.disk_seconds = _disk_seconds(self._server.settings)
        if self._deliveries is not None:
            self._deliveries.reconfigure()

    @property
    def fault(self) -> str:
        """Why nothing that has to be kept is accepted now; empty if it is."""
        return self._deliveries.store.fault if self._deliveries is not None else ""

    def deliveries(self) -> Deliveries:
        """What delivers now.

        Raises:
            DeliveryStoreError: nothing does, as the server has not begun.
        """
        if self._deliveries is None:
            raise DeliveryStoreError("the server has not started")
        return self._deliveries

    def streams(self) -> Streams:
        """The streams that are open now.

        Raises:
            DeliveryStoreError: there are none, as the server has not begun.
        """
        if self._streams is None:
            from hookbox.delivery.past import Past
            from hookbox.transports.stream import Streams

            server, now = self._server, self.deliveries()
            past = Past(server.broker, now.store, now.numbers)
            self._streams = Streams(server, past, server.clock)
        return self._streams

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return 0 if self._streams is None else len(self._streams)

    @property
    def sent_on_streams(self) -> int:
        """Messages that streams got so far."""
        return 0 if self._streams is None else self._streams.sent

    @property
    def verifications(self) -> Counter[str]:
        """What came of asking callbacks whether they meant it, so far."""
        return Counter() if self._hub is None else self._hub.verifier.results

    def hub(self) -> Hub:
        """The hub that works now. Blocks until it has begun.

        Raises:
            DeliveryStoreError: none does, as the server has not begun.
        """
        with self._hub_begins:  # it takes up what is left over, once
            if self._hub is None:
                self._begin_hub()
            if self._hub is None:
                raise DeliveryStoreError("the store was closed meanwhile")
            return self._hub

    def _begin_hub(self) -> None:
        from hookbox.commands.hub import make_hub

        made = self._hub = make_hub(self._server.site, self.deliveries())
        try:
            made.start()
        except DeliveryStoreError:
            if self._hub is made:
                self._hub = None
            raise

    def _own_url(self) -> str:
        """Where the public door is, as far as it knows itself."""
        url = self._server.doors[0].url if self._server.doors else ""
        base = url if url.startswith("http") else "http://localhost"
        return base + self._server.settings.path_prefix.rstrip("/")

    def _own_addresses(self) -> frozenset[tuple[str, int]]:
        if self._addresses is None:
            self._addresses = addresses_of(door.socket for door in self._server.doors)
        return self._addresses


def _disk_seconds(settings: Settings) -> float:
    """How long the store keeps a message at least of which nothing is owed."""
    return max(settings.retain_succeeded, SHORTEST_ON_DISK)
