"""Who may come in: by the cookie of a login, and for changes by the page's token and origin too."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from hookbox.admin.asked import Problem
from hookbox.admin.logins import Login, Logins, same_text
from hookbox.core.cookies import ADMIN_COOKIE, read_cookies
from hookbox.web.lean import Environ
from hookbox.web.origin import DEFAULT_PORTS

COOKIE: Final = ADMIN_COOKIE
SAFE: Final = ("GET", "HEAD")
HOST_HELP: Final = (
    "the page's origin is not the host that was asked: open the console at its own address; a proxy in "
    "between has to pass on the Host header (nginx: proxy_set_header Host $http_host)"
)


class Gatekeeper:
    """Looks at requests.

    Args:
        logins: who is logged in.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def admit(self, environ: Environ) -> Login:
        """Who asks.

        Raises:
            Problem: 401, nobody is logged in; 403, a change that the console's own page did not ask for.
        """
        login = self._login(environ, "HTTP_X_HOOKBOX_BACKGROUND" not in environ)
        if environ["REQUEST_METHOD"] not in SAFE:
            self.require_own_page(environ)
            if not same_text(environ.get("HTTP_X_HOOKBOX_CSRF", ""), login.csrf):
                raise Problem(403, "csrf", "the header X-Hookbox-CSRF must be the token from api/session")
        return login

    def admit_feed(self, environ: Environ) -> Login:
        """Who wants to see what happens; no sign of somebody being there.

        Raises:
            Problem: as `admit`.
        """
        login = self._login(environ, False)
        self.require_own_page(environ)
        return login

    def require_own_page(self, environ: Environ) -> None:
        """Refuse what another page, or no page, asks for.

        Raises:
            Problem: 403.
        """
        origin = environ.get("HTTP_ORIGIN", "")
        host = environ.get("HTTP_X_FORWARDED_HOST") or environ.get("HTTP_HOST", "")
        if not origin:
            raise Problem(403, "origin", "an Origin header is needed; browsers send it")
        if not is_own(origin, host):
            raise Problem(403, "origin", HOST_HELP)

    def _login(self, environ: Environ, acts: bool) -> Login:
        login = self._logins.find(cookie_of(environ), acts=acts)
        if login is None:
            raise Problem(401, "login", "log in first")
        return login


def cookie_of(environ: Environ) -> str:
    """The value of the login's cookie; empty without one."""
    return read_cookies(environ.get("HTTP_COOKIE", "")).get(COOKIE, "")


def is_own(origin: str, host: str) -> bool:
    """Whether an origin is a page of this very host and port.

    Args:
        origin: as the header has it.
        host: as the Host header has it, with its port unless that is the one its scheme implies.
    """
    try:
        page = urlsplit(origin)
        asked = urlsplit(f"{page.scheme}://{host}")
        ports = page.port, asked.port
    except ValueError:
        return False
    if page.scheme not in DEFAULT_PORTS or not page.hostname or f"{page.scheme}://{page.netloc}" != origin:
        return False
    if "@" in page.netloc or "," in origin or asked.path or "@" in host:
        return False
    default = DEFAULT_PORTS[page.scheme]
    return page.hostname == asked.hostname and (ports[0] or default) == (ports[1] or default)
