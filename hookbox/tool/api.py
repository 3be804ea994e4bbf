"""A running server's HTTP API, called from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from hookbox import __version__
from hookbox.core.values import JSON, JSONObject
from hookbox.tool.problems import ToolError, Unreachable

BACKLOG = "/api/v1"
PAGE = 200
MOST_READ = 64 * 1024 * 1024
"""Bytes of an answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which server, and how to call it.

    Args:
        url: without a slash at the end.
        token: of the API, empty for none.
        found: where the URL comes from, for messages.
        timeout: seconds without an answer.
        cacert: file with certificates to trust, empty for those of the system.
    """

    url: str
    token: str = field(default="", repr=False)
    found: str = "--server"
    timeout: float = 30.0
    cacert: str = ""


class Api:
    """Calls a server. Every call blocks, and raises ToolError."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc is for the world, not for one's own server
        if target.cacert:
            self._session.verify = target.cacert
        self._session.headers["Accept-Encoding"] = "identity"  # what is packed may be without end
        self._session.headers["User-Agent"] = f"hookbox-tool/{__version__}"
        if target.token:
            self._session.headers["Authorization"] = f"Bearer {target.token}"

    def backlog(self, method: str, path: str, given: Mapping[str, JSON] | None = None) -> JSONObject:
        """Make a call of `/api/v1`; returns what it answers.

        Args:
            given: parameters; None and empty ones are left out.
        """
        wanted = {name: value for name, value in (given or {}).items() if value not in (None, "", False)}
        about: dict[str, Any] = {"params": wanted} if method == "GET" else {"json": wanted}
        value = _json(self._call(method, BACKLOG + path, **about))
        if not isinstance(value, dict):
            raise self._strange()
        return value

    def pages(self, path: str, name: str, given: Mapping[str, JSON], most: int) -> Iterator[JSONObject]:
        """What a listing has, as far as `most`, through its cursors."""
        cursor: JSON = None
        while most > 0:
            page = self.backlog("GET", path, {**given, "limit": min(most, PAGE), "cursor": cursor})
            rows = page.get(name)
            if not isinstance(rows, list):
                raise self._strange()
            for row in rows:
                if isinstance(row, dict):
                    yield row
            most -= len(rows)
            cursor = page.get("cursor")
            if cursor is None:
                return

    @property
    def token(self) -> str:
        """Of the API, empty for none."""
        return self._target.token

    def publish(self, given: JSONObject) -> JSONObject:
        """Publish on a channel."""
        return self.call("publish", given)

    def call(self, method: str, given: JSONObject) -> JSONObject:
        """Call a method of the API."""
        match _json(self._call("POST", f"/web/{method}", json=given)):
            case [True, dict(result)]:
                return result
            case [False, dict(refusal)]:
                raise ToolError(self._explained(str(refusal.get("code")), str(refusal.get("msg"))))
        raise self._strange()

    def dispatch(self, batch: JSONObject, content_type: str) -> JSONObject:
        """Dispatch to URLs and a topic."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        value = _json(self._call("POST", "/dispatch", data=json.dumps(batch).encode(), headers=headers))
        if not isinstance(value, dict):
            raise self._strange()
        return value

    def _call(self, method: str, path: str, **about: Any) -> requests.Response:
        target = self._target
        try:
            answer = self._session.request(
                method, target.url + path, timeout=target.timeout, allow_redirects=False, stream=True, **about
            )
            _read(answer)
        except requests.exceptions.SSLError as error:
            raise Unreachable(f"{target.url}: TLS failed ({_reason(error)}); see --cacert") from None
        except requests.Timeout:
            raise Unreachable(f"{target.url} did not answer within {target.timeout:g} seconds") from None
        except requests.ConnectionError as error:
            raise Unreachable(
                f"no server answers at {target.url} ({_reason(error)}); that address is from {target.found}, "
                "is it running there? Otherwise give --server URL"
            ) from None
        except (requests.RequestException, ValueError) as error:
            raise ToolError(f"{target.url} cannot be called: {error}") from None
        if not 200 <= answer.status_code < 300:
            raise self._refused(answer, path)
        return answer

    def _refused(self, answer: requests.Response, path: str) -> ToolError:
        value = _json(answer)
        match value:
            case {"error": word, "message": message}:
                return ToolError(self._explained(str(word), str(message)))
            case [False, dict(refusal)]:
                return ToolError(self._explained(str(refusal.get("code")), str(refusal.get("msg"))))
        if answer.status_code == 404 or 300 <= answer.status_code < 400:
            return ToolError(
                f"{self._target.url} has no {path}: is it the port of Hookbox's API? With web_api_port "
                "or web_api_interface that is the second one"
            )
        word = "bad_token" if answer.status_code == 401 else ""
        return ToolError(self._explained(word, answer.text.strip()[:500] or f"status {answer.status_code}"))

    def _explained(self, word: str, message: str) -> str:
        if word == "bad_token":
            how = "wrong token" if self._target.token else "no token"
            return (
                f"{how} for {self._target.url}: {message}; give --token-file, or HOOKBOX_API_SECURITY_TOKEN"
            )
        return message

    def _strange(self) -> ToolError:
        return ToolError(f"{self._target.url} answered something that Hookbox would not; is it one?")


def _read(answer: requests.Response) -> None:
    """Read an answer, as far as one may go.

    Raises:
        ToolError: it has no end.
    """
    body = bytearray()
    with answer:
        for piece in answer.iter_content(65_536):
            body += piece
            if len(body) > MOST_READ:
                raise ToolError(f"the answer has more than {MOST_READ} bytes; is that Hookbox?")
    answer._content = bytes(body)  # where `requests` itself keeps it


def _json(answer: requests.Response) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None


def _reason(error: BaseException) -> str:
    """The innermost reason, in few words."""
    text = str(error)
    for known in ("refused", "timed out", "not known", "unreachable", "reset", "certificate verify failed"):
        if known in text:
            return {"refused": "connection refused", "not known": "name not known"}.get(known, known)
    return type(error).__name__
