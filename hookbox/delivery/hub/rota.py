"""Does things at their times, each in a greenlet of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Final

from gevent.event import Event
from gevent.pool import Group

from hookbox.clock import Clock
from hookbox.delivery.ledger import Wait
from hookbox.errors import DeliveryStoreError

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 256
AGAIN: Final = 1.0
"""Seconds until something is tried again that the store refused."""

Work = Callable[[], object]


class Rota:
    """Runs functions at their times; of each name one at most waits, and one at most runs.

    Args:
        wait: waits until something happens, or for so many seconds on the clock.
    """

    def __init__(self, clock: Clock, wait: Wait) -> None:
        self._clock = clock
        self._wait = wait
        self._bell = Event()
        self._stopping = Event()
        self._group = Group()
        self._planned: dict[Hashable, tuple[float, Work]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._numbers = count()
        self._running: set[Hashable] = set()

    def __len__(self) -> int:
        """Greenlets of its own."""
        return len(self._group)

    def at_ms(self, time_ms: int) -> float:
        """A time of the store on the steady clock."""
        return self._clock.monotonic() + (time_ms / 1000 - self._clock.now())

    def put(self, name: Hashable, at: float, work: Work) -> None:
        """Run a function at a time on the steady clock, in place of what waits under that name."""
        self._planned[name] = at, work
        heappush(self._heap, (at, next(self._numbers), name))
        self._bell.set()

    def sooner(self, name: Hashable, at: float, work: Work) -> None:
        """The same, unless what waits under that name is due before."""
        if name not in self._planned or at < self._planned[name][0]:
            self.put(name, at, work)

    def start(self) -> None:
        """Begin."""
        self._group.spawn(self._plan)

    def stop(self, grace_seconds: float) -> None:
        """Begin nothing more, and end what runs after its time of grace. Blocks."""
        self._stopping.set()
        self._bell.set()
        self._group.join(timeout=grace_seconds)
        self._group.kill()

    def _plan(self) -> None:
        while not self._stopping.is_set():
            self._bell.clear()
            self._begin_due()
            full = len(self._running) >= MOST_AT_ONCE
            seconds = None if full or not self._heap else max(self._heap[0][0] - self._clock.monotonic(), 0.0)
            self._wait(self._bell, seconds)

    def _begin_due(self) -> None:
        while self._heap and self._heap[0][0] <= self._clock.monotonic():
            if len(self._running) >= MOST_AT_ONCE:
                break
            at, _, name = heappop(self._heap)
            planned = self._planned.get(name)
            if planned is None or planned[0] != at or name in self._running:
                continue  # there is another time for it by now, or it begins when the one that runs is done
            del self._planned[name]
            self._running.add(name)
            self._group.spawn(self._run, name, planned[1])

    def _run(self, name: Hashable, work: Work) -> None:
        try:
            work()
        except DeliveryStoreError as error:
            logger.error("the hub waits, as the store refuses: %s", error)
            self.sooner(name, self._clock.monotonic() + AGAIN, work)
        except Exception:
            logger.exception("the hub failed at %s", name)
        finally:
            self._running.discard(name)
            waits = self._planned.get(name)
            if waits is not None:
                self.put(name, *waits)
            self._bell.set()
