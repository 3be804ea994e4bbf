"""CPU time per webhook of this process, by the roads that `requests` and others offer, in one run.

Usage: python -m bench.webhooks HOST:PORT CALLS

The application at HOST:PORT has to answer any POST with `[true, {}]` at once. Prints CPU
microseconds per call with 32 in flight, as JSON.
"""

from gevent import monkey

monkey.patch_all()

import http.client  # noqa: E402
import json  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from urllib.parse import urlencode  # noqa: E402

import gevent  # noqa: E402
import requests  # noqa: E402
import urllib3  # noqa: E402

from hookbox.clock import SystemClock  # noqa: E402
from hookbox.settings import Settings  # noqa: E402
from hookbox.webhooks.client import WebhookClient  # noqa: E402
from hookbox.webhooks.gate import Question  # noqa: E402

IN_FLIGHT = 32
ROUNDS = 3
FIELDS = {"channel_name": "lobby", "destination": "lobby", "user": "alice", "conn_id": "a" * 32}
FORM = {"action": "subscribe", **FIELDS}
HEADERS = {
    "Cookie": "sessionid=0123456789abcdef; csrftoken=fedcba9876543210",
    "X-Real-IP": "192.0.2.1",
    "User-Agent": "hookbox/0",
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
    "Idempotency-Key": "0123456789abcdef",
}

Road = Callable[[], Callable[[], object]]  # makes what one greenlet then calls again and again


def client_road(host: str, port: int) -> Road:
    """Ours."""
    client = WebhookClient(Settings(cbhost=host, cbport=port), SystemClock())
    question = Question("subscribe", FIELDS, HEADERS["Cookie"], HEADERS["X-Real-IP"])
    return lambda: lambda: client.ask(question)


def post_road(url: str, trust_env: bool) -> Road:
    """What one writes first."""
    session = requests.Session()
    session.trust_env = trust_env
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=IN_FLIGHT))
    return lambda: lambda: session.post(url, data=FORM, headers=HEADERS, timeout=5).json()


def prepared_road(url: str) -> Road:
    """A request prepared once, past the session."""
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=IN_FLIGHT)
    request = requests.Request("POST", url, data=FORM, headers=HEADERS).prepare()
    return lambda: lambda: adapter.send(request, timeout=5).json()


def urllib3_road(url: str) -> Road:
    """What `requests` itself stands on."""
    pool = urllib3.PoolManager(maxsize=IN_FLIGHT)
    return lambda: lambda: pool.request("POST", url, body=urlencode(FORM), headers=HEADERS, timeout=5).json()


def stdlib_road(host: str, port: int) -> Road:
    """The standard library's client, one connection per greenlet."""

    def start() -> Callable[[], object]:
        connection = http.client.HTTPConnection(host, port)
        body = urlencode(FORM)

        def call() -> object:
            connection.request("POST", "/hookbox/subscribe", body, HEADERS)
            return connection.getresponse().read()

        return call

    return start


def socket_road(host: str, port: int) -> Road:
    """What the kernel and gevent take, one connection per greenlet."""
    body = urlencode(FORM)
    fields = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    length = f"Content-Length: {len(body)}"
    data = f"POST /hookbox/subscribe HTTP/1.1\r\nHost: {host}\r\n{fields}{length}\r\n\r\n{body}".encode()

    def start() -> Callable[[], object]:
        sock = socket.create_connection((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def call() -> object:
            sock.sendall(data)
            return sock.recv(4096)

        return call

    return start


def cpu_per_call(road: Road, calls: int) -> float:
    """CPU seconds per call."""

    def work(call: Callable[[], object]) -> None:
        for _ in range(calls // IN_FLIGHT):
            call()

    ready = [road() for _ in range(IN_FLIGHT)]
    gevent.joinall([gevent.spawn(call) for call in ready], raise_error=True)
    before = time.process_time()
    gevent.joinall([gevent.spawn(work, call) for call in ready], raise_error=True)
    return (time.process_time() - before) / (calls // IN_FLIGHT * IN_FLIGHT)


def main() -> None:
    """Measure all roads in turn; the best of some rounds counts."""
    host, _, port = sys.argv[1].rpartition(":")
    calls = int(sys.argv[2])
    url = f"http://{host}:{port}/hookbox/subscribe"
    roads = {
        "Hookbox": client_road(host, int(port)),
        "requests.Session.post": post_road(url, trust_env=True),
        "the same, trust_env off": post_road(url, trust_env=False),
        "prepared, through HTTPAdapter": prepared_road(url),
        "urllib3": urllib3_road(url),
        "http.client": stdlib_road(host, int(port)),
        "a bare socket": socket_road(host, int(port)),
    }
    best = {name: min(cpu_per_call(road, calls) for _ in range(ROUNDS)) for name, road in roads.items()}
    print(json.dumps({name: seconds * 1e6 for name, seconds in best.items()}))


if __name__ == "__main__":
    main()
