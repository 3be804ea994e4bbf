"""A WebSocket spoken by hand over a plain socket, for what no client library would send."""

from __future__ import annotations

import base64
import json
import os
import selectors
import socket
import struct
import time

from client_frames import client_frame, close, text

from hookbox.testing import DEADLINE

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
)


def line(frame_id, name, **args):
    """A Hookbox frame in one text frame."""
    return text(json.dumps([frame_id, name, args]) + "\r\n")


CONNECT = line(1, "CONNECT", cookie_string="", payload='"ann"')


class Raw:
    """A socket to the server, upgraded.

    Args:
        port: of the server.
        first: bytes that go in one segment with the handshake.
        receive_buffer: size of the kernel's receive buffer, None for its default.
        more: further header lines.
    """

    def __init__(self, port, first=b"", *, receive_buffer=None, more="", path="/ws"):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        head = HANDSHAKE.format(path=path, port=port, key=key, more=more)
        self.socket.sendall(head.encode() + first)
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            self._data += self._more()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            self.socket.close()
            raise AssertionError(head)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def flood(self, data, *, seconds=DEADLINE, read=True):
        """Send as much of some bytes as the server takes; an end from its side is no error."""
        self.socket.setblocking(False)
        until, at = time.monotonic() + seconds, 0
        selector = selectors.DefaultSelector()
        selector.register(self.socket, selectors.EVENT_WRITE | (selectors.EVENT_READ if read else 0))
        try:
            while at < len(data) and time.monotonic() < until:
                for _, events in selector.select(0.1):
                    if events & selectors.EVENT_READ:
                        piece = self.socket.recv(65_536)
                        if not piece:
                            return at
                        self._data += piece
                    if events & selectors.EVENT_WRITE:
                        at += self.socket.send(data[at : at + 65_536])
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            selector.close()
            self.socket.settimeout(DEADLINE)
        return at

    def _more(self):
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError
        return data

    def _take(self, count):
        while len(self._data) < count:
            self._data += self._more()
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def next(self):
        """The next frame: opcode and payload.

        Raises:
            EOFError, ConnectionResetError: the server has closed TCP.
            TimeoutError: nothing within the deadline.
        """
        first, second = self._take(2)
        assert first & 0x80, "the server fragments nothing"
        assert not first & 0x70, "no extension was agreed on"
        assert not second & 0x80, "a server masks nothing"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
            assert size > 125
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
            assert size > 65_535
        return first & 0x0F, self._take(size)

    def next_line(self):
        """The next Hookbox frame; pings and pongs before it are dropped."""
        opcode = 9
        while opcode in (9, 10):
            opcode, payload = self.next()
        assert opcode == 1, (opcode, payload)
        assert payload.isascii()
        assert payload.endswith(b"\r\n")
        return json.loads(payload)

    def ending(self):
        """How the server ended it: the frames before, the close frame's code (None: without) and reason.

        The close frame is answered, as every client does.

        Raises:
            AssertionError: it sent something behind its close frame.
        """
        before = []
        while True:
            opcode, payload = self.next()
            if opcode != 8:
                before.append((opcode, payload))
                continue
            try:
                self.socket.send(client_frame(8, payload))
                late = self.next()
            except (EOFError, ConnectionError):
                code = int.from_bytes(payload[:2], "big") if payload else None
                return before, code, payload[2:].decode()
            raise AssertionError(f"behind the close frame: {late}")

    def close_code(self):
        return self.ending()[1]

    def eof_within(self, seconds):
        """Whether the server closes TCP in that time; what it still sends is dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            pass
        return True

    def reset(self):
        """End it by a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


__all__ = ["CONNECT", "Raw", "client_frame", "close", "line", "text"]
