"""Many clients in one thread: plain sockets that are read whenever there is something to read."""

from __future__ import annotations

import json
import selectors
import time

from raw import Raw, client_frame, line

from hookbox.testing import DEADLINE


class Member:
    """One client, which notes what it is told.

    Args:
        crowd: who reads for it.
        name: of its user.
        features: asked for in CONNECT.
    """

    def __init__(self, crowd, name, features=("ack",)):
        self.crowd = crowd
        self.name = name
        self.sent = 0
        self.open = True
        self.presence = {}
        """By channel it is subscribed to: the users on it, as its frames say."""
        self.offsets = {}
        """By channel: the offset of the last publication."""
        self.heard = []
        """Payloads of publications, in order."""
        self.answers = {}
        """By the id of what it sent: the code of the ERROR, or None for an ACK."""
        self.connected = False
        self.on_answer = lambda frame_id, code: None
        self._data = b""
        self.raw = Raw(crowd.port)
        self.raw.socket.setblocking(False)
        crowd.selector.register(self.raw.socket, selectors.EVENT_READ, self)
        self.send("CONNECT", cookie_string="", payload=json.dumps(name), features=list(features))

    def send(self, frame, **args):
        """Send a frame; returns its id."""
        self.sent += 1
        self.send_bytes(line(self.sent, frame, **args))
        return self.sent

    def send_bytes(self, data):
        try:
            self.raw.socket.sendall(data)
        except BlockingIOError:
            raise AssertionError("the server does not read") from None
        except OSError:
            self.leave()

    def leave(self):
        """Go without a word."""
        if self.open:
            self.open = False
            self.crowd.selector.unregister(self.raw.socket)
            self.raw.socket.close()

    def read(self):
        try:
            piece = self.raw.socket.recv(1_000_000)
        except OSError:
            piece = b""
        if not piece:
            self.leave()
            return
        self._data += self.raw._data + piece  # what came with the handshake first
        self.raw._data = b""
        while (frame := self._cut()) is not None:
            opcode, payload = frame
            if opcode == 8:
                self.leave()
                return
            if opcode == 9:
                self.send_bytes(client_frame(10, payload))
            elif opcode == 1:
                for text_line in payload.split(b"\r\n"):
                    if text_line:
                        self._hear(*json.loads(text_line))

    def _cut(self):
        data = self._data
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        if len(data) < at + size:
            return None
        self._data = data[at + size :]
        return data[0] & 0x0F, data[at : at + size]

    def _hear(self, _number, name, args):
        channel = args.get("channel_name")
        match name:
            case "CONNECTED":
                self.connected = True
            case "ACK" | "ERROR":
                self.answers[args["id"]] = args.get("code")
                self.on_answer(args["id"], args.get("code"))
            case "SUBSCRIBE" if args["user"] == self.name:
                self.presence[channel] = list(args["presence"])
                self.offsets[channel] = args["offset"]
            case "SUBSCRIBE":
                assert args["user"] not in self.presence[channel], "nobody comes twice"
                self.presence[channel].append(args["user"])
            case "UNSUBSCRIBE" if args["user"] == self.name:
                del self.presence[channel], self.offsets[channel]
            case "UNSUBSCRIBE":
                self.presence[channel].remove(args["user"])
            case "PUBLISH":
                assert args["offset"] == self.offsets[channel] + 1, "no gap, no repeat"
                self.offsets[channel] += 1
                self.heard.append(args["payload"])


class Crowd:
    """Members of one server.

    Args:
        port: of the server.
    """

    def __init__(self, port):
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.members = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for member in self.members:
            member.leave()
        self.selector.close()

    def come(self, name, **how):
        """One more member; what it is answered comes later."""
        member = Member(self, name, **how)
        self.members.append(member)
        return member

    @property
    def present(self):
        return [member for member in self.members if member.open]

    def read(self, seconds=0.0):
        """Read what there is, waiting up to some seconds for the first."""
        for key, _ in self.selector.select(seconds) if self.selector.get_map() else ():
            if key.data.open:
                key.data.read()

    def read_until(self, done, seconds=DEADLINE, what="it did not come true in time"):
        """Read until something holds."""
        until = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < until, what
            self.read(0.02)
