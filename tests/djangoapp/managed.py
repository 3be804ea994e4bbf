"""Commands of manage.py as processes of their own, whose output can be waited for."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hookbox.testing import DEADLINE

HERE = Path(__file__).parent


class Managed:
    """A command of manage.py that runs.

    Args:
        arguments: the command and its own.
        cwd: where it runs; modules there can be imported.
        settings: module of the settings.
        program: instead of `python -m django`.
    """

    def __init__(self, *arguments, cwd, settings="project.settings", program=("-m", "django"), **environ):
        folder = Path(tempfile.mkdtemp(prefix="managed-", dir=cwd))
        self._out, self._err = folder / "out", folder / "err"
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [str(HERE.parents[1]), str(HERE), *filter(os.path.isabs, given)]
        told = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": settings}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, program), *map(str, arguments)],
                cwd=cwd,
                stdout=out,
                stderr=err,
                env={**os.environ, **told, **environ},
            )

    @property
    def out(self):
        return self._out.read_text()

    @property
    def err(self):
        return self._err.read_text()

    def wait_for(self, pattern, seconds=3 * DEADLINE):
        """Wait for a line on either output; returns the match."""
        until = time.monotonic() + seconds
        while True:
            over = self.process.poll()
            if found := re.search(pattern, self.out + self.err):
                return found
            assert over is None, f"it has ended with {over}:\n{self.out}{self.err}"
            assert time.monotonic() < until, f"no {pattern!r} in:\n{self.out}{self.err}"
            time.sleep(0.01)

    def send(self, number):
        self.process.send_signal(number)

    def ended(self, seconds=3 * DEADLINE):
        """Its exit status."""
        return self.process.wait(seconds)

    def children(self):
        """Process ids."""
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def is_gone(pid, seconds=DEADLINE):
    """Wait for the end of a process that is not our child."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
