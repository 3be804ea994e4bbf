"""Waiting for a job of the server's, and telling how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from hookbox.core.values import JSONObject
from hookbox.tool.api import Api
from hookbox.tool.problems import Unreachable
from hookbox.tool.tables import clean

FIRST_LOOK: Final = 0.05
LONGEST_BETWEEN: Final = 1.0
LINES_EVERY: Final = 10.0
"""Seconds between two lines, where they cannot be written over each other."""
GONE_FOR: Final = 60.0
"""Seconds that the server may be away: a job goes on after a restart."""


class Progress:
    """Tells how far something is.

    Args:
        out: where to; on a terminal it is one line that changes.
        clock: seconds.
        every: seconds between two lines where they cannot be written over each other.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        every: float = LINES_EVERY,
    ) -> None:
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._every = every
        self._told_at = -every
        self._shown = ""

    def show(self, text: str) -> None:
        """Tell it, if it is new and time for it."""
        if text == self._shown:
            return
        if self._out.isatty():
            self._out.write(f"\r{text:<{len(self._shown)}}")
        elif self._clock() - self._told_at >= self._every:
            self._out.write(f"{text}\n")
            self._told_at = self._clock()
        else:
            return
        self._shown = text
        self._out.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._shown and self._out.isatty():
            self._out.write("\n")
            self._out.flush()


def wait_for(
    api: Api, job: str, progress: Progress, sleep: Callable[[float], None] = time.sleep
) -> JSONObject:
    """Wait until a job has ended; returns how.

    Raises:
        ToolError: the server was away for too long, or does not know the job.
    """
    pause, away = FIRST_LOOK, 0.0
    try:
        while True:
            try:
                now = api.backlog("GET", f"/jobs/{job}")
            except Unreachable:
                if away >= GONE_FOR:
                    raise
                away += LONGEST_BETWEEN
                pause = LONGEST_BETWEEN
                progress.show("the server is away, waiting for it")
            else:
                away = 0.0
                progress.show(described(now))
                if now.get("state") != "running":
                    return now
            sleep(pause)
            pause = min(pause * 1.5, LONGEST_BETWEEN)
    finally:
        progress.end()


def described(job: JSONObject) -> str:
    """How far a job is, in one line."""
    done, count = job.get("done"), job.get("count")
    percent = ""
    if isinstance(done, int) and isinstance(count, int) and count:
        percent = f" ({min(100 * done // count, 100)}%)"
    problem = f", {clean(job['problem'])}" if job.get("problem") else ""
    return f"{clean(job.get('kind'))} {clean(job.get('state'))}: {done} of {count}{percent}{problem}"
