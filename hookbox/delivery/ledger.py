"""Writing down what becomes of deliveries, with patience: nothing is lost while the store refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from gevent.event import Event

from hookbox.delivery.notices import Notice
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.store.base import Entry
from hookbox.errors import DeliveryStoreError

logger = logging.getLogger(__name__)

AGAIN: Final = 1.0
"""Seconds until the store is tried again."""

T = TypeVar("T")
Wait = Callable[[Event, float | None], object]
"""Waits until something happens, or for so many seconds."""


def wait_on(event: Event, seconds: float | None) -> object:
    """Wait by the clock on the wall."""
    return event.wait(seconds)


class Stopped(Exception):
    """The worker is to end, and the store refuses."""


class Ledger:
    """Asks the store until it does what it is asked.

    Args:
        numbers: of the messages that tell something.
        stopping: set when the worker is to end.
        wait: how to wait for it.
    """

    def __init__(self, numbers: Numbers, stopping: Event, wait: Wait) -> None:
        self.refusals = 0
        """How often the store refused."""
        self._numbers = numbers
        self._stopping = stopping
        self._wait = wait
        self._refuses = False

    def patiently(self, work: Callable[[], T]) -> T:
        """Do something with the store, again and again until it works. Blocks.

        Raises:
            Stopped: the worker is to end before it worked.
        """
        while True:
            try:
                done = work()
            except DeliveryStoreError as error:
                self.refused(error)
            else:
                self._worked()
                return done
            if self._stopping.is_set():
                raise Stopped
            self._wait(self._stopping, AGAIN)

    def refused(self, error: DeliveryStoreError) -> None:
        """Count that the store refused; said once, until it works again."""
        self.refusals += 1
        if not self._refuses:
            self._refuses = True
            logger.error("deliveries wait, as the store refuses: %s", error)

    def entries(self, notices: Iterable[Notice], now_ms: int) -> tuple[Entry, ...]:
        """Notices as they are kept.

        Raises:
            DeliveryStoreError: the store gives no numbers.
        """
        return tuple(notice.entry(self._numbers.next(), now_ms) for notice in notices)

    def _worked(self) -> None:
        if self._refuses:
            self._refuses = False
            logger.warning("the store works again, deliveries go on; it refused %s times", self.refusals)
