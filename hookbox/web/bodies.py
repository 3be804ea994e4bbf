"""A request's parameters: read from its body, or from its query where there is no body."""

from __future__ import annotations

from binascii import a2b_qp
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from hookbox.core.values import JSON
from hookbox.errors import HookboxError
from hookbox.protocol.json_text import BadJSON, load
from hookbox.web.lean import Environ

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
WRAPPING = 6
"""How deep a payload lies inside a JSON body: a batch's list of objects with parameters."""


class Unreadable(HookboxError):
    """The request could not be understood as a call.

    Args:
        status: HTTP status.
        code: error word.
        message: for the caller.
        allow: value of the Allow header, with status 405.
    """

    def __init__(self, status: int, code: str, message: str, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.allow = allow


class Given(NamedTuple):
    """Parameters as they came.

    Args:
        values: by name; of a repeated one the last.
        coded: whether the values are text out of a form or query, and not JSON values.
    """

    values: Mapping[str, JSON]
    coded: bool


def read_body(environ: Environ, limit: int) -> bytes:
    """The whole request body; blocks until it is here.

    Raises:
        Unreadable: it is longer than `limit` bytes, or shorter than announced.
    """
    announced = environ.get("CONTENT_LENGTH")
    if announced:
        try:
            length = int(announced)
        except ValueError:
            raise Unreadable(400, "bad_request", "malformed Content-Length") from None
        if length > limit:
            raise _too_large(limit)
        body: bytes = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise Unreadable(400, "bad_request", "the body is shorter than its Content-Length")
        return body
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    parts: list[bytes] = []
    left = limit + 1
    while left and (part := environ["wsgi.input"].read(left)):
        parts.append(part)
        left -= len(part)
    if not left:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Unreadable:
    return Unreadable(413, "too_large", f"body of more than {limit} bytes, the limit is the setting api_body")


def read_given(body: bytes, content_type: str, depth: int) -> Given:
    """Read parameters from a body.

    Args:
        body: all of it.
        content_type: the header's value; an empty one means a form.
        depth: how deep a parameter of a JSON body may nest.

    Raises:
        Unreadable: another content type, not UTF-8, or malformed.
    """
    kind = content_type.partition(";")[0].strip().lower() if content_type != FORM else FORM
    if kind in (FORM, ""):
        return Given(read_form(body), True)
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return Given(_read_json(body, depth), False)
    raise Unreadable(415, "bad_content_type", f"send a body of type {FORM} or application/json")


def read_form(text: bytes) -> dict[str, JSON]:
    """Read `name=value&...`, percent-encoded UTF-8; of a repeated name the last value wins.

    Raises:
        Unreadable: not UTF-8, or more than `MOST_FIELDS` fields.

    Source: WHATWG URL, "application/x-www-form-urlencoded parsing"; stricter about UTF-8.
    """
    parts = text.split(b"&", MOST_FIELDS)
    if len(parts) > MOST_FIELDS:
        raise Unreadable(400, "bad_request", f"more than {MOST_FIELDS} fields")
    fields: dict[str, JSON] = {}
    try:
        for part in parts:
            name, _, value = part.partition(b"=")
            if name:
                fields[unescape(name).decode()] = unescape(value).decode()
    except UnicodeDecodeError:
        raise Unreadable(400, "bad_request", "the form is not UTF-8") from None
    return fields


def unescape(text: bytes) -> bytes:
    """Undo the escapes of a form: `+` for a blank, `%` before two hexadecimal digits."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    escapes = text.count(b"%")
    if not escapes:
        return text
    if b"=" not in text and b"\n" not in text and b"\r" not in text:
        # Quoted-printable has the same escapes behind another sign, and its reader is written in C.
        # It is lenient about malformed ones, which then leave more bytes than the good ones would.
        plain = a2b_qp(text.replace(b"%", b"="))
        if len(plain) == len(text) - 2 * escapes:
            return plain
    return unquote_to_bytes(text)


def _read_json(body: bytes, depth: int) -> dict[str, JSON]:
    try:
        value = load(body, depth + WRAPPING)
    except BadJSON as error:
        reason = "not UTF-8" if isinstance(error.__cause__, UnicodeDecodeError) else "not acceptable JSON"
        raise Unreadable(400, "bad_json", f"the body is {reason}") from None
    if not isinstance(value, dict):
        raise Unreadable(400, "bad_json", "the body must be a JSON object of parameters")
    return value
