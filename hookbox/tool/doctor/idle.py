"""How long a proxy lets a connection be silent, and whether that is long enough."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hookbox.protocol.csp_variables import LONGEST_HOLD
from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case
from hookbox.tool.doctor.comet import CometLine, Unexpected
from hookbox.tool.doctor.socket_line import Ended, NotUpgraded, SocketLine
from hookbox.tool.findings import Finding, note, ok, wrong

MARGIN_SECONDS: Final = 2.0
HEARTBEATS: Final = (5.0, 60.0)
"""Seconds that a stream can be silent."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A connection on which nothing was said.

    Args:
        name: of what it was.
        lasted: seconds.
        cut: whether it ended before it should have.
        how: it ended.
    """

    name: str
    lasted: float
    cut: bool
    how: str = ""


def idle(case: Case) -> Iterator[Finding]:
    """Stay silent, and see what the proxy does."""
    ping = case.learned.ping_interval
    seconds = 2 * ping + MARGIN_SECONDS if case.idle is None else case.idle
    if not seconds:
        yield note("idle", "not looked at how long a silent connection lasts", "", "Leave --idle 0 out.")
        return
    yield judge_idle(_watch_all(case, seconds), ping)


def judge_idle(watches: Sequence[Watch], ping_interval: float) -> Finding:
    """What silence tells about a proxy's timeouts.

    Args:
        ping_interval: seconds; Hookbox says something on a silent connection that often. Twice that has to
            be all right: a ping may be late, and a request of comet is silent for longer.
    """
    wanted = 2 * ping_interval
    cut = [watch for watch in watches if watch.cut]
    if cut:
        worst = min(cut, key=lambda watch: watch.lasted)
        what = f"a silent {worst.name} is cut off after {worst.lasted:.0f} s"
        if worst.lasted < wanted:
            danger = "and Hookbox pings"
            what += f", {danger} only every {ping_interval:g} s: the timeout has to be above {wanted:g} s"
            return wrong("idle_timeout", what, worst.how, mends.idle(ping_interval))
        return ok("idle_timeout", f"{what}, which is enough for pings every {ping_interval:g} s")
    if not watches:
        return note("idle_timeout", "no connection could be watched in silence")
    longest = max(watches, key=lambda watch: watch.lasted)
    what = f"a silent {longest.name} lasts for {longest.lasted:.0f} s at least"
    if longest.lasted >= min(wanted, LONGEST_HOLD):
        return ok("idle_timeout", what)
    return note("idle_timeout", f"{what}; {wanted:g} s are wanted", "", "Wait longer: --idle SECONDS.")


def _watch_all(case: Case, seconds: float) -> list[Watch]:
    """Watch everything at the same time."""
    watches: list[Watch] = []
    jobs: list[Callable[[Case, float], Watch | None]] = [_request]
    if case.learned.open_socket:
        jobs.append(_socket)
    if case.api is not None and case.api.token:
        jobs.append(_stream)

    def run(job: Callable[[Case, float], Watch | None]) -> None:
        try:
            watch = job(case, seconds)
        except (OSError, http.client.HTTPException, Unexpected, NotUpgraded):
            return  # what is wrong with them was told before
        if watch is not None:
            watches.append(watch)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 4 * case.timeout)
    return watches


def _socket(case: Case, seconds: float) -> Watch:
    """A WebSocket on which only pings and their answers pass."""
    line = SocketLine(case)
    began = time.monotonic()
    try:
        lasted = line.stay_silent(seconds)
    except Ended:  # Hookbox itself said goodbye, as nobody connected
        return Watch("WebSocket", time.monotonic() - began, cut=False)
    finally:
        line.close()
    return Watch("WebSocket", lasted, lasted < seconds, "closed without a word")


def _request(case: Case, seconds: float) -> Watch:
    """A comet request that is held: not a byte passes meanwhile."""
    held = max(1, min(round(seconds), LONGEST_HOLD))
    line = CometLine(case, f"du={held}")
    began = time.monotonic()
    name = "request (long poll)"
    try:
        with line.begin("a=-1", timeout=held + case.timeout) as flow:
            answer = flow.whole(case.timeout)
        return Watch(name, answer.took, answer.status != 200, answer.told)
    except (OSError, http.client.HTTPException):
        return Watch(name, time.monotonic() - began, cut=True, how="closed without an answer")
    finally:
        line.close()


def _stream(case: Case, seconds: float) -> Watch | None:
    """A stream without heartbeats: not a byte passes after its beginning. Only the token opens it."""
    assert case.api is not None
    beat = max(HEARTBEATS[0], min(seconds, HEARTBEATS[1]))
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {case.api.token}"}
    path = f"/stream?topic=hookbox-doctor&heartbeat={beat:g}"
    with case.flow("GET", path, headers) as flow:
        if flow.head.status != 200:
            return None
        flow.read(case.timeout)
        began = time.monotonic()
        try:
            piece = flow.read(seconds)
        except TimeoutError:
            return Watch("stream", seconds, cut=False)
        except (OSError, http.client.HTTPException):
            piece = b""
    return Watch("stream", time.monotonic() - began, cut=not piece, how="closed without a word")
