"""The parameters of a call, out of query, form or JSON: each is read, or refused by name."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from hookbox.core.values import JSON
from hookbox.delivery.intake_values import as_text
from hookbox.delivery.models import State
from hookbox.delivery.store.looking import UNDELIVERED
from hookbox.sources import nearest
from hookbox.web.bodies import Unreadable

MOST_LISTED: Final = 200
LISTED: Final = 50
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""
LONGEST_CURSOR: Final = 100

_seconds = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?").fullmatch
_date = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?"
    r"([Zz]|[+\- ][0-9]{2}:[0-9]{2})"
).fullmatch
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"0", "false", "no"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def bad(message: str, code: str = "bad_parameter") -> Unreadable:
    """A call that is answered with 400."""
    return Unreadable(400, code, message)


def check_names(given: Iterable[str], known: Collection[str], what: str = "parameter") -> None:
    """See that nothing was given that has no meaning.

    Raises:
        Unreadable: there was; names what is known.
    """
    for name in given:
        if name not in known:
            near = nearest(name[:80], known)
            listed = f"; known are {', '.join(sorted(known))}" if known else "; there are none here"
            raise bad(f"unknown {what} {name[:80]!r}{near}{listed}", f"unknown_{what}")


class Asked:
    """The parameters of one call; null counts as not given, and so does an empty text.

    Args:
        values: by name, as they came.
        known: names that mean something.

    Raises:
        Unreadable: there are others.
    """

    def __init__(self, values: Mapping[str, JSON], known: Collection[str]) -> None:
        check_names(values, known)
        self._values = values

    def has(self, name: str) -> bool:
        """Whether something was given."""
        return self._values.get(name) not in (None, "")

    def text(self, name: str, most: int = 2048) -> str:
        """A text without control characters, empty if it was not given."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise bad(f"{name} has to be text")
        if len(value) > most:
            raise bad(f"{name} has {len(value)} characters, at most {most}")
        return as_text(name, value)

    def flag(self, name: str) -> bool:
        """Yes or no; no if it was not given."""
        if not self.has(name):
            return False
        word = str(self._values[name]).lower()
        if word not in _YES | _NO:
            raise bad(f"{name} has to be 1 or 0")
        return word in _YES

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """A number in a range."""
        if not self.has(name):
            return default
        number = _number(self._values[name])
        if number is None or not low <= number <= high:
            raise bad(f"{name} has to be a number from {low:g} to {high:g}")
        return number

    def limit(self) -> int:
        """How many to list."""
        number = self.number("limit", 1, MOST_LISTED, LISTED)
        if number != int(number):
            raise bad(f"limit has to be a whole number from 1 to {MOST_LISTED}")
        return int(number)

    def time_ms(self, name: str) -> int | None:
        """A time in milliseconds since the Unix epoch, None if it was not given."""
        return read_time(name, self._values[name]) if self.has(name) else None

    def states(self) -> tuple[State, ...]:
        """States of deliveries, separated by commas; empty if none was given."""
        words = [word.strip() for word in self.text("state").split(",") if word.strip()]
        known = [*State, "undelivered"]
        if wrong := next((word for word in words if word not in known), None):
            raise bad(f"state {wrong[:40]!r} is not one of {', '.join(known)}{nearest(wrong[:40], known)}")
        wanted = {State(word) for word in words if word != "undelivered"}
        return tuple(sorted(wanted | UNDELIVERED if "undelivered" in words else wanted))

    def cursor(self, kind: str) -> str:
        """The place in a listing, empty for its beginning."""
        return read_cursor(kind, self.text("cursor")) if self.has("cursor") else ""


def read_time(name: str, value: JSON) -> int:
    """Read an RFC 3339 time or seconds since the Unix epoch, up to the year 9999; returns milliseconds.

    Raises:
        Unreadable: it is neither.

    Source: RFC 3339 section 5.6; a blank stands for `+`, as it does where a query was not percent-encoded.
    """
    number = _number(value)
    time_ms = -1
    if number is not None:
        time_ms = round(max(-1.0, min(number, 1e15)) * 1000)
    elif isinstance(value, str) and (match := _date(value)):
        time_ms = _date_ms(*match.groups(""))
    if not 0 <= time_ms <= LATEST_MS:
        raise bad(f"{name} has to be a time such as 2024-11-20T12:00:00Z, or seconds since 1970")
    return time_ms


def _number(value: JSON) -> float | None:
    match value:
        case bool():
            return None
        case int() | float():
            return float(value)
        case str() if _seconds(value):
            return float(value)
    return None


def _date_ms(day: str, time: str, fraction: str, offset: str) -> int:
    second = min(int(time[6:]), 59) if time[6:] == "60" else int(time[6:])  # a leap second
    try:
        moment = datetime.fromisoformat(f"{day}T{time[:6]}{second:02d}+00:00")
        if offset not in "Zz":
            hours, minutes = int(offset[1:3]), int(offset[4:])
            if hours > 23 or minutes > 59:
                return -1
            apart = timedelta(hours=hours, minutes=minutes)
            moment = moment + apart if offset[0] == "-" else moment - apart
    except (ValueError, OverflowError):
        return -1
    return (moment - _EPOCH) // timedelta(milliseconds=1) + int(fraction[1:4].ljust(3, "0"))


def write_cursor(kind: str, place: object) -> str | None:
    """A cursor that goes on behind a place, None for none; what is in it is nobody's business."""
    return None if place is None else urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def read_cursor(kind: str, text: str) -> str:
    """The place that a cursor stands for.

    Raises:
        Unreadable: we gave no such cursor.
    """
    try:
        if len(text) > LONGEST_CURSOR or not text.isascii():
            raise ValueError
        plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (Base64Error, ValueError):
        plain = ""
    given, _, place = plain.partition(":")
    if given != kind or not place.replace("_", "").isalnum():
        raise bad("cursor is not one that was given by this listing; leave it out to begin anew")
    return place
