"""The proxy offered for tests: each of its verbs, over real sockets."""

import asyncio
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from conftest import eventually

from hookbox.testing import DEADLINE, FaultProxy, HookboxProcess, Way


class Echo:
    """A server that sends back what it gets, and says goodbye when its client has no more to say."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.ended = []  # how each connection ended: "said all" or "reset"
        self.pieces = []
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        starting = asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=4096)
        self.server = asyncio.run_coroutine_threadsafe(starting, self.loop).result(DEADLINE)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            while data := await reader.read(65_536):
                self.pieces.append(data)
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
            self.ended.append("said all")
        except ConnectionError:
            self.ended.append("reset")
        writer.close()


    def stop(self):
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            self.loop.call_soon_threadsafe(task.cancel)
        self.loop.call_soon_threadsafe(self.loop.call_later, 0.05, self.loop.stop)
        self.thread.join(DEADLINE)
        self.loop.close()


@pytest.fixture(scope="module")
def echo():
    echo = Echo()
    yield echo
    echo.stop()


@pytest.fixture
def proxy(echo):
    echo.pieces.clear()
    echo.ended.clear()
    with FaultProxy(echo.port) as proxy:
        yield proxy


@contextmanager
def through(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def receive(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, f"it ended after {data!r}"
        data += more
    return data


def ask(sock, data=b"hello"):
    sock.sendall(data)
    return receive(sock, len(data))


def silent(sock, seconds=0.1):
    """Whether nothing comes for a while."""
    sock.settimeout(seconds)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(DEADLINE)
    return False


def test_without_faults_everything_passes_both_ways(proxy):
    much = bytes(range(256)) * 40_000
    with through(proxy) as sock:
        sender = threading.Thread(target=sock.sendall, args=(much,))
        sender.start()
        assert receive(sock, len(much)) == much
        sender.join()
        assert (proxy.connections, proxy.accepted) == (1, 1)
    eventually(lambda: proxy.connections == 0)


def test_the_end_of_one_direction_passes_and_the_other_goes_on(proxy, echo):
    with through(proxy) as sock:
        ask(sock)
        sock.shutdown(socket.SHUT_WR)
        assert receive(sock, 3) == b"bye"
        assert sock.recv(1) == b""
    assert echo.ended == ["said all"]


def test_latency_delays_and_keeps_the_order_and_does_not_throttle(proxy):
    with through(proxy) as sock:
        proxy.latency(0.2, jitter=0.05, way=Way.TO_SERVER)
        began = time.monotonic()
        pieces = [b"%02d" % n for n in range(30)]
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(0.005)
        assert receive(sock, 60) == b"".join(pieces)
        assert time.monotonic() - began > 0.2
        assert time.monotonic() - began < 30 * 0.2, "one after the other it would take this long"


def test_throttle_lets_so_many_bytes_through_a_second(proxy):
    with through(proxy) as sock:
        proxy.throttle(1000, Way.TO_SERVER)
        began = time.monotonic()
        ask(sock, b"x" * 500)
        assert time.monotonic() - began > 0.4
        proxy.throttle(None)
        ask(sock, b"x" * 5000)
    with pytest.raises(ValueError, match="freeze"):
        proxy.throttle(0)


def test_slice_passes_small_pieces(proxy, echo):
    proxy.slice(1, Way.TO_SERVER)
    with through(proxy) as sock:
        assert ask(sock, b"abcdefgh" * 20) == b"abcdefgh" * 20
    assert len(echo.pieces) > 20


@pytest.mark.parametrize("way", Way)
def test_freeze_holds_everything_and_thaw_brings_it(proxy, way):
    with through(proxy) as old:
        ask(old)
        proxy.freeze(way)
        with through(proxy) as new:
            for sock in (old, new):
                sock.sendall(b"held")
                assert silent(sock)
            proxy.thaw(way)
            for sock in (old, new):
                assert receive(sock, 4) == b"held"


def test_a_frozen_direction_holds_the_end_of_the_connection_too(proxy, echo):
    with through(proxy) as sock:
        ask(sock)
        proxy.freeze()
    time.sleep(0.05)
    assert (proxy.connections, echo.ended) == (1, [])
    proxy.thaw()
    eventually(lambda: echo.ended)


def test_a_client_that_is_gone_is_not_noticed_through_a_frozen_direction(proxy, echo):
    with through(proxy) as sock:
        proxy.freeze(Way.TO_SERVER)
        sock.sendall(b"x")
    time.sleep(0.05)
    assert (proxy.connections, echo.ended) == (1, [])
    proxy.pass_()
    eventually(lambda: echo.ended)


def test_limit_cuts_after_so_many_bytes(proxy):
    with through(proxy) as old:
        ask(old, b"before")
        proxy.limit(3)
        with through(proxy) as new:
            for sock in (old, new):
                sock.sendall(b"hello")
                assert receive(sock, 3) == b"hel"
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
    proxy.limit(None)
    with through(proxy) as sock:
        ask(sock)


def test_half_close_ends_one_direction_only(proxy):
    with through(proxy) as sock:
        ask(sock)
        proxy.half_close()
        assert receive(sock, 3) == b"bye"


def test_reset_resets_both_ends_and_lets_new_ones_through(proxy, echo):
    with through(proxy) as one, through(proxy) as two:
        for sock in (one, two):
            ask(sock)
        proxy.reset()
        assert proxy.connections == 0
        for sock in (one, two):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        eventually(lambda: echo.ended == ["reset", "reset"])
        with through(proxy) as sock:
            ask(sock)


def test_down_refuses_and_keeps_what_is_there_and_up_accepts_again(proxy):
    with through(proxy) as old:
        ask(old)
        proxy.down()
        proxy.down()
        with pytest.raises(ConnectionRefusedError), through(proxy):
            pass
        ask(old)
        proxy.up()
        proxy.up()
        with through(proxy) as new:
            ask(new)


def test_pass_ends_every_fault(proxy):
    with through(proxy) as sock:
        proxy.latency(60)
        proxy.throttle(0.001)
        proxy.slice(1)
        proxy.limit(1)
        proxy.freeze()
        proxy.down()
        proxy.pass_()
        ask(sock, b"x" * 10_000)
        with through(proxy) as new:
            ask(new, b"x" * 10_000)


def test_a_server_that_is_not_there_is_told_by_a_reset():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with (
            FaultProxy(nobody.getsockname()[1]) as proxy,
            pytest.raises(ConnectionResetError),
            through(proxy) as sock,
        ):
            sock.recv(1)


def test_a_small_buffer_lets_the_sender_feel_a_reader_that_stops():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()[1], buffer=4096) as proxy,
        through(proxy),
    ):
        sender, _ = listener.accept()
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            proxy.freeze()
            sender.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sender.sendall(bytes(1024 * 1024))


def test_it_ends_with_connections_open(echo):
    proxy = FaultProxy(echo.port)
    with through(proxy) as sock:
        ask(sock)
        proxy.freeze()
        proxy.stop()
        proxy.stop()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


ECHO = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
async def serve(reader, writer):
    try:
        while data := await reader.read(100):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture
def echo_elsewhere():
    """The port of an echo in another process, which has file descriptors of its own."""
    process = subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE)
    yield int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_carries_thousands(echo_elsewhere):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(5000, (most - 500) // 3)  # a client's end, and two of the proxy
    patience = 6 * DEADLINE  # the first waits for the work on all
    socks = []
    with FaultProxy(echo_elsewhere) as proxy:
        try:
            for _ in range(count):
                socks.append(socket.create_connection(("127.0.0.1", proxy.port), patience))
            for sock in socks:
                sock.sendall(b"hello")
            for sock in socks:
                assert receive(sock, 5) == b"hello"
            assert proxy.connections == count
            proxy.reset()
            assert proxy.connections == 0
            for sock in socks:
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
        finally:
            for sock in socks:
                sock.close()


def test_hookbox_is_served_through_it():
    with HookboxProcess() as server, FaultProxy(server.port) as proxy:
        server.url = proxy.url
        ann, bob = server.subscribed("lobby", "ann", "bob")
        proxy.slice(1)
        proxy.latency(0.01)
        ann.publish("lobby", "hello")
        assert bob.next_publication()["payload"] == "hello"
