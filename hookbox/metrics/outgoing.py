"""Deliveries, endpoints, subscriptions, and the store they are kept in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from hookbox.delivery.models import State
from hookbox.delivery.worker import Counts
from hookbox.errors import DeliveryStoreError
from hookbox.metrics.census import Census, Counted
from hookbox.metrics.families import Families, counter, counters, folded, gauge, gauges, histogram

if TYPE_CHECKING:
    from hookbox.delivery.deliveries import Deliveries
    from hookbox.server import Server

STATES: Final = tuple(state.value for state in State)
ENDED: Final = tuple(state.value for state in State if state.over)
ENDPOINT_STATES: Final = ("enabled", "paused", "disabled")
DIALECTS: Final = ("websub", "0.3")
VERIFICATIONS: Final = ("verified", "failed", "denied", "superseded")
BLOCKED: Final = ("address", "egress_deny", "egress_ports", "https_only", "number", "own", "no_address")
CLASSES: Final = (
    "ok", "http_2xx", "http_3xx", "http_4xx", "http_5xx", "timeout", "connect_timeout", "dns", "refused",
    "reset", "unreachable", "tls", "protocol", "blocked", "gone", "aborted", "interrupted", "internal",
)  # fmt: skip
_http = re.compile(r"http_([2-5])\d\d").fullmatch


def outgoing(server: Server, census: Census) -> Families:
    """How they stand."""
    try:
        now: Deliveries | None = server.storeroom.deliveries()
    except DeliveryStoreError:
        now = None
    counts = now.worker.counts() if now is not None else Counts()
    counted = census.seen()
    yield from _deliveries(server, counts, counted)
    yield gauges(
        "hookbox_endpoints", "Registered endpoints.", "state", folded(counted.endpoints, ENDPOINT_STATES)
    )
    yield gauges(
        "hookbox_websub_subscriptions",
        "WebSub subscriptions.",
        "dialect",
        folded(counted.subscriptions, DIALECTS),
    )
    yield counters(
        "hookbox_verifications",
        "Subscribers asked whether they meant it.",
        "result",
        folded(server.storeroom.verifications, VERIFICATIONS),
    )
    yield counters(
        "hookbox_egress_blocked",
        "Destinations that were against the policy, by rule.",
        "rule",
        folded(now.blocked if now is not None else {}, BLOCKED),
    )
    yield from _store(server, now, counts, counted)


def _deliveries(server: Server, counts: Counts, counted: Counted) -> Families:
    standing = counted.standing
    states = {state.value: count for state, count in standing.states.items()}
    yield gauges("hookbox_deliveries", "Deliveries in the store.", "state", folded(states, STATES))
    yield gauge("hookbox_deliveries_limit", "Unfinished ones that are let in.", server.settings.max_queue)
    ended = {state.value: count for state, count in counts.ended.items()}
    yield counters("hookbox_webhook_deliveries", "Deliveries that ended.", "outcome", folded(ended, ENDED))
    yield counters(
        "hookbox_attempts",
        "Attempts, by how they ended.",
        "class",
        folded(_classes(counts.attempts), CLASSES),
    )
    yield histogram("hookbox_attempt_seconds", "Seconds that attempts took.", counts.seconds)
    yield gauge("hookbox_attempts_inflight", "Attempts under way.", counts.in_flight)
    now_ms, due_ms = server.clock.now() * 1000, standing.oldest_due_ms
    oldest = max(0.0, now_ms - due_ms) / 1000 if due_ms is not None else 0.0
    yield gauge("hookbox_outbox_oldest_seconds", "Seconds since the oldest delivery was due.", oldest)


def _store(server: Server, now: Deliveries | None, counts: Counts, counted: Counted) -> Families:
    yield gauge("hookbox_store_bytes", "Bytes of the store that hold something.", counted.standing.bytes)
    yield gauge("hookbox_store_limit_bytes", "How many there may be (max_store).", server.settings.max_store)
    yield gauge("hookbox_store_wal_bytes", "Bytes of its write-ahead log.", counted.standing.wal_bytes)
    yield gauge(
        "hookbox_store_degraded", "1 while nothing can be written to it.", bool(server.storeroom.fault)
    )
    yield counter(
        "hookbox_store_refusals", "How often the store refused what deliveries had to note.", counts.refusals
    )
    seconds = now.store.commit_seconds if now is not None else None
    sizes = now.store.group_sizes if now is not None else None
    yield histogram("hookbox_store_commit_seconds", "Seconds that transactions took.", seconds)
    yield histogram("hookbox_store_group_size", "Changes that shared a transaction.", sizes)


def _classes(attempts: Mapping[str, int]) -> Counter[str]:
    """Attempts by class: all statuses of a hundred together."""
    classes: Counter[str] = Counter()
    for outcome, count in attempts.items():
        status = _http(outcome)
        classes[f"http_{status[1]}xx" if status else outcome] += count
    return classes
