"""The command `hookbox`, watched from inside: run with its flags, it also answers on a port of its own how it is.

Who connects to that port (it is in the log, `watched on PORT`) sends a line of JSON, `[what, code]`, and gets one:
`report`, what happened since the last report; `trim`, the same after unused memory was given back; `run`, what
`code` left in `result`. Only `faults.py` does.

A greenlet that sleeps 10 ms at a time tells how late the loop was. A machine that runs other things makes it
late too. So only two things are held against the loop: the time in which its thread used the processor; and all of
it, where its thread used next to none while a native thread that sleeps as long was about on time. Thus both a
function that computes and one that blocks are seen, and a process that had to wait for its turn is not.
"""

from hookbox.__main__ import main  # isort: skip - patches everything, so it comes first

import ctypes
import gc
import json
import logging
import sys
import time
import traceback
from contextlib import contextmanager

import gevent
from gevent import monkey
from gevent.server import StreamServer
from greenlet import greenlet

BEAT = 0.01
LITTLE = 0.2
"""The share of the loop's lateness up to which the witness is on time, and computing next to nothing."""

native_sleep = monkey.get_original("time", "sleep")
start_native_thread = monkey.get_original("_thread", "start_new_thread")


class Witness:
    """How late a native thread was in all."""

    def __init__(self):
        self._total = 0.0
        self._slept_at = time.monotonic()
        start_native_thread(self._watch, ())

    @property
    def late(self):
        return self._total + max(0.0, time.monotonic() - self._slept_at - BEAT)

    def _watch(self):
        while True:
            self._slept_at = time.monotonic()
            native_sleep(BEAT)
            self._total += max(0.0, time.monotonic() - self._slept_at - BEAT)


class Heartbeat:
    """How late the loop was at worst, and when that was."""

    def __init__(self):
        self._witness = Witness()
        self._excused = self._excused_cpu = 0.0
        self.begin()

    def begin(self):
        """Forget what was."""
        self.worst = self.worst_raw = 0.0
        self.at = ""

    @contextmanager
    def excused(self):
        """Hold what is done inside, by the watching itself, against nobody."""
        began, used = time.monotonic(), time.thread_time()
        yield
        self._excused += time.monotonic() - began
        self._excused_cpu += time.thread_time() - used

    def run(self):
        while True:
            began, used, others = time.monotonic(), time.thread_time(), self._witness.late
            self._excused = self._excused_cpu = 0.0
            gevent.sleep(BEAT)
            raw = time.monotonic() - began - BEAT - self._excused
            computed = time.thread_time() - used - self._excused_cpu
            witness = self._witness.late - others
            blocked = max(witness, computed) < raw * LITTLE
            own = raw if blocked else min(raw, computed)
            self.worst_raw = max(self.worst_raw, raw)
            if own > self.worst:
                self.worst, self.at = own, time.strftime("%H:%M:%S")


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
        "late_at": heartbeat.at,
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
