"""A WebSocket by hand: what was answered to the handshake, whatever it was, and frames.

Source: RFC 6455 sections 4.1 (handshake) and 5.2 (frames).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Final

from hookbox.core.values import JSON, JSONObject
from hookbox.protocol.json_text import load
from hookbox.tool.doctor.case import Case
from hookbox.tool.wire import AGENT, Answer, dial

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MOST_HEAD: Final = 64 * 1024
MOST_FRAME: Final = 1024 * 1024
MOST_BODY: Final = 4096


class Ended(OSError):
    """The other side ended the connection.

    Args:
        code: of the close frame, 0 without one.
        reason: its text.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".strip() if code else "closed without a word")
        self.code = code


class NotUpgraded(Exception):
    """Something else was answered to the handshake."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.told)
        self.answer = answer


class SocketLine:
    """One WebSocket.

    Args:
        headers: further ones of the handshake.

    Raises:
        NotUpgraded: something else than 101 was answered.
        OSError: no connection, or no answer.
    """

    def __init__(self, case: Case, headers: Mapping[str, str] | None = None) -> None:
        self.sock = dial(case.place, case.cacert, case.timeout)
        self._rest = bytearray()
        self._sent = 0
        self._lines = ""
        self._timeout = case.timeout
        try:
            self._shake_hands(case, headers or {})
        except BaseException:
            self.sock.close()
            raise

    @property
    def addresses(self) -> tuple[str, str]:
        """Ours, and that of the other side."""
        return str(self.sock.getsockname()[0]), str(self.sock.getpeername()[0])

    def send(self, name: str, args: JSONObject) -> None:
        """Send a frame of Hookbox's."""
        self._sent += 1
        self._send_frame(TEXT, (json.dumps([self._sent, name, args]) + "\r\n").encode())

    def next(self, timeout: float) -> list[JSON]:
        """The next frame of Hookbox's; pings are answered meanwhile.

        Raises:
            TimeoutError: none came in time.
            Ended: the connection did.
        """
        until = time.monotonic() + timeout
        while "\r\n" not in self._lines:
            opcode, payload = self._frame(until)
            if opcode == TEXT:
                self._lines += payload.decode("utf-8", "replace")
        line, _, self._lines = self._lines.partition("\r\n")
        value = load(line)
        return value if isinstance(value, list) else [value]

    def stay_silent(self, seconds: float) -> float:
        """Send nothing but answers to pings for so long; returns how long that went well.

        Raises:
            Ended: the other side said goodbye.
        """
        began = time.monotonic()
        try:
            while True:
                self._frame(began + seconds)
        except TimeoutError:
            return seconds
        except Ended as end:
            if end.code:
                raise
        except OSError:
            pass
        return time.monotonic() - began

    def close(self) -> None:
        """Say goodbye."""
        try:
            self._send_frame(CLOSE, (1000).to_bytes(2, "big"))
        except OSError:
            pass
        self.sock.close()

    def _shake_hands(self, case: Case, headers: Mapping[str, str]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {
            "Host": case.place.authority,
            "User-Agent": AGENT,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.sock.sendall(f"GET {case.place.path}/ws HTTP/1.1\r\n{head}\r\n".encode())
        began = time.monotonic()
        answer = self._read_head(began)
        if answer.status != 101:
            raise NotUpgraded(answer)
        accept = base64.b64encode(hashlib.sha1(key.encode() + GUID, usedforsecurity=False).digest()).decode()
        if answer.header("sec-websocket-accept") != accept:
            raise NotUpgraded(answer)

    def _read_head(self, began: float) -> Answer:
        until = began + self._timeout
        while b"\r\n\r\n" not in self._rest:
            if len(self._rest) > MOST_HEAD:
                raise OSError("an endless head")
            self._receive(until)
        raw, _, rest = bytes(self._rest).partition(b"\r\n\r\n")
        self._rest = bytearray(rest)
        first, *lines = raw.decode("latin-1").split("\r\n")
        version, _, status_line = first.partition(" ")
        status, _, reason = status_line.partition(" ")
        if not version.startswith("HTTP/") or not status.isdecimal():
            raise OSError("what answers does not speak HTTP")
        pairs = tuple((name.strip(), value.strip()) for name, _, value in (x.partition(":") for x in lines))
        sizes = [value for name, value in pairs if name.lower() == "content-length" and value.isdecimal()]
        body = b"" if status == "101" else self._body(until, int(next(iter(sizes), MOST_BODY)))
        number = 10 if version == "HTTP/1.0" else 11
        return Answer(int(status), reason, pairs, body, time.monotonic() - began, number)

    def _body(self, until: float, size: int) -> bytes:
        """The beginning of a body, as far as it comes soon: enough to tell who speaks."""
        soon = min(until, time.monotonic() + 1.0)
        try:
            while len(self._rest) < min(size, MOST_BODY):
                self._receive(soon)
        except OSError:
            pass
        return bytes(self._rest[:MOST_BODY])

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | opcode, 0x80 | size])
        else:
            head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
        self.sock.settimeout(self._timeout)
        self.sock.sendall(head + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)))

    def _frame(self, until: float) -> tuple[int, bytes]:
        first, second = self._exactly(2, until)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self._exactly(2, until), "big")
        elif size == 127:
            size = int.from_bytes(self._exactly(8, until), "big")
        if size > MOST_FRAME:
            raise OSError("a frame that Hookbox would not send")
        payload = self._exactly(size, until)
        opcode = first & 0x0F
        if opcode == PING:
            self._send_frame(PONG, payload)
        elif opcode == CLOSE:
            raise Ended(int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace"))
        return opcode, payload

    def _exactly(self, size: int, until: float) -> bytes:
        while len(self._rest) < size:
            self._receive(until)
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    def _receive(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65_536)
        except TimeoutError:
            raise
        except OSError as error:
            raise Ended(0, "") from error
        if not data:
            raise Ended(0, "")
        self._rest += data
