"""The command `hookbox`, watched from inside: run with its flags, it also answers on a port of its own how it is.

Who connects to that port (it is in the log, `watched on PORT`) sends a line of JSON, `[what, code]`, and gets one:
`report`, what happened since the last report; `trim`, the same after unused memory was given back; `run`, what
`code` left in `result`. Only `faults.py` does.

A greenlet that sleeps 10 ms at a time tells how late the loop was. A machine that runs other things makes it late
too, which is not the server's fault. Where the kernel says how long the loop's thread was ready and had to wait for a
processor (`schedstat`), that time is taken off. Where it does not (some containers), only this counts: the time the
thread computed, less the share that others took of the processors by the load average, as the clocks there count
that in; and standstill, when a native thread that looked on was on time and always saw the loop in Python code while
it computed next to nothing.
"""

from hookbox.__main__ import main  # isort: skip - patches everything, so it comes first

import ctypes
import gc
import json
import logging
import os
import sys
import time
import traceback
from contextlib import contextmanager

import gevent
from gevent import monkey
from gevent.server import StreamServer
from greenlet import greenlet

BEAT = 0.01
SUSPICIOUS = 0.05
"""Seconds after which it is noted what the loop is at."""
LITTLE = 0.2
"""The share of the loop's lateness up to which the witness is on time, and computing is next to nothing."""

native_sleep = monkey.get_original("time", "sleep")
get_native_ident = monkey.get_original("_thread", "get_ident")
get_native_id = monkey.get_original("_thread", "get_native_id")
start_native_thread = monkey.get_original("_thread", "start_new_thread")


class Witness:
    """A native thread: how late it was in all, and what it saw the loop do while that was late."""

    def __init__(self):
        self.beat_at = time.monotonic()
        """When the loop's heart last beat; it says so."""
        self.seen = []
        """What the loop was at, look after look, since it is late."""
        self._total = 0.0
        self._slept_at = time.monotonic()
        self._loop = get_native_ident()
        start_native_thread(self._watch, ())

    @property
    def late(self):
        return self._total + max(0.0, time.monotonic() - self._slept_at - BEAT)

    @property
    def saw_code(self):
        """Whether the loop was in Python code at nearly every look, instead of waiting for events."""
        in_code = sum("loop.run()" not in stack.rsplit("File", 1)[-1] for stack in self.seen)
        return len(self.seen) > 2 and in_code > 0.8 * len(self.seen)

    def _watch(self):
        while True:
            self._slept_at = time.monotonic()
            native_sleep(BEAT)
            now = time.monotonic()
            self._total += max(0.0, now - self._slept_at - BEAT)
            if now - self.beat_at > SUSPICIOUS:
                self.seen.append("".join(traceback.format_stack(sys._current_frames()[self._loop], limit=8)))


class Processor:
    """How long the thread that makes this had to wait for a processor, as far as can be known."""

    def __init__(self):
        self._path = f"/proc/self/task/{get_native_id()}/schedstat"
        self.tells = self._read() != (0, 0)

    def _read(self):
        try:
            with open(self._path) as file:
                used, waited, _ = map(int, file.read().split())
        except OSError:
            return 0, 0
        return used, waited

    @property
    def waited(self):
        """Seconds in all, 0 where the kernel does not tell."""
        return self._read()[1] / 1e9 if self.tells else 0.0

    @property
    def share(self):
        """Of a processor, as the load average has it."""
        return min(1.0, os.cpu_count() / max(0.01, os.getloadavg()[0]))


class Heartbeat:
    """How late the loop was at worst, when that was, and what it was at."""

    def __init__(self):
        self._witness = Witness()
        self._processor = Processor()
        self._excused = self._excused_cpu = 0.0
        self.begin()

    def begin(self):
        """Forget what was."""
        self.worst = self.worst_raw = 0.0
        self.at = self.where = ""

    @contextmanager
    def excused(self):
        """Hold what is done inside, by the watching itself, against nobody."""
        began, used = time.monotonic(), time.thread_time()
        yield
        self._excused += time.monotonic() - began
        self._excused_cpu += time.thread_time() - used

    def run(self):
        while True:
            began, used, waited = time.monotonic(), time.thread_time(), self._processor.waited
            others = self._witness.late
            self._witness.beat_at = began
            self._witness.seen.clear()
            self._excused = self._excused_cpu = 0.0
            gevent.sleep(BEAT)
            raw = time.monotonic() - began - BEAT - self._excused
            computed = time.thread_time() - used - self._excused_cpu
            own = self._own(raw, computed, self._processor.waited - waited, self._witness.late - others)
            self.worst_raw = max(self.worst_raw, raw)
            if own > self.worst:
                self.worst, self.at = own, time.strftime("%H:%M:%S")
                seen = self._witness.seen
                self.where = f"{len(seen)} looks; halfway:\n{seen[len(seen) // 2]}" if seen else ""

    def _own(self, raw, computed, waited, witness):
        """What of the lateness is the server's own."""
        if self._processor.tells:
            return raw - waited
        if max(witness, computed) < raw * LITTLE and self._witness.saw_code:
            return raw
        return min(raw, computed * self._processor.share)


class Errors(logging.Handler):
    """The texts of what was logged as an error or with a traceback, wherever the log goes."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        if record.levelno >= logging.ERROR or (record.exc_info and record.exc_info[0]):
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            self.texts.append(f"{record.getMessage()}\n{trace}")


heartbeat = Heartbeat()
errors = Errors()


def report():
    """What happened since the last report, and how things stand."""
    with heartbeat.excused():
        greenlets = sum(isinstance(thing, greenlet) and not thing.dead for thing in gc.get_objects())
    told = {
        "late": heartbeat.worst,
        "late_raw": heartbeat.worst_raw,
        "late_at": f"at {heartbeat.at}; {heartbeat.where}",
        "errors": errors.texts,
        "greenlets": greenlets,
    }
    errors.texts = []
    heartbeat.begin()
    return told


def trim():
    """Have the allocator return what it only keeps in reserve, so that what is left is in use; then report."""
    with heartbeat.excused():
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    return report()


def run(code):
    """Run code in this process, for faults that have no other way in."""
    scope = {"result": None}
    exec(code, scope)
    return scope["result"]


def answer(sock, address):
    for line in sock.makefile("rb"):
        what, code = json.loads(line)
        said = {"report": report, "trim": trim, "run": lambda code=code: run(code)}[what]()
        sock.sendall(json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    logging.getLogger().addHandler(errors)
    watched = StreamServer(("127.0.0.1", 0), answer)
    watched.start()
    print(f"watched on {watched.server_port}", file=sys.stderr, flush=True)
    gevent.spawn(heartbeat.run)
    sys.exit(main())
