"""What is measured, row by row, and what is to be reached.

Figures in italics were published by others or measured once elsewhere; they are here for
comparison and are not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.measurements import Figures, Measurements
from bench.table import NONE, Row

SUBSCRIBERS, PUBLICATIONS = 1000, 400
MANY = 10_000
LEAST = 0.001
"""CPU microseconds that anything takes at least: a handful of calls may be too few for the clock."""

THERE_UPGRADE = 180
"""CPU microseconds of an upgrade by gevent-websocket on pywsgi where the goals in microseconds were set."""
THERE_HTTP_CLIENT = 97.0
"""Microseconds of a webhook by the standard library where the goals were set: how fast that Python was."""

ORIGINAL_COMET = 1390.0
"""Microseconds per delivery of Hookbox 0.3.3 on Python 2.7 over long polls, measured once on the machine
of docs/performance.md with polls.c; 0.3.4 cannot be had."""


def fan_out(run: Measurements) -> list[Row]:
    """P1: one publisher."""
    floor = run.limit(SUBSCRIBERS, PUBLICATIONS)
    ours = run.hookbox(SUBSCRIBERS, PUBLICATIONS)
    nchan = run.nchan(SUBSCRIBERS, PUBLICATIONS)
    ratio = _cost(ours) / _cost(floor)
    return [
        Row(
            "P1",
            "fan-out, 1,000 WebSockets, 1 publisher: CPU µs per delivery",
            f"{_cost(ours):.2f} = {ratio:.2f} x floor",
            "1.1 x floor",
            ratio <= 1.1,
            floor=f"{_cost(floor):.2f}",
            nchan=_shown(nchan, _cost, "{:.2f}"),
            others="*ws on Node 8.3; Socket.IO 9.1; python-socketio on gevent 12.1*",
            original="*50*",
        )
    ]


def throughput(run: Measurements) -> list[Row]:
    """P2: 8 and 32 publishers at once."""
    rows = []
    for publishers, times in ((8, 4), (32, 6)):
        ours = run.hookbox(SUBSCRIBERS, PUBLICATIONS, publishers=publishers)
        nchan = run.nchan(SUBSCRIBERS, PUBLICATIONS, publishers=publishers)
        ratio = _speed(ours) / _speed(nchan) if nchan else None
        rows.append(
            Row(
                "P2",
                f"the same, {publishers} publishers at once: deliveries/s",
                f"{_speed(ours):,.0f}" + (f" = {ratio:.1f} x nchan" if ratio else ""),
                f"{times} x nchan",
                None if ratio is None else ratio >= times,
                nchan=_shown(nchan, _speed, "{:,.0f}"),
            )
        )
    return rows


def fan_out_to_many(run: Measurements) -> list[Row]:
    """P3: ten times as many subscribers."""
    ours, nchan = run.hookbox(MANY, 20), run.nchan(MANY, 20)
    return [
        Row(
            "P3",
            "fan-out to 10,000, 20 publications: CPU µs per delivery",
            f"{_cost(ours):.2f}",
            "nchan",
            None if nchan is None else _cost(ours) <= _cost(nchan),
            nchan=_shown(nchan, _cost, "{:.2f}"),
            others="*Socket.IO 17.6*",
        )
    ]


def latency(run: Measurements) -> list[Row]:
    """P4: when calm."""
    ours = run.hookbox(SUBSCRIBERS, 60, rate=10)
    nchan = run.nchan(SUBSCRIBERS, 60, rate=10)
    rows = []
    for key in ("p50", "p99"):
        mine = ours[f"{key}_ms"]
        theirs = nchan[f"{key}_ms"] if nchan else None
        rows.append(
            Row(
                "P4",
                f"1,000 WebSockets, 10 publications/s: {key} from publish to receipt, ms",
                f"{mine:.1f}" + (f" = {mine / theirs:.2f} x nchan" if theirs else ""),
                "1.25 x nchan",
                None if theirs is None else mine <= 1.25 * theirs,
                nchan=f"{theirs:.1f}" if theirs else NONE,
            )
        )
    return rows


def memory(run: Measurements) -> list[Row]:
    """P5: idle connections."""
    ours, nchan = run.hookbox(MANY, 20), run.nchan(MANY, 20)
    size = ours["kb_per_conn"]
    return [
        Row(
            "P5",
            "KB of the process per idle, subscribed WebSocket, 10,000 of them",
            f"{size:.1f}",
            "12",
            size <= 12,
            nchan=_shown(nchan, lambda figures: float(figures["kb_per_conn"]), "{:.1f}"),
            others="*bare gevent 9.3; Socket.IO 14.7; gevent-websocket 20.9; Centrifugo 27*",
            original="*64*",
        )
    ]


def webhooks(run: Measurements) -> list[Row]:
    """P6: asking the application."""
    roads = dict(run.webhooks(1000))
    ours = roads.pop("Hookbox")
    slower = roads["http.client"] / THERE_HTTP_CLIENT
    run.notes.append(
        f"The goals in µs of P6 to P8 were set where a call by http.client took {THERE_HTTP_CLIENT:.0f} µs; "
        f"here it took {roads['http.client']:.0f}, so what is pure Python takes {slower:.1f} times as long."
    )
    return [
        Row(
            "P6",
            "webhook (subscribe), 32 in flight: CPU µs per call",
            f"{ours:.0f} = {ours / roads['requests.Session.post']:.2f} x Session.post",
            "200",
            ours <= 200,
            others="; ".join(f"{name} {cost:.0f}" for name, cost in roads.items()),
            original="*600*",
        )
    ]


def connects(run: Measurements) -> list[Row]:
    """P7: a client arrives."""
    figures, bare = run.connects(3000), _bare_upgrade(run)
    cost = _arrival(figures)
    return [
        Row(
            "P7",
            "accept, upgrade, CONNECT, SUBSCRIBE, both webhooks asked: CPU µs per client",
            f"{cost:.0f} = {cost / bare:.1f} x the bare upgrade",
            f"750 where that takes 180: {750 / THERE_UPGRADE:.1f} x",
            cost / bare <= 750 / THERE_UPGRADE,
            others=f"the bare upgrade on pywsgi {bare:.0f} (*{THERE_UPGRADE}*)",
            original="*1,220*",
        )
    ]


def client_publishes(run: Measurements) -> list[Row]:
    """P8: PUBLISH in, PUBLISH out."""
    cost, echo = _cost(run.client_publishes(50, 400)), _cost(run.bare_echoes(50, 400))
    goal = 60 * _bare_upgrade(run) / THERE_UPGRADE
    return [
        Row(
            "P8",
            "clients publish, unmoderated, 1 subscriber: CPU µs per frame in and out",
            f"{cost:.0f} = {cost / echo:.1f} x an echo",
            f"60 where a bare upgrade takes 180: {goal:.0f} here",
            cost <= goal,
            others=f"an echo by gevent-websocket on pywsgi {echo:.0f}",
        )
    ]


def _bare_upgrade(run: Measurements) -> float:
    """CPU microseconds of an upgrade by what Hookbox stands on: how fast machine and Python are."""
    return _arrival(run.bare_upgrades(3000))


def _arrival(figures: Figures) -> float:
    return max(LEAST, float(figures["connect_cpu_s"] * 1e6 / figures["connections"]))


def comet(run: Measurements) -> list[Row]:
    """P9: long polls."""
    cost = _cost(run.comet(SUBSCRIBERS, 10, rate=1))
    return [
        Row(
            "P9",
            "1,000 long-polling subscribers: CPU µs per delivery",
            f"{cost:.0f} = {cost / ORIGINAL_COMET:.2f} x 0.3.3",
            "1/3 of 0.3.3",
            cost <= ORIGINAL_COMET / 3,
            original=f"*{ORIGINAL_COMET:,.0f} (0.3.3)*",
        )
    ]


def dispatches(run: Measurements) -> list[Row]:
    """P10: on disk before they are answered."""
    ours = run.dispatches(8, 4000)
    return [
        Row(
            "P10",
            f"8 callers dispatch, {what}: per second (CPU µs each)",
            f"{ours[f'{key}_per_s']:,.0f} ({ours[f'{key}_cpu_us']:.0f})",
            f"{goal:,}",
            ours[f"{key}_per_s"] >= goal,
        )
        for what, key, goal in (
            ("accepted and on disk", "accepted", 2000),
            ("delivered to one receiver meanwhile", "delivered", 1000),
        )
    ]


def start(run: Measurements) -> list[Row]:
    """P11: from nothing to answering."""
    rows = []
    for flags, what, goal in (
        (["--check-config"], "`hookbox --check-config`", 0.35),
        ([], "start to the first answered request", 0.6),
    ):
        times = run.start(flags, 7)
        shown = f"{times.least_wall:.2f} (median {times.median_wall:.2f}, CPU {times.least_cpu:.2f})"
        rows.append(Row("P11", f"{what}: s", shown, f"{goal:g}", times.least_wall <= goal))
    return rows


def linearity(run: Measurements) -> list[Row]:
    """L: cost grows with what is done, and with nothing else."""
    return [_cost_by_audience(run), _memory_by_connections(run), _cost_by_channels(run)]


def _cost_by_audience(run: Measurements) -> Row:
    """One publication at a time, so that none share their sends; what one costs for itself is left out."""
    calm = {10: (1000, 100), 100: (300, 100), 1000: (60, 20), 10_000: (12, 3)}
    alone = _per_publication(run.hookbox(1, 1000, rate=100))
    costs = {}
    for size, (publications, rate) in calm.items():
        figures = run.hookbox(size, publications, rate=rate)
        costs[size] = (_per_publication(figures) - alone) / max(1, figures["connections"] - 1)
    shown = "; ".join(f"{size:,}: {cost:.1f}" for size, cost in costs.items())
    flat = max(costs.values()) <= 2 * min(costs.values())
    what = f"CPU µs per delivery when calm, by subscribers (besides {alone:.0f} per publication)"
    return Row("L", what, shown, "within 2 x", flat)


def _memory_by_connections(run: Measurements) -> Row:
    sizes = {
        count: run.hookbox(count, publications)["kb_per_conn"]
        for count, publications in ((1000, PUBLICATIONS), (5000, 2), (MANY, 20), (15_000, 2))
    }
    shown = "; ".join(f"{count:,}: {size:.1f}" for count, size in sizes.items())
    flat = max(sizes.values()) <= 1.2 * min(sizes.values())
    return Row("L", "KB per idle, subscribed WebSocket, by connections", shown, "flat (20 %)", flat)


def _cost_by_channels(run: Measurements) -> Row:
    alone, among = (_per_publication(run.other_channels(channels, 4000)) for channels in (1, MANY))
    shown = f"1: {alone:.0f}; 10,000: {among:.0f}"
    what = "CPU µs per publication, by channels with one subscriber each"
    return Row("L", what, shown, "the same (20 %)", among <= 1.2 * alone)


def _cost(figures: Figures) -> float:
    return max(LEAST, float(figures["cpu_us_per_delivery"]))


def _per_publication(figures: Figures) -> float:
    receivers = figures["receivers"]
    return float(figures["server_cpu_s"]) * 1e6 * receivers / figures["expected"]


def _speed(figures: Figures) -> float:
    return float(figures["deliveries_per_s"])


def _shown(figures: Figures | None, read: Callable[[Figures], float], form: str) -> str:
    return NONE if figures is None else form.format(read(figures))


ROWS: Mapping[str, Callable[[Measurements], list[Row]]] = {
    "P1": fan_out,
    "P2": throughput,
    "P3": fan_out_to_many,
    "P4": latency,
    "P5": memory,
    "P6": webhooks,
    "P7": connects,
    "P8": client_publishes,
    "P9": comet,
    "P10": dispatches,
    "P11": start,
    "L": linearity,
}
"""What measures each row, in the order of the table."""
