"""Messages to a receiver that fails, through a kill -9 in the middle: none is lost.

Starts Hookbox, dispatches messages, kills Hookbox while they are under way, starts it again on the same
file, and waits until each of them has arrived.
"""

import argparse
import http.server
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests

TOKEN = secrets.token_urlsafe(16)
GIVE_UP = 120  # seconds
SCHEDULE = "0.2,0.4,0.8,1.6" + 20 * ",2"  # half of all attempts fail


class Receiver(http.server.ThreadingHTTPServer):
    """Answers half of the requests with status 500, and remembers what it has taken."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, chance):
        super().__init__(("127.0.0.1", 0), Answer)
        self.chance = chance
        self.lock = threading.Lock()
        self.failed = 0
        self.taken = {}  # how often, by webhook-id
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hooks"

    def wait_until(self, ids):
        """Wait until all of these have arrived."""
        until = time.monotonic() + GIVE_UP
        while missing := ids - self.taken.keys():
            if time.monotonic() > until:
                sys.exit(f"{len(missing)} of {len(ids)} messages did not arrive in {GIVE_UP} s")
            time.sleep(0.05)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        with server.lock:
            fails = server.chance.random() < 0.5
            if fails:
                server.failed += 1
            else:
                name = self.headers["webhook-id"]
                server.taken[name] = server.taken.get(name, 0) + 1
        self.send_response(500 if fails else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the receiver's failures (default: 1)")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(Path(folder) / "hookbox.db", flags.messages, Receiver(random.Random(flags.seed)))


def show(store, count, receiver):
    port = free_port()
    hookbox = start(store, port)
    print(f"Hookbox runs, pid {hookbox.pid}. The receiver fails every second time.")
    try:
        ids = {dispatch(port, receiver.url, number) for number in range(count)}
        hookbox.kill()
        hookbox.wait()
        print(f"{count} messages accepted; kill -9 when {len(receiver.taken)} of them had arrived.")
        hookbox = start(store, port)
        print(f"Hookbox runs again on the same file, pid {hookbox.pid}.")
        receiver.wait_until(ids)
    finally:
        hookbox.terminate()
        hookbox.wait()
    again = sum(times - 1 for times in receiver.taken.values())
    print(f"All {len(ids)} messages have arrived, after {receiver.failed} failures; {again} came twice.")
    if receiver.taken.keys() - ids:
        sys.exit("something arrived that was never accepted")


def start(store, port):
    """Start Hookbox and wait until it answers."""
    command = [sys.executable, "-m", "hookbox", f"--port={port}", f"--store={store}", "--log-level=ERROR"]
    command += [f"--api-security-token={TOKEN}", "--egress=internal", "--breaker=off"]
    hookbox = subprocess.Popen([*command, f"--retry-schedule={SCHEDULE}"])
    until = time.monotonic() + GIVE_UP
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
            return hookbox
        except requests.ConnectionError:
            if hookbox.poll() is not None or time.monotonic() > until:
                sys.exit("Hookbox does not start")
            time.sleep(0.02)


def dispatch(port, url, number):
    """Have one message sent; returns its id, once it is on disk."""
    answer = requests.post(
        f"http://127.0.0.1:{port}/dispatch",
        data={"_url": url, "number": number},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=10,
    )
    answer.raise_for_status()
    return answer.headers["Hookbox-Message-Id"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
