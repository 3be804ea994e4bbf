"""`hookbox publish` and `hookbox dispatch`."""

from __future__ import annotations

import argparse
import json
import sys
from base64 import b64encode
from typing import Final

from hookbox.core.values import JSON, JSONObject
from hookbox.tool.api import Api
from hookbox.tool.problems import USAGE, ToolError
from hookbox.tool.tables import clean, columns, table
from hookbox.tool.target import first_line

BATCH: Final = "application/vnd.hookbox.dispatch+json"


def publish(api: Api, given: argparse.Namespace) -> JSONObject:
    """Publish on a channel; returns the answer."""
    wanted: JSONObject = {"channel_name": given.channel, "payload": _payload(given.payload, given.text)}
    if given.originator:
        wanted["originator"] = given.originator
    if given.key:
        wanted["idempotency_key"] = given.key
    if given.send_hook:
        wanted["send_hook"] = True
    return api.publish(wanted)


def told_publish(answer: JSONObject, given: argparse.Namespace) -> str:
    """What is printed after it."""
    return f"published on {clean(given.channel)}, offset {clean(answer.get('offset'))}\n"


def _payload(text: str | None, as_text: bool) -> JSON:
    if text is None:
        return None
    if text == "-":
        text = _decoded(sys.stdin.buffer.read()).removesuffix("\n")
    if as_text:
        return text
    try:
        value: JSON = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ToolError("what standard input gives is not UTF-8", USAGE) from None


def dispatch(api: Api, given: argparse.Namespace) -> JSONObject:
    """Dispatch to URLs, endpoints and a topic; returns the answer."""
    to: list[JSON] = [_destination(given, "url", url) for url in given.urls]
    to += [_destination(given, "endpoint", name) for name in given.endpoint]
    if not to and not given.topic:
        raise ToolError("where to? give URLs, --endpoint or --topic (hookbox dispatch --help)", USAGE)
    batch: JSONObject = {**_body(given.data, given.content_type), "to": to}
    for name in ("topic", "type", "id", "delay", "ttl", "errback", "callback"):
        if value := getattr(given, name):
            batch[name] = value
    return api.dispatch(batch, BATCH)


def _destination(given: argparse.Namespace, kind: str, where: str) -> JSONObject:
    about: JSONObject = {kind: where, "headers": _headers(given.header), "tag": given.tag}
    if given.secret_file and kind == "url":
        about["secret"] = first_line(given.secret_file, "--secret-file")
    if given.retry is not None:
        about["retry"] = given.retry
    if given.attempt_timeout is not None:
        about["timeout"] = given.attempt_timeout
    return about


def _headers(lines: list[str]) -> JSONObject:
    headers: JSONObject = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ToolError(f"--header {line!r} is not 'NAME: VALUE'", USAGE)
        headers[name.strip()] = value.strip()
    return headers


def _body(data: str, content_type: str) -> JSONObject:
    content = _read(data)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {
            "content_type": content_type or "application/octet-stream",
            "body_base64": b64encode(content).decode(),
        }
    return {"content_type": content_type or _type_of(text), "body": text}


def _type_of(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json"


def _read(data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    try:
        with open(data[1:], "rb") as file:
            return file.read()
    except OSError as error:
        raise ToolError(f"--data: {data[1:]} cannot be read: {error.strerror}", USAGE) from None


def told_dispatch(answer: JSONObject, given: argparse.Namespace) -> str:
    """What is printed after it."""
    text = f"accepted as {clean(answer.get('message_id'))}\n"
    match answer.get("topic"):
        case {"name": name, "offset": offset, "callbacks": callbacks}:
            text += f"on topic {clean(name)}, offset {clean(offset)}, for {clean(callbacks)} endpoints\n"
    rows = [(row.get("id"), row.get("url")) for row in _objects(answer.get("deliveries"))]
    return text + (table(("DELIVERY", "URL"), rows, columns()) if rows else "")


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
