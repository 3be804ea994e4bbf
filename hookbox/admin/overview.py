"""How the server stands, at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookbox import __version__
from hookbox.admin.asked import Request, Told
from hookbox.admin.samples import COLUMNS, EVERY_SECONDS
from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.models import State
from hookbox.errors import DeliveryStoreError

if TYPE_CHECKING:
    from hookbox.admin.console import Console

STANDING_SECONDS: Final = 5.0
"""Counting takes the store a while with much in it."""
WAITING: Final = (State.SCHEDULED, State.IN_FLIGHT, State.WAITING, State.HELD)


def overview(console: Console, request: Request) -> Told:
    """Numbers of now, and the samples of the last hour; without those if `samples` is 0."""
    server = console.server
    rows = [] if request.query.get("samples") == "0" else console.samples.rows
    samples: JSONObject = {
        "columns": [*COLUMNS],
        "rows": [[*row] for row in rows],
        "every": EVERY_SECONDS,
    }
    return {
        "now": server.clock.now(),
        "started": console.started,
        "version": __version__,
        "draining": server.site.draining,
        "degraded": server.storeroom.fault,
        "counts": counts(console),
        "samples": samples,
    }


def counts(console: Console) -> JSONObject:
    """How many there are of everything."""
    server = console.server
    hub, counters, totals = server.site.hub, server.site.counters, server.counts()
    comet = len(server.comet)
    transports: JSONObject = {
        "websocket": max(0, len(hub.connections) - comet),
        "comet": comet,
        "stream": server.storeroom.open_streams,
    }
    numbers: dict[str, JSON] = {
        "connections": transports,
        "users": len(hub.users),
        "channels": len(hub.channels),
        "subscriptions": sum(len(channel.subscribers) for channel in list(hub.channels.values())),
        "publications": counters.publications,
        "messages": counters.messages,
        "refused": counters.refused,
        "resumed": counters.resumed,
        "slow_consumers": counters.slow_consumers,
        "connected": counters.connections,
        **standing(console),
        **totals,
    }
    numbers["breaker_open"] = bool(totals.get("webhooks_breaker_open"))
    return numbers


def standing(console: Console) -> dict[str, int]:
    """Deliveries that wait, and that were given up. Blocks shortly."""
    now = console.server.clock.monotonic()
    at, known = console.standing
    if now - at < STANDING_SECONDS:
        return known
    try:
        states = console.server.storeroom.deliveries().store.standing().states
    except DeliveryStoreError:
        return known
    told = {
        "waiting_deliveries": sum(states.get(state, 0) for state in WAITING),
        "dead_deliveries": states.get(State.DEAD, 0),
    }
    console.standing = now, told
    return told
