"""A WebSocket that echoes: Hookbox's own door, codec, transport and outbox, with nothing behind them.

python echo_server.py '{"any setting": "its value"}'

Prints its port; log lines go to standard error; ends when standard input does.
"""

# ruff: noqa: E402

from gevent import monkey

monkey.patch_all()

import json
import logging
import sys
import time

import gevent
from gevent import get_hub
from gevent.fileobject import FileObject
from websockets.frames import Frame, Opcode

from hookbox.clock import SystemClock
from hookbox.greenlets import run_later
from hookbox.protocol.websocket import Codecs, ServerProtocol
from hookbox.settings import Settings
from hookbox.transports.outbox import Flusher
from hookbox.transports.websocket import WebSocket
from hookbox.web.admission import Admission
from hookbox.web.http import HttpServer
from hookbox.web.listen import listen


class Binary(bytes):
    """A message that came as binary, and is to go so."""


class EchoCodec(ServerProtocol):
    """Hookbox's codec, that also tells binary messages from text.

    Hookbox reads binary messages as text, so they have to be UTF-8. An echo takes any bytes: here each byte
    of a binary message passes the codec as the character of that number.
    """

    binary = False

    def _item(self, frame):
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.binary = frame.opcode is Opcode.BINARY
        if not self.binary or frame.opcode not in (Opcode.BINARY, Opcode.CONT):
            return super()._item(frame)
        characters = bytes(frame.data).decode("latin-1")
        item = super()._item(Frame(frame.opcode, characters.encode(), frame.fin))
        return None if item is None else Binary(item.decode().encode("latin-1"))


class EchoCodecs(Codecs):
    """Lends such codecs."""

    def take(self):
        return self._idle.pop() if self._idle else EchoCodec(self._max_message, self._max_fragments)


class Echo:
    """A `Road` back to where it came from; always connected."""

    connected = True

    def __init__(self, outbox):
        self.outbox = outbox

    def feed(self, data):
        opcode = Opcode.BINARY if isinstance(data, Binary) else Opcode.TEXT
        self.outbox.put(Frame(opcode, data).serialize(mask=False))

    def farewell(self, why):
        pass

    def gone(self):
        pass


class EchoServer:
    """Accepts WebSockets at any path for them; its settings are theirs."""

    def __init__(self, settings):
        self.settings = settings
        self.clock = SystemClock()
        loop = get_hub().loop
        self.flusher = Flusher(loop.run_callback, run_later, self.clock.monotonic, settings.outbox_total)
        self.codecs = EchoCodecs(settings.max_message, settings.max_fragments)
        self.open = set()
        self.admission = Admission(1000, 0, 0, time.monotonic)

    def start(self):
        listener = listen("127.0.0.1", 0)
        nothing = [b"only WebSockets here"]
        door = HttpServer(
            listener,
            lambda environ, start: start("404 Not Found", [("Content-Type", "text/plain")]) and nothing,
            settings=self.settings,
            admission=self.admission,
            on_websocket=self.accept,
        )
        door.start()
        gevent.spawn(self.pulse)
        return listener.getsockname()[1]

    def accept(self, upgrade):
        websocket = WebSocket(upgrade.sock, self.flusher, self.codecs, self, self.clock)
        websocket.road = Echo(websocket.outbox)
        self.open.add(websocket)
        gevent.spawn(self.serve, websocket, upgrade)

    def serve(self, websocket, upgrade):
        try:
            websocket.serve(upgrade.leftover)
        finally:
            self.open.discard(websocket)
            self.admission.leave(upgrade.peer)

    def pulse(self):
        while True:
            for websocket in list(self.open):
                websocket.check(self.clock.monotonic())
            gevent.sleep(1)


def main():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    print(EchoServer(Settings(**json.loads(sys.argv[1]))).start(), flush=True)
    FileObject(sys.stdin.buffer).read()


if __name__ == "__main__":
    main()
