"""One content in two forms: the bytes that callbacks get, and the JSON that browsers and streams see."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field

from hookbox.core.values import JSON
from hookbox.delivery.forms import Field, as_json, media_type
from hookbox.protocol.json_text import BadJSON, dump, load

JSON_TYPE = "application/json"
MOST_SHOWN = 64 * 1024
"""Bytes of a body that is neither text nor JSON nor a form, beyond which browsers see only its size."""
DEEPEST = 32

_is_charset = re.compile(
    r"(us-)?ascii|latin-?1|utf[-_]?(8|16|32)([-_]?[bl]e)?"
    r"|(iso-8859|iso-2022|cp|windows|koi8|gb|big5|euc|shift)[-_a-z0-9]*",
    re.IGNORECASE,
).fullmatch
"""Python knows other names, too, of what is no charset and may take minutes to decode."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says.

    Args:
        content_type: of `body`.
        body: what callbacks get.
        payload: JSON text that browsers and streams get.
    """

    content_type: str
    body: bytes = field(repr=False)
    payload: str = field(repr=False)


def of_form(fields: list[Field], content_type: str, body: bytes) -> Content:
    """The content of a form that has been written anew."""
    return Content(content_type, body, dump(as_json(fields)))


def of_json(text: str) -> Content:
    """The content of a JSON text, which is sent on as it is but for the blanks around it.

    Raises:
        BadJSON: it is none.
    """
    text = text.strip(" \t\r\n")
    return Content(JSON_TYPE, text.encode(), dump(load(text, DEEPEST)))


def of_body(content_type: str, body: bytes) -> Content:
    """The content of any body: sent on as it is.

    Raises:
        BadJSON: it says that it is JSON, and is not.
    """
    name, options = media_type(content_type)
    if name == JSON_TYPE or name.endswith("+json"):
        try:
            text = body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadJSON from None
        return Content(content_type, body.strip(b" \t\r\n"), of_json(text).payload)
    return Content(
        content_type, body, dump(_shown(name, options.get("charset", "utf-8"), content_type, body))
    )


def _shown(name: str, charset: str, content_type: str, body: bytes) -> JSON:
    if name.startswith("text/"):
        try:
            return body.decode(charset if _is_charset(charset) else "utf-8")
        except (LookupError, UnicodeDecodeError):
            return body.decode("utf-8", "replace")
    if len(body) > MOST_SHOWN:
        return {"$omitted": len(body)}
    return {"$base64": b64encode(body).decode(), "content_type": content_type}
