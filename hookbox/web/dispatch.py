"""`POST /dispatch`: somebody else's request, answered as soon as it is on disk."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from hookbox.commands.dispatch import Accepted, dispatch
from hookbox.commands.site import Site
from hookbox.core.limits import Bucket
from hookbox.delivery.deliveries import Deliveries
from hookbox.delivery.intake import read_dispatch
from hookbox.delivery.request import Request
from hookbox.errors import (
    BadRequest,
    CommandRefused,
    DeliveryStoreError,
    EngineError,
    HookboxError,
    QueueFull,
    WebhookError,
)
from hookbox.web.bodies import Unreadable, read_body
from hookbox.web.caller import Caller
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers, LeanBottle
from hookbox.web.outside import Access
from hookbox.web.pages import excuse
from hookbox.web.paths import DISPATCH

logger = logging.getLogger(__name__)

HEADERS: Final[Headers] = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
TEXT: Final = "text/plain; charset=utf-8"
SCHEDULED: Final = "202 Scheduled"
FULL_SECONDS: Final = 30
AGAIN_SECONDS: Final = 5
MOST_BUCKETS: Final = 16
"""Tokens whose dispatches are counted; there are two at a time, and others after a reload."""
PASSED: Final = {
    "HTTP_IDEMPOTENCY_KEY": "idempotency-key",
    "HTTP_TRACEPARENT": "traceparent",
    "HTTP_TRACESTATE": "tracestate",
    "HTTP_CONTENT_ENCODING": "content-encoding",
}
"""Headers that mean something here, besides `Hookbox-...`."""


class Dispatching:
    """Answers requests to dispatch.

    Args:
        deliveries: what delivers now.
        access: who may.
    """

    def __init__(self, site: Site, deliveries: Callable[[], Deliveries], access: Access) -> None:
        self._site = site
        self._deliveries = deliveries
        self._access = access
        self._buckets: dict[Caller | None, Bucket] = {}

    def serve(self, environ: Environ, path_url: str = "") -> Answer:
        """Answer one request. Blocks until it is on disk.

        Args:
            path_url: a destination out of the path.
        """
        try:
            accepted = self._accept(environ, path_url)
        except HookboxError as error:
            return refused(error)
        return _scheduled(environ, accepted)

    def _accept(self, environ: Environ, path_url: str) -> Accepted:
        settings = self._site.settings
        if environ["REQUEST_METHOD"] != "POST":
            raise BadRequest(405, "dispatch takes POST", (("Allow", "POST"),))
        if self._site.draining:
            raise BadRequest(503, "the server restarts, try again", retry_after(AGAIN_SECONDS))
        body = read_body(environ, settings.api_body)
        query: str = environ.get("QUERY_STRING", "")
        in_query = _last(parse_qs(query, max_num_fields=1000).get("_token")) if "_token" in query else ""
        deliveries = self._deliveries()
        schedule = deliveries.worker.rules.schedule
        request = _request(environ, body, path_url, settings.allow_cookie_header, schedule)
        if environ.get("HTTP_AUTHORIZATION"):
            caller = self._access.may_dispatch(environ)
            wanted = read_dispatch(request)
        else:
            wanted = read_dispatch(request)
            in_form = "" if wanted.token == in_query else wanted.token
            caller = self._access.may_dispatch(environ, in_form, in_query)
        self._count(caller, settings.dispatch_rate)
        return dispatch(self._site, deliveries, wanted)

    def _count(self, caller: Caller | None, rate: float) -> None:
        burst = max(1, math.ceil(rate))
        now = self._site.clock.monotonic()
        bucket = self._buckets.get(caller)
        if bucket is None:
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.clear()
            bucket = self._buckets[caller] = Bucket(burst, now)
        if not bucket.take(now, rate, burst):
            wait = math.ceil(1 / rate)
            raise BadRequest(
                429, f"more than {rate:g} dispatches per second (dispatch_rate)", retry_after(wait)
            )


def make_dispatch(site: Site, deliveries: Callable[[], Deliveries], access: Access) -> LeanBottle:
    """Dispatching as a WSGI application; arguments as of `Dispatching`."""
    app = LeanBottle(excuse)
    dispatching = Dispatching(site, deliveries, access)
    app.serve(DISPATCH, ["ANY"], dispatching.serve)
    app.serve(DISPATCH + "/<path_url:path>", ["ANY"], dispatching.serve)
    return app


def _request(
    environ: Environ, body: bytes, path_url: str, allow_cookie: bool, schedule: tuple[float, ...]
) -> Request:
    headers: list[tuple[str, str]] = []
    for key, value in environ.items():
        if key.startswith("HTTP_HOOKBOX_"):
            name = key[5:].lower().replace("_", "-")
            headers += [(name, part) for part in _text(value).split("\n")]
        elif key in PASSED:
            headers.append((PASSED[key], value))
    return Request(
        body,
        environ.get("CONTENT_TYPE", ""),
        environ.get("QUERY_STRING", ""),
        tuple(headers),
        path_url,
        allow_cookie,
        schedule,
    )


def _text(value: str) -> str:
    """A header's value, which WSGI has as Latin-1, as the UTF-8 that it is meant to be."""
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def _last(values: list[str] | None) -> str:
    return values[-1] if values else ""


def _scheduled(environ: Environ, accepted: Accepted) -> Answer:
    json = "application/json" in environ.get("HTTP_ACCEPT", "")
    headers = [
        ("Hookbox-Message-Id", accepted.message_id),
        ("Location", f"{environ.get('SCRIPT_NAME', '')}/api/v1/messages/{accepted.message_id}"),
    ]
    if accepted.repeated:
        headers.append(("Hookbox-Idempotent-Replay", "true"))
    if json:
        return _answer(202, accepted.answer(), "application/json", headers)
    return _answer(202, SCHEDULED, TEXT, headers)


def refused(error: HookboxError) -> Answer:
    """The answer for an error: a sentence for developers."""
    match error:
        case BadRequest():
            return _answer(error.status, error.reason, TEXT, list(error.headers))
        case Unreadable():
            return _answer(error.status, str(error), TEXT, [])
        case QueueFull():
            return _answer(503, str(error), TEXT, list(retry_after(FULL_SECONDS)))
        case DeliveryStoreError() | EngineError() | WebhookError():
            return _answer(503, str(error), TEXT, list(retry_after(AGAIN_SECONDS)))
        case CommandRefused():
            return _answer(403, str(error), TEXT, [])
    logger.error("a request failed by our own fault: %r", error)
    return _answer(500, "internal error", TEXT, [])


def retry_after(seconds: int) -> tuple[tuple[str, str], ...]:
    """The header that says when to try again."""
    return (("Retry-After", str(seconds)),)


def _answer(status: int, text: str, content_type: str, headers: Headers) -> Answer:
    body = text.encode("utf-8", "replace")
    own: Headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    return Answer(STATUS_LINES[status], [*own, *HEADERS, *headers], body)
