"""The command `hookbox`, watched from inside: run with its flags, it also answers on a port of its own how it is.

Who connects to that port (it is in the log, `watched on PORT`) sends a line of JSON, `[what, code]`, and gets one:
`report`, what happened since the last report; `trim`, the same after unused memory was given back; `warm`,
once everything is loaded that can wait; `run`, what `code` left in `result`. Only `faults.py` does.

A greenlet that sleeps 10 ms at a time tells how late the loop was. A machine that runs other things makes it late
too, which is not the server's fault. So the time that its threads were ready and waited for a processor, which the
kernel tells (`schedstat`), is taken off; and the work that came in meanwhile and is done after it in one go, by how
busy the loop has been lately, unless it was at one thing all the time. Where the kernel does not tell, only the time
counts that the loop's thread computed. A loop that was late though it only waited for something was woken late.
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
from collections import Counter
from contextlib import contextmanager
from itertools import chain, starmap
from pathlib import Path

import gevent
import gevent.hub
from gevent import monkey
from gevent.server import StreamServer
from greenlet import greenlet

import hookbox.server

BEAT = 0.01
SUSPICIOUS = 0.05
"""Seconds after which it is noted what the loop is at."""
REMEMBERED = 2.0
"""Seconds over which it is averaged how busy the loop is."""

native_sleep = monkey.get_original("time", "sleep")
get_native_ident = monkey.get_original("_thread", "get_ident")
get_native_id = monkey.get_original("_thread", "get_native_id")
start_native_thread = monkey.get_original("_thread", "start_new_thread")


class Witness:
    """A native thread that looks at what the loop is at while it is late."""

    def __init__(self):
        self.task = 0
        """Its id among the tasks of the kernel."""
        self.beat_at = time.monotonic()
        """When the loop's heart last beat."""
        self.seen = []
        """What the loop was at, look after look, since it is late."""
        self._frames = []
        self._loop = get_native_ident()
        start_native_thread(self._watch, ())

    def look_from(self, beat_at):
        """The heart beats: what was seen before is of no interest any more."""
        self.beat_at = beat_at
        self.seen.clear()
        self._frames.clear()

    @property
    def rests(self):
        """Whether it was seen, and never at anything but waiting for something to happen."""
        return {frame.f_code for frame in self._frames} == {gevent.hub.Hub.run.__code__}

    @property
    def stuck(self):
        """Whether it was seen at one thing only, again and again."""
        return len(self._frames) > 2 and len({*map(id, self._frames)}) == 1

    @property
    def looks(self):
        """The places that the loop was seen at most often."""
        most = Counter(self.seen).most_common(3)
        return f"{len(self.seen)} looks" + "".join(f"; {count} times at\n{stack}" for stack, count in most)

    def _watch(self):
        self.task = get_native_id()
        while True:
            native_sleep(BEAT)
            if time.monotonic() - self.beat_at > SUSPICIOUS:
                frame = sys._current_frames()[self._loop]
                self._frames.append(frame)
                self.seen.append("".join(traceback.format_stack(frame, limit=8)))


class Processor:
    """What this process gets of the processors.

    Args:
        witness: does not count: it waits for a processor a hundred times a second, with nothing in hand that the
            loop needs, and while the loop may just be blocked.
    """

    TASKS = Path("/proc/self/task")

    def __init__(self, witness):
        self._witness = witness
        self._waited = {}
        self.tells = self._read(str(get_native_id()))[0] > 0

    def _read(self, task):
        try:
            return [int(field) / 1e9 for field in (self.TASKS / task / "schedstat").read_text().split()[:2]]
        except OSError:  # not told, or the thread has ended
            return [0.0, 0.0]

    def waited(self):
        """Seconds, since it was last asked, that threads were ready and had to wait; 0 where the kernel does not tell.

        All threads, because another may wait for a processor while it holds the lock that the loop needs. What one
        had waited before must not be taken off again when it ends.
        """
        if not self.tells:
            return 0.0
        tasks = [task for task in os.listdir(self.TASKS) if int(task) != self._witness.task]
        before, self._waited = self._waited, {task: self._read(task)[1] for task in tasks}
        return sum(max(0.0, now - before.get(task, 0.0)) for task, now in self._waited.items())


class Heartbeat:
    """How late the loop was at worst, when that was, and what it was at."""

    def __init__(self):
        self._witness = Witness()
        self._processor = Processor(self._witness)
        self._busy = 0.0
        self._excused = self._excused_cpu = 0.0
        self._beats = 0
        self.begin()

    def await_beat(self):
        """Wait until what has been up to now is noted."""
        beats = self._beats
        while self._beats == beats:
            gevent.sleep(BEAT)

    def begin(self):
        """Forget what was."""
        self.worst = self.worst_raw = 0.0
        self.where = ""

    @contextmanager
    def excused(self):
        """Hold what is done inside, by the watching itself, against nobody."""
        began, used = time.monotonic(), time.thread_time()
        yield
        self._excused += time.monotonic() - began
        self._excused_cpu += time.thread_time() - used

    def run(self):
        self._processor.waited()
        while True:
            began, used, all_used = time.monotonic(), time.thread_time(), time.process_time()
            self._witness.look_from(began)
            self._excused = self._excused_cpu = 0.0
            gevent.sleep(BEAT)
            took = time.monotonic() - began - self._excused
            computed = time.thread_time() - used - self._excused_cpu
            self._note(took, computed, time.process_time() - all_used, self._processor.waited())
            self._beats += 1

    def _note(self, took, computed, all_computed, waited):
        raw = took - BEAT
        catching_up = 0 if self._witness.stuck else min(1.0, 2 * self._busy)
        others = waited * (1 + catching_up) if self._processor.tells else max(0.0, raw - computed)
        own = raw - others
        if self._witness.rests:  # the machine woke it late, unless another thread kept it from running
            own = min(own, all_computed)
        self._busy += (computed / took - self._busy) * min(1.0, took / REMEMBERED)
        self.worst_raw = max(self.worst_raw, raw)
        if own > self.worst:
            self.worst = own
            self.where = (
                f"at {time.strftime('%H:%M:%S')}; of {raw * 1000:.0f} ms it computed {computed * 1000:.0f} and "
                f"waited for a processor {waited * 1000:.0f}; {self._busy:.0%} busy; {self._witness.looks}"
            )


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
    """What happened since the last report, and how things stand.

    Greenlets count once they have begun. One that waits for its time, such as to tell the application once more
    what it has not taken yet, may have to do so for long.
    """
    heartbeat.await_beat()
    with heartbeat.excused():
        greenlets = [thing for thing in _objects_of(greenlet) if _has_begun(thing)]
        which = Counter(map(_job, greenlets))
    told = {
        "late": heartbeat.worst,
        "late_raw": heartbeat.worst_raw,
        "late_at": heartbeat.where,
        "errors": errors.texts,
        "greenlets": len(greenlets),
        "which": str(dict(which)),
    }
    errors.texts = []
    heartbeat.begin()
    return told


def _objects_of(kind):
    """All objects of a kind.

    No other thread gets a word in while all objects are held, for this is one call from the interpreter's view: one
    that is making a tuple of what it reads fails when somebody else holds it, too ("bad argument to internal function").
    """
    everything = chain.from_iterable(starmap(gc.get_objects, [()]))
    return list(filter(kind.__instancecheck__, everything))


def _has_begun(thing):
    return greenlet.__bool__(thing)  # gevent's own are true as soon as they are to be started some day


def _job(thing):
    """What a greenlet is there for, about."""
    return getattr(getattr(thing, "_run", None), "__qualname__", type(thing).__name__)


def trim():
    """Have the allocator return what it only keeps in reserve, so that what is left is in use; then report."""
    with heartbeat.excused():
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    return report()


def warm():
    """Load everything that is loaded some time after the start."""
    for server in servers:
        server.warm_up()


def run(code):
    """Run code in this process, for faults that have no other way in."""
    scope = {"result": None}
    exec(code, scope)
    return scope["result"]


def answer(sock, address):
    for line in sock.makefile("rb"):
        what, code = json.loads(line)
        said = {"report": report, "trim": trim, "warm": warm, "run": lambda code=code: run(code)}[what]()
        sock.sendall(json.dumps(said).encode() + b"\n")


servers = []


class Remembered(hookbox.server.Server):
    def start(self):
        servers.append(self)
        super().start()


if __name__ == "__main__":
    hookbox.server.Server = Remembered
    logging.getLogger().addHandler(errors)
    watched = StreamServer(("127.0.0.1", 0), answer)
    watched.start()
    print(f"watched on {watched.server_port}", file=sys.stderr, flush=True)
    gevent.spawn(heartbeat.run)
    sys.exit(main())
