"""Forms as callers send them, and as they are sent on: fields in order, repeats and odd bytes included.

Text holds bytes that are not UTF-8 as surrogates (`surrogateescape`), so that they leave as they came.

Sources: URL Standard section 5 (application/x-www-form-urlencoded); RFC 7578 (multipart/form-data).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl, quote_plus

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from hookbox.core.values import JSON, JSONObject
from hookbox.errors import BadRequest

URL_ENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MOST_FIELDS = 1000
MOST_PARTS = 100
LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True)
class File:
    """A part of a form that is a file."""

    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form.

    Args:
        content_type: of the part, if it had one; for multipart forms only.
    """

    name: str
    value: str | File = field(repr=False)
    content_type: str = ""


@lru_cache(maxsize=256)
def media_type(content_type: str) -> tuple[str, dict[str, str]]:
    """A content type's name in lower case, and its parameters, which are not to be changed."""
    name, options = parse_options_header(content_type)
    return name.strip().lower(), {key.lower(): value for key, value in options.items()}


def read_url_encoded(data: bytes) -> list[Field]:
    """Read an url-encoded form, or a query string.

    Raises:
        BadRequest: it has too many fields, or one whose name is too long.
    """
    try:
        pairs = parse_qsl(
            data.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise BadRequest(400, f"more than {MOST_FIELDS} fields") from None
    return [Field(_checked_name(name), value) for name, value in pairs]


def _checked_name(name: str) -> str:
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise BadRequest(400, f"a field name of more than {LONGEST_NAME} bytes")
    return name


def read_multipart(data: bytes, boundary: str) -> list[Field]:
    """Read a multipart form.

    Raises:
        BadRequest: 415 without a usable boundary, 400 if it is malformed or has too many parts.
    """
    if not boundary:
        raise BadRequest(415, "multipart/form-data needs a boundary")
    fields: list[Field] = []
    segment: MultipartSegment | None = None
    content = bytearray()
    try:
        parser = PushMultipartParser(
            boundary, len(data), max_segment_count=MOST_PARTS + 1, header_charset="utf8", strict=False
        )
        for event in (*parser.parse(data), *parser.parse(b"")):
            if isinstance(event, MultipartSegment):
                segment, content = event, bytearray()
            elif event is None:
                assert segment is not None
                fields.append(_part(segment, bytes(content)))
            else:
                content += event
    except (MultipartError, UnicodeError, ValueError, AssertionError) as error:
        raise BadRequest(400, "a malformed multipart/form-data body") from error
    if len(fields) > MOST_PARTS:
        raise BadRequest(400, f"more than {MOST_PARTS} parts")
    return fields


def _part(segment: MultipartSegment, content: bytes) -> Field:
    name = _checked_name(segment.name)
    content_type = segment.header("Content-Type") or ""
    if segment.filename is not None:
        return Field(name, File(segment.filename, content_type or "application/octet-stream", content))
    return Field(name, content.decode("utf-8", "surrogateescape"), content_type)


def write_url_encoded(fields: Iterable[Field]) -> bytes:
    """Write a form: UTF-8, `+` for a blank, everything but letters, digits and `_.-~` percent-encoded."""
    return "&".join(
        f"{_quoted(item.name)}={_quoted(item.value)}" for item in fields if isinstance(item.value, str)
    ).encode()


def _quoted(text: str) -> str:
    return quote_plus(text, errors="surrogateescape")


def write_multipart(fields: Iterable[Field], boundary: str = "") -> tuple[str, bytes]:
    """Write a multipart form.

    Args:
        boundary: a new one by default.

    Returns:
        its content type, and its bytes.
    """
    boundary = boundary or f"hookbox-{secrets.token_hex(16)}"
    lines: list[bytes] = []
    for item in fields:
        about = f'form-data; name="{_in_quotes(item.name)}"'
        content_type, value = item.content_type, item.value
        if isinstance(value, File):
            about += f'; filename="{_in_quotes(value.filename)}"'
            content_type, content = value.content_type, value.content
        else:
            content = value.encode("utf-8", "surrogateescape")
        lines += [
            f"--{boundary}".encode(),
            f"Content-Disposition: {about}".encode("utf-8", "surrogateescape"),
        ]
        if content_type:
            lines.append(f"Content-Type: {content_type}".encode("utf-8", "surrogateescape"))
        lines += [b"", content]
    return f"{MULTIPART}; boundary={boundary}", b"\r\n".join([*lines, f"--{boundary}--".encode(), b""])


def _in_quotes(text: str) -> str:
    """As browsers write names: quotes and line ends percent-encoded (HTML section 4.10.21.8)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def as_json(fields: Iterable[Field]) -> JSONObject:
    """A form as browsers and streams see it: a string for each name, a list for a name that repeats."""
    found: JSONObject = {}
    repeated: set[str] = set()
    for item in fields:
        name, value = _clean(item.name), _value(item.value)
        if name not in found:
            found[name] = value
        elif name in repeated:
            several = found[name]
            assert isinstance(several, list)
            several.append(value)
        else:
            repeated.add(name)
            found[name] = [found[name], value]
    return found


def _value(value: str | File) -> JSON:
    if isinstance(value, str):
        return _clean(value)
    return {
        "$file": {
            "filename": _clean(value.filename),
            "content_type": _clean(value.content_type),
            "size": len(value.content),
        }
    }


def _clean(text: str) -> str:
    """Text that can be JSON: what was not UTF-8 becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
