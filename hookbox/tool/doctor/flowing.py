"""Does what is sent arrive when it is sent: streams, long polls."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case
from hookbox.tool.doctor.comet import CometLine, Unexpected, Unpacker
from hookbox.tool.findings import Finding, ok, warning, wrong
from hookbox.tool.wire import MOST_READ, Flow

STREAM_SECONDS: Final = 2
"""How long the streamed answer lasts: one that is held back comes then, as a whole."""
POLL_SECONDS: Final = 1
BEFORE_NEWS: Final = 0.2
NEWS_SECONDS: Final = 5
"""How long a poll waits for news that do come."""
TOLERANCE: Final = 1.5
"""Seconds that something may be late on a slow line."""
SSE_SECONDS: Final = 2.5
LIKE_A_BROWSER: Final = {"Accept-Encoding": "gzip"}
"""A proxy that compresses collects what it compresses."""
QUIET_STREAM: Final = "/stream?topic=hookbox-doctor&heartbeat=60"


def streaming(case: Case) -> Iterator[Finding]:
    """Look whether an answer that is streamed comes piece by piece."""
    finding = _again_if_late(_streamed, case)
    if finding is None or finding.key == "buffering":
        yield from filter(None, [finding])
        return
    yield finding
    yield from filter(None, [_again_if_late(_events, case)])


def _again_if_late(look: Callable[[Case], Finding | None], case: Case) -> Finding | None:
    """Look a second time before something is called late: lines and machines stumble."""
    finding = look(case)
    return look(case) if finding is not None and finding.key == "buffering" else finding


def _streamed(case: Case) -> Finding:
    try:
        line = CometLine(case, f"du={STREAM_SECONDS}&is=1&bs=%0A")
    except Unexpected as error:
        mend = mends.NOT_FORWARDED.format(path=case.place.path)
        return wrong("comet", "comet does not get through", error.answer.told, mend)
    try:
        with line.begin("a=-1", LIKE_A_BROWSER, STREAM_SECONDS + case.timeout) as flow:
            return _about_stream(line, flow)
    finally:
        line.close()


def _about_stream(line: CometLine, flow: Flow) -> Finding:
    head = flow.head
    unpacker = Unpacker(head.header("content-encoding"))
    first = flow.read(STREAM_SECONDS + TOLERANCE)
    came = flow.took()
    seen = f"the first piece came after {came:.1f} s"
    packed = f", compressed by {head.header('content-encoding')}" if unpacker.packed else ""
    if came > STREAM_SECONDS - 0.5:
        if head.header("content-length"):
            what = "the proxy speaks HTTP/1.0 to Hookbox: comet polls instead of streaming"
            return warning("http10", what, seen, mends.HTTP10)
        what = "streamed answers are held back until their end"
        return wrong("buffering", what, seen + packed, mends.BUFFERING)
    text = unpacker.feed(first)
    line.send("SUBSCRIBE", {"channel_name": "hookbox-doctor"})  # not connected: answered by an ERROR at once
    sent = time.monotonic()
    try:
        while b"ERROR" not in text and b"[1," not in text.replace(b" ", b"") and len(text) < MOST_READ:
            piece = flow.read(STREAM_SECONDS + TOLERANCE)
            if not piece:
                break
            text += unpacker.feed(piece)
    except (OSError, http.client.HTTPException):
        pass
    late = time.monotonic() - sent
    if late > TOLERANCE:
        seen = f"a piece came {late:.1f} s after it was sent{packed}"
        return wrong("buffering", "streamed answers are held back", seen, mends.BUFFERING)
    if unpacker.packed:
        what = "the proxy compresses what streams; it comes in time, but costs the proxy memory for each"
        return warning("compressed", what, packed.lstrip(", "), mends.GZIP)
    return ok("streaming", "streamed answers come piece by piece", f"{late * 1000:.0f} ms")


def _events(case: Case) -> Finding | None:
    """Server-Sent Events, which only the token opens without asking the application."""
    if case.api is None or case.api.token == "":
        return None
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {case.api.token}", **LIKE_A_BROWSER}
    try:
        with case.flow("GET", QUIET_STREAM, headers, timeout=SSE_SECONDS) as flow:
            if flow.head.status != 200:
                return None  # another token, or a port apart
            flow.read(SSE_SECONDS)
            return ok("events", "Server-Sent Events come at once", f"{flow.took() * 1000:.0f} ms")
    except TimeoutError:
        what = "Server-Sent Events of /stream are held back"
        return wrong("buffering", what, f"nothing within {SSE_SECONDS:g} s", mends.BUFFERING)


def long_poll(case: Case) -> Iterator[Finding]:
    """Look whether a long poll waits as long as it should."""
    yield from filter(None, [_again_if_late(_polled, case)])


def _polled(case: Case) -> Finding | None:
    try:
        line = CometLine(case, f"du={POLL_SECONDS}")
    except Unexpected:
        return None  # told already
    try:
        with line.begin("a=-1") as flow:
            answer = flow.whole(POLL_SECONDS + case.timeout)
        late = _news_take(case, line)
    finally:
        line.close()
    seen = f"{answer.took:.1f} s"
    if answer.status != 200:
        mend = mends.idle(case.learned.ping_interval)
        return wrong("long_poll", "long polls are cut off", answer.told, mend)
    if answer.took < POLL_SECONDS - 0.3:
        what = "a long poll is answered before there is anything to say: is there a cache?"
        mend = "Have nothing of Hookbox cached: its answers say Cache-Control: no-store."
        return wrong("cached", what, seen, mend)
    if answer.took > POLL_SECONDS + TOLERANCE:
        return wrong("buffering", "long polls are held back", seen, mends.BUFFERING)
    if late > TOLERANCE:
        return wrong("buffering", "news do not end a long poll", f"after {late:.1f} s", mends.BUFFERING)
    return ok("long_poll", "long polls wait, and end when there is news", f"{late * 1000:.0f} ms")


def _news_take(case: Case, line: CometLine) -> float:
    """Seconds from something that makes news to the answer of a long poll that waits for it."""
    told: list[float] = []

    def tell() -> None:
        told.append(time.monotonic())
        with suppress(OSError, http.client.HTTPException):  # the poll tells it, too
            line.send("SUBSCRIBE", {"channel_name": "hookbox-doctor"})  # not connected: an ERROR

    teller = threading.Timer(BEFORE_NEWS, tell)
    teller.start()
    try:
        with line.begin(f"a=-1&du={NEWS_SECONDS}") as flow:
            flow.whole(NEWS_SECONDS + case.timeout)
    finally:
        teller.join(case.timeout)
    return time.monotonic() - told[0] if told else 0.0
