"""The process as the system sees it, under the names that Prometheus' own libraries have; Linux only.

The collector of `prometheus_client` tells the same, but lists all open files in one go, which takes a tenth
of a second with 15,000 of them; here nobody waits for it.

Source: proc(5).
"""

from __future__ import annotations

import os
import re
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Final

from hookbox.metrics.families import Families, counter, gauge
from hookbox.web.handlers import breathing

PROC: Final = Path("/proc")
USER, SYSTEM, STARTED, VIRTUAL, RESIDENT = 11, 12, 19, 20, 21
"""Places in `/proc/self/stat` behind the name."""


def process() -> Families:
    """Its CPU, memory, files and age."""
    if not sys.platform.startswith("linux"):
        return
    stat = (PROC / "self/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    busy = (int(stat[USER]) + int(stat[SYSTEM])) / ticks
    yield counter("process_cpu_seconds", "User and system CPU time in seconds.", busy)
    resident = int(stat[RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
    yield gauge("process_resident_memory_bytes", "Resident memory in bytes.", resident)
    yield gauge("process_virtual_memory_bytes", "Virtual memory in bytes.", int(stat[VIRTUAL]))
    yield gauge("process_open_fds", "Open files.", open_files())
    yield gauge("process_max_fds", "How many may be open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    started = _booted() + int(stat[STARTED]) / ticks
    yield gauge("process_start_time_seconds", "When it began, in seconds since the epoch.", started)


def open_files() -> int:
    """How many files are open. Lets others run while it counts, unless the system knows (since Linux 6.2)."""
    folder = PROC / "self/fd"
    known = folder.stat().st_size
    if known:
        return known
    with os.scandir(folder) as entries:
        return sum(1 for _ in breathing(entries)) - 1  # one is the folder itself


@cache
def _booted() -> float:
    found = re.search(r"^btime (\d+)$", (PROC / "stat").read_text(), re.MULTILINE)
    return float(found[1]) if found else 0.0
