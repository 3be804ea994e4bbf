"""How long the command takes: `--check-config`, and from the start to the first accepted connection.

Prints the smallest and the median of several runs, CPU seconds of the process and wall seconds.
Run: python bench/start.py
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time

RUNS = 9
DEADLINE = 30.0


def main() -> None:
    for name, flags, goal in (("--check-config", ["--check-config"], 0.35), ("first connection", [], 0.6)):
        runs = [measure(flags) for _ in range(RUNS)]
        for kind, seconds in zip(("CPU", "wall"), zip(*runs, strict=True), strict=True):
            print(
                f"{name:18} {kind:4}  least {min(seconds):.3f} s  median {statistics.median(seconds):.3f} s"
                f"  goal {goal} s"
            )


def measure(flags: list[str]) -> tuple[float, float]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hookbox", "-p", str(port), *flags]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not flags:
        await_connection(port)
    wall = time.perf_counter() - began
    if not flags:
        process.kill()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    if flags:
        wall = time.perf_counter() - began
    return usage.ru_utime + usage.ru_stime, wall


def await_connection(port: int) -> None:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.002)
        else:
            return
    raise TimeoutError("the server did not start")


if __name__ == "__main__":
    main()
