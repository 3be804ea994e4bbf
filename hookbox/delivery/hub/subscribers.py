"""Subscriptions from their beginning to their end: endpoints that were made by a handshake, on lease."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hookbox.clock import Clock
from hookbox.delivery import notices
from hookbox.delivery.hub.rota import Rota
from hookbox.delivery.hub.topics import is_url
from hookbox.delivery.hub.values import HubRules, Verification
from hookbox.delivery.ids import ulid
from hookbox.delivery.models import Endpoint, EndpointId, Kind
from hookbox.delivery.store.base import PAGE
from hookbox.delivery.store.hub import HubRecords
from hookbox.delivery.worker import Worker

logger = logging.getLogger(__name__)

EXPIRED: Final = "expired"
UNSUBSCRIBED: Final = "unsubscribed"
RENEW_AT: Final = 0.9
"""Of a lease, where the subscriber expects it to go on for ever."""
LOOK_EVERY: Final = 60.0
"""Seconds between two looks at the leases at most, as the wall clock may be set."""


class Subscribers:
    """Makes, renews and ends subscriptions.

    Args:
        verify: asks a callback once more.
    """

    def __init__(
        self,
        records: HubRecords,
        worker: Worker,
        clock: Clock,
        rota: Rota,
        rules: Callable[[], HubRules],
        verify: Callable[[Verification], object],
    ) -> None:
        self._records = records
        self._worker = worker
        self._clock = clock
        self._rota = rota
        self._rules = rules
        self._verify = verify

    def look(self) -> None:
        """End the leases that are over, renew those that are to be, and come back for the next. Blocks."""
        for endpoint in (over := self._records.over(self._now_ms())):
            self._expire(endpoint)
        for endpoint in (old := self._records.renewable(self._now_ms())):
            self._renew(endpoint)
        again = PAGE in (len(over), len(old))
        if over:
            self._records.forget_pages()
        next_ms = self._records.next_ms()
        now = self._clock.monotonic()
        at = now if again else now + LOOK_EVERY
        self._rota.sooner("leases", at if next_ms is None else min(at, self._rota.at_ms(next_ms)), self.look)

    def apply(self, verification: Verification, began_ms: int) -> None:
        """A callback has confirmed what was asked for in its name. Blocks until it is so.

        Args:
            began_ms: when it was asked; the lease runs from then on.
        """
        known = self._records.find(*verification.pair)
        if verification.mode == "unsubscribe":
            if known is not None:
                self._worker.endpoint_dropped(known, UNSUBSCRIBED)
            return
        before = None if known is None else self._worker.endpoint(known)
        if before is None and verification.renewal:
            return
        endpoint = self._made(verification, began_ms, before)
        self._worker.endpoint_changed(endpoint)
        for time_ms in filter(None, (endpoint.lease_until_ms, endpoint.renew_ms)):
            self._rota.sooner("leases", self._rota.at_ms(time_ms), self.look)

    def _made(self, verification: Verification, began_ms: int, before: Endpoint | None) -> Endpoint:
        v = verification
        lease_ms = v.lease * 1000
        if before is None:
            before = Endpoint(
                EndpointId(f"ep_{ulid(self._now_ms())}"), v.callback, (v.topic,), self._now_ms(),
                kind=Kind.WEBSUB,
            )  # fmt: skip
        return replace(
            before,
            topic_text=v.text,
            lease_until_ms=began_ms + lease_ms,
            renew_ms=began_ms + round(lease_ms * RENEW_AT) if v.renews else 0,
            hub_secret=v.secret,
            dialect=v.dialect,
            verify_token=v.token,
        )

    def _expire(self, name: EndpointId) -> None:
        endpoint = self._worker.endpoint(name)
        if endpoint is not None and endpoint.lease_until_ms > self._now_ms():
            return  # it was renewed at this moment
        told = []
        if endpoint is not None:
            rules = self._rules()
            topic = endpoint.topics[0]
            told = notices.of_hub("subscription.expired", endpoint.url, topic, EXPIRED, rules.told)
            logger.info("a subscription to %s has ended with its lease", topic)
        self._worker.endpoint_dropped(name, EXPIRED, told)

    def _renew(self, name: EndpointId) -> None:
        endpoint = self._worker.endpoint(name)
        if endpoint is None or not 0 < endpoint.renew_ms <= self._now_ms():
            return
        now_ms = self._now_ms()
        again = Verification(
            0, "subscribe", endpoint.topics[0], endpoint.topic_text, endpoint.url, now_ms,
            self._rules().lease(None), endpoint.hub_secret, endpoint.dialect, endpoint.verify_token,
            renews=True, renewal=True, allowed=is_url(endpoint.topics[0]),
        )  # fmt: skip
        self._verify(again)
        endpoint = self._worker.endpoint(name)
        if endpoint is not None and endpoint.renew_ms <= self._now_ms():
            self._worker.endpoint_changed(replace(endpoint, renew_ms=0))

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
