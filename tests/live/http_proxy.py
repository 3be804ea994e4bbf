"""An HTTP proxy as companies have one, and a receiver behind it; in threads, for tests in one or two processes."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from hookbox.testing import DEADLINE

HOP_BY_HOP = {"proxy-authorization", "connection", "transfer-encoding", "host"}


class Served(ThreadingHTTPServer):
    """Serves on a free port of 127.0.0.1 until the end of a `with`; cuts its connections then."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler):
        self.connections = 0
        self.sockets = []
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def process_request(self, request, address):
        self.connections += 1
        self.sockets.append(request)
        super().process_request(request, address)

    def handle_error(self, request, address):
        pass  # a connection that was cut is a case under test

    def cut(self):
        """End the connections there are."""
        while self.sockets:
            with suppress(OSError):
                self.sockets.pop().shutdown(socket.SHUT_RDWR)

    def __exit__(self, *error):
        self.shutdown()
        self.cut()
        self.server_close()


class HttpProxy(Served):
    """Forwards, wherever it is asked to: to 127.0.0.1, whatever the name.

    Args:
        says: bytes that it answers with instead, once for each connection, and then closes; None for never a word.
    """

    def __init__(self, *says):
        self.says = list(says)
        self.asked = []
        """Request lines and headers, by lower-case name."""
        super().__init__(ProxyHandler)

    @property
    def lines(self):
        return [line for line, _ in self.asked]


class ProxyHandler(BaseHTTPRequestHandler):
    """One connection of a proxy."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def parse_request(self):
        if not super().parse_request():
            return False
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.requestline, headers))
        if not self.server.says:
            return True
        said = self.server.says.pop(0)
        if said is None:
            self.rfile.read()  # until the other side has had enough
        else:
            self.connection.sendall(said)
            self.rfile.read(int(headers.get("content-length", 0)))
        self.close_connection = True
        return False

    def do_CONNECT(self):
        port = int(self.path.rpartition(":")[2])
        try:
            target = socket.create_connection(("127.0.0.1", port), DEADLINE)
        except OSError:
            self.send_error(502)
            return
        self.connection.sendall(b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n")
        back = threading.Thread(target=pump, args=(target, self.connection), daemon=True)
        back.start()
        with target:
            pump(self.connection, target)
            back.join()
        self.close_connection = True

    def do_POST(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        passed = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        passed["Host"] = url.netloc
        target = f"{url.path}?{url.query}" if url.query else url.path
        with closing(http.client.HTTPConnection("127.0.0.1", url.port, timeout=DEADLINE)) as connection:
            connection.request(self.command, target, body or None, passed)
            answer = connection.getresponse()
            said = answer.read()
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in HOP_BY_HOP]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.connection.sendall(f"HTTP/1.1 {answer.status} {answer.reason}\r\n{lines}\r\n".encode() + said)

    do_GET = do_POST

    def log_message(self, *about):
        pass


def pump(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class Target(Served):
    """A receiver that answers every request with a status, and remembers what it got.

    Args:
        context: for TLS.
    """

    def __init__(self, status=200, context=None):
        self.status = status
        self.got = []
        """Method and path, headers by lower-case name, body."""
        self._context = context
        super().__init__(TargetHandler)

    def url(self, host="target.example"):
        return f"{'https' if self._context else 'http'}://{host}:{self.port}/hook?x=1"

    def finish_request(self, request, address):
        if self._context is not None:
            with self._context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, address)
            return
        super().finish_request(request, address)


class TargetHandler(BaseHTTPRequestHandler):
    """One connection of a receiver."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((f"{self.command} {self.path}", headers, body))
        said = b"ok"
        if "hub.challenge=" in self.path:
            said = self.path.partition("hub.challenge=")[2].partition("&")[0].encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST

    def log_message(self, *about):
        pass


def certificate(folder, name):
    """Make a certificate for a name; returns a server's context, and the file to trust."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split()
    command += ["-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
