"""What a caller of `/dispatch` wants: control values are taken out of the request, the rest is the message.

A name with one leading underscore from a closed list is a control value and never delivered; doubled, it is
the escape for a field of that name.
"""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hookbox.delivery.batch import BATCH, read_batch
from hookbox.delivery.content import Content, of_body, of_form, of_json
from hookbox.delivery.forms import (
    MULTIPART,
    URL_ENCODED,
    Field,
    media_type,
    read_multipart,
    read_url_encoded,
    write_multipart,
    write_url_encoded,
)
from hookbox.delivery.intake_values import (
    LONGEST_DELAY,
    LONGEST_VALUE,
    MOST_TARGETS,
    as_text,
    read_count,
    read_number,
    read_retry,
    read_secret,
    read_type,
)
from hookbox.delivery.request import (
    NO_DESTINATION,
    Dispatch,
    Request,
    Target,
    checked_headers,
    fingerprint_of,
    hops_of,
    key_of,
)
from hookbox.errors import BadRequest
from hookbox.protocol.json_text import BadJSON

CONTROLS = {
    "_url": "Hookbox-Url",
    "_topic": "Hookbox-Topic",
    "_token": "Hookbox-Token",
    "_id": "Idempotency-Key",
    "_type": "Hookbox-Type",
    "_payload": "Hookbox-Payload",
    "_secret": "Hookbox-Secret",
    "_header": "Hookbox-Header",
    "_delay": "Hookbox-Delay",
    "_ttl": "Hookbox-Ttl",
    "_retry": "Hookbox-Retry",
    "_timeout": "Hookbox-Timeout",
    "_errback": "Hookbox-Errback",
    "_callback": "Hookbox-Callback",
    "_tag": "Hookbox-Tag",
    "_originator": "Hookbox-Originator",
    "_moderate": "Hookbox-Moderate",
}
"""Control values, and the header that stands for each where the body is sent on as it is."""

OPAQUE = "application/octet-stream"
_is_encoding = re.compile(r"[A-Za-z0-9, -]{1,100}").fullmatch


class Controls:
    """Control values of a request, by name; of one that may stand only once, the first counts."""

    def __init__(self, given: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in given:
            if len(value.encode("utf-8", "surrogateescape")) > LONGEST_VALUE and name != "_payload":
                raise BadRequest(400, f"{name} has more than {LONGEST_VALUE} bytes")
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str | None:
        """The value of a name, None if it was not given."""
        values = self._values.get(name)
        return None if values is None else as_text(name, values[0])

    def text(self, name: str) -> str:
        """The same, empty if it was not given."""
        return self.one(name) or ""

    def all(self, name: str) -> list[str]:
        """All different values of a name, in order."""
        return list(dict.fromkeys(as_text(name, value) for value in self._values.get(name, ())))

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number of seconds.

        Raises:
            BadRequest: it is none, or out of range.
        """
        value = self.one(name)
        return None if value is None else read_number(name, value, low, high)

    def canonical(self) -> list[tuple[str, list[str]]]:
        """What makes a request the same as another one: all but who asks, and the key itself."""
        return sorted(item for item in self._values.items() if item[0] not in ("_token", "_id"))


def read_dispatch(request: Request) -> Dispatch:
    """Read a request in any of the forms.

    Raises:
        BadRequest: 400 or 415; the text names what is wrong.
    """
    name, options = media_type(request.content_type)
    if request.path_url:
        return _by_path(request)
    if name == BATCH:
        return read_batch(request)
    if name in ("", URL_ENCODED):
        return _form(request, read_url_encoded(request.body), multipart=False)
    if name == MULTIPART:
        return _form(request, read_multipart(request.body, options.get("boundary", "")), multipart=True)
    return _raw(request)


def _form(request: Request, body: list[Field], *, multipart: bool) -> Dispatch:
    names = {item.name for item in body}
    fields = [
        item for item in read_url_encoded(request.query.encode("latin-1")) if item.name not in names
    ] + body
    controls = Controls((f.name, f.value) for f in fields if f.name in CONTROLS and isinstance(f.value, str))
    rest = [_unescaped(f) for f in fields if f.name not in CONTROLS or not isinstance(f.value, str)]
    payload = controls.one("_payload")
    if payload is not None:
        if rest:
            raise BadRequest(
                400, f"_payload stands for the whole message, but there is also {rest[0].name!r}"
            )
        content = _json_content(payload)
    elif multipart:
        content = of_form(rest, *write_multipart(rest))
        usual = Content(MULTIPART, write_multipart(rest, "usual")[1], "")
        return _finish(request, controls, content, same=usual)
    else:
        content = of_form(rest, URL_ENCODED, write_url_encoded(rest))
    return _finish(request, controls, content)


def _unescaped(item: Field) -> Field:
    if item.name.startswith("__") and item.name[1:] in CONTROLS:
        return replace(item, name=item.name[1:])
    return item


def _json_content(text: str) -> Content:
    try:
        return of_json(text)
    except BadJSON:
        raise BadRequest(400, "_payload is not JSON") from None


def _raw(request: Request) -> Dispatch:
    given = {header.lower(): name for name, header in CONTROLS.items() if name not in ("_payload", "_token")}
    headers = [(given[name], value) for name, value in request.headers if name in given]
    return _with_body(request, Controls([*headers, *_query_controls(request)]))


def _by_path(request: Request) -> Dispatch:
    return _with_body(
        request, Controls([("_url", _from_base64(request.path_url)), *_query_controls(request)])
    )


def _query_controls(request: Request) -> list[tuple[str, str]]:
    fields = read_url_encoded(request.query.encode("latin-1"))
    return [(f.name, f.value) for f in fields if f.name in CONTROLS and isinstance(f.value, str)]


def _from_base64(text: str) -> str:
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        data = urlsafe_b64decode(padded) if {"-", "_"} & set(text) else b64decode(padded, validate=True)
        return data.decode()
    except (Base64Error, ValueError):
        raise BadRequest(400, "the path is not a URL in base64") from None


def _with_body(request: Request, controls: Controls) -> Dispatch:
    if not controls.all("_url") and not controls.text("_topic"):
        raise BadRequest(400, NO_DESTINATION)
    encoding = request.header("content-encoding")
    if encoding and not _is_encoding(encoding):
        raise BadRequest(400, "Content-Encoding is malformed")
    content_type = request.content_type or OPAQUE
    try:
        content = of_body(OPAQUE if encoding else content_type, request.body)
    except BadJSON:
        raise BadRequest(400, "the body is not JSON, but its content type says so") from None
    content = replace(content, content_type=content_type)
    return _finish(request, controls, content, (("Content-Encoding", encoding),) if encoding else ())


def _finish(
    request: Request,
    controls: Controls,
    content: Content,
    encoding: tuple[tuple[str, str], ...] = (),
    same: Content | None = None,
) -> Dispatch:
    """What is dispatched.

    Args:
        encoding: of the content, as a header; none for none.
        same: the content as it is each time the same is sent, where `content` has something of its own.
    """
    urls, topic = controls.all("_url"), controls.text("_topic")
    if not urls and not topic:
        raise BadRequest(400, NO_DESTINATION)
    if len(urls) > MOST_TARGETS:
        raise BadRequest(400, f"more than {MOST_TARGETS} destinations")
    secret, retry = controls.one("_secret"), controls.one("_retry")
    wishes = Target(
        secrets=() if secret is None else (read_secret("_secret", secret),),
        headers=_headers(request, controls.all("_header")) + encoding,
        retry=None if retry is None else read_retry("_retry", retry, request.schedule),
        timeout=controls.number("_timeout", 1, 60),
        tag=read_count("_tag", controls.text("_tag"), 128),
    )
    key, same = key_of(request, controls.one("_id")), same or content
    fingerprint = fingerprint_of(same.content_type, same.body, controls.canonical()) if key else ""
    return Dispatch(
        content,
        tuple(replace(wishes, url=url) for url in urls),
        topic,
        replace(wishes, secrets=()),
        token=controls.text("_token"),
        key=key,
        fingerprint=fingerprint,
        type=read_type(controls.text("_type")),
        delay=controls.number("_delay", 0, LONGEST_DELAY) or 0.0,
        ttl=controls.number("_ttl", 0, LONGEST_DELAY),
        errback=controls.text("_errback"),
        callback=controls.text("_callback"),
        originator=controls.text("_originator"),
        moderate=controls.text("_moderate") not in ("", "0", "false"),
        hops=hops_of(request),
    )


def _headers(request: Request, lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    pairs = [line.partition(":") for line in lines]
    if bad := next((line for line, pair in zip(lines, pairs, strict=True) if not pair[1]), None):
        raise BadRequest(400, f"_header {bad[:40]!r} is not `Name: value`")
    return checked_headers(request, ((name.strip(), value.strip()) for name, _, value in pairs))
