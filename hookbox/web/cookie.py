"""Cookies that script must not see, handed to the browser once: `/cookie/<key>`.

The door has judged the Origin before: an attacker's key must not set the attacker's cookies in another
browser. Source: RFC 6265 section 4.1; the Fetch standard for CORS.
"""

from __future__ import annotations

from typing import Final

from hookbox.commands.site import Site
from hookbox.core.cookies import from_wsgi, read_cookies, to_wsgi
from hookbox.web.http import WsgiApp
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers, LeanBottle
from hookbox.web.pages import excuse

METHODS: Final = "POST, OPTIONS"
TEXT: Final = "text/plain; charset=utf-8"
ONLY_POST: Final = "cookies are fetched by a POST of the browser client; a link must not set any"
NO_FORM: Final = "cookies are fetched by a POST without a body; a form must not set any"
FORMS: Final = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""What a form of any page can send, also by browsers so old that they do not say whose page it is."""
GONE: Final = "fetched already, too late, or never there: each key is good for one use within a minute"


def make_cookie_door(site: Site) -> WsgiApp:
    """Serve the cookies that wait to be fetched."""
    door = CookieDoor(site)
    app = LeanBottle(excuse)
    app.serve("/cookie/<key>", ["ANY"], door.answer)
    return app


class CookieDoor:
    """Gives away what waits in `Site.pickups`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def answer(self, environ: Environ, key: str) -> Answer:
        """Answer any request to a key's path."""
        match environ["REQUEST_METHOD"]:
            case "POST":
                return self._hand_over(environ, key)
            case "OPTIONS":
                allowed = ("Access-Control-Allow-Methods", METHODS), ("Access-Control-Max-Age", "600")
                return Answer(STATUS_LINES[204], [*_headers(environ), *allowed], b"")
            case _:
                return _words(environ, 405, ONLY_POST, ("Allow", METHODS))

    def _hand_over(self, environ: Environ, key: str) -> Answer:
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() in FORMS:
            return _words(environ, 415, NO_FORM)
        shown = read_cookies(from_wsgi(environ.get("HTTP_COOKIE", "")))
        cookies = self._site.pickups.take(key, self._site.clock.monotonic(), shown)
        if cookies is None:
            return _words(environ, 410, GONE)
        headers = _headers(environ) + [("Set-Cookie", to_wsgi(cookie)) for cookie in cookies]
        return Answer(STATUS_LINES[204], headers, b"")


def _headers(environ: Environ) -> Headers:
    headers = [("Cache-Control", "no-store"), ("Vary", "Origin"), ("X-Content-Type-Options", "nosniff")]
    if origin := environ.get("hookbox.origin"):
        headers.append(("Access-Control-Allow-Origin", origin))
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return headers


def _words(environ: Environ, status: int, words: str, *more: tuple[str, str]) -> Answer:
    body = f"{words}\n".encode()
    sized = ("Content-Type", TEXT), ("Content-Length", str(len(body)))
    return Answer(STATUS_LINES[status], [*_headers(environ), *more, *sized], body)
