"""Health: whether the process lives, and whether it should be given work. Nobody needs a token for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from hookbox.protocol.json_text import dump
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers, LeanBottle

if TYPE_CHECKING:
    from hookbox.server import Server

LATE_SECONDS: Final = 0.1
"""Lag of the event loop from which it is called late."""
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
HEADERS: Final[Headers] = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]


def add_health(
    app: LeanBottle,
    fault: Callable[[], str],
    lack: Callable[[], str],
    parts: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Have an application serve `/healthz` and `/readyz`.

    Args:
        fault: why this server should be given no work, in one word; empty if it should.
        lack: what does not work now although the rest does, in one word; empty for nothing.
        parts: how the parts stand, a word each, for those who ask for JSON; nothing secret.
    """

    def alive(environ: Environ) -> Answer:
        return _answer(environ, 200, "ok", {})

    def ready(environ: Environ) -> Answer:
        word = fault()
        return _answer(environ, 503 if word else 200, word or lack() or "ready", parts())

    app.serve("/healthz", ["GET"], alive)
    app.serve("/readyz", ["GET"], ready)


def states_of(server: Server) -> dict[str, str]:
    """How a server's parts stand, a word each."""
    client = server.webhooks.made
    failing = client is not None and client.counts()["breaker_open"]
    return {
        "clients": "draining" if server.site.draining else "ok",
        "store": "degraded" if server.storeroom.fault else "ok",
        "application": "failing" if failing else "ok",
        "loop": "late" if server.loop_lag > LATE_SECONDS else "ok",
    }


def _answer(environ: Environ, status: int, word: str, parts: Mapping[str, str]) -> Answer:
    text, kind = word, TEXT
    if JSON in environ.get("HTTP_ACCEPT", ""):
        text, kind = dump({"status": word, **({"parts": dict(parts)} if parts else {})}), JSON
    body = f"{text}\n".encode()
    own: Headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    return Answer(STATUS_LINES[status], [*own, *HEADERS, ("Vary", "Accept")], body)
