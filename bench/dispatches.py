"""Dispatches of several callers at once, each made when the one before is answered; run by `measurements`.

Prints how many were accepted and delivered in a second, and the server's processor time for each.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

DEADLINE = 120.0
TOKEN = "tok"
LATER = 3600


def main(arguments: Sequence[str]) -> None:
    """Accept first, with nothing to deliver yet; then accept and deliver."""
    pid, port, receiver, store, callers, count = arguments
    work = int(pid), int(port), int(receiver), int(callers)
    accepted = _accept(*work, int(count), delay=LATER)
    before, began = _cpu(int(pid)), time.monotonic()
    _accept(*work, int(count), delay=0)
    _await_delivered(store, int(count))
    took, spent = time.monotonic() - began, _cpu(int(pid)) - before
    figures = {
        "accepted_per_s": int(count) / accepted[0],
        "accepted_cpu_us": accepted[1] * 1e6 / int(count),
        "delivered_per_s": int(count) / took,
        "delivered_cpu_us": (spent - accepted[1]) * 1e6 / int(count),
    }
    print(json.dumps(figures))


def _accept(pid: int, port: int, receiver: int, callers: int, count: int, delay: int) -> tuple[float, float]:
    """Dispatch so often; returns the seconds that it took, and those of the server's processor."""
    url = f"http%3A%2F%2F127.0.0.1%3A{receiver}%2Fhook"
    body = f"_url={url}&_delay={delay}&event=signup&user=42&note=caf%C3%A9"
    request = (
        f"POST /dispatch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    ).encode()
    before, began = _cpu(pid), time.monotonic()
    sent = answered = 0
    with selectors.DefaultSelector() as waiting:
        for _ in range(callers):
            sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            waiting.register(sock, selectors.EVENT_READ)
            sock.sendall(request)
            sent += 1
        while answered < count:
            for key, _ in waiting.select(DEADLINE):
                sock = key.fileobj  # type: ignore[assignment]
                answer = sock.recv(4096)
                if not answer.startswith(b"HTTP/1.1 202"):
                    raise SystemExit(f"not accepted: {answer!r}")
                answered += 1
                if sent < count:
                    sock.sendall(request)
                    sent += 1
        for key in list(waiting.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return time.monotonic() - began, _cpu(pid) - before


def _await_delivered(store: str, count: int) -> None:
    until = time.monotonic() + DEADLINE
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        wanted = "SELECT COUNT(*) FROM deliveries WHERE state = 'succeeded'"
        while db.execute(wanted).fetchone()[0] < count:
            if time.monotonic() > until:
                raise SystemExit("not everything was delivered")
            time.sleep(0.05)


def _cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(sys.argv[1:])
