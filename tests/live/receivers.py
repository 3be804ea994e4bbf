"""HTTP receivers on port 0 that answer as told and remember what they got; for tests in one process."""

from __future__ import annotations

import gevent
from gevent.server import StreamServer


class Receiver:
    """A server that answers every request with the next of its answers; the last one for ever.

    Args:
        answers: statuses, or bytes as they are sent; a function of the request's headers gives one of these.
        keep: whether connections are kept open after an answer.
        seconds: that it thinks.
    """

    def __init__(self, *answers, keep=True, seconds=0.0):
        self.answers = list(answers or (200,))
        self.keep = keep
        self.seconds = seconds
        self.got = []
        self.connections = self.busy = self.most_busy = 0
        self._server = StreamServer(("127.0.0.1", 0), self._handle)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.stop(timeout=0)

    def _handle(self, sock, address):
        self.connections += 1
        read = sock.makefile("rb")
        try:
            while self._serve(sock, read) and self.keep:
                pass
        except OSError:
            pass
        finally:
            read.close()
            sock.close()

    def _serve(self, sock, read):
        headers = {}
        if not read.readline():
            return False
        while line := read.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = read.read(int(headers.get("content-length", 0)))
        self.got.append((headers, body))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            gevent.sleep(self.seconds)
            sock.sendall(self._answer(headers))
        finally:
            self.busy -= 1
        return True

    def _answer(self, headers):
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        said = said(headers) if callable(said) else said
        if isinstance(said, bytes):
            return said
        return b"HTTP/1.1 %d Said\r\nContent-Length: 2\r\n\r\nok" % said
