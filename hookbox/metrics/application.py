"""The application: how it answers webhooks, and whether it is asked at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookbox.errors import DeliveryStoreError
from hookbox.metrics.families import Families, counter, folded, gauge, gauges, histograms
from hookbox.webhooks.tallies import HOOKS

if TYPE_CHECKING:
    from hookbox.server import Server


def application(server: Server) -> Families:
    """How it does."""
    client = server.webhooks.made
    counts = client.counts() if client is not None else {}
    yield histograms(
        "hookbox_hook_duration_seconds",
        "Seconds until a webhook had its answer, waiting for its turn included.",
        ("hook", "outcome"),
        server.hooks.by_hook,
    )
    yield gauge(
        "hookbox_hook_timeout_seconds",
        "How long it may take (webhook_timeout).",
        server.settings.webhook_timeout,
    )
    inflight = folded(client.out if client is not None else {}, HOOKS)
    queued = folded(client.queued if client is not None else {}, HOOKS)
    yield gauges("hookbox_hook_inflight", "Webhooks that are with the application.", "hook", inflight)
    yield gauges("hookbox_hook_queued", "Webhooks that wait for their turn.", "hook", queued)
    yield counter(
        "hookbox_hook_retries",
        "Webhooks sent again, as a kept connection turned out closed.",
        counts.get("repeated", 0),
    )
    yield gauge("hookbox_hook_connections", "Connections to the application.", counts.get("connections", 0))
    yield gauges(
        "hookbox_breaker_open",
        "Of the application: 1 while it is not asked. Of receivers: those that are only probed.",
        "target",
        {"application": counts.get("breaker_open", 0), "receivers": _receivers_stopped(server)},
    )
    yield counter(
        "hookbox_breaker_openings",
        "How often the application failed so much that it was not asked for a while.",
        counts.get("breaker_openings", 0),
    )
    yield gauge(
        "hookbox_events_untold", "Events that are not in the store yet.", server.site.tellings.untold()
    )


def _receivers_stopped(server: Server) -> int:
    try:
        return server.storeroom.deliveries().worker.counts().stopped
    except DeliveryStoreError:
        return 0
