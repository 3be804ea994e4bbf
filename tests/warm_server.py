"""A process that has loaded what a Hookbox loads, and forks one whenever it is asked to. Only `warm.py` starts it.

What it forks is what `python -m hookbox FLAGS` or `python watched.py FLAGS` is: a process of its own that runs
`hookbox/__main__.py` from its first line, with its own command line, environment, folder and log, with signals as
they are by default, and with no other open files. It only finds its modules loaded already.

It reads orders from the socket that its argument names: a message of JSON each, with the log and the pipe to which
it tells the process id and, at the end, the exit status. When the socket is closed it ends; what it forked goes on.
"""

import gc
import importlib
import json
import os
import runpy
import sys
import time
from os import fork, waitpid  # before gevent replaces them: its own make a hub, which cannot be forked
from pathlib import Path
from select import POLLIN, poll
from signal import SIG_IGN, SIGINT, default_int_handler, signal
from socket import recv_fds, socket

import gevent.hub
from gevent import monkey

ROOT = Path(__file__).parents[1]
NOT_OF_A_SERVER = ("hookbox.__main__", "hookbox.contrib", "hookbox.testing", "hookbox.tool")
BESIDES = ("ctypes", "gevent.server")
"""What `watched.py` has, too."""
DRAWN = ("hookbox.delivery.ids",)
"""Modules that draw a secret when they are imported, which no two servers share."""
MOST = 1 << 20
"""Bytes of an order: its environment is the most of it."""


def orders(asked):
    """Fork for each order, and tell how each fork ended. Returns in the forks only, with the order and the log."""
    running, events = {}, poll()
    events.register(asked, POLLIN)
    while True:
        for ready, _ in events.poll():
            if ready == asked.fileno():
                order, log, told = receive(asked)
                pid = fork()
                if not pid:
                    asked.detach()
                    return order, log
                os.close(log)
                tell(told, pid)
                watch = os.pidfd_open(pid)
                running[watch] = (pid, told)
                events.register(watch, POLLIN)
            else:
                events.unregister(ready)
                os.close(ready)
                bury(*running.pop(ready))


def receive(asked):
    """An order, the descriptor of the log, and that of the pipe."""
    text, descriptors, *_ = recv_fds(asked, MOST, 2)
    if not text:
        sys.exit()  # nobody asks any more
    return json.loads(text), *descriptors


def bury(pid, told):
    # told first: as long as it is not reaped, nobody else gets its number, which may be sent a signal
    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    tell(told, end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
    os.close(told)
    waitpid(pid, 0)


def tell(told, number):
    try:
        os.write(told, b"%d\n" % number)
    except BrokenPipeError:
        pass  # nobody wants to know


def become(order, log):
    """Be what was ordered, as if it had been executed."""
    for fd in (1, 2):
        os.dup2(log, fd)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
    signal(SIGINT, default_int_handler)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    for name in DRAWN:
        importlib.reload(sys.modules[name])


def load():
    hub = gevent.hub.Hub(default=False)  # importing urllib3 opens a socket, which needs one; the default loop stays unmade
    gevent.hub.set_hub(hub)
    files = (ROOT / "hookbox").rglob("*.py")
    parts = (file.relative_to(ROOT).with_suffix("").parts for file in files)
    names = sorted(".".join(part for part in path if part != "__init__") for path in parts)
    for name in (*names, *BESIDES):
        if not name.startswith(NOT_OF_A_SERVER):
            importlib.import_module(name)
    hub.destroy(destroy_loop=True)
    (only,) = os.listdir("/proc/self/task")  # threads are not forked
    assert only == str(os.getpid())


def run(words):
    match words:
        case ["-m", module, *flags]:
            sys.path[0] = os.getcwd()
            sys.argv[:] = [module, *flags]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [path, *flags]:
            sys.path[0] = os.path.dirname(path)
            sys.argv[:] = [path, *flags]
            runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    monkey.patch_all()
    signal(SIGINT, SIG_IGN)  # from the keyboard: the tests end, then
    load()
    gc.collect()
    gc.freeze()
    gc.disable()  # as hookbox/__main__.py does
    order, log = orders(socket(fileno=int(sys.argv[1])))
    become(order, log)
    run(order["words"])
