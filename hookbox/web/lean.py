"""Bottle's routes without its thread-local request and response, which would cost more than a publish."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

import bottle

from hookbox.log_context import REQUEST

Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What a handler answers: a status line such as `200 OK`, headers, and the body."""

    status: str
    headers: Headers
    body: bytes


Handler: TypeAlias = Callable[..., Answer]
"""Takes the WSGI environ and the path's wildcards by name."""

Excuse: TypeAlias = Callable[[Environ, int, str], Answer]
"""Makes the answer for a status without a handler: environ, status, the Allow header or empty."""

STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def new_request_id() -> str:
    """Goes into the log and to the client, so that the one can be found by the other.

    The same each time as long as one request is answered.
    """
    request = REQUEST.get()
    return secrets.token_hex(8) if request is None else request.request_id


class LeanBottle(bottle.Bottle):  # type: ignore[misc]  # Bottle has no types
    """A Bottle whose handlers take the WSGI environ and return an `Answer`.

    Args:
        excuse: answers where no handler does: unknown paths, wrong methods, bugs.
    """

    def __init__(self, excuse: Excuse) -> None:
        super().__init__()
        self._excuse = excuse

    def serve(self, path: str, methods: Iterable[str], handler: Handler) -> None:
        """Have a handler answer a path, for these methods or `ANY`."""
        self.route(path, list(methods), handler, skip=True)

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> list[bytes]:
        """The WSGI interface."""
        try:
            route, wildcards = self.match(environ)
            status, headers, body = route.call(environ, **wildcards)
        except bottle.HTTPError as error:
            allow = error.get_header("Allow", "")
            status, headers, body = self._excuse(environ, error.status_code, allow)
        except Exception:
            request_id = new_request_id()
            logger.exception("a handler failed", extra={"fields": {"request": request_id}})
            status, headers, body = self._excuse(environ, 500, "")
            headers = [*headers, ("X-Request-ID", request_id)]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
