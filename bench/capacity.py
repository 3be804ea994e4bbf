"""Holding many connections: `python -m bench.capacity`, or `make capacity MINUTES=1`.

One process, everybody subscribed to one channel, a publication a second to all of them: what was lost,
how long publications took, what memory it needed. First over WebSocket, then over comet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import describe
from bench.programs import LOAD_PROCESSOR, Missing, Workshop, pin

CONNECTING_SECONDS = 300
"""How long all clients may take to get ready."""


def main() -> int:
    """Hold both crowds; the exit code is 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description="Hold many connections.")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long each crowd is held")
    parser.add_argument("--websockets", type=int, default=15_000, help="0 leaves them out")
    parser.add_argument("--comet", type=int, default=2000, help="0 leaves them out")
    options = parser.parse_args()
    for name, text in describe().items():
        print(f"* {name}: {text}")
    crowds = (("rtload", "WebSocket", options.websockets), ("polls", "comet", options.comet))
    try:
        with Workshop() as shop:
            whole = [
                _hold(shop, program, name, clients, options.minutes)
                for program, name, clients in crowds
                if clients
            ]
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0 if all(whole) else 1


def _hold(shop: Workshop, program: str, name: str, clients: int, minutes: float) -> bool:
    """Hold one crowd and tell of it; says whether everything came through."""
    publications = max(2, round(minutes * 60))
    print(f"\n{clients:,} {name} clients, {publications} publications, one a second ...", flush=True)
    with shop.hookbox() as server:
        command: list[str] = [shop.program(program), "-p", str(server.port), "-n", str(clients), "-w", "100"]
        if program == "rtload":
            command += server.subscribe
        command += [*server.publish, "-c", str(publications), "-r", "1", "-s", "80", "-Z", str(server.pid)]
        command += ["-t", str(CONNECTING_SECONDS + 2 * publications)]
        done = _run_watched(command, server.pid)
    figures = json.loads(done)
    lost = figures["expected"] - figures["received"]
    for line in (
        f"lost: {lost} of {figures['expected']:,}; connections that broke: {figures['failed']}",
        f"publish to receipt: p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms, "
        f"longest {figures['max_ms']:.1f} ms",
        f"memory of the process: {figures['rss_before_kb'] / 1024:.0f} MB empty, "
        f"{figures['rss_ready_kb'] / 1024:.0f} MB with all ready ({figures['kb_per_conn']:.1f} KB each), "
        f"{figures['rss_end_kb'] / 1024:.0f} MB at the end",
        f"memory of the kernel: {figures['kernel_kb_per_conn']:.1f} KB for each connection",
        f"processor: {figures['server_cpu_s'] / figures['span_s']:.0%} while publishing, "
        f"{figures['connect_cpu_s'] * 1e6 / clients:.0f} µs for each client to get ready",
    ):
        print(f"  {line}")
    return not lost and not figures["failed"]


def _run_watched(command: Sequence[str], pid: int) -> str:
    """Run a load generator; tells of the server's memory now and then."""
    load = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(LOAD_PROCESSOR)
    )
    began = time.monotonic()
    while True:
        try:
            return load.communicate(timeout=15)[0]
        except subprocess.TimeoutExpired:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            print(f"  {time.monotonic() - began:4.0f} s  {pages * 4 // 1024} MB", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
