"""What an operator may see of what is secret: that it is there, how long it is, and how it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from hookbox.core.cookies import read_cookies
from hookbox.core.values import JSON, JSONObject
from hookbox.protocol.json_text import BadJSON, load

MASKED: Final = "masked"
STARS: Final = "***"
BEGINNING: Final = 2
"""Characters of a long secret that are shown, so that one can be told from another."""
LONG: Final = 16
PLAIN_FIELDS: Final = frozenset(
    {
        "action", "conn_id", "channel_name", "destination", "user", "originator", "sender", "recipient",
        "recipient_exists", "name", "channels", "callback", "lease_seconds",
    }
)  # fmt: skip
"""Fields of a webhook's form that hold names and no secret; of the others only the length is shown."""
PLAIN_OPTIONS: Final = frozenset({"name", "error", "msg", "auto_subscribe", "auto_unsubscribe"})
"""Options of an answer that are shown as they are."""
SHORTEST_SECRET: Final = 6
"""Characters below which a secret is not looked for inside of other text: it would be found everywhere."""

_USERINFO: Final = re.compile(r"//[^/?#]*@")
"""Up to the last of several `@`, as those who connect read it."""
_is_plain: Final = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
"""What is spelled the same everywhere."""
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def mask(secret: str) -> str:
    """A secret as it may be shown: `ab…(32)`; of a short one its length alone."""
    beginning = secret[:BEGINNING] if len(secret) >= LONG else ""
    return f"{beginning}…({len(secret)})"


def mask_cookies(header: str) -> list[JSON]:
    """The cookies of a Cookie header, by name, with masked values."""
    return [{"name": name, "value": mask(value)} for name, value in read_cookies(header).items()]


def mask_cookie_header(header: str) -> str:
    """A Cookie header with masked values."""
    return "; ".join(f"{name}={mask(value)}" for name, value in read_cookies(header).items())


def mask_set_cookie(header: str) -> str:
    """A Set-Cookie header with a masked value; its attributes stay."""
    pair, *attributes = header.split(";")
    name, equals, value = pair.partition("=")
    if not equals:  # browsers take that for a value
        return ";".join([mask(pair.strip()), *attributes])
    return ";".join([f"{name}={mask(value.strip())}", *attributes])


def mask_url(url: str) -> str:
    """A URL without a password and without the values of its query; what has no name there is a value."""
    plain = _USERINFO.sub(f"//{STARS}@", url)
    path, question, query = plain.partition("?")
    if not question:
        return path.partition("#")[0]
    parts = [part.partition("=") for part in query.partition("#")[0].split("&")]
    return path + "?" + "&".join(f"{name}={STARS}" if equals else STARS for name, equals, _ in parts if name)


def mask_form(fields: Mapping[str, str]) -> list[JSON]:
    """A webhook's form: names as they are, payloads and secrets by their length."""
    shown: list[JSON] = []
    for name, value in fields.items():
        plain = name in PLAIN_FIELDS
        shown.append([name, (mask_url(value) if name == "callback" else value) if plain else _length(value)])
    return shown


def mask_answer(body: bytes) -> JSON:
    """The body of a webhook's answer: which options it has and what is no secret of them.

    Returns:
        `[bool, object]` with masked values; an object with the title of an HTML page; None for other things.
    """
    try:
        answer = load(body)
    except BadJSON:
        found = _TITLE.search(body.decode("utf-8", "replace"))
        return {"title": " ".join(found[1].split())[:200]} if found else None
    match answer:
        case [bool() as verdict, dict(options)]:
            return [verdict, {name: _option(name, value) for name, value in options.items()}]
    return None


def _option(name: str, value: JSON) -> JSON:
    if name in PLAIN_OPTIONS or value is None or isinstance(value, bool | int | float):
        return value
    return MASKED


def _length(text: str) -> str:
    return f"…({len(text)})"


def hide_keys(value: JSON, names: frozenset[str]) -> JSON:
    """JSON in which whatever stands under one of these names is masked, however deep."""
    if isinstance(value, dict):
        return {
            name: MASKED if name in names and item is not None else hide_keys(item, names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [hide_keys(item, names) for item in value]
    return value


def mask_urls(value: JSON, names: frozenset[str]) -> JSON:
    """JSON in which the URLs that stand under one of these names are masked, however deep."""
    if isinstance(value, dict):
        return {
            name: mask_url(item) if isinstance(item, str) and name in names else mask_urls(item, names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [mask_urls(item, names) for item in value]
    return value


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Text in which none of these secrets stands any more, however it is escaped."""
    if not text:
        return text
    spellings = {
        spelling
        for secret in secrets
        if len(secret) >= SHORTEST_SECRET
        for spelling in _spellings(secret)
        if len(spelling) >= SHORTEST_SECRET
    }
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, STARS)
    return text


def _spellings(secret: str) -> Iterator[str]:
    """A secret as it stands in URLs, forms, pages and JSON."""
    if _is_plain(secret):
        yield secret
        return
    for plain in (secret, unquote(secret)):
        yield from (plain, quote_plus(plain), quote(plain, safe=""), quote(plain))
        yield from (escape(plain), escape(plain, quote=False))
        yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])


def shown_title(masked: JSON, secrets: Iterable[str]) -> JSON:
    """A masked answer whose texts hold none of these secrets either."""
    match masked:
        case {"title": str() as title}:
            found: JSONObject = {"title": scrub(title, secrets)}
            return found
        case [bool() as verdict, dict(options)]:
            known = list(secrets)
            return [verdict, {k: scrub(v, known) if isinstance(v, str) else v for k, v in options.items()}]
    return masked
