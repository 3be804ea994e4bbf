"""The one table of the console's routes: the application is built from it, and the tests walk it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hookbox.admin import bench, calls, channels, connections, files, overview, people, settings, showing
from hookbox.admin.asked import Problem, Request, Told
from hookbox.web.paths import ADMIN, ADMIN_FEED

if TYPE_CHECKING:
    from hookbox.admin.console import Console

BASE: Final = ADMIN
FEED: Final = f"{BASE}/csp/"


class Who(Enum):
    """Who may call a route."""

    ANYBODY = "anybody"
    LOGGED_IN = "logged in"
    """Changes need the page's token and its origin, too."""
    FEED = "feed"
    """The same without the token: requests of the feed's client."""


Act = Callable[["Console", Request], Told]


class Route(NamedTuple):
    """One route.

    Args:
        path: with Bottle's wildcards.
        act: answers it; raises HookboxError.
        also: further paths of it.
        page: for a page: what the login page says that is shown instead to whoever is not logged in.
    """

    method: str
    path: str
    act: Act
    who: Who = Who.LOGGED_IN
    also: tuple[str, ...] = ()
    page: Callable[[Request], str] | None = None


def _api(method: str, path: str, act: Act) -> Route:
    return Route(method, f"{BASE}/api/{path}", act)


def _by_feed(console: Any, request: Request) -> Told:
    raise Problem(404, "not_found", "the feed's client calls this")


def _nothing(console: Console, request: Request) -> Told:
    raise Problem(404, "not_found", "there is nothing here, or not by this method")


ROUTES: Final = (
    Route("GET", BASE, lambda console, request: showing.to_folder(request), Who.ANYBODY),
    Route("GET", f"{BASE}/", showing.index, page=showing.why_not),
    Route("POST", f"{BASE}/login", showing.log_in, Who.ANYBODY),
    Route("POST", f"{BASE}/logout", showing.log_out),
    *(Route("GET", f"{BASE}/static/{name}", showing.free_file(name), Who.ANYBODY) for name in files.FREE),
    Route("GET", f"{BASE}/static/<name:path>", lambda console, request: files.static(request)),
    _api("GET", "session", showing.session),
    _api("GET", "overview", overview.overview),
    _api("GET", "channels", channels.listed),
    _api("GET", "channel", channels.show),
    _api("GET", "users", people.listed),
    _api("GET", "user", people.show),
    _api("GET", "connections", connections.listed),
    _api("GET", "connection", connections.show),
    _api("GET", "webhooks", bench.listed),
    _api("GET", "webhook", bench.show),
    _api("POST", "webhook/again", bench.again),
    _api("GET", "journal", connections.journal),
    _api("POST", "reveal", bench.reveal),
    _api("GET", "settings", settings.listed),
    _api("POST", "settings", settings.change),
    _api("POST", "call/<method>", calls.call),
    *(
        Route(method, f"{BASE}/api/v1/<rest:path>", calls.backlog)
        for method in ("GET", "POST", "PATCH", "DELETE")
    ),
    Route("GET", ADMIN_FEED, _by_feed, Who.FEED),
    *(
        Route(method, FEED + name, _by_feed, Who.FEED)
        for name in ("handshake", "send", "comet", "close")
        for method in ("GET", "POST")
    ),
    Route("ANY", f"{BASE}/<rest:path>", _nothing),
)
