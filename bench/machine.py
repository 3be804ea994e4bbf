"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.programs import NCHAN
from hookbox import __version__


def describe() -> dict[str, str]:
    """The machine and the versions, by name."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    packages = ("gevent", "websockets", "requests", "urllib3", "bottle")
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {_memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}, load before the run {load}",
        "versions": f"Hookbox {__version__}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages),
        "peers": f"limit.c, {_nginx()}; figures in italics are published ones, not measured here",
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _nginx() -> str:
    if not NCHAN.exists():
        return "no nchan"
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"], capture_output=True, text=True
    )
    return f"nginx with nchan {package.stdout}".rstrip()
