"""The process itself: its loop, its log, its settings."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import gevent
from prometheus_client.core import InfoMetricFamily

from hookbox import __version__
from hookbox.metrics.families import Families, counter, counters, gauge, histogram

if TYPE_CHECKING:
    from hookbox.server import Server


def house(server: Server) -> Families:
    """How it is."""
    yield gauge(
        "hookbox_loop_lag_seconds",
        "How late the event loop was at worst in the last ten seconds.",
        server.loop_lag,
    )
    yield histogram(
        "hookbox_loop_delay_seconds",
        "How late the event loop was, looked at ten times a second.",
        server.pulse.lags,
    )
    yield gauge("hookbox_background_tasks", "Greenlets that serve no connection.", len(server.greenlets))
    yield gauge("hookbox_draining", "1 from the beginning of the orderly end.", server.site.draining)
    failed, done = server.reloads
    yield counters(
        "hookbox_reloads", "Settings read again (SIGHUP).", "result", {"ok": done, "failed": failed}
    )
    yield counter(
        "hookbox_log_lines_dropped",
        "Log lines lost, as their target was stuck or full.",
        server.lines_dropped(),
    )
    about = {"version": __version__, "python": platform.python_version(), "gevent": gevent.__version__}
    yield InfoMetricFamily("hookbox_build", "What runs here.", value=about)
