"""A program that runs as long as we do: signals go to it, its log comes to us, its end is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

TIED: Final = Path(__file__).with_name("tied.py")
STOP_WITHIN: Final = 10
"""Seconds, when we end for a reason of our own and not by a signal."""
LAST_LINES_WITHIN: Final = 2


def run(command: Sequence[str], environ: Mapping[str, str], tell: Callable[[str], None]) -> int:
    """Run a program until it ends.

    SIGINT and SIGTERM are passed on to it; SIGHUP, with which a terminal goes away, as SIGTERM.
    It has a process group of its own, so that Ctrl-C reaches it through us only, and once.

    Args:
        tell: called with each line of its standard error, in a thread.

    Returns:
        Its exit status; 128 and the signal's number if a signal ended it.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int) -> None:
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    with _signals_for(pass_on):
        process = subprocess.Popen(
            _tied(command),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        try:
            for number in early:
                pass_on(number)
            log = threading.Thread(target=_relay, args=(process.stderr, tell), daemon=True)
            log.start()
            status = process.wait()
        finally:
            _end(process)
        log.join(LAST_LINES_WITHIN)
    return status if status >= 0 else 128 - status


def _tied(command: Sequence[str]) -> list[str]:
    """Isolated and without site-packages it starts in a few milliseconds."""
    return [sys.executable, "-I", "-S", str(TIED), str(os.getpid()), *command]


@contextmanager
def _signals_for(pass_on: Callable[[int], None]) -> Iterator[None]:
    """Signals can be caught in the main thread only; elsewhere, as in tests, they stay what they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    meant = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGTERM}
    before = {
        number: signal.signal(number, lambda *_, sent=sent: pass_on(sent)) for number, sent in meant.items()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _relay(lines: IO[bytes], tell: Callable[[str], None]) -> None:
    with lines:
        for line in lines:
            with suppress(OSError, ValueError):  # nobody reads us any more, which is no reason to block it
                tell(line.decode(errors="replace").rstrip("\n"))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
