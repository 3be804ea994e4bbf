"""Running things in greenlets, and seeing how they end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from gevent.pool import Group

logger = logging.getLogger(__name__)


class Greenlets:
    """Runs functions in greenlets of their own; a death by an unhandled error is logged."""

    def __init__(self) -> None:
        self._group = Group()

    def spawn(self, function: Callable[..., object], *args: Any) -> gevent.Greenlet[..., Any]:
        """Run it as soon as the caller waits."""
        return self.spawn_later(0, function, *args)

    def spawn_later(
        self, seconds: float, function: Callable[..., object], *args: Any
    ) -> gevent.Greenlet[..., Any]:
        """Run it after some seconds."""
        greenlet = gevent.Greenlet(function, *args)
        greenlet.link_exception(_log_death)
        self._group.add(greenlet)
        greenlet.start_later(seconds) if seconds else greenlet.start()
        return greenlet

    def stop(self, timeout: float) -> None:
        """End all of them, waiting up to `timeout` seconds."""
        self._group.kill(block=True, timeout=timeout)

    def __len__(self) -> int:
        return len(self._group)


def _log_death(greenlet: gevent.Greenlet[..., Any]) -> None:
    logger.error("a background task failed", exc_info=greenlet.exc_info)


def see_deaths() -> None:
    """Log the death of any greenlet by an error that nobody handled, instead of printing it."""
    hub = get_hub()
    otherwise = hub.handle_error

    def log(context: object, kind: Any, value: Any, trace: Any) -> None:
        if kind is not None and issubclass(kind, Exception) and not issubclass(kind, hub.NOT_ERROR):
            logger.error("a greenlet died: %s", type(context).__name__, exc_info=(kind, value, trace))
        else:
            otherwise(context, kind, value, trace)

    hub.handle_error = log  # type: ignore[method-assign, assignment]


def run_later(seconds: float, function: Callable[[], None]) -> None:
    """Run a function in the hub's greenlet after some seconds; it must not block."""
    timer = get_hub().loop.timer(seconds)

    def fire() -> None:
        timer.close()
        function()

    timer.start(fire, update=True)
