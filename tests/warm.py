"""Starts of Hookbox at a fraction of their cost: forked from a process that has loaded everything (`warm_server.py`).

Each Hookbox is still a process of its own. `conftest.py` has every `HookboxProcess` started so, but for the modules
that ask for its fixture `cold`: those about starts, ends, restarts and the command. What no fork can be is executed
as ever: other commands, and whatever has variables that Python or a library reads only when it starts.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

from hookbox.testing.process import HookboxProcess

FORKS = str(Path(__file__).with_name("warm_server.py"))
READ_AT_START = ("PYTHON", "GEVENT", "LANG", "LC_", "LD_", "MALLOC_")
"""How the names of these variables begin."""


class Forked:
    """A process that was forked, with the methods of `subprocess.Popen` that tests use.

    Args:
        args: what it would have been executed with.
        said: a pipe: its process id, and its exit status once it has ended.
    """

    def __init__(self, args, said):
        self.args = args
        self.returncode = None
        self._said = said
        self._reading = threading.Lock()
        self._news = select.poll()
        self._news.register(said, select.POLLIN)
        self.pid = self._read()

    def _read(self):
        line = os.read(self._said, 32)
        if not line:
            raise RuntimeError("the process that forks servers has ended")
        return int(line)

    def poll(self):
        """The exit status, negative if a signal ended it, or None as long as it runs."""
        with self._reading:
            if self.returncode is None and self._news.poll(0):
                self.returncode = self._read()
        return self.returncode

    def wait(self, timeout=None):
        """Wait for its end; returns the exit status.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds.
        """
        if self.returncode is None:
            self._news.poll(None if timeout is None else timeout * 1000)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def __del__(self):
        if hasattr(self, "pid") and self.poll() is None:
            warnings.warn(f"the server {self.pid} still runs", ResourceWarning, source=self, stacklevel=2)
        os.close(self._said)


class Forks:
    """The process that forks."""

    def __init__(self):
        self._environ = _read_at_start()
        self._asking = threading.Lock()
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, FORKS, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )

    def can_be(self, arguments):
        """Whether these arguments can be had by forking."""
        python, *words = arguments
        known = words[:2] == ["-m", "hookbox"] or words[0].endswith(".py")
        return python == sys.executable and known and self._environ == _read_at_start()

    def fork(self, arguments, log):
        """A process that is as if it had been executed with these arguments, and writes to this file."""
        order = {"words": arguments[1:], "environ": dict(os.environ), "folder": os.getcwd()}
        said, tells = os.pipe()
        try:
            with self._asking:
                socket.send_fds(self._orders, [json.dumps(order).encode()], [log.fileno(), tells])
        finally:
            os.close(tells)
        try:
            return Forked(arguments, said)
        except RuntimeError as error:
            self._log.seek(0)
            raise RuntimeError(f"{error}; its log:\n{self._log.read()}") from None

    def end(self):
        self._orders.close()
        self._process.wait()
        self._log.close()


class Starts:
    """How the servers of the tests in this process are started."""

    def __init__(self):
        self._forks = None
        self._changing = threading.Lock()
        self._execute = HookboxProcess._launch
        self._cold = False

    def begin(self):
        """Have servers forked from now on."""
        HookboxProcess._launch = lambda hookbox, arguments: self._start(hookbox, arguments)

    def _start(self, hookbox, arguments):
        with self._changing:
            self._forks = self._forks or Forks()
        if self._cold or not self._forks.can_be(arguments):
            return self._execute(hookbox, arguments)
        return self._forks.fork(arguments, hookbox._log)

    @contextlib.contextmanager
    def cold(self):
        """Have servers executed meanwhile."""
        self._cold = True
        try:
            yield
        finally:
            self._cold = False

    def end(self):
        HookboxProcess._launch = self._execute
        if self._forks:
            self._forks.end()


def _read_at_start():
    return {name: value for name, value in os.environ.items() if name.startswith(READ_AT_START)}
