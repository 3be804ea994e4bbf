"""What an endpoint is told to be: each member is read here, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.intake_values import LONGEST_VALUE, as_text, read_number, read_retry, read_secret
from hookbox.delivery.match import read_filter, read_pattern
from hookbox.delivery.request import Request, checked_headers
from hookbox.web.backlog.asked import bad, check_names

MOST_TOPICS: Final = 100
LONGEST_TOPIC: Final = 2048

_rate = re.compile(r"([0-9]{1,7})/([0-9]{1,6}(\.[0-9]{1,3})?)").fullmatch

Check = Callable[[str, str], str]
"""Checks a URL under its name."""


def read_endpoint(given: Mapping[str, JSON], check_url: Check, known: tuple[str, ...]) -> dict[str, Any]:
    """Read members of an endpoint; null stands for the default.

    Args:
        check_url: returns the URL, or raises.
        known: members that may be given.

    Returns:
        fields of an `Endpoint`, those that were given.

    Raises:
        Unreadable, BadRequest, BadFilter: a member is unknown or cannot be used; names it.
        Forbidden: a URL is against the policy.
    """
    check_names(given, known, "member")
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name in ("url", "errback"):
            fields[name] = _read_url(name, value, check_url)
        else:
            field, read = _READERS[name]
            fields[field] = read(name, value)
    return fields


def _read_url(name: str, value: JSON, check_url: Check) -> str:
    if name == "errback" and value in (None, ""):
        return ""
    if not isinstance(value, str) or not value:
        raise bad(f"{name} has to be an absolute http or https URL")
    return check_url(name, value)


def _topics(name: str, value: JSON) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_TOPICS:
        raise bad(f'{name} has to be a list of 1 to {MOST_TOPICS} patterns; ["**"] stands for every topic')
    return tuple(dict.fromkeys(_pattern(f"{name}[{n}]", item) for n, item in enumerate(value)))


def _pattern(name: str, value: JSON) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TOPIC:
        raise bad(f"{name} has to be a pattern of up to {LONGEST_TOPIC} characters")
    return read_pattern(as_text(name, value))


def _filter(name: str, value: JSON) -> JSONObject | None:
    return None if value is None else read_filter(value)


def _secrets(name: str, value: JSON) -> tuple[tuple[str, int], ...]:
    return ((one_secret(name, value), 0),) if value else ()


def one_secret(name: str, value: JSON) -> str:
    """A signing secret as text.

    Raises:
        Unreadable, BadRequest: it is none.
    """
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        raise bad(f"{name} has to be text, best whsec_ and base64 of 24 to 64 bytes")
    return read_secret(name, as_text(name, value))


def _headers(name: str, value: JSON) -> tuple[tuple[str, str], ...]:
    given = {} if value is None else value
    if not isinstance(given, dict) or not all(isinstance(item, str) for item in given.values()):
        raise bad(f"{name} has to be an object of names and their values, which are text")
    return checked_headers(Request(b""), ((key, str(item)) for key, item in given.items()))


def _ordered(name: str, value: JSON) -> bool:
    if value is not None and not isinstance(value, bool):
        raise bad(f"{name} has to be true or false")
    return value is True


def _starts(name: str, value: JSON) -> tuple[int, float]:
    if value in (None, ""):
        return 0, 0
    match = _rate(value) if isinstance(value, str) else None
    if match is None or not int(match[1]) or not 0.001 <= float(match[2]) <= 86_400:
        raise bad(f'{name} has to be text such as "100/60": so many starts in so many seconds, a day at most')
    return int(match[1]), float(match[2])


def _retry(name: str, value: JSON) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers and type(value) not in (int, str):
        raise bad(f'{name} has to be "none", a count, or a list of seconds')
    return read_retry(name, value)


def _timeout(name: str, value: JSON) -> float | None:
    return None if value is None else read_number(name, value, 1, 60)


def _block_max(name: str, value: JSON) -> float | None:
    return None if value is None else read_number(name, value, 0, 2_592_000)


def _line(most: int) -> Callable[[str, JSON], str]:
    def read(name: str, value: JSON) -> str:
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > most:
            raise bad(f"{name} has to be text of up to {most} characters")
        return as_text(name, value)

    return read


def _redirects(name: str, value: JSON) -> bool:
    if value not in (None, "success", "failure"):
        raise bad(f"{name} has to be success or failure")
    return value == "success"


_READERS: Final[Mapping[str, tuple[str, Callable[[str, JSON], Any]]]] = {
    "topics": ("topics", _topics),
    "filter": ("filter", _filter),
    "secret": ("secrets", _secrets),
    "headers": ("headers", _headers),
    "ordered": ("ordered", _ordered),
    "block_max": ("block_max", _block_max),
    "rate": ("rate", _starts),
    "retry": ("retry", _retry),
    "timeout": ("timeout", _timeout),
    "description": ("description", _line(1000)),
    "tag": ("tag", _line(128)),
    "redirects": ("redirects_succeed", _redirects),
}
MEMBERS: Final = ("url", "errback", *_READERS)
CHANGEABLE: Final = tuple(name for name in MEMBERS if name != "secret")
