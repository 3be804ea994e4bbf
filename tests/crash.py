"""Kill -9 while thousands of messages are accepted and delivered: `make crash`, or `python tests/crash.py --help`.

In each round messages are dispatched to a receiver on this machine, the server is killed somewhere in the middle and
started again on the same store. Then every message whose dispatch was answered with 202 has to arrive, under the id of
that answer; nothing may arrive that nobody dispatched, and no id may be given twice. What was killed in between, the
file has to be whole.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlencode

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))

from hookbox.testing import DEADLINE, HookboxProcess, ScriptedApp  # noqa: E402

DISPATCHERS = 8
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Receiver:
    """Answers everything with 200, after some seconds, and remembers under which ids each number came."""

    def __init__(self):
        self.got = defaultdict(list)
        self.changed = threading.Condition()
        self.seconds = 0.0
        self._door = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}/hook"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with sock, sock.makefile("rb") as read:
                while read.readline():
                    headers = http.client.parse_headers(read)
                    body = read.read(int(headers["content-length"]))
                    (number,) = parse_qs(body.decode())["n"]
                    with self.changed:
                        self.got[int(number)].append(headers["webhook-id"])
                        self.changed.notify_all()
                    time.sleep(self.seconds)
                    sock.sendall(ANSWER)
        except OSError:
            pass  # the server was killed

    def wait_for(self, numbers, seconds):
        """Wait until all of these have come; returns those that have not."""
        with self.changed:
            self.changed.wait_for(lambda: self.got.keys() >= numbers, seconds)
            return numbers - self.got.keys()

    def close(self):
        self._door.close()


class Dispatchers:
    """Threads that dispatch one number after another, until there are enough or nobody answers."""

    def __init__(self, port, receiver, numbers):
        self.acknowledged = {}
        self.attempted = []
        self._receiver = receiver
        self._numbers = numbers
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(port,)) for _ in range(DISPATCHERS)]
        for thread in self._threads:
            thread.start()

    def join(self):
        for thread in self._threads:
            thread.join()

    def _next(self):
        with self._lock:
            number = next(self._numbers, None)
            if number is not None:
                self.attempted.append(number)
            return number

    def _work(self, port):
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": f"Bearer {HookboxProcess.TOKEN}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            while (number := self._next()) is not None:
                body = urlencode({"_url": self._receiver.url, "n": number})
                connection.request("POST", "/dispatch", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 202:
                    raise AssertionError(f"{answer.status} {text!r}")
                self.acknowledged[number] = answer.headers["Hookbox-Message-Id"]
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            connection.close()


class Crashes:
    """Round after round on one store.

    Args:
        folder: for the store.
        say: is told how it goes.
    """

    def __init__(self, folder, seed, say=print):
        self.store = Path(folder) / "hookbox.db"
        self.receiver = Receiver()
        self.app = ScriptedApp()
        self.chance = random.Random(seed)
        self.say = say
        self.acknowledged = {}
        self.attempted = set()
        self.slowest = 0.0

    def close(self):
        self.receiver.close()
        self.app.stop()

    def round(self, count):
        """Dispatch so many, kill in the middle, start again; raises where a promise is broken."""
        first = len(self.attempted)
        numbers = iter(range(first, first + count))
        point = first + self.chance.randrange(count // 20, count)
        self.receiver.seconds = self.chance.choice([0.0, 0.02, 0.05])  # so that more is owed, or less
        server = self._start()
        dispatching = Dispatchers(server.port, self.receiver, numbers)
        while len(self.receiver.got) < point and len(dispatching.attempted) + first < point:
            time.sleep(0.002)
        server.kill()
        dispatching.join()
        self._note(dispatching)
        waiting = len(self.acknowledged.keys() - self.receiver.got.keys())
        began = time.monotonic()
        server = self._start()
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        dispatching = Dispatchers(server.port, self.receiver, numbers)
        dispatching.join()
        self._note(dispatching)
        lost = self.receiver.wait_for(self.acknowledged.keys(), 60 + count / 100)
        assert not lost, f"{len(lost)} that were answered did not arrive, such as {sorted(lost)[:5]}"
        self._check()
        self._wait_for_the_rest()
        assert server.stop() == 0
        self._check_file()
        twice = sum(len(ids) - 1 for ids in self.receiver.got.values())
        self.say(
            f"{len(self.acknowledged)} answered, {waiting} of them were still owed at the kill; started again in "
            f"{took:.2f} s; all arrived, {twice} more than once"
        )

    def _start(self):
        return HookboxProcess(
            self.app, store=self.store, egress="internal", egress_allow="127.0.0.1", per_origin=16,
            retry_schedule=",".join(["0.2"] * 20),
        )  # fmt: skip

    def _note(self, dispatching):
        self.acknowledged |= dispatching.acknowledged
        self.attempted |= set(dispatching.attempted)

    def _wait_for_the_rest(self):
        """What had arrived when its answer was cut off is sent once more, and so is what nobody saw accepted."""
        unfinished = "SELECT COUNT(*) FROM deliveries WHERE state IN ('scheduled', 'in_flight')"
        until = time.monotonic() + 90
        while self._rows(unfinished) != [(0,)]:
            assert time.monotonic() < until, "it does not come to an end"
            time.sleep(0.1)

    def _rows(self, query):
        with closing(sqlite3.connect(self.store)) as db:
            return db.execute(query).fetchall()

    def _check(self):
        with self.receiver.changed:
            got = {number: set(ids) for number, ids in self.receiver.got.items()}
        assert got.keys() <= self.attempted, "something arrived that nobody dispatched"
        assert all(len(ids) == 1 for ids in got.values()), "a message came under two ids"
        wrong = [n for n, name in self.acknowledged.items() if got[n] != {name}]
        assert not wrong, f"came under another id than was answered: {wrong[:5]}"
        assert len(set().union(*got.values())) == len(got), "an id was given twice"

    def _check_file(self):
        with closing(sqlite3.connect(self.store)) as db:
            assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            states = dict(db.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state"))
            assert states.keys() <= {"succeeded"}, states
            wrong = db.execute(
                "SELECT COUNT(*) FROM deliveries d "
                "WHERE attempts <> (SELECT COUNT(*) FROM attempts a WHERE a.delivery = d.id)"
            ).fetchone()
            assert wrong == (0,), "rows of attempts and counts of attempts differ"
            (most,) = db.execute("SELECT MAX(seq) FROM messages").fetchone()
            (reserved,) = db.execute("SELECT value FROM meta WHERE key = 'reserved'").fetchone()
            assert most < reserved


def main():
    """Run as many rounds as wanted."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=20)
    asked.add_argument("--count", type=int, default=10_000, help="messages of each round")
    asked.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = asked.parse_args()
    print(f"seed {given.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hookbox-crash-") as folder:
        crashes = Crashes(folder, given.seed, lambda text: None)
        try:
            for number in range(1, given.rounds + 1):
                crashes.say = lambda text, number=number: print(
                    f"round {number}/{given.rounds}, {time.monotonic() - began:.0f} s: {text}", flush=True
                )
                crashes.round(given.count)
        finally:
            crashes.close()
    print(f"nothing was lost; the slowest start took {crashes.slowest:.2f} s")


if __name__ == "__main__":
    main()
