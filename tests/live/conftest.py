"""A real server for each module that wants one, and what must hold whatever was done to it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from hookbox.testing import DEADLINE, HookboxProcess, ScriptedApp


@pytest.fixture(scope="module")
def hookbox(request):
    """A server for the module, with the settings of its SETTINGS; at its end the log must be clean."""
    with HookboxProcess(**getattr(request.module, "SETTINGS", {})) as process:
        yield process
        assert_clean(process)


@pytest.fixture
def application(hookbox):
    """The application of the module's server."""
    return hookbox.app


@pytest.fixture(autouse=True)
def nothing_is_left_over(request):
    """After each test on the module's server: it holds nothing more, and the application is as it was."""
    yield
    if "hookbox" in request.fixturenames:
        hookbox = request.getfixturevalue("hookbox")
        hookbox.app.forget()
        hookbox.settle()
        hookbox.app.forget()


@pytest.fixture
def start(request):
    """Starts a server with settings of its own, ended with the test."""
    started = []

    def begin(**settings):
        process = HookboxProcess(**settings)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.process.poll() is None:
            assert_clean(process)
        process.__exit__()


@pytest.fixture
def watch_over():
    """Starts a server with settings of its own; at the end of the test its invariants must hold.

    `expecting` is a pattern of the errors that the test is about.
    """
    from faults import Watched

    started = []

    def begin(*, expecting=None, **settings):
        started.append((Watched(**settings), expecting))
        return started[-1][0]

    yield begin
    try:
        for hookbox, expecting in started:
            hookbox.app.forget()
            hookbox.assert_invariants(expected=expecting)
    finally:
        for hookbox, _ in started:
            hookbox.__exit__()


def assert_clean(process):
    """Nothing went wrong inside the server."""
    assert process.process.poll() is None, "the server ended"
    log = process.log
    assert "Traceback" not in log, log
    assert not re.search(r"^\S+ \S+ ERROR ", log, re.MULTILINE), log


class Watch:
    """What a server process holds now."""

    def __init__(self, process):
        self.pid = process.process.pid
        self._port = f":{process.port:04X}"

    @property
    def sockets(self):
        """Sockets of clients: those that are open, or that only the server has not closed yet."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        states = [line.split()[3] for line in lines if line.split()[1].endswith(self._port)]
        return sum(state in ("01", "08") for state in states)

    @property
    def resident(self):
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


@pytest.fixture
def watch(hookbox):
    return Watch(hookbox)


def eventually(check, seconds=DEADLINE, what=""):
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, what or "it did not come true in time"
        time.sleep(0.01)
    return found


__all__ = ["ScriptedApp", "Watch", "assert_clean", "eventually"]
