"""How long the command takes: `--check-config`, and from the start to the first answered request."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection

from bench.programs import DEADLINE, SERVER_PROCESSOR, free_port, pin


@dataclass(frozen=True)
class Start:
    """Seconds of several runs: on the wall, and of the processor."""

    least_wall: float
    median_wall: float
    least_cpu: float
    median_cpu: float


def measure_start(flags: Sequence[str], runs: int) -> Start:
    """Start the command several times.

    Args:
        flags: with `--check-config` its end is waited for, else the first answer to a request.
    """
    walls, cpus = zip(*[_once(flags) for _ in range(runs)], strict=True)
    return Start(min(walls), statistics.median(walls), min(cpus), statistics.median(cpus))


def _once(flags: Sequence[str]) -> tuple[float, float]:
    port = free_port()
    command = [sys.executable, "-m", "hookbox", "-i", "127.0.0.1", "-p", str(port), *flags]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: pin(SERVER_PROCESSOR),
    )
    if "--check-config" not in flags:
        _await_answer(port)
        wall = time.perf_counter() - began
        process.kill()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for here, for its usage
    if "--check-config" in flags:
        wall = time.perf_counter() - began
    return wall, usage.ru_utime + usage.ru_stime


def _await_answer(port: int) -> None:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except ConnectionRefusedError:
            time.sleep(0.002)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError("the server did not start")
