"""Cookies between browser and application: which go into a webhook, what its answer sets.

Source: RFC 6265 sections 4.2 (Cookie) and 5.2, 5.3 (Set-Cookie).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from hookbox.errors import ProtocolError

LONG_AGO = 1_262_304_000.0  # 2010-01-01: applications delete a cookie by a date far before it

ADMIN_COOKIE = "__Host-hookbox_admin"
"""Of a login at the console. Browsers send it to every port of the host; it is nobody else's business."""

_unfit = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]").search
_whole_number = re.compile(r"-?[0-9]+").fullmatch


@dataclass(frozen=True, slots=True)
class SetCookie:
    """One cookie as the application sets it.

    Args:
        name: not empty.
        value: as it stands in the header, quotes included.
        http_only: script must not see it.
        expired: it takes the cookie of that name away.
        raw: the whole header value.
        domain: for which hosts, in lower case; empty for the one that it comes from.
        path: for which paths; empty if it does not say.
    """

    name: str
    value: str = field(repr=False)
    http_only: bool
    expired: bool
    raw: str = field(repr=False)
    domain: str = ""
    path: str = ""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What a browser tells cookies apart by: name, domain and path."""
        return self.name, self.domain, self.path or "/"

    @property
    def for_browser(self) -> str:
        """The header value for an answer of Hookbox's own.

        Without a path the browser would take that of the URL, which is ours and not the application's; of
        several the last counts.
        """
        return self.raw if self.path else f"{self.raw}; Path=/"


def fits_header(text: str) -> bool:
    """Whether a text may be part of a header's value: no control characters, no lone surrogates.

    Source: RFC 9110 section 5.5.
    """
    return not _unfit(text)


def read_cookies(text: str) -> dict[str, str]:
    """Read the value of a Cookie header, or of `document.cookie`.

    Total: parts without `=` or without a name are left out; of two with one name the first
    counts, which browsers send for the longer path.
    """
    cookies: dict[str, str] = {}
    for name, part in _parts(text):
        if name:
            cookies.setdefault(name, part.partition("=")[2])
    return cookies


def merge(request: str, script: str, kept: Mapping[str, str | None], only: str | None) -> str:
    """Say what a webhook's Cookie header carries: everything but the cookie of the console.

    Args:
        request: Cookie header of the transport's own request; passed on as it is.
        script: cookies that script could read: adds names which the request lacks.
        kept: set by earlier answers of the application: replace both by name, None takes away.
        only: the one name that is forwarded; None forwards all.

    Raises:
        ProtocolError: `bad_frame`, a control character or lone surrogate would be in the header.
    """
    parts = _parts(request)
    present = {name for name, _ in parts}
    parts += [(name, part) for name, part in _parts(script) if name and name not in present]
    merged = _replaced(parts, kept) if kept else parts
    text = "; ".join(
        [part for name, part in merged if (only is None or name == only) and name != ADMIN_COOKIE]
    )
    if not fits_header(text):
        raise ProtocolError("bad_frame", "Invalid cookie: control characters")
    return text


def read_set_cookie(value: str, now: float = LONG_AGO) -> SetCookie:
    """Read the value of one Set-Cookie header.

    Args:
        value: of the header.
        now: seconds since the epoch, to tell whether `Expires` is past. Max-Age goes before it.

    Raises:
        ValueError: no name, or it holds a control character.
    """
    if not fits_header(value):
        raise ValueError("control character in Set-Cookie")
    pair, *rest = value.split(";")
    name, equals, content = pair.partition("=")
    name = name.strip()
    if not equals or not name:
        raise ValueError("Set-Cookie without a name")
    attributes = {}
    for attribute in rest:
        key, _, setting = attribute.partition("=")
        attributes[key.strip().lower()] = setting.strip()
    path = attributes.get("path", "")
    return SetCookie(
        name,
        content.strip(),
        http_only="httponly" in attributes,
        expired=_expired(attributes, now),
        raw=value,
        domain=attributes.get("domain", "").removeprefix(".").lower(),
        path=path if path.startswith("/") else "",
    )


def from_wsgi(header: str) -> str:
    """Text of a header that WSGI gave as latin-1: browsers send cookies in UTF-8.

    Source: PEP 3333, "Unicode Issues".
    """
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def to_wsgi(value: str) -> str:
    """A header's value as WSGI wants it: the bytes of UTF-8, each as a character.

    Source: PEP 3333, "Unicode Issues".
    """
    return value.encode("utf-8").decode("latin-1")


def _parts(text: str) -> list[tuple[str, str]]:
    parts = []
    for part in text.split(";"):
        if part := part.strip(" \t"):
            name, equals, _ = part.partition("=")
            parts.append((name.strip(" \t") if equals else "", part))
    return parts


def _replaced(parts: list[tuple[str, str]], kept: Mapping[str, str | None]) -> list[tuple[str, str]]:
    others = [(name, part) for name, part in parts if name not in kept]
    return others + [(name, f"{name}={value}") for name, value in kept.items() if value is not None]


def _expired(attributes: Mapping[str, str], now: float) -> bool:
    max_age = attributes.get("max-age", "")
    if _whole_number(max_age):
        return max_age.startswith("-") or not max_age.strip("0")
    if "expires" not in attributes:
        return False
    try:
        moment = parsedate_to_datetime(attributes["expires"].replace("-", " "))
    except (ValueError, IndexError, TypeError, OverflowError):
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() <= now
