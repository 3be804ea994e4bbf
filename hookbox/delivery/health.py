"""How an endpoint stands after an attempt: when it is left alone for good."""

from __future__ import annotations

from dataclasses import replace

from hookbox.delivery.models import DeliveryId, Endpoint

APART_MS = 12 * 3600 * 1000
"""Between two failed deliveries that show that it is not just one of them."""


def after_success(endpoint: Endpoint) -> Endpoint:
    """It works."""
    if not endpoint.first_failure_ms:
        return endpoint
    return replace(endpoint, first_failure_ms=0, first_failed="", failures=0)


def after_failure(endpoint: Endpoint, failed: DeliveryId, now_ms: int, disable_after_ms: float) -> Endpoint:
    """It failed once more; after long enough, with more than one delivery, it is disabled."""
    if not endpoint.first_failure_ms:
        endpoint = replace(endpoint, first_failure_ms=now_ms, first_failed=failed, failures=0)
    endpoint = replace(endpoint, failures=endpoint.failures + 1)
    since_ms = now_ms - endpoint.first_failure_ms
    if since_ms >= max(disable_after_ms, APART_MS) and failed != endpoint.first_failed:
        return disabled(endpoint, "failing", now_ms)
    return endpoint


def disabled(endpoint: Endpoint, reason: str, now_ms: int) -> Endpoint:
    """Nothing is sent to it until an operator wants it."""
    if endpoint.state == "disabled":
        return endpoint
    return replace(endpoint, state="disabled", state_reason=reason, changed_ms=now_ms)


def carried_over(before: Endpoint | None, now: Endpoint, now_ms: int) -> Endpoint:
    """An endpoint changed from outside, with how it fared; that begins anew with its state."""
    if before is None or before.state != now.state:
        return replace(
            now,
            changed_ms=now_ms,
            paused_until_ms=0,
            first_failure_ms=0,
            first_failed="",
            failures=0,
            overflow_ms=before.overflow_ms if before else 0,
        )
    return replace(
        now,
        changed_ms=before.changed_ms,
        paused_until_ms=before.paused_until_ms,
        first_failure_ms=before.first_failure_ms,
        first_failed=before.first_failed,
        failures=before.failures,
        overflow_ms=before.overflow_ms,
    )
