"""What the end of an attempt means: for the delivery, and for its receiver."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import ceil
from typing import Final

from hookbox.delivery.lane import Result
from hookbox.delivery.models import Attempt, Delivery, State, Trigger
from hookbox.delivery.schedule import next_wait, read_retry_after
from hookbox.delivery.sender import Sent

DONE_ELSEWHERE: Final = frozenset({301, 302, 303})
"""Redirects that count as done where the endpoint says so."""
PAUSING: Final = frozenset({429, 503})
SHORTEST_AFTER_OUR_FAULT: Final = 5.0
NOT_ASKED: Final = 5.0

KEPT_BODY: Final = 16 * 1024
KEPT_VALUE: Final = 1024
is_secret: Final = re.compile(
    r"(?!idempotency-key$).*(auth|cookie|token|secret|passw|key|credential)", re.IGNORECASE
).match
"""Whether a header's name says that its value lets somebody in, as `Authorization` and `X-Api-Key` do."""
MASKED: Final = "***"


class End(Enum):
    """What an attempt means for its delivery."""

    DONE = "done"
    FAILED = "failed"  # it uses up an entry of the schedule
    DEAD = "dead"
    UNCOUNTED = "uncounted"  # it is tried again, and nothing is used up
    CUT = "cut"  # the same, at once: the server was stopped
    NOT_ASKED = "not_asked"  # nothing was sent, as the application has no time now: it is, a little later
    NEEDLESS = "needless"  # nothing was sent, as it is not so any more

    @property
    def tried(self) -> bool:
        """Whether there was an attempt at all."""
        return self not in (End.NOT_ASKED, End.NEEDLESS)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of an attempt.

    Args:
        outcome: `ok`, or the class of what went wrong.
        disables: the receiver wants nothing any more.
        retry_after: seconds that it asked for, None for none.
        pauses: whether it asked that for everything.
    """

    outcome: str
    end: End
    disables: bool = False
    retry_after: float | None = None
    pauses: bool = False

    @property
    def result(self) -> Result:
        """What it says about the receiver: a no on purpose is no failure."""
        if self.end is End.DONE:
            return Result.GOOD
        return Result.BAD if self.end is End.FAILED else Result.NEITHER


def judge(sent: Sent, now: float, redirects_succeed: bool = False) -> Judgement:
    """Judge what came of an attempt.

    Args:
        now: seconds since the Unix epoch.
        redirects_succeed: whether 301, 302 and 303 count as done.
    """
    if sent.outcome != "ok":
        end = _ENDS.get(sent.outcome, End.FAILED)
        if end is End.NOT_ASKED:
            return Judgement(sent.outcome, end, retry_after=NOT_ASKED, pauses=True)
        return Judgement(sent.outcome, end)
    wish = sent.header("webhook-delivery").strip().lower()
    if 200 <= sent.status < 300 or (redirects_succeed and sent.status in DONE_ELSEWHERE):
        return Judgement("ok", End.DONE, wish == "disable")
    if sent.status == 410:
        return Judgement("gone", End.DEAD, True)
    if wish == "abort-message":
        return Judgement("aborted", End.DEAD)
    outcome = "http_3xx" if 300 <= sent.status < 400 else f"http_{sent.status}"
    asked = read_retry_after(sent.header("retry-after"), now)
    return Judgement(
        outcome, End.FAILED, wish == "disable", asked, asked is not None and sent.status in PAUSING
    )


_ENDS: Final = {
    "blocked": End.DEAD,
    "internal": End.UNCOUNTED,
    "interrupted": End.CUT,
    End.NOT_ASKED.value: End.NOT_ASKED,
    End.NEEDLESS.value: End.NEEDLESS,
}


def after(
    delivery: Delivery,
    judgement: Judgement,
    schedule: Sequence[float],
    *,
    now_ms: int,
    expires_ms: float,
    chance: float,
    status: int = 0,
) -> Delivery:
    """How a delivery stands after an attempt.

    Args:
        schedule: seconds after each failure.
        now_ms: when the attempt ended.
        expires_ms: when it is given up.
        chance: a draw from [0, 1).
        status: HTTP status of the answer, 0 without one.
    """
    failures = delivery.failures + (judgement.end is End.FAILED)
    tried = replace(
        delivery,
        attempts=delivery.attempts + judgement.end.tried,
        failures=failures,
        failing_ms=delivery.failing_ms or (now_ms if failures else 0),
        last_status=status or delivery.last_status,
    )
    if judgement.end is End.DONE:
        return over(tried, State.SUCCEEDED, "", now_ms)
    if judgement.end is End.DEAD:
        return over(tried, State.DEAD, judgement.outcome, now_ms)
    if judgement.end is End.NEEDLESS:
        return over(tried, State.CANCELLED, judgement.outcome, now_ms)
    wait: float | None = 0.0
    if judgement.end is End.FAILED:
        wait = next_wait(schedule, failures, judgement.outcome, chance, judgement.retry_after)
    elif judgement.end is End.UNCOUNTED:
        wait = max(SHORTEST_AFTER_OUR_FAULT, *schedule[failures : failures + 1], 0.0)
    elif judgement.end is End.NOT_ASKED:
        wait = NOT_ASKED * (1 + chance)
    if wait is None:
        return over(tried, State.DEAD, "exhausted", now_ms)
    due_ms = now_ms + ceil(wait * 1000)
    if due_ms > expires_ms and judgement.end is not End.CUT:
        return over(tried, State.DEAD, "expired", now_ms)
    return replace(tried, state=State.SCHEDULED, due_ms=due_ms)


def over(delivery: Delivery, state: State, reason: str, now_ms: int) -> Delivery:
    """A delivery with which nothing more will happen by itself."""
    return replace(delivery, state=state, reason=reason, done_ms=now_ms)


def as_attempt(
    n: int,
    trigger: Trigger,
    start_ms: int,
    sent: Sent,
    outcome: str,
    headers: Sequence[tuple[str, str]],
    keep_body: bool = True,
) -> Attempt:
    """What is kept of an attempt: the beginning of what is long, and no secrets.

    Args:
        headers: that were sent.
        keep_body: whether the answer's body is of interest.
    """
    return Attempt(
        n,
        trigger,
        start_ms,
        round(sent.took * 1000),
        outcome,
        sent.status,
        sent.address,
        tuple((name, MASKED if is_secret(name) else value[:KEPT_VALUE]) for name, value in headers),
        tuple((name, value[:KEPT_VALUE]) for name, value in sent.headers if name.lower() != "set-cookie"),
        sent.body[: KEPT_BODY if keep_body else 0],
        sent.detail,
    )
