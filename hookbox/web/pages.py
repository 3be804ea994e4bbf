"""What is neither a transport nor the API: the front page, health, and the browser client's files."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from hookbox import __version__
from hookbox.commands.site import Site
from hookbox.web.health import add_health
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Handler, Headers, LeanBottle

CLIENT_FOLDER: Final = Path(__file__).parent.parent / "js"
SCRIPT: Final = "text/javascript; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
CLIENT_FILES: Final[Mapping[str, str]] = {
    "hookbox.js": SCRIPT,
    "hookbox.min.js": SCRIPT,
    "hookbox.mjs": SCRIPT,
    "hookbox.d.ts": TEXT,
    "hookbox.d.mts": TEXT,
}
COMPRESSED: Final = "hookbox.min.js"
"""Also served ready-made with `.gz` behind its name, where old pages look for it."""

STATIC_HEADERS: Final[Headers] = [
    ("Cache-Control", "public, max-age=300"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Access-Control-Allow-Origin", "*"),  # a module is loaded with CORS; no cookie has any say here
]
PAGE_HEADERS: Final[Headers] = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ("Referrer-Policy", "no-referrer"),
]
WORD_HEADERS: Final[Headers] = [
    ("Content-Type", TEXT),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]


class Part(NamedTuple):
    """A part of Hookbox, as the front page tells of it.

    Args:
        name: for people.
        on: whether it serves now.
        link: path relative to the front page, empty for none.
    """

    name: str
    on: bool
    link: str = ""


def own_parts(site: Site) -> list[Part]:
    """The parts that every Hookbox has."""
    apart = site.settings.api_address is not None  # then it is on the other port
    has_token = any(site.settings.api_security_token)
    return [
        Part("WebSocket", True),
        Part("HTTP API", has_token, "" if apart else "web/"),
        Part("WebSub hub", site.settings.hub != "off", "hub"),
        Part("Console", bool(site.settings.admin_password), "" if apart else "admin/"),
        Part("Browser client", True, "static/hookbox.js"),
        Part("Health", True, "healthz"),
    ]


def make_pages(
    site: Site,
    *,
    parts: Callable[[Site], Iterable[Part]] = own_parts,
    fault: Callable[[], str] = str,
    lack: Callable[[], str] = str,
    states: Callable[[], Mapping[str, str]] = dict,
    folder: Path = CLIENT_FOLDER,
) -> LeanBottle:
    """The pages as a WSGI application.

    Args:
        site: whose state is told.
        parts: what the front page lists.
        fault: why this server should be given no work, in one word; empty if it should.
        lack: what does not work now although the rest does, in one word; empty for nothing.
        states: how the parts stand, a word each; nothing secret.
        folder: where the browser client's files are; they are read once.
    """
    app = LeanBottle(excuse)
    add_health(app, lambda: "draining" if site.draining else fault(), lack, states)
    app.serve("/", ["GET"], lambda environ: _page(parts(site)))
    for name, kind in CLIENT_FILES.items():
        if not (folder / name).is_file():
            continue
        content = (folder / name).read_bytes()
        app.serve(f"/static/{name}", ["GET"], _file(content, ("Content-Type", kind)))
        if name == COMPRESSED:
            packed = gzip.compress(content, mtime=0)
            encoding = ("Content-Encoding", "gzip")
            app.serve(f"/static/{name}.gz", ["GET"], _file(packed, ("Content-Type", kind), encoding))
    return app


def _file(content: bytes, *headers: tuple[str, str]) -> Handler:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    common: Headers = [("ETag", etag), *STATIC_HEADERS]
    whole = Answer("200 OK", [*headers, *common, ("Content-Length", str(len(content)))], content)
    unchanged = Answer("304 Not Modified", common, b"")

    def serve(environ: Environ) -> Answer:
        return unchanged if _matches(environ.get("HTTP_IF_NONE_MATCH", ""), etag) else whole

    return serve


def _matches(condition: str, etag: str) -> bool:
    """Whether an If-None-Match names the file, by weak comparison (RFC 9110 section 13.1.2)."""
    given = [item.strip().removeprefix("W/") for item in condition.split(",")]
    return etag in given or given == ["*"]


def _page(parts: Iterable[Part]) -> Answer:
    items = "".join(f"<li>{_linked(part)}: {'on' if part.on else 'off'}</li>" for part in parts)
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Hookbox</title></head>'
        f"<body><h1>Hookbox {escape(__version__)}</h1><ul>{items}</ul></body></html>\n"
    )
    return _whole(200, html, PAGE_HEADERS)


def _linked(part: Part) -> str:
    name = escape(part.name)
    return f'<a href="{escape(part.link)}">{name}</a>' if part.link else name


def _whole(status: int, text: str, headers: Headers) -> Answer:
    body = text.encode()
    return Answer(STATUS_LINES[status], [*headers, ("Content-Length", str(len(body)))], body)


def excuse(environ: Environ, status: int, allow: str) -> Answer:
    """The answer where no handler answers, in words."""
    words = {404: "not found", 405: "method not allowed", 500: "internal error"}
    extra: Headers = [("Allow", allow)] if allow else []
    return _whole(status, words.get(status, "bad request") + "\n", [*WORD_HEADERS, *extra])
