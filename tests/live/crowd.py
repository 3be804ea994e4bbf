"""Very many WebSocket clients in one thread: each keeps the offsets it got, its acknowledgements and its end."""

from __future__ import annotations

import base64
import json
import os
import resource
import selectors
import socket
import threading
import time

from raw import HANDSHAKE, client_frame, line

from hookbox.testing import DEADLINE

TOGETHER = 20
"""How many connect at a time."""


class Member:
    """One client, subscribed to one channel."""

    def __init__(self, sock):
        self.socket = sock
        self.data = b""
        self.upgraded = False
        self.subscribed = False
        self.offsets = []
        self.acks = set()
        self.goodbye = None  # the arguments of CLOSE
        self.told_at = 0.0
        self.code = None
        self.ended = False

    def take(self, data):
        """Handle bytes; says what to answer."""
        self.data += data
        if not self.upgraded:
            if b"\r\n\r\n" not in self.data:
                return b""
            assert self.data.startswith(b"HTTP/1.1 101 "), self.data[:200]
            self.data = self.data.partition(b"\r\n\r\n")[2]
            self.upgraded = True
        answer = b""
        while frame := self._frame():
            opcode, payload = frame
            if opcode == 8:
                self.code = int.from_bytes(payload[:2], "big")
                answer += client_frame(8, payload)
            elif opcode == 1:
                for text in payload.decode().split("\r\n"):
                    if text:
                        self._line(*json.loads(text)[1:])
        return answer

    def _frame(self):
        if len(self.data) < 2:
            return None
        size, at = self.data[1] & 0x7F, 2
        if size > 125:
            at = 4 if size == 126 else 10
            if len(self.data) < at:
                return None
            size = int.from_bytes(self.data[2:at], "big")
        if len(self.data) < at + size:
            return None
        frame = self.data[0] & 0x0F, self.data[at : at + size]
        self.data = self.data[at + size :]
        return frame

    def _line(self, name, args):
        if name == "PUBLISH":
            assert self.goodbye is None, "nothing comes behind the goodbye"
            self.offsets.append(args["offset"])
        elif name == "SUBSCRIBE" and "presence" in args:
            self.subscribed = True
        elif name == "ACK":
            self.acks.add(args["id"])
        elif name == "CLOSE":
            self.goodbye, self.told_at = args, time.monotonic()
        elif name == "ERROR":
            raise AssertionError(args)


class Crowd:
    """Connects, some at a time so that the application can follow, and listens in a thread of its own.

    Args:
        port: of the server.
        channels: by member, in order.
    """

    def __init__(self, port, channels):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.faults = []
        self._selector = selectors.DefaultSelector()
        self.members = []
        self._over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        for number, channel in enumerate(channels):
            self.members.append(self._arrive(port, number, channel))
            if number % TOGETHER == 0:
                self.wait(lambda member: member.subscribed and 2 in member.acks, 4 * DEADLINE)

    def _arrive(self, port, number, channel):
        member = Member(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE))
        key = base64.b64encode(os.urandom(16)).decode()
        head = HANDSHAKE.format(path="/ws", port=port, key=key, more="").encode()
        hello = line(1, "CONNECT", cookie_string="", payload=f'"u{number}"', features=["ack", "close"])
        member.socket.sendall(head + hello + line(2, "SUBSCRIBE", channel_name=channel))
        self._selector.register(member.socket, selectors.EVENT_READ, member)
        return member

    def _listen(self):
        try:
            while not self._over:
                for key, _ in self._selector.select(0.1):
                    self._hear(key.data)
        except Exception as error:
            self.faults.append(repr(error))

    def _hear(self, member):
        try:
            data = member.socket.recv(65_536)
            if data:
                if answer := member.take(data):
                    member.socket.sendall(answer)
                return
        except OSError as error:
            self.faults.append(repr(error))
        self._selector.unregister(member.socket)
        member.socket.close()
        member.ended = True

    def wait(self, check, seconds):
        """Wait until something is true of every member."""
        until = time.monotonic() + seconds
        while not all(map(check, self.members)):
            assert not self.faults, self.faults
            assert time.monotonic() < until, f"not so of {sum(not check(m) for m in self.members)}"
            time.sleep(0.02)

    def close(self):
        self._over = True
        self._thread.join(DEADLINE)
        for member in self.members:
            member.socket.close()
        self._selector.close()
