"""When a delivery is tried again, and what an attempt's end means for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

DEFAULT = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Seconds after each failure: ten attempts, the last over three days after the first."""

HOOKAH = (5.0, 10.0, 15.0)
"""The schedule of the original Hookah."""

LONGEST_RETRY_AFTER = 86_400.0
SHORTEST_WHEN_BUSY = 60.0
BUSY = frozenset({"timeout", "connect_timeout", "http_429", "http_502", "http_503", "http_504"})
"""Outcomes of a receiver that has too much to do: it is left alone for a minute at least."""


def next_wait(
    schedule: Sequence[float],
    failures: int,
    outcome: str,
    chance: float,
    retry_after: float | None = None,
) -> float | None:
    """Seconds from the end of a failed attempt to the next one, or None to give up.

    Args:
        schedule: seconds after the first failure, the second ...
        failures: so far, 1 after the first.
        outcome: class of this one.
        chance: a draw from [0, 1), so that what failed together is not tried together.
        retry_after: seconds that the receiver asked for; the wait is never shorter.
    """
    if failures > len(schedule):
        return None
    wait = schedule[failures - 1]
    if outcome in BUSY:
        wait = max(wait, SHORTEST_WHEN_BUSY)
    wait *= 0.8 + 0.4 * chance
    if retry_after is not None:
        wait = max(wait, retry_after * (1.0 + 0.1 * chance))
    return wait


def read_retry_after(text: str, now: float) -> float | None:
    """Seconds that a `Retry-After` asks for, a day at most; None if it asks for nothing sensible.

    Args:
        text: the header's value.
        now: seconds since the Unix epoch.

    Source: RFC 9110 section 10.2.3.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        seconds = float(int(text)) if len(text) < 15 else LONGEST_RETRY_AFTER
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
    return min(seconds, LONGEST_RETRY_AFTER) if seconds >= 0 else None


def read_schedule(text: str, usual: tuple[float, ...] = DEFAULT) -> tuple[float, ...]:
    """Read a schedule as people write it: `none`, `hookah`, a count of entries, or seconds with commas.

    Args:
        usual: whose entries are counted; where it has fewer, the last one is repeated.

    Raises:
        ValueError: it is none of these, has over 50 entries, or one over 30 days.
    """
    text = text.strip().lower()
    if text in ("none", ""):
        return ()
    if text == "hookah":
        return HOOKAH
    if text.isascii() and text.isdecimal() and len(text) < 4:
        count = int(text)
        if count > 50:
            raise ValueError("at most 50 retries")
        return (usual + usual[-1:] * 50)[:count]
    return read_waits(text.split(","))


def read_waits(waits: Sequence[object]) -> tuple[float, ...]:
    """Read a schedule as a list of seconds.

    Raises:
        ValueError: it has over 50 entries, or one that is no number from 0 to 30 days.
    """
    if len(waits) > 50:
        raise ValueError("at most 50 retries")
    return tuple(map(_seconds, waits))


def _seconds(value: object) -> float:
    text = str(value)
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not a number of seconds") from None
    if not 0 <= seconds <= 2_592_000:
        raise ValueError("seconds from 0 to 2592000")
    return seconds
