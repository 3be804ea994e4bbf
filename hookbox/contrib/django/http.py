"""The one place from which the app calls the Hookbox server."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode

from hookbox.contrib.django import conf
from hookbox.contrib.django.errors import HookboxError

_MOST = 16 * 1024 * 1024
"""Bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered, whatever the status."""

    status: int
    body: bytes
    headers: dict[str, str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The server never redirects; whoever does is somebody else, and is not to see the token."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def post(path: str, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> Answer:
    """Post to a path of the server, with the project's token.

    Blocks, for `HOOKBOX_TIMEOUT` seconds at most without hearing anything.

    Raises:
        HookboxError: no answer came, or the token cannot be sent; an answer of any status is returned.
    """
    return _call(path, body, {"Content-Type": content_type, **(headers or {})}, float(conf.timeout()))


def get(path: str, query: dict[str, str], timeout: float | None = None) -> Answer:
    """Look at something of the server's, with the project's token.

    Blocks, for `timeout` seconds at most without hearing anything, or else for `HOOKBOX_TIMEOUT`.

    Raises:
        HookboxError: no answer came; one of any status is returned.
    """
    return _call(f"{path}?{urlencode(query)}", None, {}, timeout or float(conf.timeout()))


def _call(path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> Answer:
    given = {"Accept": "application/json", **headers}
    token = conf.api_token()
    if token:
        if not (token.isascii() and token.isprintable()):  # the standard library's complaint would show it
            raise HookboxError("HOOKBOX_API_SECURITY_TOKEN has characters that no header can carry")
        given["Authorization"] = f"Bearer {token}"
    where = conf.url() + path.partition("?")[0]
    try:
        request = urllib.request.Request(conf.url() + path, body, given)
        with _open(request, timeout) as answer:
            return Answer(answer.code, answer.read(_MOST), _named(answer.headers))
    except TimeoutError:
        raise _silent(where, timeout) from None
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _silent(where, timeout) from None
        raise HookboxError(f"Hookbox at {where} cannot be reached: {reason}; is it running?") from error


def _open(request: urllib.request.Request, timeout: float) -> Any:
    """The answer, whatever its status; its body is still to be read."""
    try:
        return _opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as answer:
        return answer


def _silent(where: str, timeout: float) -> HookboxError:
    return HookboxError(f"Hookbox at {where} did not answer within {timeout:g} s", timeout=True)


def _named(headers: object) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}  # type: ignore[attr-defined]
