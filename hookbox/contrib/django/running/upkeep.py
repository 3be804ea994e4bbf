"""Hand over what waits in the outbox, again and again while the server runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from django.db import connections

logger = logging.getLogger("hookbox.django")

EVERY: Final = 10.0
"""Seconds."""


def flush_outbox(at_start: bool) -> None:
    """Hand over what is due, and at the start what has waited for the server, too."""
    from hookbox.contrib.django import outbox  # its models need the apps to be ready

    outbox.flush(now=at_start)


class Upkeep:
    """Calls a function at once and then every so many seconds, in a thread; what it raises is only logged.

    Args:
        flush: what is called, the first time with true, later with false.
        every: seconds between calls.
    """

    def __init__(self, flush: Callable[[bool], object] = flush_outbox, every: float = EVERY) -> None:
        self._flush = flush
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hookbox outbox", daemon=True)
        self._told = ""

    def begin(self) -> None:
        """Start, unless it has started."""
        if not self._thread.ident:
            self._thread.start()

    def end(self, timeout: float) -> None:
        """Stop, and wait so many seconds for a call that is under way."""
        self._over.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def _run(self) -> None:
        at_start = True
        while not self._over.is_set():
            self._flush_once(at_start)
            at_start = False
            self._over.wait(self._every)

    def _flush_once(self, at_start: bool) -> None:
        try:
            self._flush(at_start)
            self._told = ""
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if text != self._told:  # not the same every ten seconds
                logger.warning("the outbox could not be flushed, which is tried again: %s", text)
            self._told = text
        finally:
            connections.close_all()
