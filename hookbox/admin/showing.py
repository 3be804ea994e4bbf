"""Logging in and out, and the shell of the pages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hookbox import __version__
from hookbox.admin import files
from hookbox.admin.asked import Request, Told, whole
from hookbox.admin.gatekeeper import cookie_of
from hookbox.admin.logins import IDLE_SECONDS, TooManyTries
from hookbox.core.values import JSONObject
from hookbox.errors import BadRequest, CommandRefused
from hookbox.web.lean import Answer

if TYPE_CHECKING:
    from hookbox.admin.console import Console
    from hookbox.admin.routes import Act

logger = logging.getLogger(__name__)

JUST_NOW: Final = "login"
"""In the query of the page that follows a login."""
TEXT: Final = "text/plain; charset=utf-8"


def to_folder(request: Request) -> Told:
    """`/admin` is `/admin/`, whatever path the browser sees before it."""
    return _to("admin/")


def index(console: Console, request: Request) -> Told:
    """The shell of all pages."""
    if request.environ.get("QUERY_STRING") == JUST_NOW:
        return _to("./")
    return files.index(request)


def why_not(request: Request) -> str:
    """What the login page says to whoever wanted the pages without a login."""
    just_now = request.environ.get("QUERY_STRING") == JUST_NOW
    return files.NO_COOKIE if just_now else ""


def free_file(name: str) -> Act:
    """A file that the login page needs."""

    def act(console: Console, request: Request) -> Told:
        request.wild["name"] = name
        return files.static(request)

    return act


def log_in(console: Console, request: Request) -> Told:
    """Compare the password; a good one gets a cookie. Blocks for a tenth of a second."""
    try:
        console.gatekeeper.require_own_page(request.environ)
        password = request.form().get("password", "")
        cookie = console.logins.open(password, request.address)
    except TooManyTries as error:
        logger.warning("the console: too many attempts to log in from %s", request.address)
        return files.login_page(429, f"Too many attempts. Try again in {error.retry_after} seconds.",
                                ("Retry-After", str(error.retry_after)))  # fmt: skip
    except BadRequest as error:
        return files.login_page(error.status, _sentence(str(error)))
    except CommandRefused as error:
        return files.login_page(400, _sentence(str(error)))
    if cookie is None:
        logger.warning("the console: a wrong password from %s", request.address)
        return files.login_page(401, "That is not the password.")
    logger.info("the console: a login from %s", request.address)
    old = console.logins.find(cookie_of(request.environ))
    if old is not None:
        console.logins.close(old)
        console.feed.check()
    return _to(f"./?{JUST_NOW}", files.login_cookie(cookie))


def log_out(console: Console, request: Request) -> Told:
    """End the login, and what is live for it."""
    assert request.login is not None
    console.logins.close(request.login)
    console.feed.check()
    logger.info("the console: a logout from %s", request.address)
    return whole(200, b"{}", "application/json", files.login_cookie(""))


def session(console: Console, request: Request) -> Told:
    """Who one is to the server, and what it can do."""
    login, server = request.login, console.server
    assert login is not None
    now, clock = server.clock.now(), server.clock.monotonic()
    features: JSONObject = {
        "hub": server.settings.hub != "off",
        "webhook_log": server.settings.webhook_log,
        "apart": console.apart,
        "path_prefix": server.settings.path_prefix,
        "resume": server.settings.leave_grace > 0,
        "api": any(server.settings.api_security_token),
    }
    return {
        "csrf": login.csrf,
        "version": __version__,
        "server": request.environ.get("HTTP_HOST", ""),
        "now": now,
        "idle_seconds": IDLE_SECONDS,
        "ends_at": now + login.ends - clock,
        "features": features,
    }


def _to(place: str, *headers: tuple[str, str]) -> Answer:
    return whole(303, b"", TEXT, ("Location", place), *headers)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
