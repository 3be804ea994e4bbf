"""A web application on a raw socket and plain threads, scripted byte by byte."""

import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs

DEADLINE = 30.0  # seconds any wait may take before the test is given up


def answer(body=b"[true, {}]", *lines, status=b"200 OK"):
    """A plain HTTP/1.1 answer."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, length, b"", body])


@dataclass
class Request:
    method: str
    path: str
    headers: list
    body: bytes
    connection: int
    at: float
    alongside: int  # requests in work, this one included

    @property
    def fields(self):
        return {
            name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()
        }

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class App:
    """Serves on port 0; `script(request, sock)` answers, or returns bytes to send, or None to close."""

    script: object = lambda request, sock: answer()
    tls: object = None
    family: int = socket.AF_INET
    requests: list = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    in_work: int = 0

    def __post_init__(self):
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.released = threading.Event()
        self.listener = socket.socket(self.family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.socks = set()

    def start(self):
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        self.released.set()
        self.listener.close()
        for sock in list(self.socks):
            _shut(sock)

    def hold(self, request, sock):
        """A script that answers when `released` is set."""
        self.released.wait(DEADLINE)
        return answer()

    def wait_for(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE)

    def wait_for_requests(self, count):
        self.wait_for(lambda: len(self.requests) >= count)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                number = self.connections
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock, number):
        self.socks.add(sock)
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.socks.add(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := self._read(sock, number)) is not None:
                reply = self.script(request, sock)
                with self.changed:
                    self.in_work -= 1
                    self.changed.notify_all()
                if reply is None:
                    return
                sock.sendall(reply)
        except OSError:
            pass
        finally:
            self.socks.discard(sock)
            _shut(sock)
            with self.changed:  # whoever waits for it finds it closed
                self.open -= 1
                self.changed.notify_all()

    def _read(self, sock, number):
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        length = int({name.lower(): value for name, value in headers}.get("content-length", 0))
        while len(body) < length:
            body += sock.recv(65536)
        method, path, _ = line.split(" ")
        with self.changed:
            self.in_work += 1
            request = Request(method, path, headers, body, number, time.monotonic(), self.in_work)
            self.requests.append(request)
            self.changed.notify_all()
        return request


def _shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
