"""A webhook sent once more: the same question, an answer without any effect."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from requests import exceptions

from hookbox.admin.asked import Problem
from hookbox.errors import ConfigError, LimitReached, UnusableAnswer
from hookbox.webhooks.adapter import LeanAdapter
from hookbox.webhooks.asked import BODY_KEPT, WHY_KEPT, Asked, Verdict
from hookbox.webhooks.calls import Calls
from hookbox.webhooks.connections import Dialer
from hookbox.webhooks.gate import Refuse
from hookbox.webhooks.masking import mask_url
from hookbox.webhooks.verdicts import read_verdict

if TYPE_CHECKING:
    from hookbox.admin.console import Console
    from hookbox.webhooks.adapter import Answer

logger = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 4


def send(console: Console, before: Asked, url: str) -> Asked:
    """Send a webhook once more. Blocks up to `webhook_timeout` seconds.

    Args:
        before: which one.
        url: where to; empty for where it goes now.

    Raises:
        Problem: the URL is none.
        LimitReached: too many are sent at this moment.
    """
    if console.sending_again >= MOST_AT_ONCE:
        raise LimitReached("some are being sent already; wait for their answers")
    calls = _calls(console, url)
    asked = Asked(secrets.token_hex(16), console.server.clock.now(), before.question, again=before.id)
    asked.url = calls.url(before.question.action)
    logger.warning(
        "the console: a webhook %s is sent again to %s", before.question.action, mask_url(asked.url)
    )
    began = console.server.clock.monotonic()
    console.sending_again += 1
    try:
        _ask(console, asked, calls)
    finally:
        console.sending_again -= 1
        asked.took = console.server.clock.monotonic() - began
    console.server.webhook_log.keep(asked)
    console.show_asked(asked)
    return asked


def _calls(console: Console, url: str) -> Calls:
    settings = console.server.settings
    if url:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()
        except ValueError:
            usable = False
        if not usable or " " in url:
            raise Problem(400, "bad_parameter", "url must be an http or https URL")
        settings = replace(settings, cb_single_url=url)
    try:
        return Calls(settings)
    except ConfigError as error:
        raise Problem(400, "bad_parameter", str(error)) from None


def _ask(console: Console, asked: Asked, calls: Calls) -> None:
    server = console.server
    settings = server.settings
    adapter = LeanAdapter(Dialer(server.resolver), server.clock, settings.webhook_answer)
    try:
        request = calls.request(asked.question, asked.id)
        timeout = (settings.webhook_connect_timeout, settings.webhook_timeout)
        response: Answer = adapter.send(request, timeout=timeout)  # type: ignore[assignment]
    except exceptions.RequestException as error:
        asked.why = f"{calls.target}: {error}"
        return
    finally:
        adapter.close()
    body = response.content
    asked.status, asked.body, asked.size = response.status_code, body[:BODY_KEPT], len(body)
    asked.content_type = ", ".join(response.values("content-type"))
    asked.location = ", ".join(response.values("location"))
    asked.set_cookies = tuple(response.values("set-cookie"))
    try:
        verdict = read_verdict(asked.status, body, asked.set_cookies)
    except UnusableAnswer as error:
        asked.why = error.detail
        return
    asked.verdict = Verdict.ALLOWED
    if isinstance(verdict, Refuse):
        asked.verdict, asked.why = Verdict.REFUSED, verdict.reason[:WHY_KEPT]
