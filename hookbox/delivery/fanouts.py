"""Writes the deliveries of a message that has too many for one commit: page by page, from where it was."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gevent.event import Event

from hookbox.delivery.ledger import AGAIN, Ledger, Stopped, Wait
from hookbox.delivery.models import Delivery, Message, Wishes
from hookbox.delivery.store.base import Fanout, Store

logger = logging.getLogger(__name__)

Rest = Callable[[Message, str, Wishes], tuple[list[Delivery], str | None]]
"""The next page of a message's deliveries after a place, and the place after it; None if it is the last."""


class Fanouts:
    """Writes what is left to be written, oldest message first.

    Args:
        stopping: set when it is to end.
        wait: how to wait for the next one.
        wake: is told of each delivery that was written.
    """

    def __init__(
        self, store: Store, ledger: Ledger, stopping: Event, wait: Wait, wake: Callable[[Delivery], None]
    ) -> None:
        self.rest: Rest | None = None
        self._store = store
        self._ledger = ledger
        self._stopping = stopping
        self._wait = wait
        self._wake = wake
        self._bell = Event()

    def ring(self) -> None:
        """There is something, or it is time to stop."""
        self._bell.set()

    def run(self) -> None:
        """Write what is left, and what comes, until the end."""
        try:
            while not self._stopping.is_set():
                self._bell.clear()
                if not self._try_to_write():
                    self._wait(self._bell, None)
        except Stopped:
            pass

    def _try_to_write(self) -> bool:
        """Write some, whatever fails; says whether there may be more."""
        try:
            return self._write_some()
        except Stopped:
            raise
        except Exception:
            logger.exception("writing the deliveries of a message failed by our own fault, it is tried again")
            self._wait(self._stopping, AGAIN)
            return True

    def _write_some(self) -> bool:
        if self.rest is None:
            return False
        found = self._ledger.patiently(self._store.fanouts)
        for fanout in found:
            if not self._stopping.is_set():
                self._write_page(fanout, self.rest)
        return bool(found)

    def _write_page(self, fanout: Fanout, rest: Rest) -> None:
        """Write one page; where it was cut off, what is written already is not written again."""

        def write() -> list[Delivery]:
            page, after = rest(fanout.message, fanout.after, fanout.wishes)
            return self._store.fan_out(fanout.message.seq, page, after)

        for delivery in self._ledger.patiently(write):
            self._wake(delivery)
