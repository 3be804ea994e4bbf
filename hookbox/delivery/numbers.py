"""Numbers of messages: reserved in the store in blocks, so that none is ever given twice."""

from __future__ import annotations

from gevent.lock import BoundedSemaphore

from hookbox.delivery.store.base import Store

BLOCK = 10_000


class Numbers:
    """Gives the numbers of one server, rising.

    Args:
        store: reserves them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = self._end = 0
        self._lock = BoundedSemaphore(1)

    def next(self) -> int:
        """A number that nobody else has. Blocks once in a block.

        Raises:
            DeliveryStoreError: no more can be reserved.
        """
        while self._next >= self._end:
            with self._lock:
                if self._next >= self._end:
                    self._next = self._store.reserve(BLOCK)
                    self._end = self._next + BLOCK
        self._next += 1
        return self._next - 1
