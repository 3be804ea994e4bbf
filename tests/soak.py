"""A long test under load, with faults at random: `make soak`, or `python tests/soak.py --help`.

Round after round, clients come over WebSocket and comet, directly and through faulty proxies, while faults of the
application, of the network and of ill-behaved clients happen one after the other. At the end of each round all of
them leave, and the invariants of the fault matrix have to hold. Everything follows from a seed, which is printed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sys
import time
import urllib.error
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "live")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))

import faults  # noqa: E402
from faults import MIB, Watched  # noqa: E402
from raw import Raw, client_frame, line, text  # noqa: E402
from swarm import COMET_HOLD, Swarm  # noqa: E402

from hookbox.testing import ApiRefused, FaultProxy, Reply, ScriptedApp, Way  # noqa: E402

SETTINGS = {
    "leave_grace": 0.5,
    "ping_interval": 3,
    "pong_timeout": 2,
    "write_stall": 3,
    "header_deadline": 3,
    "body_deadline": 3,
    "message_deadline": 3,
    "connect_deadline": 4,
    "webhook_timeout": 1.5,
    "webhook_queue_wait": 0.5,
    "breaker_longest_pause": 2,
}
"""Deadlines so short that what a fault leaves behind is over before the round is."""

CHANNELS = [f"room{n}" for n in range(20)]
OPTIONS = (
    {"recovery_size": 200, "presenceful": True},
    {"recovery_size": 50, "history": 5, "moderated_publish": False},
    {"moderated": False, "recovery_size": 10},
    {"history": 3, "history_publish_only": True},
)


class World:
    """What faults are done to."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.other = ScriptedApp()
        """A second application, which nobody must ever ask."""
        self.hookbox = Watched(**SETTINGS)
        self.app = self.hookbox.app
        self.proxies = [FaultProxy(self.hookbox.port), FaultProxy(self.hookbox.port, buffer=8192)]
        self.script()

    def script(self):
        """Let the application be well."""
        self.app.up()
        self.app.forget()
        self.app.answer(
            "create_channel",
            lambda asked: [True, OPTIONS[CHANNELS.index(asked.form["channel_name"]) % len(OPTIONS)]],
        )

    def close(self):
        for proxy in self.proxies:
            proxy.stop()
        self.hookbox.__exit__()
        self.other.stop()

    # faults: each begins something, and gives back how it is ended

    def app_answers_badly(self):
        reply = self.chance.choice(
            [
                Reply.never(),
                Reply.hang_up(),
                Reply.drip(1, 0.3),
                Reply.drip(1, 0.3, from_body=True),
                Reply.raw(b"HTTP/1.1 nonsense\r\n\r\n"),
                Reply.raw(b"\0" * 1000),
                Reply.redirect(self.other.url),
                Reply.huge(20 * MIB),
                Reply.endless(),
                Reply.bomb(20 * MIB),
                Reply(status=500),
                Reply(status=429),
                Reply(body=b'{"ok": true}'),
                Reply(body=b"[" * 1000),
            ]
        )
        self.app.answer("*", reply)
        self.app.answer("connect", reply)
        return self.script

    def app_is_slow(self):
        self.app.answer("publish", lambda asked: time.sleep(self.chance.uniform(0, 0.3)) or [True, {}])
        return self.script

    def app_is_down(self):
        self.chance.choice([self.app.down, self.app.vanish])()
        return self.script

    def app_says_no(self):
        self.app.refuse(self.chance.choice(["connect", "subscribe", "publish", "unsubscribe", "message"]))
        return self.script

    def network_is_slow(self):
        proxy, way = self.chance.choice(self.proxies), self.chance.choice(list(Way))
        self.chance.choice(
            [
                lambda: proxy.latency(0.3, 0.3, way),
                lambda: proxy.throttle(self.chance.choice([100, 1000, 10_000]), way),
                lambda: proxy.slice(self.chance.randint(1, 50), way),
            ]
        )()
        return proxy.pass_

    def network_is_frozen(self):
        proxy = self.chance.choice(self.proxies)
        proxy.freeze(self.chance.choice(list(Way)))
        return proxy.pass_

    def network_cuts(self):
        proxy, way = self.chance.choice(self.proxies), self.chance.choice(list(Way))
        self.chance.choice(
            [
                proxy.reset,
                lambda: proxy.half_close(way),
                lambda: proxy.limit(self.chance.randint(1, 20_000), way),
            ]
        )()
        return proxy.pass_

    def network_is_down(self):
        for proxy in self.proxies:
            proxy.down()
            proxy.reset()
        return lambda: [proxy.pass_() for proxy in self.proxies]

    def strangers_are_silent(self):
        stack = ExitStack()
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", self.hookbox.port), 10))
        return stack.close

    def strangers_talk_nonsense(self):
        said = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.chance.randbytes(500),
            b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 9000,
            b"POST /csp/send HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /web/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 100_000,
            self.chance.randbytes(20_000),
        ]
        for _ in range(30):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.hookbox.port), 10) as sock:
                sock.sendall(self.chance.choice(said))
                sock.settimeout(0.05)
                sock.recv(1000)
        return _nothing

    def strangers_send_bad_frames(self):
        frames = [
            text("x", mask=None),
            client_frame(3),
            client_frame(1, length=2**40),
            text(b"\xff\xfe"),
            text("[" * 60_000),
            text('[1,"__class__",{}]\r\n') * 30,
            text("a", fin=False) + client_frame(0, fin=False) * 300,
            client_frame(9, b"x" * 125) * 500,
            line(1, "CONNECT", cookie_string="", payload='"stranger"')
            + line(2, "SUBSCRIBE", channel_name="\0"),
            self.chance.randbytes(3000),
        ]
        for _ in range(30):
            with suppress(OSError, EOFError, AssertionError), Raw(self.hookbox.port) as raw:
                raw.send(self.chance.choice(frames))
                raw.socket.settimeout(0.05)
                raw.next()
        return _nothing

    def app_acts(self):
        for _ in range(20):
            user, channel = f"user{self.chance.randrange(100)}", self.chance.choice(CHANNELS)
            method, params = self.chance.choice(
                [
                    ("disconnect_user", {"name": user}),
                    ("unsubscribe", {"channel_name": channel, "name": user}),
                    ("subscribe", {"channel_name": channel, "name": user}),
                    ("destroy_channel", {"channel_name": channel}),
                    ("state_set_key", {"channel_name": channel, "key": "k", "val": self.chance.random()}),
                ]
            )
            with suppress(ApiRefused):
                self.hookbox.api(method, **params)
        return _nothing

    def settings_are_read_again(self):
        self.hookbox.process.send_signal(signal.SIGHUP)
        return _nothing

    def everything_is_well(self):
        return _nothing


def _nothing():
    pass


FAULTS = [
    World.app_answers_badly,
    World.app_answers_badly,
    World.app_is_slow,
    World.app_is_down,
    World.app_says_no,
    World.network_is_slow,
    World.network_is_slow,
    World.network_is_frozen,
    World.network_cuts,
    World.network_cuts,
    World.network_is_down,
    World.strangers_are_silent,
    World.strangers_talk_nonsense,
    World.strangers_send_bad_frames,
    World.app_acts,
    World.settings_are_read_again,
]


class Soak:
    """Round after round.

    Args:
        options: of the command.
    """

    def __init__(self, options):
        self.options = options
        self.world = World(options.seed)
        self.problems = []
        self.happened = Counter()
        self.totals = Counter()
        self.began = time.monotonic()
        self.rows = []

    def run(self):
        """Until the time is over; returns the exit status."""
        try:
            self.round([World.everything_is_well])
            self.world.hookbox.take_baseline()  # what a load leaves in the allocator is there from the start
            until = self.began + self.options.seconds
            while (left := until - time.monotonic()) > 0:
                faults_due = max(1, int(min(self.options.round, left) / self.options.fault))
                self.round([self.world.chance.choice(FAULTS) for _ in range(faults_due)])
        finally:
            self.world.close()
        self.summarize()
        return 1 if self.problems else 0

    def round(self, due):
        """One round: load, faults, everybody leaves, invariants."""
        world, options = self.world, self.options
        ports = [world.hookbox.port, *(proxy.port for proxy in world.proxies)]
        swarm = Swarm(
            ports,
            websockets=options.clients,
            comets=options.clients // 4,
            channels=CHANNELS,
            seed=world.chance.random(),
        )
        for fault in due:
            self.happened[fault.__name__] += 1
            mend = fault(world)
            self.publish_for(options.fault * 0.7)
            mend()
            self.publish_for(options.fault * 0.3)
        connected = swarm.connected
        swarm.stop()
        self.problems += swarm.wrong
        self.totals += swarm.counts
        self.check(due, swarm, connected)

    def publish_for(self, seconds):
        """Publish by the API at random."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(ApiRefused, urllib.error.HTTPError):
                self.world.hookbox.api(
                    "publish", channel_name=self.world.chance.choice(CHANNELS), payload="api"
                )
                self.totals["API publications"] += 1
            time.sleep(0.05)

    def check(self, due, swarm, connected):
        """The invariants; what does not hold is remembered and told."""
        before, figures = len(self.problems), None
        try:
            figures = self.world.hookbox.assert_invariants()
        except AssertionError as error:
            self.problems.append(str(error))
        if self.world.other.asked:
            self.problems.append("a redirect was followed")
        new = self.problems[before:] + swarm.wrong
        row = (
            f"{time.monotonic() - self.began:5.0f} s  {connected:4d}/{len(swarm.members)} connected at the end  "
            f"{swarm.counts['PUBLISH']:7d} received  "
            + (
                f"{figures.resident / MIB:5.1f} MiB  {figures.files:3d} files  {figures.greenlets:3d} greenlets  "
                f"late {figures.late * 1000:3.0f} ms  "
                if figures
                else ""
            )
            + ("ok" if not new else f"{len(new)} PROBLEMS")
        )
        print(row, " ", ", ".join(fault.__name__ for fault in due), flush=True)
        for problem in new[:5]:
            print("    " + problem.replace("\n", "\n    "), flush=True)

    def summarize(self):
        """What happened in all."""
        print("\nfaults")
        for name, count in self.happened.most_common():
            print(f"  {count:6d}  {name.replace('_', ' ')}")
        print("clients saw")
        for name, count in self.totals.most_common():
            print(f"  {count:6d}  {name}")
        verdict = f"{len(self.problems)} PROBLEMS" if self.problems else "all invariants held"
        print(f"\n{verdict}; seed {self.options.seed}")


def main():
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a random one")
    parser.add_argument("--clients", type=int, default=160, help="by WebSocket; a quarter more come by comet")
    parser.add_argument("--round", type=float, default=60, help="seconds of a round (default: %(default)s)")
    parser.add_argument("--fault", type=float, default=6, help="seconds of a fault (default: %(default)s)")
    options = parser.parse_args()
    options.seconds = options.minutes * 60
    faults.WITHIN = 2 * COMET_HOLD + 5  # sessions of comet clients that are gone expire
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    return Soak(options).run()


if __name__ == "__main__":
    sys.exit(main())
