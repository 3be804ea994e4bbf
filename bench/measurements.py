"""Single measurements: a fresh server, a load, what came out. Each is made once in a run and remembered."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench.programs import LOAD_PROCESSOR, SERVER_PROCESSOR, Missing, Server, Workshop, pin
from bench.start import Start, measure_start

Figures: TypeAlias = dict[str, Any]
"""What a load generator printed; see `report` in load.h."""

PADDING = 80
"""Bytes behind a publication's marker, which has 23."""


class LoadFailed(Exception):
    """A load generator gave up; the text says what it printed."""


@dataclass(frozen=True)
class Sizes:
    """How much is done, as a share of the full run: the tests want to see it work, not the figures."""

    share: float = 1.0

    def __call__(self, full: int, least: int = 2) -> int:
        return max(least, round(full * self.share))


class Measurements:
    """Makes measurements and keeps their figures.

    Args:
        shop: starts the programs.
        sizes: shortens everything.
        say: told what is being measured.
    """

    def __init__(self, shop: Workshop, sizes: Sizes, say: Callable[[str], None]) -> None:
        self.size = sizes
        self.made: dict[str, Figures] = {}
        self.missing: set[str] = set()
        self.notes: list[str] = []
        self._shop = shop
        self._say = say

    def limit(self, subscribers: int, publications: int) -> Figures:
        """Fan-out by the floor."""
        return self._fan_out("limit.c", self._shop.limit, subscribers, publications)

    def nchan(self, subscribers: int, publications: int, **how: Any) -> Figures | None:
        """Fan-out by nchan; None where it is not installed."""
        try:
            return self._fan_out("nchan", self._shop.nchan, subscribers, publications, **how)
        except Missing as missing:
            self.missing.add(str(missing))
            return None

    def hookbox(self, subscribers: int, publications: int, **how: Any) -> Figures:
        """Fan-out by Hookbox."""
        return self._fan_out("Hookbox", self._shop.hookbox, subscribers, publications, **how)

    def _fan_out(
        self,
        name: str,
        start: Callable[[], AbstractContextManager[Server]],
        subscribers: int,
        publications: int,
        publishers: int = 1,
        rate: float = 0,
    ) -> Figures:
        subscribers, publications = self.size(subscribers), self.size(publications)
        what = f"{name}, {subscribers} subscribers, {publications} publications"
        what += f" by {publishers} publishers" if publishers > 1 else ""
        what += f", {rate:g} a second" if rate else ""
        options = ["-c", str(publications), "-j", str(publishers), "-r", str(rate), "-s", str(PADDING)]

        def measure() -> Figures:
            with start() as server:
                return self._load("rtload", server, subscribers, [*server.publish, *options])

        return self._once(what, measure)

    def other_channels(self, channels: int, publications: int) -> Figures:
        """Publications on one channel while there are others, each with one subscriber."""
        channels, publications = self.size(channels, 1), self.size(publications)
        options = ["-c", str(publications), "-N", "1", "-s", str(PADDING)]

        def measure() -> Figures:
            with self._shop.hookbox(channel="c%i") as server:
                # only the first connection's channel is published on
                return self._load("rtload", server, channels, [*server.publish, *options])

        what = f"Hookbox, {publications} publications on one of {channels} channels with a subscriber each"
        return self._once(what, measure)

    def connects(self, clients: int) -> Figures:
        """Connecting and subscribing, both webhooks asked."""
        clients = self.size(clients)

        def measure() -> Figures:
            with self._shop.hookbox(moderated=True) as server:
                self._load("rtload", server, 100)  # the first ones make connections to the application
                return self._load("rtload", server, clients)

        return self._once(f"Hookbox, {clients} clients connect and subscribe", measure)

    def client_publishes(self, clients: int, each: int) -> Figures:
        """Publications by clients, each on a channel of its own, the next when the last has come back."""
        clients, each = self.size(clients), self.size(each)
        frame = r'[3,"PUBLISH",{"channel_name":"c%i","payload":"\"%m\""}]\r\n'
        flags = ("--client-rate", "1000000", "--client-burst", "1000000")

        def measure() -> Figures:
            with self._shop.hookbox(*flags, channel="c%i") as server:
                return self._load("rtload", server, clients, ["-f", frame, "-C", str(each)])

        return self._once(f"Hookbox, {clients} clients publish {each} times each", measure)

    def bare_upgrades(self, clients: int) -> Figures:
        """Upgrades on what Hookbox stands on, with nothing behind them."""
        clients = self.size(clients)

        def measure() -> Figures:
            with self._shop.bare() as server:
                self._load("rtload", server, 100)
                return self._load("rtload", server, clients)

        return self._once(f"gevent-websocket on pywsgi, {clients} upgrades", measure)

    def bare_echoes(self, clients: int, each: int) -> Figures:
        """A message in and the same out, on what Hookbox stands on."""
        clients, each = self.size(clients), self.size(each)

        def measure() -> Figures:
            with self._shop.bare() as server:
                return self._load("rtload", server, clients, ["-f", "%m", "-C", str(each)])

        return self._once(
            f"gevent-websocket on pywsgi, {clients} clients have {each} messages echoed", measure
        )

    def comet(self, subscribers: int, publications: int, rate: float) -> Figures:
        """Fan-out over long polls."""
        subscribers, publications = self.size(subscribers), self.size(publications)
        options = ["-c", str(publications), "-r", str(rate), "-s", str(PADDING)]

        def measure() -> Figures:
            with self._shop.hookbox() as server:
                return self._load("polls", server, subscribers, [*server.publish, *options])

        what = f"Hookbox, {subscribers} long-polling subscribers, {publications} publications"
        return self._once(what, measure)

    def webhooks(self, calls: int) -> dict[str, float]:
        """CPU microseconds of a webhook by each road."""
        calls = self.size(calls, 64)

        def measure() -> Figures:
            with self._shop.application() as port:
                command = [sys.executable, "-m", "bench.webhooks", f"127.0.0.1:{port}", str(calls)]
                return _run(command, SERVER_PROCESSOR)

        return self._once(f"webhooks, {calls} by each road", measure)

    def dispatches(self, callers: int, count: int) -> Figures:
        """Dispatches from several callers at once, on disk, to a receiver that answers at once."""
        count = self.size(count, 2 * callers)

        def measure() -> Figures:
            store = str(self._shop.path / "dispatches.db")
            flags = ["--store", store, "--egress", "internal"]
            with self._shop.application() as receiver, self._shop.hookbox(*flags) as server:
                about = [server.pid, server.port, receiver, store, callers, count]
                return _run([sys.executable, "-m", "bench.dispatches", *map(str, about)], LOAD_PROCESSOR)

        return self._once(f"{count} dispatches from {callers} callers", measure)

    def start(self, flags: Sequence[str], runs: int) -> Start:
        """How long the command takes to start, or to show its settings."""
        runs = self.size(runs)
        name = " ".join(["hookbox", *flags])
        made = self._once(f"{runs} starts of `{name}`", lambda: vars(measure_start(flags, runs)))
        return Start(**made)

    def _once(self, what: str, measure: Callable[[], Figures]) -> Figures:
        if what not in self.made:
            self._say(what)
            self.made[what] = measure()
        return self.made[what]

    def _load(self, program: str, server: Server, clients: int, more: Sequence[str] = ()) -> Figures:
        script = server.subscribe if program == "rtload" else ()
        command = [self._shop.program(program), "-p", str(server.port), "-n", str(clients), "-w", "100"]
        return _run([*command, *script, "-t", "150", "-Z", str(server.pid), *more], LOAD_PROCESSOR)


def _run(command: Sequence[str], processor: int) -> Figures:
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: pin(processor))
    try:
        figures: Figures = json.loads(done.stdout)
    except ValueError:
        raise LoadFailed(f"{command[0]} ended with {done.returncode}: {done.stderr or done.stdout}") from None
    if done.returncode:
        raise LoadFailed(f"not everything came through: {done.stdout}{done.stderr}")
    return figures
