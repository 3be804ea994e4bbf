"""What somebody asks of the console, and what goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from hookbox.admin.logins import Login
from hookbox.core.values import JSON, JSONObject
from hookbox.errors import BadRequest
from hookbox.protocol.json_text import BadJSON, dump, load
from hookbox.web.bodies import read_body, read_form
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers

PAGE: Final = 50
MOST: Final = 500
BODY: Final = 1_048_576
"""Bytes that a body may have; the door has looked at it before."""
DEPTH: Final = 40

SECURITY: Final[Headers] = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]
"""On every answer of the console."""

JSON_TYPE: Final = "application/json"
Told: TypeAlias = "JSONObject | Answer"
"""What a call answers: an object, sent with status 200, or an answer of its own."""


class Problem(BadRequest):
    """A call cannot be done; the text says why and what to do.

    Args:
        status: HTTP status.
        code: in one word.
        reason: for the operator.
    """

    def __init__(
        self, status: int, code: str, reason: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(status, reason, headers)
        self.code = code


class Page(NamedTuple):
    """Which part of a list is wanted.

    Args:
        q: what the items have to contain, in lower case; empty for all.
        limit: how many at most.
        after: where the part before ended; empty for the beginning.
    """

    q: str
    limit: int
    after: str


@dataclass(slots=True, eq=False, weakref_slot=True)
class Request:
    """One request.

    Args:
        environ: of WSGI.
        wild: parts of the path by name.
        login: who asks; None where nobody has to be logged in.
    """

    environ: Environ
    wild: dict[str, str]
    login: Login | None = None

    @property
    def address(self) -> str:
        """The client's."""
        address: str = self.environ.get("hookbox.client_ip", "")
        return address

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the query.

        Raises:
            Unreadable: malformed.
        """
        return _texts(read_form(self.environ.get("QUERY_STRING", "").encode("latin-1")))

    def form(self) -> dict[str, str]:
        """The fields of a posted form."""
        return _texts(read_form(read_body(self.environ, BODY)))

    def json(self) -> JSONObject:
        """The body.

        Raises:
            Problem: it is no JSON object.
        """
        body = read_body(self.environ, BODY)
        if not body:
            return {}
        kind = self.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if kind != JSON_TYPE:
            raise Problem(415, "bad_content_type", "send a JSON object, as application/json")
        try:
            value = load(body, DEPTH)
        except BadJSON:
            raise Problem(400, "bad_json", "the body is not JSON") from None
        if not isinstance(value, dict):
            raise Problem(400, "bad_json", "the body must be a JSON object")
        return value

    def page(self) -> Page:
        """Which part of a list is asked for."""
        query = self.query
        limit = query.get("limit", "")
        if limit and not (limit.isascii() and limit.isdecimal() and len(limit) < 6):
            raise Problem(400, "bad_parameter", f"limit must be a number from 1 to {MOST}")
        most = min(int(limit or PAGE), MOST) or PAGE
        return Page(query.get("q", "").lower(), most, query.get("after", ""))

    def need(self, name: str) -> str:
        """A parameter of the query that must be there."""
        value = self.query.get(name, "")
        if not value:
            raise Problem(400, "bad_parameter", f"{name} is missing")
        return value


def _texts(values: dict[str, JSON]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def text_of(given: JSONObject, name: str, default: str | None = None) -> str:
    """A text out of a JSON body.

    Raises:
        Problem: it is missing, or no text.
    """
    value = given.get(name, default)
    if not isinstance(value, str) or (not value and default is None):
        raise Problem(400, "bad_parameter", f"{name} must be a text")
    return value


def told(value: JSON, status: int = 200, *headers: tuple[str, str]) -> Answer:
    """An answer in JSON."""
    return whole(status, dump(value).encode(), JSON_TYPE, *headers)


def whole(status: int, body: bytes, kind: str, *headers: tuple[str, str]) -> Answer:
    """An answer with the headers that all of the console's have."""
    length = ("Content-Length", str(len(body)))
    given = {name for name, _ in headers}
    common = [header for header in SECURITY if header[0] not in given]
    return Answer(STATUS_LINES[status], [("Content-Type", kind), length, *common, *headers], body)


def refused(status: int, code: str, text: str, *headers: tuple[str, str]) -> Answer:
    """The answer to what is not done."""
    return told({"error": text, "code": code}, status, *headers)


__all__ = ["Page", "Problem", "Request", "Told", "refused", "text_of", "told", "whole"]
