"""What was answered to calls that carry an idempotency key, so that a repeat gets the same answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, cast

from gevent.event import AsyncResult

from hookbox.clock import Clock
from hookbox.errors import EngineError

T = TypeVar("T")
MOST_KEPT = 100_000


class Receipts(Generic[T]):
    """Remembers the outcome of each key for a while. A failure is not remembered: its repeat tries again.

    Args:
        clock: its steady time is used.
        most: receipts kept at once; the oldest go first.
    """

    def __init__(self, clock: Clock, most: int = MOST_KEPT) -> None:
        self._clock = clock
        self._most = most
        self._kept: dict[Hashable, tuple[float, T]] = {}
        self._under_way: dict[Hashable, AsyncResult[T]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def once(self, key: Hashable, keep_seconds: float, function: Callable[[], T]) -> T:
        """The outcome of the first call with this key, which is this one if nobody was before.

        Blocks while that first call is under way.

        Args:
            key: names what is to be done once.
            keep_seconds: how long a receipt stays.
            function: does it.

        Raises:
            Exception: whatever the function raised, the same for everybody who waited for it.
        """
        now = self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept[0] > now - keep_seconds:
            return kept[1]
        waiting = self._under_way.get(key)
        if waiting is not None:
            return cast(T, waiting.get())
        outcome = self._under_way[key] = AsyncResult()
        try:
            result = function()
        except Exception as error:
            outcome.set_exception(error)
            raise
        except BaseException:
            outcome.set_exception(EngineError("the call was cut off, try again"))
            raise
        finally:
            del self._under_way[key]
        outcome.set(result)
        self._keep(key, result, keep_seconds)
        return result

    def _keep(self, key: Hashable, result: T, keep_seconds: float) -> None:
        kept = self._kept
        now = self._clock.monotonic()
        kept.pop(key, None)
        kept[key] = now, result
        while len(kept) > self._most or next(iter(kept.values()))[0] <= now - keep_seconds:
            del kept[next(iter(kept))]
