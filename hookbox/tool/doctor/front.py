"""Is it Hookbox, which one, and what does its proxy let through."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from hookbox import __version__
from hookbox.protocol.json_text import load
from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case, Hopeless
from hookbox.tool.doctor.comet import NO_SESSION, is_hookbox
from hookbox.tool.findings import Finding, Grade, note, ok, warning, wrong
from hookbox.tool.wire import Answer
from hookbox.webhooks.answer_pages import title

CLOCK_SECONDS: Final = 60.0
BODY_BYTES: Final = 250 * 1024
"""A little less than Hookbox itself takes from a comet client."""
COOKIE_BYTES: Final = 6 * 1024
UNREADY: Final = {
    "draining": ("Hookbox is ending, and sends its clients away", "Look again in a minute."),
    "degraded": (
        "Hookbox cannot write its store, so nothing durable is accepted",
        "Look into the server's log; is there space, and may it write the file of --store?",
    ),
    "failing": (
        "the application failed so often that Hookbox leaves it alone for a while",
        "hookbox check, on the server, says what is wrong with its answers.",
    ),
    "late": ("Hookbox is busy: its event loop was late", "Look at its load: /metrics, or the console."),
}
"""Words of `/readyz` that are worth telling."""
_heading = re.compile(r"<h1>Hookbox ([0-9][0-9A-Za-z.+-]{0,30})</h1>").search
_number = re.compile(r"[0-9]+").findall


def front(case: Case) -> Iterator[Finding]:
    """Look whether it is Hookbox, and which version.

    Raises:
        Hopeless: it is not.
    """
    answer = case.fetch("GET", "/")
    match = _heading(answer.text)
    if match is None:
        comet = case.fetch("GET", NO_SESSION)
        if not is_hookbox(comet):
            raise Hopeless(_not_hookbox(case, answer, comet))
        what = "Hookbox answers, but its front page does not get through"
        yield note("version", what, answer.told)
        return
    case.learned.version = version = match[1]
    if _release(version) < _release(__version__):
        mend = "Update it: pip install --upgrade hookbox."
        yield note("version", f"Hookbox {version} is older than this tool, {__version__}", "", mend)
    else:
        yield ok("version", f"Hookbox {version}")
    yield from _about_clock(answer)
    yield from _about_readiness(case)


def _about_readiness(case: Case) -> Iterator[Finding]:
    answer = case.fetch("GET", "/readyz", {"Accept": "application/json"})
    try:
        told = load(answer.body)
    except ValueError:
        return
    parts = told.get("parts") if isinstance(told, dict) else None
    words = {str(word) for word in parts.values()} if isinstance(parts, dict) else set()
    for word in sorted(words & UNREADY.keys()):
        what, mend = UNREADY[word]
        grade = Grade.NOTE if word == "late" else Grade.WARNING  # that passes by itself
        yield Finding(word, grade, what, "/readyz", mend)


def _about_clock(answer: Answer) -> Iterator[Finding]:
    try:
        there = parsedate_to_datetime(answer.header("date"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return
    moment = (there if there.tzinfo else there.replace(tzinfo=UTC)).timestamp()
    apart = moment - time.time()
    if abs(apart) > CLOCK_SECONDS:
        which = "ahead of" if apart > 0 else "behind"
        mend = "Have both machines keep time by NTP: signed deliveries and tickets are refused after minutes."
        yield warning("clock", f"its clock is {abs(apart):.0f} s {which} ours", answer.header("date"), mend)
    else:
        yield ok("clock", "its clock agrees with ours")


def _not_hookbox(case: Case, answer: Answer, comet: Answer) -> Finding:
    place, path = case.place, case.place.path
    seen = answer.told
    if {answer.status, comet.status} & {502, 503, 504} and comet.status >= 500:
        return wrong("gateway", "the proxy does not reach Hookbox", comet.told, mends.GATEWAY)
    if answer.status == 400 and "plain HTTP request was sent to HTTPS port" in answer.text:
        return wrong("tls_wanted", "TLS is spoken there", seen, f"Ask https://{place.authority}{path}.")
    if answer.status in (301, 302, 303, 307, 308):
        location = answer.header("location")
        return wrong("redirect", f"redirected to {location}", seen, "Give that URL, here and to the pages.")
    if answer.status in (401, 407):
        mend = "Browsers send no password along with a WebSocket: take it away from Hookbox's location."
        return wrong("password", "the proxy wants a password", seen, mend)
    is_plain = answer.header("content-type").startswith("text/plain")
    if answer.status == 404 and is_plain and answer.header("x-request-id"):
        what = "Hookbox answers, but not below this path"
        return wrong("prefix", what, seen, mends.PREFIX.format(path=path or "/realtime"))
    called = f" (“{title(answer.body)}”)" if title(answer.body) else ""
    what = f"this is not Hookbox, but something else{called}"
    return wrong("not_hookbox", what, seen, mends.PREFIX.format(path=path or "/realtime"))


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _number(version.partition("+")[0].partition(".dev")[0])[:3])


def limits(case: Case) -> Iterator[Finding]:
    """Look whether the proxy takes bodies and headers of the size that clients send."""
    headers = {"Content-Type": "text/plain"}
    answer = case.fetch("POST", "/csp/send?s=hookbox-doctor", headers, b" " * BODY_BYTES)
    if answer.status == 413:
        what = "bodies of 250 KiB are refused"
        yield warning("body_limit", what, answer.told, mends.BODY)
    elif is_hookbox(answer):
        yield ok("body_limit", "bodies of 250 KiB get through")
    else:
        yield note("body_limit", "a body of 250 KiB is answered strangely", answer.told)
    answer = case.fetch("GET", NO_SESSION, {"Cookie": f"{case.marker}={'x' * COOKIE_BYTES}"})
    if is_hookbox(answer):
        yield ok("header_limit", "cookies of 6 KiB get through")
    else:
        yield warning("header_limit", "cookies of 6 KiB are refused", answer.told, mends.HEADERS)
