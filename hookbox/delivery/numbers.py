"""Numbers of messages: reserved in the store in blocks, so that none is ever given twice."""

from __future__ import annotations

import logging
from typing import Final

import gevent
from gevent.lock import BoundedSemaphore

from hookbox.delivery.store.base import Store
from hookbox.errors import DeliveryStoreError

logger = logging.getLogger(__name__)

BLOCK: Final = 10_000
LEAP: Final = 1_000_000
"""Numbers left out at each later start: as many may have been given while the store could not be written."""
AGAIN: Final = 1.0
"""Seconds until the store is tried again."""


class Numbers:
    """Gives the numbers of one server, rising.

    Args:
        store: reserves them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = self._end = 0
        self._lock = BoundedSemaphore(1)
        self._reserving = self._stopped = False

    def begin(self) -> None:
        """Be ready to `take`. Blocks.

        Raises:
            DeliveryStoreError: none can be reserved.
        """
        leap = LEAP if self._store.boot > 1 else 0
        first = self._store.reserve(BLOCK + leap) + leap
        self._next, self._end = first, first + BLOCK

    @property
    def last(self) -> int:
        """The last one given; before the first, one less than that."""
        return self._next - 1

    def next(self) -> int:
        """A number that nobody else has. Blocks once in a block.

        Raises:
            DeliveryStoreError: no more can be reserved.
        """
        while self._next >= self._end:
            with self._lock:
                if self._next >= self._end:
                    first = self._store.reserve(BLOCK)
                    self._next, self._end = max(self._next, first), first + BLOCK
        self._next += 1
        return self._next - 1

    def take(self) -> int:
        """The same without ever blocking: while the store fails, messages that it need not keep go on."""
        self._next += 1
        if self._end - self._next < BLOCK // 2 and not self._reserving:
            self._reserving = True
            gevent.spawn(self._reserve)
        return self._next - 1

    def stop(self) -> None:
        """Reserve no more; safe to repeat."""
        self._stopped = True

    def _reserve(self) -> None:
        while self._end - self._next < BLOCK // 2 and not self._stopped:
            try:
                with self._lock:
                    self._end = self._store.reserve(BLOCK) + BLOCK
            except DeliveryStoreError as error:
                if self._next >= self._end:
                    logger.warning("no numbers can be reserved, going on without: %s", error)
                gevent.sleep(AGAIN)
        self._reserving = False
