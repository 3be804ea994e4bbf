"""The harness of the fault matrix: a Hookbox that is watched from inside and outside, and its invariants.

    from faults import Watched

    def test_F99_something_goes_wrong():
        with Watched(webhook_timeout=0.5) as hookbox:        # flags as for HookboxProcess
            hookbox.app.answer("subscribe", Reply.never())   # or hookbox.proxied(), raw sockets ...
            ...
            hookbox.assert_invariants()                      # after every row

`Watched` is a `HookboxProcess` of the real command, so `client`, `connect`, `subscribed`, `api`, `app` and `log`
are there. From its start on a control client publishes to itself every few milliseconds on a connection that no
fault touches, without webhooks, so that it depends on nothing but the server.

`assert_invariants` closes the clients made through it and stops its proxies (sockets of your own are yours to
close before), then waits for at most 5 seconds (and `leave_grace`) until
 * nobody but the control client is connected, subscribed or a user, and no webhook is out;
 * greenlets and file descriptors are at most 2 more, and resident memory at most 10 MiB more, than at the start;
and asserts that since the last time
 * the 10 ms heartbeat was never late by more than 100 ms by the server's own fault (see `watched.py`);
 * no error or traceback was logged but those expected (`expected=r"..."`);
 * the control client got everything in order.

The start is after a warm-up that takes every road once. A row whose load is heavy may call `take_baseline()`
after a first, faultless round of the same load. `figures()` says how things stand, for rows that assert more;
`inside(code)` runs code in the server's process, for faults that have no other way in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from hookbox.testing import DEADLINE, FaultProxy, HookboxProcess

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
SLOWER = DEADLINE / 10  # the factor that deadlines of slow machines are stretched by

WITHIN = 5.0
MORE_GREENLETS = MORE_FILES = 2
MORE_MEMORY = 10 * MIB
LATE = 0.1


@dataclass
class Figures:
    """How the server stands."""

    users: int
    connections: int
    channels: int
    """Those to which only has been published stay; so does one that the application keeps."""
    webhooks_out: int
    open_connections: int
    greenlets: int
    which: str
    """What these greenlets do, so many each."""
    files: int
    """Open file descriptors, but for the kept-alive connections to the application."""
    resident: int
    late: float
    """Seconds the heartbeat was late at worst since invariants were asserted, by the server's own fault."""
    late_raw: float
    """The same, whosever fault."""


class Watched(HookboxProcess):
    """A real Hookbox whose invariants can be asserted.

    Args:
        app: as for `HookboxProcess`.
        within: a command that runs the command that follows it, e.g. under a limit.
        flags: as for `HookboxProcess`; `leave_grace` is 0.2 unless given.
    """

    def __init__(self, app=None, *, within=(), **flags):
        flags = {"leave_grace": 0.2, **flags}
        self._grace = float(flags["leave_grace"])
        self._proxies = []
        self._errors = []
        self._log_seen = 0
        self._late_at = ""
        self._late = self._late_raw = 0.0
        self.control = None
        command = (*within, sys.executable, str(Path(__file__).with_name("watched.py")))
        super().__init__(app, command=command, **flags)
        inside = int(self.wait_for_log(r"watched on (\d+)").group(1))
        self._inside = socket.create_connection(("127.0.0.1", inside), DEADLINE)
        self._answers = self._inside.makefile("rb")
        self._warm_up()
        self.control = Control(self)
        self.app.forget()
        self.take_baseline()

    def _warm_up(self):
        """Take every road once, so that what is imported or made at first use is there."""
        self._ask("warm")
        self.app.allow("create_channel", history=2, presenceful=True, recovery_size=2)
        for features in (["ack", "close", "recover"], None):
            for client in [self.connect(f"warm{n}", features=features) for n in range(20)]:
                client.subscribe("warm")
                client.publish("warm", "x" * 1000)
                client.skip_to("PUBLISH")
            self.api("publish", channel_name="warm", payload=1)
            self.settle()
        self.client().close()

    def proxied(self, **how):
        """A proxy towards it, stopped by `assert_invariants` at the latest; arguments as for `FaultProxy`."""
        self._proxies.append(FaultProxy(self.port, **how))
        return self._proxies[-1]

    # how it stands

    def inside(self, code):
        """Run code in the server's process, in a greenlet; gives back what it leaves in `result` (JSON)."""
        return self._ask("run", code)

    def _ask(self, what, code=""):
        self._inside.sendall(json.dumps([what, textwrap.dedent(code)]).encode() + b"\n")
        line = self._answers.readline()
        if not line:
            raise AssertionError(f"the server has ended, or the code failed; its log:\n{self.log}")
        return json.loads(line)

    @property
    def resident(self):
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE

    @property
    def files(self):
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def figures(self, *, trim=False):
        """How it stands now, but for what the control client and the watching itself need."""
        inside = self._ask("trim" if trim else "report")
        self._errors += inside["errors"]
        if inside["late"] > self._late:
            self._late, self._late_at = inside["late"], inside["late_at"]
        self._late_raw = max(self._late_raw, inside["late_raw"])
        files, resident = self.files, self.resident  # before the API's connection is one more
        info = self.api("get_server_info")
        mine = 1 if self.control else 0
        return Figures(
            users=info["users"] - mine,
            connections=info["connections"] - mine,
            channels=info["channels"] - mine,
            webhooks_out=info["counts"]["webhooks_out"],
            open_connections=info["counts"]["open_connections"] - mine - 1,
            greenlets=inside["greenlets"],
            which=inside["which"],
            files=files - info["counts"]["webhooks_connections"],
            resident=resident,
            late=self._late,
            late_raw=self._late_raw,
        )

    def take_baseline(self):
        """Let what is there now be what has to be there again later."""
        self._settle(_is_idle)
        # several looks, as the connection of the call before may be closing still, and count
        looks = [self.figures(trim=True) for _ in range(4)]
        self.baseline = replace(
            looks[-1],
            greenlets=min(look.greenlets for look in looks),
            files=min(look.files for look in looks),
        )
        self._late = self._late_raw = 0.0

    # invariants

    def assert_invariants(self, *, expected=None, late=LATE, more_memory=MORE_MEMORY):
        """Close the clients, and assert what must hold after every fault.

        Args:
            expected: a pattern of errors and tracebacks that this row is about; others fail.
            late: seconds the heartbeat may have been late.
            more_memory: bytes that may be used more than at the start.
        """
        self._disconnect()
        figures = self._settle(lambda figures: not self._left_over(figures, more_memory))
        problems = self._left_over(figures, more_memory)
        if figures.late > late:
            late_ms = round(figures.late * 1000)
            problems.append(f"the heartbeat was {late_ms} ms late by the server's own fault, {self._late_at}")
        self._late = self._late_raw = 0.0
        problems += self._unexpected(expected)
        problems += self.control.problems()
        assert not problems, "\n".join(
            [*problems, f"{figures}, at the start {self.baseline}", self.log[-3000:]]
        )
        return figures

    def _disconnect(self):
        while self._proxies:
            self._proxies.pop().stop()
        while self._clients:
            self._clients.pop().cut()

    def _settle(self, enough):
        """Look until it is enough, or time is over; the last figures."""
        until = time.monotonic() + (WITHIN + self._grace) * SLOWER
        while not enough(figures := self.figures(trim=True)) and time.monotonic() < until:
            time.sleep(0.05)
        return figures

    def _left_over(self, figures, more_memory):
        base = self.baseline
        left = []
        if not _is_idle(figures):
            left.append("somebody or something is left over")
        if figures.greenlets > base.greenlets + MORE_GREENLETS:
            left.append(f"{figures.greenlets} greenlets, {base.greenlets} at the start: {figures.which}")
        if figures.files > base.files + MORE_FILES:
            left.append(f"{figures.files} files open, {base.files} at the start: {self._open_files()}")
        if figures.resident > base.resident + more_memory:
            left.append(f"{(figures.resident - base.resident) / MIB:.1f} MiB more than at the start")
        return left

    def _open_files(self):
        folder = Path(f"/proc/{self.process.pid}/fd")
        names = []
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                names.append(os.readlink(entry))
        return sorted(names)

    def _unexpected(self, expected):
        log = self.log
        new, self._log_seen = log[self._log_seen :], len(log)
        errors, self._errors = self._errors, []
        # what goes past logging, as deaths of the interpreter's own do
        errors += re.findall(r"(?ms)^Traceback .*?^\S.*?$", new)
        return [error for error in errors if not (expected and re.search(expected, error))]

    def stop(self):
        """End the server as an operator does; returns its exit status. Nothing is watched any more."""
        self._let_go()
        return super().stop()

    def __exit__(self, *error):
        self._let_go()
        super().__exit__(*error)

    def _let_go(self):
        if self.control:
            self.control.stop()
        for proxy in self._proxies:
            proxy.stop()
        if hasattr(self, "_inside"):
            self._answers.close()
            self._inside.close()


def _is_idle(figures):
    """Whether nobody is there but the control client."""
    return not (figures.users or figures.connections or figures.webhooks_out or figures.open_connections)


class Control(threading.Thread):
    """The untouched client: publishes 1, 2, 3 ... to itself and must get 1, 2, 3 ... back."""

    CHANNEL = "control"
    PAUSE = 0.02

    def __init__(self, hookbox):
        super().__init__(name="control", daemon=True)
        hookbox.app.allow("create_channel", moderated=False, reflective=True)
        self._client = hookbox.connect("control")
        hookbox._clients.remove(self._client)  # nobody else closes it
        self._client.subscribe(self.CHANNEL)
        self._enough = threading.Event()
        self._wrong = []
        self.seen = 0
        self.slowest = 0.0
        """Seconds that the slowest publication took to come back."""
        self.start()

    def run(self):
        try:
            while not self._enough.wait(self.PAUSE):
                began = time.monotonic()
                self._client.publish(self.CHANNEL, self.seen + 1)
                self._client.expect("PUBLISH", offset=self.seen + 1, payload=self.seen + 1)
                self.seen += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
        except Exception as error:
            if not self._enough.is_set():
                self._wrong.append(f"the control client, after {self.seen}: {error!r}")

    def problems(self):
        """What went wrong, and that it goes on."""
        seen, until = self.seen, time.monotonic() + DEADLINE
        while self.seen == seen and not self._wrong and time.monotonic() < until:
            time.sleep(0.005)
        return self._wrong or ([] if self.seen > seen else ["the control client gets nothing any more"])

    def stop(self):
        self._enough.set()
        self._client.cut()
        self.join(DEADLINE)
