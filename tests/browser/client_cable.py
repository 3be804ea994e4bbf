"""A TCP proxy between browser and server that does what networks and other people's proxies do."""

import socket
import threading


class Cable:
    """Forwards one port to another.

    `refuse_upgrades`: answer WebSocket upgrades with 403, as a proxy that knows none.
    `hold_streams`: pass on a streamed comet answer only when it is complete, as a proxy that buffers.
    """

    def __init__(self, target):
        self.target = target
        self.refuse_upgrades = False
        self.hold_streams = False
        self.upgrades = 0
        self.polls = []  # the query of each comet request
        self._flowing = threading.Event()
        self._flowing.set()
        self._down = False
        self._lines = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def cut(self):
        """Cut what is connected, and let nobody connect until `mend`."""
        self._down = True
        for line in list(self._lines):
            line.close()

    def mend(self):
        self._down = False

    def freeze(self):
        """Say nothing more in either direction, and close nothing."""
        self._flowing.clear()

    def thaw(self):
        self._flowing.set()

    def stop(self):
        self._flowing.set()
        self._listener.close()
        self.cut()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._down:
                client.close()
            else:
                _Line(self, client)


class _Line:
    """One connection through the cable."""

    def __init__(self, cable, client):
        self.cable = cable
        self.client = client
        self.holding = False
        self.held = b""
        try:
            self.server = socket.create_connection(("127.0.0.1", cable.target))
        except OSError:
            client.close()
            return
        cable._lines.add(self)
        threading.Thread(target=self.pump, args=(client, self.server, self.outward), daemon=True).start()
        threading.Thread(target=self.pump, args=(self.server, client, self.inward), daemon=True).start()

    def pump(self, source, sink, look):
        try:
            while data := source.recv(65536):
                self.cable._flowing.wait()
                if data := look(data):
                    sink.sendall(data)
        except OSError:
            pass
        self.close()

    def outward(self, data):
        """Look at what the browser sends; it puts each request's head into one segment."""
        head = data.split(b"\r\n", 1)[0]
        if b"\r\nUpgrade: websocket" in data:
            self.cable.upgrades += 1
            if self.cable.refuse_upgrades:
                self.client.sendall(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                raise OSError("refused")
        elif b"/comet?" in head:
            self.cable.polls.append(head.decode())
            self.holding = self.cable.hold_streams and b"is=1" in head
        return data

    def inward(self, data):
        if not self.holding:
            return data
        self.held += data
        if not self.held.endswith(b"\r\n0\r\n\r\n"):
            return b""
        self.holding = False
        data, self.held = self.held, b""
        return data

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self.cable._lines.discard(self)
