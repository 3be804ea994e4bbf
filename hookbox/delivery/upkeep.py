"""Keeps the store small: removes what ended long ago, and gives up what nobody will ever take."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gevent.event import Event

from hookbox.clock import Clock
from hookbox.delivery import notices
from hookbox.delivery.ledger import Ledger, Stopped, Wait
from hookbox.delivery.models import EndpointId
from hookbox.delivery.store.base import Entry, Store
from hookbox.delivery.terms import HOUR, Terms
from hookbox.errors import DeliveryStoreError

logger = logging.getLogger(__name__)

LOOK: Final = 15.0
"""Seconds between two looks at whether space is short, or there is any again."""
EVERY: Final = HOUR
"""Seconds between two removals of what is old, if space is not short."""
HELD_FOR: Final = 30 * 24 * HOUR
"""Seconds after which what is held is given up."""
APART_MS: Final = 24 * 3600 * 1000
"""Between two notices of the overflow of one endpoint."""


class Upkeep:
    """Looks after the store, all the time and now and then thoroughly.

    Args:
        stopping: set when it is to end.
        wait: how to wait.
        follow: is given what was written in addition.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        terms: Terms,
        ledger: Ledger,
        stopping: Event,
        wait: Wait,
        follow: Callable[[tuple[Entry, ...]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._terms = terms
        self._ledger = ledger
        self._stopping = stopping
        self._wait = wait
        self._follow = follow
        self._bell = Event()
        self._held: Counter[EndpointId] = Counter()
        self._next_at = clock.monotonic() + EVERY

    def held(self, endpoint: EndpointId) -> None:
        """A delivery is held for an endpoint; after many, one looks whether they are too many."""
        self._held[endpoint] += 1
        if self._held[endpoint] > self._terms.rules.max_held // 10:
            self._bell.set()

    def ring(self) -> None:
        """Look at once, and whether to stop."""
        self._bell.set()

    def run(self) -> None:
        """Look after the store until the end."""
        try:
            while not self._stopping.is_set():
                self._bell.clear()
                self._try_to_look()
                self._wait(self._bell, LOOK)
        except Stopped:
            pass

    def _try_to_look(self) -> None:
        try:
            self._look()
        except Stopped:
            raise
        except Exception:
            logger.exception("looking after the store failed by our own fault, it is tried again")

    def _look(self) -> None:
        self._store.repeat()
        if self._store.fault:
            self._look_whether_it_works()
        now = self._clock.monotonic()
        due = now >= self._next_at
        if due or self._held:
            self._held.clear()
            self._give_up()
        if due or self._ledger.patiently(self._store.crowded):
            self._remove()
        if due:
            self._next_at = now + EVERY

    def _look_whether_it_works(self) -> None:
        try:
            self._store.probe()
        except DeliveryStoreError as error:
            logger.debug("nothing is accepted: %s", error)
        else:
            logger.warning("the store accepts again")

    def _remove(self) -> None:
        total = gone = self._ledger.patiently(self._remove_some)
        while gone and not self._stopping.is_set():
            gone = self._ledger.patiently(self._remove_some)
            total += gone
        if total:
            logger.info("%s rows of what has ended were removed from the store", total)

    def _remove_some(self) -> int:
        rules = self._terms.rules
        keep = (rules.keep_succeeded, rules.keep_dead, rules.keep_keys)
        return self._store.tidy(self._now_ms(), *(round(seconds * 1000) for seconds in keep))

    def _give_up(self) -> None:
        """Cancel what is held beyond what may be, and tell each endpoint's operator once a day."""
        gone = self._ledger.patiently(self._give_up_some)
        while gone and not self._stopping.is_set():
            for endpoint, count in gone.items():
                logger.warning("endpoint %s: %s held deliveries are given up (overflow)", endpoint, count)
                self._tell(endpoint, self._now_ms())
            gone = self._ledger.patiently(self._give_up_some)

    def _give_up_some(self) -> dict[EndpointId, int]:
        now_ms = self._now_ms()
        return self._store.overflow(self._terms.rules.max_held, now_ms - round(HELD_FOR * 1000), now_ms)

    def _tell(self, name: EndpointId, now_ms: int) -> None:
        endpoint = self._terms.endpoints.get(name)
        if endpoint is None or 0 < endpoint.overflow_ms > now_ms - APART_MS:
            return
        self._terms.learn([replace(endpoint, overflow_ms=now_ms)])

        def write() -> tuple[Entry, ...]:
            endpoint = self._terms.endpoints.get(name)
            if endpoint is None:
                return ()
            told = notices.of_endpoint("endpoint.overflow", endpoint, self._terms.told_of(endpoint, now_ms))
            entries = self._ledger.entries(told, now_ms)
            self._store.keep_endpoint(endpoint, entries)
            return entries

        self._follow(self._ledger.patiently(write))

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
