"""Single control values of a dispatch: each is read here, or refused by name."""

from __future__ import annotations

import re

from hookbox.core.values import JSON
from hookbox.delivery.schedule import DEFAULT, read_schedule, read_waits
from hookbox.errors import BadRequest
from hookbox.webhooks.signing import Secret

MOST_TARGETS = 100
LONGEST_VALUE = 8 * 1024
LONGEST_HEADER = 4096
LONGEST_DELAY = 2_592_000.0

_number = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?").fullmatch
_token = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_visible = re.compile(r"[\x20-\x7e\t]*").fullmatch
_key = re.compile(r"[\x21-\x7e]{1,255}").fullmatch
_event_type = re.compile(r"[A-Za-z0-9_.-]{0,128}").fullmatch
_escaped = re.compile(r"[\udc80-\udcff]").search
_control = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]").search

OURS = {
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection",
    "keep-alive", "te", "trailer", "upgrade", "expect", "user-agent", "link", "cookie",
}  # fmt: skip
OUR_PREFIXES = ("proxy-", "webhook-", "hookbox-", "x-hub-")


def as_text(name: str, value: str) -> str:
    """A value that is text without control characters.

    Raises:
        BadRequest: it is not.
    """
    if _control(value) and name != "_payload":
        raise BadRequest(400, f"{name} has a control character, or bytes that are not UTF-8")
    if not value.isascii() and _escaped(value):
        raise BadRequest(400, f"{name} has bytes that are not UTF-8")
    return value


def read_number(name: str, value: JSON, low: float, high: float) -> float:
    """A number of seconds in a range.

    Raises:
        BadRequest: it is none.
    """
    number = -1.0
    match value:
        case bool():
            pass
        case int() | float():
            number = float(value)
        case str() if _number(value):
            number = float(value)
    if not low <= number <= high:
        raise BadRequest(400, f"{name} has to be a number of seconds from {low:g} to {high:g}")
    return number


def read_retry(name: str, value: JSON, usual: tuple[float, ...] = DEFAULT) -> tuple[float, ...]:
    """A schedule of retries: as text, a count of entries, or a list of seconds.

    Args:
        usual: whose entries are counted.

    Raises:
        BadRequest: it is none.
    """
    try:
        return read_waits(value) if isinstance(value, list) else read_schedule(str(value), usual)
    except ValueError as error:
        raise BadRequest(400, f"{name}: {error}") from None


def read_secret(name: str, value: str) -> str:
    """A signing secret.

    Raises:
        BadRequest: it cannot be one; the text does not hold it.
    """
    try:
        Secret.read(value)
    except ValueError as error:
        raise BadRequest(400, f"{name}: {error}") from None
    return value


def read_key(value: str) -> str:
    """An idempotency key.

    Raises:
        BadRequest: it is not 1 to 255 visible ASCII characters.
    """
    if not _key(value):
        raise BadRequest(400, "an idempotency key is 1 to 255 visible ASCII characters")
    return value


def read_type(value: str) -> str:
    """An event type, empty for none.

    Raises:
        BadRequest: it has other characters than letters, digits and `_.-`, or over 128.
    """
    if not _event_type(value):
        raise BadRequest(400, "a type is up to 128 letters, digits, dots, dashes and underscores")
    return value


def read_count(name: str, value: str, most: int) -> str:
    """A text of at most so many characters.

    Raises:
        BadRequest: it has more.
    """
    if len(value) > most:
        raise BadRequest(400, f"{name} has {len(value)} characters, at most {most}")
    return value


def check_header(name: str, value: str, *, cookie: bool = False) -> tuple[str, str]:
    """A header to send along.

    Args:
        cookie: whether `Cookie` may be one.

    Raises:
        BadRequest: it is malformed, or is ours to set.
    """
    if not _token(name):
        raise BadRequest(400, f"header {name[:40]!r} is not a name")
    if not _visible(value) or len(value) > LONGEST_HEADER:
        raise BadRequest(
            400, f"header {name}: its value has to be visible ASCII, up to {LONGEST_HEADER} bytes"
        )
    if cookie and name.lower() == "cookie":
        return name, value
    if name.lower() in OURS or name.lower().startswith(OUR_PREFIXES):
        raise BadRequest(400, f"header {name} cannot be set")
    return name, value
