"""Who calls the API: the application, known by its token."""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hookbox.commands.receipts import Receipts
from hookbox.commands.site import Site
from hookbox.core.limits import Bucket
from hookbox.engine.base import Position
from hookbox.errors import EngineError, HookboxError, LimitReached
from hookbox.webhooks.asked import WebhookLog

QUERY_REFUSAL = (
    "a token in the query string is not accepted, because it ends up in logs: send it as "
    "Authorization: Bearer, or in the body; the setting allow_query_token allows it"
)


class RateExceeded(LimitReached):
    """More publishes with one token than `api_rate` allows.

    Args:
        retry_after: seconds after which one more is allowed.
    """

    code = "rate"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Congested(EngineError):
    """Subscribers read so slowly that publishing has to wait."""


class BadToken(HookboxError):
    """No token, a wrong one, or one in a place where it is not accepted."""

    code = "bad_token"


@dataclass(slots=True)
class Parts:
    """What the API's methods work with.

    Args:
        site: what commands work on.
        apply_settings: changes settings by name, at once.
        congested: whether subscribers read so slowly that publishing has to wait.
        counts: further counters to show, such as those of the webhooks.
        started: monotonic seconds.
        webhook_log: the last webhooks.
        receipts: what calls with an idempotency key were answered.
    """

    site: Site
    apply_settings: Callable[[Mapping[str, Any]], None]
    congested: Callable[[], bool]
    counts: Callable[[], Mapping[str, int]]
    started: float
    webhook_log: WebhookLog = field(default_factory=lambda: WebhookLog(lambda: 0))
    receipts: Receipts[Position | None] = field(init=False)

    def __post_init__(self) -> None:
        self.receipts = Receipts(self.site.clock)


class Caller:
    """One token's holder, and how much it may still publish.

    Args:
        parts: what its calls work with.
        rate: publishes per second; 0 for any.
    """

    __slots__ = ("_bucket", "_burst", "parts", "rate", "site")

    def __init__(self, parts: Parts, rate: float) -> None:
        self.parts = parts
        self.site = parts.site
        self.rate = rate
        self._burst = max(1, math.ceil(rate))
        self._bucket = Bucket(self._burst, parts.site.clock.monotonic())

    def admit_publish(self) -> None:
        """Count one publish.

        Raises:
            RateExceeded: too many with this token.
            Congested: nobody may publish now.
        """
        if not self._bucket.take(self.site.clock.monotonic(), self.rate, self._burst):
            limit = f"more than {self.rate:g} publishes per second, the limit is the setting api_rate"
            raise RateExceeded(limit, math.ceil(1 / self.rate))
        if self.parts.congested():
            raise Congested("too much waits for slow subscribers, try again")


class Callers:
    """Knows the holders of the tokens that are set now.

    Args:
        parts: what their calls work with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._made_for: object = None
        self._known: list[tuple[bytes, Caller]] = []

    def recognise(self, authorization: str, in_body: object, in_query: object) -> Caller:
        """The caller, by the token it shows.

        Args:
            authorization: the header, as WSGI has it.
            in_body: what the body says, None for nothing.
            in_query: what the query says, None for nothing.

        Raises:
            BadToken: and why.
        """
        settings = self._parts.site.settings
        if self._made_for is not settings:
            self._learn()
        if not self._known:
            raise BadToken(
                "the API is off: no token is configured; set api_security_token (--api-security-token)"
            )
        if authorization[:7].lower() == "bearer ":
            shown = authorization[7:].strip().encode("latin-1")
        elif in_body is not None:
            shown = str(in_body).encode()
        elif in_query is not None:
            if not settings.allow_query_token:
                raise BadToken(QUERY_REFUSAL)
            shown = str(in_query).encode()
        else:
            raise BadToken(
                "token required: send Authorization: Bearer <token>, or security_token in the body"
            )
        for token, caller in self._known:
            if hmac.compare_digest(token, shown):
                return caller
        raise BadToken("Invalid security token")

    def operator(self) -> Caller:
        """Whoever is logged in at the console: needs no token, and has no limit."""
        return Caller(self._parts, 0)

    def _learn(self) -> None:
        settings = self._parts.site.settings
        before = dict(self._known)
        self._known = []
        for text in settings.api_security_token:
            token = text.encode()
            caller = before.get(token)
            if caller is None or caller.rate != settings.api_rate:
                caller = Caller(self._parts, settings.api_rate)
            if token:
                self._known.append((token, caller))
        self._made_for = settings
