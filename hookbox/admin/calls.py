"""The HTTP API and the backlog, for whoever is logged in."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from hookbox.admin.asked import Problem, Request, Told, whole
from hookbox.admin.channels import unmasked
from hookbox.errors import HookboxError
from hookbox.protocol.json_text import dump
from hookbox.web.answers import failure, success
from hookbox.web.bodies import Given
from hookbox.web.lean import Answer, Environ
from hookbox.web.methods import BY_NAME
from hookbox.web.outside import OPERATOR
from hookbox.web.paths import ADMIN
from hookbox.webhooks.masking import hide_keys, mask_urls

if TYPE_CHECKING:
    from hookbox.admin.console import Console

logger = logging.getLogger(__name__)

CONTENT: Final = frozenset({"body", "body_base64", "payload"})
"""What of an answer of the backlog is shown only by `reveal`."""
URLS: Final = frozenset({"url", "errback", "callback"})
"""What may have a token in its query."""
OF_BODY: Final = ("Content-Type", "Content-Length")
OF_CONTENT: Final = frozenset({"get_channel_info", "channel_info", "history", "batch"})
"""Methods whose answers hold payloads, which have ways of their own here."""


def call(console: Console, request: Request) -> Told:
    """Call a method of the HTTP API; answers as it does."""
    name = request.wild["method"]
    method = BY_NAME.get(name)
    if method is None:
        raise Problem(404, "unknown_method", f"the API has no method {name[:80]}")
    if name in OF_CONTENT:
        raise Problem(
            403, "masked", "its answer holds payloads; see api/channel, and api/reveal for one of them"
        )
    given = Given(unmasked(console.server.site, request.json()), False)
    if not method.reads:
        logger.info("the console: %s is called from %s", method.name, request.address)
    try:
        text = success(method.call(console.caller, given))
    except HookboxError as error:
        text = failure(error)
    return whole(200, text.encode(), "application/json")


def backlog(console: Console, request: Request) -> Told:
    """Pass a request on to `/api/v1`, and mask what its answer holds of messages."""
    environ: Environ = {**request.environ, OPERATOR: True}
    environ["PATH_INFO"] = request.environ["PATH_INFO"].removeprefix(ADMIN)
    environ.pop("HTTP_AUTHORIZATION", None)
    if environ["REQUEST_METHOD"] != "GET":
        logger.info(
            "the console: %s %s from %s", environ["REQUEST_METHOD"], environ["PATH_INFO"], request.address
        )
    said: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        said.update(status=status, headers=headers)

    body = b"".join(console.backlog(environ, start))
    shown = mask_urls(hide_keys(json.loads(body), CONTENT), URLS) if body else None
    masked = dump(shown).encode() if body else b""
    answer = whole(int(said["status"][:3]), masked, "application/json")
    kept = [
        each for each in said["headers"] if each[0] in ("Location", "Retry-After", "Allow", "X-Request-ID")
    ]
    empty = said["status"].startswith("204")
    headers = [each for each in answer.headers if not empty or each[0] not in OF_BODY]
    return Answer(said["status"], [*headers, *kept], masked)
