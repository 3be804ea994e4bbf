"""A comet client by hand: raw requests, whose answers are read when the test wants them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from gevent import Timeout, socket

PATIENCE = 10.0


@dataclass
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return {key.lower(): value for key, value in self.headers}.get(name.lower())


class Request:
    """A request that has been sent."""

    def __init__(
        self, port: int, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ):
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        given = dict(headers or {})
        if method == "POST":
            given.setdefault("Content-Type", "text/plain")
            given.setdefault("Content-Length", str(len(body)))
        lines += [f"{name}: {value}" for name, value in given.items()]
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        self._file = self.sock.makefile("rb")

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        status = int(self._file.readline().split()[1])
        headers = []
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(": ")
            headers.append((name, value))
        return status, headers

    def chunk(self) -> bytes:
        """The next chunk of a chunked answer, empty at its end."""
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        self._file.readline()
        return data

    def reply(self) -> Reply:
        with Timeout(PATIENCE):
            status, headers = self.head()
            names = {name.lower(): value for name, value in headers}
            if names.get("transfer-encoding") == "chunked":
                body = b"".join(iter(self.chunk, b""))
            else:
                body = self._file.read(int(names.get("content-length", 0)))
        self.close()
        return Reply(status, headers, body)

    def some(self, size: int) -> bytes:
        """The first bytes of the answer as they come, head and framing included; then the connection is cut."""
        with Timeout(PATIENCE):
            data = self._file.read(size)
        self.close()
        return data

    def close(self) -> None:
        self._file.close()
        self.sock.close()


class Comet:
    """What the original client does, a call at a time.

    Args:
        base: where comet is, e.g. `/csp`.
        query: variables of the handshake.
    """

    def __init__(
        self,
        port: int,
        base: str = "/csp",
        query: str = "ct=application%2Fjavascript",
        headers: dict[str, str] | None = None,
    ):
        self.port, self.base, self.headers = port, base, headers or {}
        self.received = 0
        self.sent = 0
        self.frame_id = 0
        self.unread: list[list] = []
        self.stream = b""
        self.ended = False
        self.key = ""
        answer = self.post("handshake", query, b"{}").reply()
        assert answer.status == 200, answer
        self.key = evaluate(answer.body)["session"]

    def post(self, action: str, query: str = "", body: bytes = b"", **headers: str) -> Request:
        target = f"{self.base}/{action}"
        if self.key:
            query = f"s={self.key}&a={self.received}" + ("&" + query if query else "")
        return Request(self.port, "POST", f"{target}?{query}", body, {**self.headers, **headers})

    def packet(self, data: bytes) -> bytes:
        self.sent += 1
        text = base64.urlsafe_b64encode(data).decode().rstrip("=")
        return json.dumps([[self.sent, 1, text]], separators=(",", ":")).encode()

    def send(self, name: str, **args) -> None:
        self.frame_id += 1
        line = json.dumps([self.frame_id, name, args], ensure_ascii=False, separators=(",", ":")) + "\r\n"
        answer = self.post("send", "", self.packet(line.encode())).reply()
        assert (answer.status, answer.body) == (200, b'("OK")'), answer

    def begin(self, query: str = "") -> Request:
        """A comet request, held until there is something."""
        return self.post("comet", query)

    def finish(self, request: Request) -> list:
        """Take the packets of a comet request's answer."""
        answer = request.reply()
        assert answer.status == 200, answer
        packets = evaluate(answer.body)
        self.take(packets)
        return packets

    def take(self, packets: list) -> None:
        for packet_id, encoding, data in packets:
            if packet_id <= self.received:
                continue
            assert packet_id == self.received + 1, f"packet {packet_id} after {self.received}"
            self.received = packet_id
            if data is None:
                self.ended = True
                continue
            assert len(data) <= 4 * 32_768 / 3 + 4
            self.stream += base64.urlsafe_b64decode(data) if encoding else data.encode()
        *lines, self.stream = self.stream.split(b"\r\n")
        assert all(line.isascii() for line in lines)
        self.unread += [json.loads(line) for line in lines]

    def frame(self, name: str = "") -> list:
        """The next frame, of a name if one is given."""
        while True:
            while self.unread:
                frame = self.unread.pop(0)
                if name in ("", frame[1]):
                    return frame
            assert not self.ended, f"the session ended before a frame {name}"
            self.finish(self.begin())

    def connect(self, cookie_string: str = "", **args) -> dict:
        self.send("CONNECT", cookie_string=cookie_string, **args)
        return self.frame("CONNECTED")[2]


def evaluate(body: bytes):
    """What the original client makes of an answer."""
    text = body.decode("ascii")
    assert text[0] + text[-1] == "()", text
    return json.loads(text[1:-1])
