"""The console's own files, and its login page."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final

from hookbox.admin.asked import Request, Told, refused, whole
from hookbox.admin.gatekeeper import COOKIE
from hookbox.web.lean import Answer
from hookbox.web.pages import CLIENT_FILES, CLIENT_FOLDER

FOLDER: Final = Path(__file__).parent / "static"
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
FREE: Final = ("login.css", "icon.svg")
"""Files that the login page needs."""
LONGEST_NAME: Final = 100
"""Bytes of a file's name are limited by the system, which would call a longer one an error."""
MESSAGE: Final = "{{message}}"
PLAIN_LOGIN: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Hookbox: log in</title></head><body>'
    f'<p role="alert">{MESSAGE}</p><form method="post" action="login"><label>Password '
    '<input name="password" type="password" autofocus></label> <button>Log in</button></form></body></html>'
)
NO_COOKIE: Final = (
    "The browser did not keep the cookie of the login. It does so only at an address with https, or on the "
    "machine itself at http://localhost; a tunnel helps (ssh -L 8001:localhost:8001 ...)."
)


def index(request: Request) -> Told:
    """The shell of all pages."""
    found = _read(FOLDER, "index.html")
    return found or refused(404, "not_found", "the console's pages are not part of this installation")


def static(request: Request) -> Told:
    """One file."""
    name = request.wild["name"]
    found = _read(CLIENT_FOLDER, name) if name in CLIENT_FILES else _read(FOLDER, name)
    return found or refused(404, "not_found", "there is no such file")


def login_page(status: int, message: str = "", *headers: tuple[str, str]) -> Answer:
    """Where one logs in.

    Args:
        message: why it is shown once more; empty at the first time.
    """
    path = FOLDER / "login.html"
    text = path.read_text() if path.is_file() else PLAIN_LOGIN
    body = text.replace(MESSAGE, escape(message)).encode()
    # with no-referrer the browser would not say where the form comes from
    return whole(status, body, KINDS[".html"], ("Referrer-Policy", "same-origin"), *headers)


def login_cookie(value: str) -> tuple[str, str]:
    """The header that sets the cookie of a login; an empty value takes it away."""
    gone = "" if value else "; Max-Age=0"
    return "Set-Cookie", f"{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{gone}"


@lru_cache(256)
def _read(folder: Path, name: str) -> Answer | None:
    """A file as an answer, None if there is none; read once."""
    if len(name) > LONGEST_NAME:
        return None
    path = (folder / name).resolve()
    kind = KINDS.get(path.suffix)
    if kind is None or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    return whole(200, path.read_bytes(), kind)
