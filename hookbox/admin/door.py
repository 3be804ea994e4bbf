"""The console as a WSGI application, built from its one table of routes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hookbox.admin.asked import Problem, Request, refused, told
from hookbox.admin.files import login_page
from hookbox.admin.logins import TooManyTries
from hookbox.admin.routes import BASE, FEED, ROUTES, Route, Who
from hookbox.errors import (
    BadRequest,
    CommandRefused,
    ConfigError,
    DeliveryStoreError,
    EngineError,
    HookboxError,
    LimitReached,
    NotFound,
)
from hookbox.protocol.csp_variables import read_query
from hookbox.web.bodies import Unreadable
from hookbox.web.lean import Answer, Environ, LeanBottle

if TYPE_CHECKING:
    from hookbox.admin.console import Console
    from hookbox.web.http import WsgiApp

BUSY_SECONDS: Final = "5"


def make_door(console: Console) -> WsgiApp:
    """The application.

    Args:
        console: what it shows.
    """
    pages = LeanBottle(_excuse)
    for route in ROUTES:
        if route.who is not Who.FEED:
            for path in (route.path, *route.also):
                pages.serve(path, [route.method], partial(_serve, console, route))

    def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(FEED):
            return _comet(console, environ, start_response)
        return pages(environ, start_response)

    return application


def _serve(console: Console, route: Route, environ: Environ, **wild: str) -> Answer:
    try:
        request = Request(environ, wild)
        if route.who is Who.LOGGED_IN:
            request.login = console.gatekeeper.admit(environ)
        answer = route.act(console, request)
    except HookboxError as error:
        if route.page and isinstance(error, Problem) and error.status == 401:
            return login_page(401, route.page(request))
        return _no(error)
    return answer if isinstance(answer, Answer) else told(answer)


def _no(error: HookboxError) -> Answer:
    match error:
        case Unreadable():
            return refused(error.status, error.code, str(error))
        case BadRequest():
            return refused(error.status, error.code, str(error), *error.headers)
        case TooManyTries():
            return refused(429, error.code, str(error), ("Retry-After", str(error.retry_after)))
        case NotFound():
            return refused(404, error.code, str(error))
        case LimitReached():
            return refused(429, error.code, str(error))
        case CommandRefused() | ConfigError():
            return refused(400, error.code, str(error))
        case DeliveryStoreError() | EngineError():
            return refused(503, error.code, str(error), ("Retry-After", BUSY_SECONDS))
    return refused(400, error.code, str(error))


def _comet(console: Console, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A request of the feed's client where no WebSocket gets through: its login is looked at each time."""
    try:
        login = console.gatekeeper.admit_feed(environ)
        key = read_query(environ["QUERY_STRING"]).get("s", b"").decode("latin-1")
        if key and not console.feed.owns(login, key):
            raise Problem(404, "not_found", "this session is over, or another login's")
    except BadRequest as error:
        status, headers, body = _no(error)
        start_response(status, headers)
        return [body]
    inner = {**environ, "PATH_INFO": environ["PATH_INFO"].removeprefix(BASE), "hookbox.origin": ""}
    answered: Iterable[bytes] = console.feed.comet_app(inner, start_response)
    return answered


def _excuse(environ: Environ, status: int, allow: str) -> Answer:
    if status == 500:
        return refused(500, "internal", "this failed by a fault of the server's; its log says more")
    extra = [("Allow", allow)] if allow else []
    return refused(status, "bad_request", "there is nothing of this kind here", *extra)
