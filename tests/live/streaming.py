"""Clients of /stream on raw sockets: nothing between them and what the server sends."""

import json
import socket
import struct
import urllib.parse

from hookbox.testing import DEADLINE

AUTHORIZED = "Authorization: Bearer test-token\r\n"


class Stream:
    """One request, and what comes back.

    Args:
        port: of the server.
        fields: of the query; a list repeats one.
        headers: further header lines.
        token: whether to show the API token.
        receive_buffer: of the kernel, None for its default.
    """

    def __init__(
        self, port, *, path="/stream", method="GET", headers="", token=True, version="1.1", body=b"",
        receive_buffer=None, **fields
    ):  # fmt: skip
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", port))
        query = urllib.parse.urlencode(fields, doseq=True)
        head = f"{method} {path}?{query} HTTP/{version}\r\nHost: 127.0.0.1:{port}\r\n{headers}"
        if token:
            head += AUTHORIZED
        if body:
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        self.socket.sendall(head.encode() + b"\r\n" + body)
        self._data = b""
        self.chunks = []
        """Pieces of the body, one for each chunk."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def _more(self):
        data = self.socket.recv(262_144)
        if not data:
            raise EOFError
        self._data += data

    def _until(self, end):
        while end not in self._data:
            self._more()
        taken, _, self._data = self._data.partition(end)
        return taken

    def chunk(self):
        """The next chunk; empty at the end."""
        size = int(self._until(b"\r\n"), 16)
        while len(self._data) < size + 2:
            self._more()
        piece, self._data = self._data[:size], self._data[size + 2 :]
        self.chunks.append(piece)
        return piece

    def rest(self):
        """All of the body that still comes."""
        pieces = []
        if "transfer-encoding" in self.headers:
            while piece := self.chunk():
                pieces.append(piece)
            return b"".join(pieces)
        while "content-length" not in self.headers or len(self._data) < int(self.headers["content-length"]):
            try:
                self._more()
            except EOFError:
                break
        return self._data

    def unit(self):
        """The next unit of a stream of JSON; signs of life before it are dropped."""
        while not (piece := self.chunk()).strip():
            if not piece:
                raise EOFError
        return json.loads(piece)

    def units(self, count):
        return [self.unit() for _ in range(count)]

    def event(self):
        """The next Server-Sent Event, as its fields; what holds none is dropped."""
        while True:
            piece = self.chunk()
            if not piece:
                raise EOFError
            fields = dict(
                line.split(": ", 1) for line in piece.decode().split("\n") if line and line[0] != ":"
            )
            if fields:
                return fields

    def reset(self):
        """End it by a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Publisher:
    """Publishes over one connection that stays."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._file = self.socket.makefile("rb")

    def publish(self, topic, payload):
        body = json.dumps({"channel_name": topic, "payload": payload}).encode()
        self.socket.sendall(
            b"POST /web/publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + AUTHORIZED.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
        )  # fmt: skip
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        done, result = json.loads(self._file.read(length))
        assert done, result
        return result

    def close(self):
        self._file.close()
        self.socket.close()
