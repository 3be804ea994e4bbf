"""Questions as HTTP requests: everything that never changes is prepared once per configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from requests import PreparedRequest, Request

from hookbox import __version__
from hookbox.errors import ConfigError
from hookbox.webhooks.gate import Question
from hookbox.webhooks.outgoing import Headers
from hookbox.webhooks.target import Target

if TYPE_CHECKING:
    from hookbox.settings import Settings

_IN_PATH = "/:@!$&'()*+,;=~%?"
_plain = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch


class Calls:
    """Makes requests to one configured application.

    Args:
        settings: the callback ones are used.

    Raises:
        ConfigError: they do not make an http or https URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._headers = {
            "User-Agent": f"hookbox/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if settings.cbsendhookboxversion:
            self._headers["X-Hookbox-Version"] = __version__
        secret = settings.webhook_secret
        self._secret = f"&secret={quote_plus(secret)}" if secret else ""
        self._templates: dict[str, PreparedRequest] = {}
        try:
            self.target = Target.of(self._template("connect").url or "")
        except ValueError:  # `requests` has the URL in its text, and that may hold a password
            name = "cb_single_url" if settings.cb_single_url else "cbhost, cbport and cbpath"
            raise ConfigError(f"{name} must make an http or https URL") from None

    def request(self, question: Question, key: str) -> PreparedRequest:
        """Make the request that puts a question.

        Args:
            question: what to ask.
            key: the Idempotency-Key.
        """
        template = self._templates.get(question.action) or self._template(question.action)
        body = f"action={question.action}{self._secret}"
        if question.fields:
            body = f"{body}&{encode_form(question.fields)}"
        headers = template.headers.copy()
        if question.cookies:
            headers["Cookie"] = question.cookies
        if question.client_ip:
            headers["X-Real-IP"] = question.client_ip
        headers["Idempotency-Key"] = key
        headers["Content-Length"] = str(len(body))
        request = PreparedRequest()
        request.method = template.method
        request.url = template.url
        request.headers = headers
        request.body = body
        return request

    def url(self, action: str) -> str:
        """Where a question with this action goes."""
        settings = self._settings
        if settings.cb_single_url:
            return settings.cb_single_url
        host = settings.cbhost.strip("[]")
        scheme = "https" if settings.cbhttps else "http"
        base = Target(scheme, host, settings.cbport)
        parts = [settings.cbpath.strip("/"), getattr(settings, f"cb_{action}", action).strip("/")]
        path = quote("/".join(part for part in parts if part), safe=_IN_PATH)
        url = f"{base}/{path}"
        return f"{url}/" if settings.cbtrailingslash and not url.endswith("/") else url

    def _template(self, action: str) -> PreparedRequest:
        template = Request("POST", self.url(action), headers=self._headers).prepare()
        template.headers = Headers(template.headers)
        del template.headers["Content-Length"]
        self._templates[action] = template
        return template


def encode_form(fields: Mapping[str, str]) -> str:
    """Fields as `application/x-www-form-urlencoded` text in UTF-8: pure ASCII."""
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in fields.items()])


def _quoted(text: str) -> str:
    return text if _plain(text) else quote_plus(text)
