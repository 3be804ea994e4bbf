"""A subscriber, or somebody's page, on a free port: remembers what it gets and answers as told; in threads."""

import itertools
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from hookbox.testing import DEADLINE

_numbers = itertools.count(2)
"""Each is a host of its own, as hosts are counted."""


@dataclass
class Got:
    """One request."""

    method: str
    path: str
    headers: dict
    body: bytes = field(repr=False)

    @property
    def pairs(self):
        return parse_qsl(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def query(self):
        return dict(self.pairs)


def confirm(got):
    """Confirms whatever was asked for in its name; takes whatever comes."""
    return 200, {}, got.query.get("hub.challenge", "").encode()


class Subscriber:
    """Answers each request with what its function says: status, headers, body."""

    def __init__(self, answer=confirm):
        self.answer = answer
        self.got = []
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                got = Got(self.command, self.path, dict(self.headers), body)
                with outer.changed:
                    outer.got.append(got)
                    outer.changed.notify_all()
                status, headers, body = outer.answer(got)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if status not in (204, 304):
                    self.wfile.write(body)

            do_GET = do_POST = serve

            def log_message(self, *args):
                pass

        number = next(_numbers)
        host = f"127.0.{number >> 8}.{number & 255}"
        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, method, path="/"):
        with self.changed:
            return [got for got in self.got if got.method == method and got.path.startswith(path)]

    def wait(self, method, count=1, path="/", seconds=DEADLINE):
        """The requests of that method as soon as there are so many."""
        until = time.monotonic() + seconds
        with self.changed:
            while (
                len(found := [g for g in self.got if g.method == method and g.path.startswith(path)]) < count
            ):
                assert self.changed.wait(until - time.monotonic()), (
                    f"{len(found)} of {count} {method}: {self.got}"
                )
        return found
