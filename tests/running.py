"""A server whose command line is given as it stands, and which may inherit sockets: one of several that share them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import urllib.parse

from hookbox.testing import DEADLINE, HookboxProcess

AS_SYSTEMD_DOES = """
import os, sys
count = int(sys.argv[1])
for number in range(count):
    os.dup2(int(sys.argv[2 + number]), 100 + number)
for number in range(count):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count))
os.execv(sys.executable, [sys.executable, "-m", "hookbox", *sys.argv[2 + count:]])
"""


class Running(HookboxProcess):
    """A Hookbox whose command line is given as it stands.

    Args:
        flags: of the command.
        sockets: which it inherits.
        activated: whether it is told of them as systemd does.
        environ: more variables.
    """

    def __init__(self, app, *flags, sockets=(), activated=False, environ=None, wait=True):
        self._app = app
        self._clients = []
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="hookbox-", suffix=".log")  # noqa: SIM115
        given = ["--cbport", str(app.port), "--api-security-token", self.TOKEN, *map(str, flags)]
        fds = [sock.fileno() for sock in sockets]
        if activated:
            command = [sys.executable, "-c", AS_SYSTEMD_DOES, str(len(fds)), *map(str, fds), *given]
        else:
            command = [sys.executable, "-m", "hookbox", *given]
        self.process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
            env={**os.environ, **(environ or {})},
        )
        if wait:
            self.url = self.wait_for_log(r"Listening to hookbox on (\S+)").group(1)
            self.port = urllib.parse.urlsplit(self.url).port if self.url.startswith("http") else 0

    def ends(self, seconds=30):
        """Wait for its end; returns the exit status."""
        return self.process.wait(max(seconds, DEADLINE))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.kill()
        self._log.close()  # the application goes on: the next server asks it, too
