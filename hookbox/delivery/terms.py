"""What holds for a delivery: what was wished for it, then what its endpoint says, then the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from hookbox.delivery.egress import BadURL, read_url
from hookbox.delivery.headers import secrets_of
from hookbox.delivery.lane import LaneRules
from hookbox.delivery.models import Delivery, Endpoint, EndpointId
from hookbox.delivery.notices import Told
from hookbox.delivery.schedule import DEFAULT

HOUR: Final = 3600.0
APPLICATION: Final = "application"
"""The lane of everything that the application is told."""


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """How deliveries are made where nothing else is said.

    Args:
        max_in_flight: attempts under way at once ...
        per_origin: ... and to one endpoint or origin.
        schedule: seconds after each failure.
        timeout: seconds for a whole attempt ...
        connect_timeout: ... and for its name, connection and TLS.
        max_age: seconds after acceptance when a delivery is given up.
        disable_after: seconds of nothing but failures after which an endpoint is disabled.
        breaker: failures in a row after which a receiver is only probed; 0 for never.
        errback_url: told of trouble, empty for nobody.
        errback_secret: signs what is told; empty for the secret of the dispatch or the endpoint.
        default_secret: signs deliveries to plain URLs that have none; empty for no signature.
        max_held: deliveries that may be held for one endpoint; more are given up, oldest first.
        keep_succeeded, keep_dead: seconds for which one can look at what ended.
        keep_keys: seconds for which the answer to an idempotency key is known.
    """

    max_in_flight: int = 256
    per_origin: int = 4
    schedule: tuple[float, ...] = DEFAULT
    timeout: float = 20.0
    connect_timeout: float = 5.0
    max_age: float = 168 * HOUR
    disable_after: float = 120 * HOUR
    breaker: int = 10
    errback_url: str = ""
    errback_secret: str = field(default="", repr=False)
    default_secret: str = field(default="", repr=False)
    max_held: int = 10_000
    keep_succeeded: float = 24 * HOUR
    keep_dead: float = 30 * 24 * HOUR
    keep_keys: float = 24 * HOUR


class Terms:
    """Looks up what holds.

    Args:
        rules: where nothing else is said.
    """

    def __init__(self, rules: WorkerRules) -> None:
        self.rules = rules
        self.endpoints: dict[EndpointId, Endpoint] = {}
        """As they stand now; never older than what the store has."""
        self.changed: Callable[[Endpoint | None, Endpoint | None], object] = lambda before, now: None
        """Told of every endpoint that is new, different, or gone (None); must not block."""

    def learn(self, endpoints: Iterable[Endpoint]) -> None:
        """Know these endpoints."""
        for endpoint in endpoints:
            before = self.endpoints.get(endpoint.id)
            self.endpoints[endpoint.id] = endpoint
            self.changed(before, endpoint)

    def forget(self, name: EndpointId) -> None:
        """Know an endpoint no longer; safe to repeat."""
        before = self.endpoints.pop(name, None)
        if before is not None:
            self.changed(before, None)

    def endpoint(self, delivery: Delivery) -> Endpoint | None:
        """Whose delivery it is; None for a plain URL, or if it was deleted."""
        return None if delivery.endpoint is None else self.endpoints.get(delivery.endpoint)

    def lane(self, delivery: Delivery) -> str:
        """With what it shares limits: its endpoint, or its origin, or everything else for the application."""
        if delivery.order:
            return APPLICATION
        return delivery.endpoint or origin(delivery.url)

    def lane_rules(self, key: str) -> LaneRules:
        """How a lane goes."""
        usual = LaneRules(self.rules.per_origin, breaker=self.rules.breaker)
        endpoint = self.endpoints.get(EndpointId(key))
        if endpoint is None:
            return usual
        return replace(usual, ordered=endpoint.ordered, rate=endpoint.rate, stopped=not endpoint.enabled)

    def schedule(self, delivery: Delivery) -> tuple[float, ...]:
        """Seconds after each failure."""
        endpoint = self.endpoint(delivery)
        if delivery.wishes.retry is not None:
            return delivery.wishes.retry
        if endpoint is not None and endpoint.retry is not None:
            return endpoint.retry
        return self.rules.schedule

    def timeout(self, delivery: Delivery) -> float:
        """Seconds for a whole attempt."""
        endpoint = self.endpoint(delivery)
        return delivery.wishes.timeout or (endpoint.timeout if endpoint else None) or self.rules.timeout

    def expires_ms(self, delivery: Delivery) -> int:
        """When it is given up. The time before its endpoint was enabled does not count as its age."""
        endpoint = self.endpoint(delivery)
        since_ms = max(delivery.created_ms, endpoint.changed_ms if endpoint else 0)
        oldest_ms = since_ms + round(self.rules.max_age * 1000)
        if endpoint is not None and endpoint.is_subscription:
            oldest_ms = min(oldest_ms, endpoint.lease_until_ms)
        wished_ms = delivery.wishes.expires_ms
        return oldest_ms if wished_ms is None else min(wished_ms, oldest_ms)

    def blocks_until_ms(self, delivery: Delivery) -> float:
        """When an ordered endpoint goes on without it; endless for not before its end."""
        endpoint = self.endpoint(delivery)
        if endpoint is None or endpoint.block_max is None or not delivery.failing_ms:
            return float("inf")
        return delivery.failing_ms + endpoint.block_max * 1000

    def secrets(self, delivery: Delivery, now_ms: int) -> tuple[str, ...]:
        """What signs it, newest first."""
        return secrets_of(delivery, self.endpoint(delivery), self.rules.default_secret, now_ms)

    def told(self, delivery: Delivery, now_ms: int) -> Told:
        """Who is told about it."""
        endpoint = self.endpoint(delivery)
        errback = delivery.wishes.errback or (endpoint.errback if endpoint else "") or self.rules.errback_url
        secret = self.rules.errback_secret
        return Told(
            errback, delivery.wishes.callback, (secret,) if secret else self.secrets(delivery, now_ms)
        )

    def told_of(self, endpoint: Endpoint, now_ms: int) -> Told:
        """Who is told about an endpoint."""
        secret = self.rules.errback_secret
        own = tuple(text for text, until_ms in endpoint.secrets if until_ms == 0 or until_ms > now_ms)
        return Told(endpoint.errback or self.rules.errback_url, secrets=(secret,) if secret else own)


@lru_cache(maxsize=1024)
def origin(url: str) -> str:
    """Scheme, host and port of a URL; of one that cannot be read, all of it."""
    try:
        return read_url(url).origin
    except BadURL:
        return url
