"""A dispatch to many destinations at once, as one JSON document."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace

from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.content import Content, of_body, of_json
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
from hookbox.protocol.json_text import BadJSON, load

BATCH = "application/vnd.hookbox.dispatch+json"
CONTENT = frozenset({"body", "body_base64", "json"})
KNOWN = CONTENT | {
    "content_type", "type", "topic", "id", "delay", "ttl", "retry", "errback", "callback", "originator",
    "moderate", "to",
}  # fmt: skip


def read_batch(request: Request) -> Dispatch:
    """Read a batch.

    Raises:
        BadRequest: 400; the text names what is wrong.
    """
    try:
        given = load(request.body, 64)
    except BadJSON:
        raise BadRequest(400, "the body is not JSON, but its content type says so") from None
    if not isinstance(given, dict):
        raise BadRequest(400, "the body has to be an object")
    if unknown := sorted(given.keys() - KNOWN):
        raise BadRequest(400, f"unknown member {unknown[0]!r}; there are {', '.join(sorted(KNOWN))}")
    topic, to = _string(given, "topic"), given.get("to", [])
    if not isinstance(to, list) or len(to) > MOST_TARGETS:
        raise BadRequest(400, f"to has to be a list of {MOST_TARGETS} destinations at most")
    if not to and not topic:
        raise BadRequest(400, NO_DESTINATION)
    retry = None if given.get("retry") is None else read_retry("retry", given["retry"], request.schedule)
    key = key_of(request, _string(given, "id") if "id" in given else None)
    return Dispatch(
        _batch_content(given),
        tuple(_target(request, index, item, retry) for index, item in enumerate(to)),
        topic,
        Target(headers=checked_headers(request, ()), retry=retry),
        key=key,
        fingerprint=fingerprint_of(BATCH, request.body) if key else "",
        type=read_type(_string(given, "type")),
        delay=read_number("delay", given.get("delay", 0), 0, LONGEST_DELAY),
        ttl=None if given.get("ttl") is None else read_number("ttl", given["ttl"], 0, LONGEST_DELAY),
        errback=_string(given, "errback"),
        callback=_string(given, "callback"),
        originator=_string(given, "originator"),
        moderate=given.get("moderate") is True,
        hops=hops_of(request),
    )


def _batch_content(given: JSONObject) -> Content:
    if len(given.keys() & CONTENT) > 1:
        raise BadRequest(400, "one of body, body_base64 and json, not several")
    if "json" in given:
        text = json.dumps(given["json"], ensure_ascii=False, separators=(",", ":"))
        return replace(of_json(text), content_type=_content_type(given, "application/json"))
    content_type = _content_type(given, "application/octet-stream")
    body = _string(given, "body").encode()
    if "body_base64" in given:
        try:
            body = b64decode(_string(given, "body_base64"), validate=True)
        except ValueError:
            raise BadRequest(400, "body_base64 is not base64") from None
    try:
        return of_body(content_type, body)
    except BadJSON:
        raise BadRequest(400, "the body is not JSON, but its content type says so") from None


def _content_type(given: JSONObject, usual: str) -> str:
    """A content type, which becomes a header as it stands."""
    value = _string(given, "content_type") or usual
    if not value.isascii():
        raise BadRequest(400, "content_type has to be ASCII")
    return value


def _target(request: Request, index: int, item: JSON, retry: tuple[float, ...] | None) -> Target:
    where = f"to[{index}]"
    if not isinstance(item, dict) or not (item.get("url") or item.get("endpoint")):
        raise BadRequest(400, f"{where} has to be an object with url or endpoint")
    if unknown := sorted(item.keys() - {"url", "secret", "headers", "tag", "retry", "timeout", "endpoint"}):
        raise BadRequest(400, f"{where}: unknown member {unknown[0]!r}")
    headers = item.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise BadRequest(400, f"{where}: headers has to be an object of strings")
    secret = _string(item, "secret")
    timeout = item.get("timeout")
    return Target(
        _string(item, "url"),
        _string(item, "endpoint"),
        (read_secret(f"{where}.secret", secret),) if secret else (),
        checked_headers(request, ((name, str(value)) for name, value in headers.items())),
        retry if item.get("retry") is None else read_retry(f"{where}.retry", item["retry"], request.schedule),
        None if timeout is None else read_number(f"{where}.timeout", timeout, 1, 60),
        read_count(f"{where}.tag", _string(item, "tag"), 128),
    )


def _string(given: Mapping[str, JSON], name: str) -> str:
    value = given.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(400, f"{name} has to be a string")
    if name in CONTENT:
        return value
    if len(value) > LONGEST_VALUE:
        raise BadRequest(400, f"{name} has more than {LONGEST_VALUE} characters")
    return as_text(name, value)
