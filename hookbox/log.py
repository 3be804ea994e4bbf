"""Where log lines go: no target, however stuck or full, makes the server wait for it.

Only `hookbox.cli` sets logging up. Whoever logs needs nothing from here but `logging.getLogger`;
HTTP requests go to the logger `hookbox.access`.
"""

from __future__ import annotations

import errno
import logging
import os
from _queue import SimpleQueue  # the C one also wakes native threads, whatever is patched
from typing import Final

from gevent import monkey

from hookbox.log_context import known
from hookbox.log_lines import JsonFormatter, LineFormatter, Mask, escape
from hookbox.settings import Settings

__all__ = ["ACCESS", "Logs", "Outlet", "escape"]

ACCESS: Final = "hookbox.access"
QUEUE_LIMIT: Final = 5000
STANDARD_ERROR: Final = ""
STANDARD_OUTPUT: Final = "-"


class Outlet(logging.Handler):
    """A log target behind a bounded queue and a native thread of its own.

    `emit` never waits: when the target is stuck and the queue full, or the disk is full, lines are
    dropped and counted, and the target is told how many once it takes lines again.

    Args:
        path: a file, or `STANDARD_ERROR` or `STANDARD_OUTPUT`.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.path = path
        self.dropped_full = 0
        self.dropped_unwritten = 0
        self._told = 0
        self._torn = False
        self._reopen = self._closing = False
        self._waiting: SimpleQueue[bytes] = SimpleQueue()
        self._done = monkey.get_original("_thread", "allocate_lock")()
        self._done.acquire()
        self._file = _open(path, wait=False)
        monkey.get_original("_thread", "start_new_thread")(self._write_until_closed, ())

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self.dropped_full + self.dropped_unwritten

    def createLock(self) -> None:
        """Needs none: a put into the queue is atomic, and a patched lock would not do for native threads."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record if the filters let it pass."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, or drop it. Never blocks, never raises."""
        if self._waiting.qsize() >= QUEUE_LIMIT or self._closing:
            self.dropped_full += 1
            return
        try:
            line = self.format(record)
        except Exception:  # wrong arguments for its text: our bug, but no reason to lose the line
            line = self.format(_plain(record, f"{record.msg} [arguments do not fit, line {record.lineno}]"))
        self._waiting.put(line.encode(errors="backslashreplace") + b"\n")

    def reopen(self) -> None:
        """Open the file anew, for whoever moved the old one away. Does not wait."""
        self._reopen = True
        self._waiting.put(b"")

    def close(self, timeout: float = 1.0) -> None:
        """Write what is queued and stop; waits for that up to so many seconds, at every call."""
        if not self._closing:
            self._closing = True
            self._waiting.put(b"")
        if self._done.acquire(timeout=timeout):
            self._done.release()
        super().close()

    def _write_until_closed(self) -> None:
        while not (self._closing and self._waiting.empty()):
            lines = [self._waiting.get()]
            while not self._waiting.empty() and len(lines) < 500:
                lines.append(self._waiting.get())
            self._write(b"".join(lines))
        if self._file > 2:
            os.close(self._file)
        self._done.release()

    def _write(self, lines: bytes) -> None:
        lost = self.dropped - self._told
        data = (b"\n" if self._torn else b"") + lines + (self._notice(lost) if lost else b"")
        sent = 0
        try:
            self._follow()
            while sent < len(data):
                sent += self._push(data[sent:])
            self._told += lost
        except OSError:
            self.dropped_unwritten += data.count(b"\n", sent) - bool(lost)
        if sent:
            self._torn = data[sent - 1 : sent] != b"\n"

    def _follow(self) -> None:
        """Open the file where that is due; this may wait, for a fifo that nobody reads."""
        if self._reopen and self._file > 2:
            os.close(self._file)
            self._file = -1
        self._reopen = False
        if self._file < 0:
            self._file = _open(self.path, wait=True)

    def _push(self, data: bytes) -> int:
        try:
            return os.write(self._file, data)
        except BlockingIOError:  # somebody who shares the terminal or pipe made it so
            monkey.get_original("select", "select")([], [self._file], [], 1.0)
            return 0

    def _notice(self, lost: int) -> bytes:
        text = f"{lost} log lines were dropped, as this target was stuck or full"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)
        return self.format(record).encode() + b"\n"


def _plain(record: logging.LogRecord, text: str) -> logging.LogRecord:
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, text, None, None)


def _open(path: str, *, wait: bool) -> int:
    """A descriptor to write to, or -1 for a fifo that nobody reads yet."""
    standard = {STANDARD_ERROR: 2, STANDARD_OUTPUT: 1}.get(path)
    if standard is not None:
        return standard
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | (0 if wait else os.O_NONBLOCK)
    try:
        file = os.open(path, flags, 0o640)
    except OSError as error:
        if error.errno == errno.ENXIO and not wait:
            return -1
        raise
    os.set_blocking(file, True)
    return file


class Logs:
    """The process's logging: standard error, and the two files that settings may name.

    Raises:
        OSError: a log file cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._outlets: dict[str, Outlet] = {}
        self._left: list[Outlet] = []
        logging.captureWarnings(True)
        self.reconfigure(settings)

    @property
    def dropped(self) -> int:
        """Lines lost so far, for the metrics."""
        return sum(outlet.dropped for outlet in (*self._left, *self._outlets.values()))

    def reconfigure(self, settings: Settings) -> None:
        """Take over changed settings.

        Raises:
            OSError: a log file cannot be opened; then nothing has changed.
        """
        wanted = {"main": STANDARD_ERROR}
        wanted |= {"errors": settings.log_file_errors} if settings.log_file_errors else {}
        wanted |= {"access": settings.log_file_access} if settings.log_file_access else {}
        outlets = {role: self._outlet(role, path) for role, path in wanted.items()}
        mask = Mask(settings.secrets)
        for outlet in outlets.values():
            plain = settings.log_format != "json"
            outlet.setFormatter(LineFormatter(mask, known, ACCESS) if plain else JsonFormatter(mask, known))
        self._left += [outlet for outlet in self._outlets.values() if outlet not in outlets.values()]
        self._outlets = outlets
        self._install(logging.DEBUG if settings.debug else logging.getLevelName(settings.log_level))
        for outlet in self._left:
            outlet.close(timeout=0.0)

    def reopen(self) -> None:
        """Open the log files anew, after something moved them away."""
        for outlet in self._outlets.values():
            outlet.reopen()

    def close(self, timeout: float = 1.0) -> None:
        """Write out what is queued, for up to so many seconds per target."""
        for outlet in (*self._left, *self._outlets.values()):
            outlet.close(timeout)

    def _outlet(self, role: str, path: str) -> Outlet:
        old = self._outlets.get(role)
        if old is not None and old.path == path:
            return old
        return Outlet(path, logging.WARNING if role == "errors" else logging.NOTSET)

    def _install(self, level: int) -> None:
        root, access = logging.getLogger(), logging.getLogger(ACCESS)
        others = [handler for handler in root.handlers if not isinstance(handler, Outlet)]
        root.handlers = others + [outlet for role, outlet in self._outlets.items() if role != "access"]
        root.setLevel(max(level, logging.WARNING))  # the libraries' own chatter is not ours to vouch for
        logging.getLogger("hookbox").setLevel(level)
        access.handlers = [outlet for role, outlet in self._outlets.items() if role == "access"]
        access.propagate = not access.handlers
        wanted = access.handlers or level <= logging.DEBUG
        access.setLevel(logging.INFO if wanted else logging.WARNING)
