"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookbox.web.http import WsgiApp
from hookbox.web.lean import LeanBottle
from hookbox.web.outside import Access
from hookbox.web.pages import excuse

if TYPE_CHECKING:
    from hookbox.server import Server


def make_metrics(server: Server, access: Access) -> WsgiApp:
    """The metrics of one server.

    Args:
        access: who may read them, unless `metrics_open` is set.
    """
    return LeanBottle(excuse)
