"""What an application answers where a verdict was wanted: which kind of page it is. Takes any bytes."""

from __future__ import annotations

import html
import re
from typing import Final

_TITLE: Final = re.compile(r"<title[^>]*>(.{0,400}?)</title>", re.IGNORECASE | re.DOTALL)
_HEADING: Final = re.compile(r"<h1[^>]*>(.{0,400}?)</h1>", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^>]{0,400}>")
_LOGIN_FIELD: Final = re.compile(r"<input[^>]{0,400}type\s*=\s*[\"']?password", re.IGNORECASE)
_LOGIN_PATH: Final = re.compile(
    r"(log-?_?in|sign-?_?in|accounts/|/auth|/sso|/cas/|/oauth|/session/new|wp-login)", re.IGNORECASE
)
_PLAIN_TITLE: Final = re.compile(r"\A(\w{1,60} at /\S{0,200})\r?\n")
_CSRF: Final = re.compile(
    # as people write it: `<meta name="csrf-token">` and names of middleware stand on any page
    rb"csrf (verification|token|failed|cookie|session|check|error|protection)|(invalid|missing|bad|no) csrf"
    rb"|InvalidAuthenticityToken|Page Expired|EBADCSRFTOKEN|cross[- ]site request forgery|antiforgery|_xsrf",
    re.IGNORECASE,
)
_HOST: Final = (b"DisallowedHost", b"Invalid HTTP_HOST header", b"Blocked host")
_SLASH: Final = b"and you have APPEND_SLASH set"
_DEBUG: Final = {
    b"You're seeing this error because you have": "Django's, with DEBUG = True",
    b"Using the URLconf defined in": "Django's, with DEBUG = True",
    b"Werkzeug Debugger": "Flask's",
    b"The debugger caught an exception": "Flask's",
    b"Whoops\\": "Whoops of PHP",
    b"ignition": "Laravel's, with APP_DEBUG=true",
    b"Symfony Exception": "Symfony's",
    b"Action Controller: Exception caught": "Rails'",
    b"Xdebug": "PHP's",
    b"Traceback (most recent call last)": "Python's",
}
_PHP_NOISE: Final = re.compile(
    rb"^\s*(<br />\s*)?(<b>)?(PHP )?(Warning|Notice|Deprecated|Parse error|Fatal error)", re.IGNORECASE
)
LONGEST_TITLE: Final = 80


def is_html(content_type: str, body: bytes) -> bool:
    """Whether an answer is a page for people."""
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<h1", b"<title")):
        return True
    return "html" in content_type.lower() and start.startswith(b"<")


def title(body: bytes) -> str:
    """What a page calls itself, in one short line; empty if it does not."""
    text = body.decode("utf-8", "replace")
    found = _TITLE.search(text) or _HEADING.search(text) or _PLAIN_TITLE.match(text)
    if found is None:
        return ""
    line = " ".join(html.unescape(_TAG.sub(" ", found[1])).split())
    return line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1] + "…"


def is_csrf(status: int, body: bytes) -> bool:
    """Whether a form was refused for lack of a CSRF token."""
    return status in (400, 401, 403, 419, 422) and bool(_CSRF.search(body))


def is_host_check(status: int, body: bytes) -> bool:
    """Whether the name in the Host header was refused."""
    return status in (400, 403, 421) and any(sign in body for sign in _HOST)


def wants_slash(status: int, body: bytes) -> bool:
    """Whether Django, with DEBUG, says that the address ends in a slash."""
    return status == 500 and _SLASH in body


def is_login_place(location: str) -> bool:
    """Whether a redirect leads to where people log in."""
    return bool(_LOGIN_PATH.search(location))


def is_login_page(body: bytes) -> bool:
    """Whether a page asks for a password."""
    return bool(_LOGIN_FIELD.search(body.decode("utf-8", "replace")))


def debugger(body: bytes) -> str:
    """Whose page for developers this is; empty for none."""
    return next((whose for sign, whose in _DEBUG.items() if sign in body), "")


def is_php_noise(body: bytes) -> bool:
    """Whether PHP wrote a message into the answer."""
    return bool(_PHP_NOISE.match(body[:200]))
