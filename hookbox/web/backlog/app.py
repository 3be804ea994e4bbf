"""`/api/v1` as a WSGI application. Its routes, and the parameters that each takes, are in one table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from hookbox.core.values import JSON, JSONObject
from hookbox.errors import (
    BadRequest,
    CommandRefused,
    DeliveryStoreError,
    HookboxError,
    LimitReached,
    NotFound,
)
from hookbox.protocol.json_text import dump
from hookbox.web.answers import answer
from hookbox.web.backlog import deliveries, endpoints, messages
from hookbox.web.backlog.asked import Asked
from hookbox.web.backlog.office import Forbidden, Office, Reply
from hookbox.web.backlog.standing import Stats
from hookbox.web.bodies import FORM, Unreadable, read_body, read_form, read_given
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers, LeanBottle, new_request_id
from hookbox.web.paths import BACKLOG

logger = logging.getLogger(__name__)

PAGED: Final = ("limit", "cursor")
WORDS: Final = {401: "bad_token", 403: "forbidden"}
BUSY_SECONDS: Final = 30
"""After which it is worth to try again what the store refused."""

Act: TypeAlias = Callable[..., JSONObject | Reply]
Allow: TypeAlias = Callable[[Environ], object]
"""Lets a request pass that may call; raises BadRequest."""


class Route(NamedTuple):
    """One call.

    Args:
        takes: names of its parameters; None for a JSON body that it reads itself.
    """

    method: str
    path: str
    act: Act
    takes: tuple[str, ...] | None = ()


def routes() -> list[Route]:
    """All calls."""
    found, goal = deliveries.FILTERS, ("url", "endpoint", "secret")
    return [
        Route("GET", "/messages", messages.listed, ("topic", "since", "until", "q", *PAGED)),
        Route("GET", "/messages/<name>", messages.show),
        Route("POST", "/messages/<name>/resend", messages.resend, (*goal, "new_id")),
        Route("GET", "/deliveries", deliveries.listed, (*found, *PAGED)),
        Route("POST", "/deliveries/retry", deliveries.retry_many, (*found, "rate", "reset")),
        Route("GET", "/deliveries/<name>", deliveries.show),
        Route("POST", "/deliveries/<name>/retry", deliveries.retry, ("reset",)),
        Route("POST", "/deliveries/<name>/cancel", deliveries.cancel),
        Route("GET", "/jobs", deliveries.jobs),
        Route("GET", "/jobs/<name>", deliveries.job),
        Route("POST", "/jobs/<name>/cancel", deliveries.cancel_job),
        Route("POST", "/topics/<topic:path>/replay", messages.replay, (*goal, "from", "to")),
        Route("GET", "/endpoints", endpoints.listed, ("state", "tag", *PAGED)),
        Route("POST", "/endpoints", endpoints.create, None),
        Route("GET", "/endpoints/<name>", endpoints.show),
        Route("PATCH", "/endpoints/<name>", endpoints.change, None),
        Route("DELETE", "/endpoints/<name>", endpoints.delete),
        Route("POST", "/endpoints/<name>/enable", endpoints.enable, ("discard",)),
        Route("POST", "/endpoints/<name>/disable", endpoints.disable, ("reason",)),
        Route("POST", "/endpoints/<name>/pause", endpoints.pause, ("reason",)),
        Route("POST", "/endpoints/<name>/secret", endpoints.rotate, ("secret", "grace")),
        Route("POST", "/endpoints/<name>/test", endpoints.send_test),
        Route("GET", "/subscriptions", endpoints.subscriptions, ("topic", *PAGED)),
        Route("DELETE", "/subscriptions/<name>", endpoints.unsubscribe),
        Route("GET", "/stats", Stats(), PAGED),
    ]


def make_backlog(
    office: Callable[[], Office], allow: Allow, *, api_body: Callable[[], int], json_depth: Callable[[], int]
) -> LeanBottle:
    """The application.

    Args:
        office: gives what the calls work with; raises DeliveryStoreError while there is none.
        allow: who may call.
        api_body: bytes that the body of a request may have.
        json_depth: how deep a value in it may nest.
    """
    app = LeanBottle(_excuse)
    for route in routes():
        app.serve(
            BACKLOG + route.path, [route.method], partial(_serve, route, office, allow, api_body, json_depth)
        )
    return app


def _serve(
    route: Route,
    office: Callable[[], Office],
    allow: Allow,
    api_body: Callable[[], int],
    json_depth: Callable[[], int],
    environ: Environ,
    **wildcards: str,
) -> Answer:
    try:
        allow(environ)
        names = [_decoded(text) for text in wildcards.values()]
        given = _read(route, environ, api_body(), json_depth())
        asked = given if route.takes is None else Asked(given, route.takes)
        told = route.act(office(), asked, *names)
    except HookboxError as error:
        return _no(error)
    status, value, location = told if isinstance(told, Reply) else Reply(200, told)
    prefix = environ.get("SCRIPT_NAME", "")
    return _answer(status, value, *([("Location", prefix + location)] if location else []))


def _decoded(wildcard: str) -> str:
    """A part of the path, which WSGI has as if it were Latin-1."""
    try:
        return wildcard.encode("latin-1").decode()
    except UnicodeError:
        raise Unreadable(400, "bad_request", "the path is not UTF-8") from None


def _read(route: Route, environ: Environ, limit: int, depth: int) -> dict[str, JSON]:
    """The parameters: the query's, then the body's, which win."""
    query = environ.get("QUERY_STRING", "")
    given = dict(read_form(query.encode("latin-1")))
    if "secret" in given:
        raise Unreadable(400, "bad_parameter", "secret: send it in the body, as query strings end up in logs")
    if route.method not in ("POST", "PATCH"):
        return given
    body = read_body(environ, limit)
    content_type = environ.get("CONTENT_TYPE") or FORM
    if route.takes is None:
        if given:
            raise Unreadable(
                400, "bad_request", "this call takes no parameters in the query, but a JSON object as body"
            )
        if "json" not in content_type:
            raise Unreadable(415, "bad_content_type", "send a JSON object, as application/json")
    return {**given, **read_given(body, content_type, depth).values} if body or route.takes is None else given


def _answer(status: int, value: JSONObject, *headers: tuple[str, str]) -> Answer:
    return answer(STATUS_LINES[status], dump(value), *headers)


def _no(error: HookboxError) -> Answer:
    status, word = _status(error)
    request_id = new_request_id()
    fields = {"request": request_id}
    logger.info("a call of the backlog was refused: %s %s", status, word, extra={"fields": fields})
    headers: Headers = [("X-Request-ID", request_id)]
    if isinstance(error, BadRequest):
        headers += error.headers
    if status == 503:
        headers.append(("Retry-After", str(BUSY_SECONDS)))
    if isinstance(error, Unreadable) and error.allow:
        headers.append(("Allow", error.allow))
    return _answer(status, {"error": word, "message": str(error)}, *headers)


def _status(error: HookboxError) -> tuple[int, str]:
    """The status and the word of an error."""
    code = error.code
    match error:
        case Unreadable():
            return error.status, code
        case BadRequest():
            return error.status, WORDS.get(error.status, code)
        case Forbidden():
            return 403, code
        case NotFound():
            return 404, code
        case LimitReached():
            return 429, code
        case CommandRefused() if code == "bad_filter":
            return 400, code
        case CommandRefused():
            return 409, code
        case DeliveryStoreError():
            return 503, code
    return 500, "internal"


def _excuse(environ: Environ, status: int, allow: str) -> Answer:
    words: dict[int, tuple[str, str]] = {
        404: ("not_found", "there is nothing here; docs/api.md lists the calls"),
        405: ("method_not_allowed", f"takes {allow}"),
        500: ("internal", "internal error"),
    }
    word, message = words.get(status, ("bad_request", "bad request"))
    headers: list[tuple[str, Any]] = [("Allow", allow)] if allow else []
    return _answer(status, {"error": word, "message": message}, *headers)
