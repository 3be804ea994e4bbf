"""The WebSocket: does the upgrade pass, and who is one then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from hookbox.core.values import JSON, JSONObject
from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case
from hookbox.tool.doctor.comet import CometLine, Unexpected, frames_in
from hookbox.tool.doctor.socket_line import NotUpgraded, SocketLine
from hookbox.tool.findings import Finding, ok, warning, wrong
from hookbox.tool.wire import Answer

POLL_SECONDS: Final = 5
LONGEST_PING: Final = 3600
"""Seconds between two pings that are believed: silence is waited for by them."""
FEATURES: Final[list[JSON]] = ["ack", "close"]


def upgrade(case: Case) -> Iterator[Finding]:
    """Open a WebSocket and connect."""
    began = time.monotonic()
    try:
        line = SocketLine(case, {"Cookie": case.cookie_header()})
    except NotUpgraded as refused:
        yield _why_not(case, refused.answer)
        return
    try:
        case.learned.open_socket = True
        case.learned.own_address, case.learned.peer_address = line.addresses
        yield ok("upgrade", "WebSockets get through", f"{(time.monotonic() - began) * 1000:.0f} ms")
        line.send("CONNECT", _greeting(case))
        _listen(case, lambda: line.next(case.timeout))
    finally:
        line.close()


def _why_not(case: Case, answer: Answer) -> Finding:
    status, text = answer.status, answer.text
    if status == 101:
        what = "the handshake is answered by something else than Hookbox"
        return wrong("upgrade", what, "Sec-WebSocket-Accept is wrong", mends.UPGRADE)
    if status == 426 and "WebSocket address" in text:
        what = "the proxy does not pass the headers Upgrade and Connection on: no WebSockets"
        return wrong("upgrade", what, answer.told, mends.UPGRADE)
    if status == 400 and "of HTTP/1.1" in text:
        what = "the proxy speaks HTTP/1.0 to Hookbox and drops the upgrade: no WebSockets"
        return wrong("upgrade", what, answer.told, mends.UPGRADE)
    if status == 403:
        what = "the handshake is forbidden, although no Origin was sent"
        return wrong("upgrade_forbidden", what, answer.told, "Look into the proxy's rules and a firewall's.")
    if status in (502, 503, 504):
        what = "the proxy does not reach Hookbox for WebSockets"
        return wrong("gateway", what, answer.told, mends.GATEWAY)
    if status == 404:
        what = f"the proxy does not forward {case.place.path}/ws to Hookbox"
        return wrong("not_forwarded", what, answer.told, mends.NOT_FORWARDED.format(path=case.place.path))
    if status == 429 or (status == 503 and answer.header("retry-after")):
        return warning("busy", "Hookbox takes no more connections now", answer.told, "See its limits.")
    return wrong("upgrade", "no WebSockets: something else is answered", answer.told, mends.UPGRADE)


def greet_by_comet(case: Case) -> None:
    """Connect by comet, where no WebSocket gets through.

    Raises:
        Unexpected, OSError, http.client.HTTPException: that does not work either.
    """
    line = CometLine(case, f"du={POLL_SECONDS}", {"Cookie": case.cookie_header()})
    sent = line.send("CONNECT", _greeting(case))
    if sent.status != 200:
        raise Unexpected(sent)
    frames: list[list[JSON]] = []

    def next_frame() -> list[JSON]:
        while not frames:
            with line.begin("a=-1") as flow:
                frames.extend(frames_in(flow.whole(POLL_SECONDS + case.timeout).text))
        return frames.pop(0)

    try:
        _listen(case, next_frame)
    finally:
        line.close()


def _greeting(case: Case) -> JSONObject:
    return {"cookie_string": "", "payload": case.payload, "features": FEATURES}


def _listen(case: Case, next_frame: Callable[[], list[JSON]]) -> None:
    """Wait for the word on a CONNECT."""
    learned = case.learned
    until = time.monotonic() + max(case.timeout, 10.0)
    learned.greeted = True
    while time.monotonic() < until:
        try:
            answer = next_frame()
        except TimeoutError:
            return
        match answer:
            case [_, "CONNECTED", {"conn_id": str(connection), "ping_interval": interval, **others}]:
                learned.connection, learned.user = connection, str(others.get("name", ""))
                if isinstance(interval, int | float) and 0 < interval <= LONGEST_PING:
                    learned.ping_interval = float(interval)
                break
            case [_, "ERROR", dict(args)]:
                learned.refusal = str(args.get("code") or "error"), str(args.get("msg") or "")
                break
