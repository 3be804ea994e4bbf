"""Many ask the same thing at once; it is done once and all get the outcome."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, cast

from gevent.event import AsyncResult
from gevent.greenlet import Greenlet
from gevent.pool import Group

from hookbox.errors import HookboxError, WebhookError
from hookbox.log_context import inherited

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[Key, T]):
    """Runs a function at most once at a time per key.

    The function runs in a greenlet of its own, so that a caller that is killed, or that no
    longer wants to wait, spoils nothing for the others. It has to end by itself: give it
    deadlines. It must not call `do` with its own key.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, AsyncResult[T]] = {}
        self._runners = Group()

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: Key) -> bool:
        return key in self._flights

    def do(self, key: Key, function: Callable[[], T]) -> T:
        """Give the outcome of `function`, joining a call under way with the same key.

        Blocks until the outcome is there. A call that starts after the outcome is known
        starts a new flight.

        Raises:
            Exception: whatever the function raised, the same for everyone who waited.
        """
        outcome = self._flights.get(key)
        if outcome is None:
            outcome = self._flights[key] = AsyncResult()
            # what it logs is about whoever asked first
            self._runners.start(Greenlet(inherited().run, self._run, key, function, outcome))
        return cast(T, outcome.get())

    def stop(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for what is under way, then end it; its waiters get a WebhookError."""
        self._runners.join(timeout)
        self._runners.kill()

    def _run(self, key: Key, function: Callable[[], T], outcome: AsyncResult[T]) -> None:
        try:
            result = function()
        except HookboxError as error:
            outcome.set_exception(error)
        except Exception as error:  # not foreseen: whoever logs it wants to know where it came from
            outcome.set_exception(error, (type(error), error, error.__traceback__))
        except BaseException:
            outcome.set_exception(WebhookError("failure: the server is stopping"))
            raise
        else:
            outcome.set(result)
        finally:
            if self._flights.get(key) is outcome:
                del self._flights[key]
