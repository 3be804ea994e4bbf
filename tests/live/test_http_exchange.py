"""HTTP at the door: exchanges that go well, applications that fail, and limits, without Hookbox behind it."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from hookbox.testing import DEADLINE

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
SCRIPT = Path(__file__).with_name("door_server.py")


class Door:
    """The door server as a process; `log` is what it has logged."""

    def __init__(self, **settings):
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="door-", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.port = int(self.process.stdout.readline())
        self.address = "127.0.0.1", self.port

    @property
    def log(self):
        return Path(self._log.name).read_text(errors="replace")

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self._log.close()

    def connect(self):
        return socket.create_connection(self.address, DEADLINE)

    def ask(self, request):
        """All that comes back on a connection of its own."""
        with self.connect() as sock:
            sock.sendall(request)
            return read_all(sock)

    def wait_for_log(self, pattern):
        until = time.monotonic() + DEADLINE
        while not re.search(pattern, self.log):
            assert time.monotonic() < until, self.log
            time.sleep(0.01)


@pytest.fixture
def start():
    started = []

    def begin(**settings):
        started.append(Door(**settings))
        return started[-1]

    yield begin
    for door in started:
        door.stop()


@pytest.fixture(scope="module")
def door():
    door = Door()
    yield door
    door.stop()


def request(path="/", *headers, method="GET", body="", version="HTTP/1.1"):
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {path} {version}", "Host: 127.0.0.1", *headers, *length]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def last(path="/", *headers, **more):
    return request(path, "Connection: close", *headers, **more)


def read_all(sock):
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_until(sock, ending):
    data = b""
    while not data.endswith(ending):
        more = sock.recv(4096)
        assert more, f"closed after {data!r}"
        data += more
    return data


def status(answer):
    return int(answer[9:12])


def fields(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


# exchanges


def test_a_connection_is_kept_for_more_requests(door):
    with door.connect() as sock:
        for number in range(3):
            sock.sendall(request(f"/{number}"))
            assert b'"PATH_INFO": "/%d"' % number in read_until(sock, b"}")


def test_HTTP_1_0_keeps_it_only_when_asked(door):
    assert b"Connection: close" in door.ask(request(version="HTTP/1.0"))
    with door.connect() as sock:
        for _ in range(2):
            sock.sendall(request("/", "Connection: keep-alive", version="HTTP/1.0"))
            assert b"Connection: keep-alive" in read_until(sock, b"}")


def test_a_body_of_unknown_length_is_chunked_or_ended_by_closing(door):
    assert door.ask(last("/pieces")).endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    plain = door.ask(request("/pieces", "Connection: keep-alive", version="HTTP/1.0"))
    assert plain.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in plain


@pytest.mark.parametrize("path", ["/", "/pieces", "/missing"])
def test_HEAD_has_no_body(door, path):
    answer = door.ask(last(path, method="HEAD"))
    assert answer.endswith(b"\r\n\r\n")


def test_the_answer_to_a_refused_HEAD_has_no_body(door):
    answer = door.ask(request("/ws", "Origin: null", method="HEAD"))
    assert status(answer) == 403
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_body_comes_with_any_method(door, method):
    assert fields(door.ask(last(method=method, body="hello")))["body"] == "hello"


@pytest.mark.parametrize("cut", [1, 3, 16, 17, 18, 19, 22, 23, 40])
def test_a_chunked_body_is_read_whole_wherever_the_segments_end(door, cut):
    body = "3;name=value\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    head = request("/", "Transfer-Encoding: chunked", method="POST")
    with door.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head + body[:cut].encode())
        time.sleep(0.01)
        sock.sendall(body[cut:].encode() + last("/next"))
        answer = read_all(sock)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b'"body": "abc0123456789"' in answer
    assert b"TRANSFER_ENCODING" not in answer.partition(b"}")[0], "the body is plain by now"
    assert b'"CONTENT_LENGTH": "13"' in answer


def test_expect_100_continue_is_answered_when_the_body_is_awaited(door):
    with door.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hi")
        assert b'"body": "hi"' in read_until(sock, b"}")


def test_expect_100_continue_is_not_answered_otherwise(door):
    here = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
    assert b"100 Continue" not in door.ask(here)
    old = request("/", "Expect: 100-continue", "Content-Length: 2", method="POST", version="HTTP/1.0")
    with door.connect() as sock:
        sock.sendall(old)
        time.sleep(0.05)
        sock.sendall(b"hi")
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")
    assert status(door.ask(last("/", "Expect: miracles"))) == 417


def test_H8_a_body_over_the_limit_is_not_waited_for(start):
    door = start(client_body=1000)
    long = request("/", "Expect: 100-continue", "Content-Length: 1001", method="POST")
    assert status(door.ask(long)) == 413
    assert status(door.ask(last(method="POST", body="x" * 1000))) == 200


def test_H8_it_is_over_within_a_second_though_the_client_goes_on_sending(start):
    door = start(client_body=1000)
    with door.connect() as sock:
        sock.sendall(request("/", "Content-Length: 100000000", method="POST"))
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            while time.monotonic() < began + DEADLINE:
                sock.sendall(bytes(100))
                time.sleep(0.005)
        assert time.monotonic() - began < 1.5


def test_an_empty_line_before_a_request_is_skipped(door):
    with door.connect() as sock:
        sock.sendall(request(method="POST", body="x") + b"\r\n")
        read_until(sock, b"}")
        sock.sendall(last())
        assert status(read_all(sock)) == 200
    with door.connect() as sock:
        sock.sendall(request(method="POST", body="x"))
        read_until(sock, b"}")
        sock.sendall(b"\r\n")
        time.sleep(0.05)
        sock.sendall(last())
        assert status(read_all(sock)) == 200


def test_H7_a_bare_line_feed_before_a_request_is_not(door):
    assert status(door.ask(b"\n" + last())) == 400


def test_H2_sizes_at_their_limits_are_accepted(start):
    door = start(request_line=100, header_line=100, headers_total=300, header_count=5)
    line = "GET /" + "x" * (100 - 14) + " HTTP/1.1"
    assert len(line) == 100
    head = [line, "Host: h", "Connection: close", "A: " + "x" * 97, "B: y", "C: z"]
    assert status(door.ask(("\r\n".join(head) + "\r\n\r\n").encode())) == 200
    for wrong, expected in (
        ([line + "x", *head[1:]], 414),
        ([*head[:3], "A: " + "x" * 98], 431),
        ([*head, "D: 1"], 431),
        ([*head[:4], "B: " + "x" * 97, "C: " + "x" * 97], 431),
    ):
        assert status(door.ask(("\r\n".join(wrong) + "\r\n\r\n").encode())) == expected


def test_F15_the_first_head_has_its_deadline_from_the_connections_beginning(start):
    door = start(header_deadline=1)
    with door.connect() as sock:
        began = time.monotonic()
        time.sleep(0.6)
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert status(read_all(sock)) == 408
        assert time.monotonic() - began < 1.5


# the application fails


def test_A20_an_application_that_fails_is_500_without_its_words(door):
    for path in ("/raise", "/never", "/injection"):
        answer = door.ask(request(path))
        assert status(answer) == 500, path
        assert b"secret" not in answer
        assert b"stolen" not in answer
        assert b"X-Request-ID: " in answer
    assert door.log.count("RuntimeError: secret detail") >= 2, "the operator sees them"


def test_an_application_that_fails_in_the_middle_leaves_the_answer_unfinished(door):
    answer = door.ask(request("/late"))
    assert answer.endswith(b"5\r\nbegun\r\n")
    door.wait_for_log(r"GET /late")
    assert "Greenlet" not in door.log


def test_A20_every_error_answer_bears_a_request_id(door):
    assert b"X-Request-ID: " in door.ask(last("/missing"))


def test_A2_only_allowed_origins_may_read_a_refusal(start):
    door = start(client_body=10)
    for path, expected in (("/csp/send", True), ("/web/publish", False)):
        answer = door.ask(request(path, "Origin: http://127.0.0.1:8000", method="POST", body="x" * 11))
        assert status(answer) == 413
        assert (b"Access-Control-Allow-Origin: http://127.0.0.1:8000" in answer) is expected
    foreign = door.ask(request("/web/publish", "Origin: http://evil.example", method="POST", body="x" * 11))
    assert b"evil" not in foreign


def test_an_origin_is_told_to_the_application_only_where_it_was_judged(door):
    assert (
        fields(door.ask(last("/csp/x", "Origin: http://127.0.0.1:1")))["hookbox.origin"]
        == "http://127.0.0.1:1"
    )
    assert fields(door.ask(last("/page", "Origin: http://evil.example")))["hookbox.origin"] == ""


# websockets


def upgrade(*headers, key=KEY):
    return request(
        "/ws", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}", *headers,
    )  # fmt: skip


def test_an_upgraded_socket_is_handed_over_with_what_came_behind(door):
    with door.connect() as sock:
        sock.sendall(upgrade("Cookie: user=ann") + b"left over")
        head, _, rest = read_until(sock, b"]\n").partition(b"\r\n\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert json.loads(rest) == ["left over", "user=ann", "_socket"]
        sock.sendall(b"echo")
        assert read_until(sock, b"echo") == b"echo"
    wait_until_open(door, 1)


def test_a_websocket_that_nobody_takes_is_closed_and_not_counted(door):
    with door.connect() as sock:
        sock.sendall(upgrade("Cookie: fail=1"))
        assert read_all(sock).startswith(b"HTTP/1.1 101 ")
    wait_until_open(door, 1)


def test_H13_a_handshake_with_a_body_is_refused(door):
    assert status(door.ask(upgrade("Content-Length: 2") + b"hi")) == 400


def wait_until_open(door, count):
    """So many connections are counted, the asking one included."""
    until = time.monotonic() + DEADLINE
    while int(door.ask(last("/open")).partition(b"\r\n\r\n")[2]) != count:
        assert time.monotonic() < until
        time.sleep(0.01)


# clients that take their time, and many of them


def test_tiny_chunks_do_not_keep_others_waiting(start):
    door = start()
    count = 50_000
    flood = request("/", "Transfer-Encoding: chunked", "Connection: close", method="POST")
    flood += b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    done = threading.Event()
    waits = []

    def ask_all_the_time():
        with door.connect() as sock:
            while not done.is_set():
                began = time.monotonic()
                sock.sendall(request())
                read_until(sock, b"}")
                waits.append(time.monotonic() - began)

    asking = threading.Thread(target=ask_all_the_time)
    asking.start()
    try:
        answer = door.ask(flood)
    finally:
        done.set()
        asking.join(DEADLINE)
    assert len(fields(answer)["body"]) == count
    assert len(waits) > 10
    assert max(waits) < 0.5, "one pause may be the machine's, but not the whole flood"
    assert sorted(waits)[len(waits) // 2] < 0.1


def test_a_pipeline_does_not_keep_others_waiting(start):
    door = start()
    with door.connect() as busy, door.connect() as other:
        pipeline = request() * 200 + last()
        sender = threading.Thread(target=busy.sendall, args=(pipeline,))
        reader = threading.Thread(target=read_all, args=(busy,))
        sender.start()
        reader.start()
        worst = 0.0
        while reader.is_alive():
            began = time.monotonic()
            other.sendall(request())
            read_until(other, b"}")
            worst = max(worst, time.monotonic() - began)
        sender.join(DEADLINE)
        assert worst < 0.3


def test_a_client_that_reads_nothing_is_dropped(start):
    door = start(write_stall=0.3)
    with door.connect() as sock:
        sock.sendall(request("/endless"))
        wait_until_open(door, 1)


def test_one_connection_too_many_gets_503(start):
    door = start(limit=2)
    with door.connect(), door.connect():
        wait_for_full(door)
        answer = door.ask(last())
        assert status(answer) == 503
        assert b"Retry-After: " in answer
    wait_until_free(door)


def test_one_connection_too_many_of_an_address_gets_429(start):
    door = start(connections_per_ip=2)
    with door.connect() as first, door.connect() as second:
        for sock in (first, second):
            sock.sendall(request())
            read_until(sock, b"}")
        answer = door.ask(last())
        assert status(answer) == 429
        assert b"Retry-After: " in answer


def test_connections_that_come_too_fast_get_429(start):
    door = start(accept_rate=3)
    assert [status(door.ask(last())) for _ in range(6)].count(429) >= 2


def wait_for_full(door):
    until = time.monotonic() + DEADLINE
    while status(door.ask(last())) != 503:
        assert time.monotonic() < until


def wait_until_free(door):
    until = time.monotonic() + DEADLINE
    while status(door.ask(last())) != 200:
        assert time.monotonic() < until


def test_F31_running_out_of_files_is_survived_with_few_words(start):
    door = start(files=64)
    crowd = []
    try:
        with door.connect() as early:
            early.sendall(request())
            read_until(early, b"}")
            crowd += [door.connect() for _ in range(100)]
            door.wait_for_log("no more files")
            began = time.monotonic()
            while time.monotonic() - began < 2:
                early.sendall(request())
                read_until(early, b"}")
                time.sleep(0.05)
            lines = [line for line in door.log.splitlines() if "INFO visit" not in line]
            assert len(lines) <= 6, door.log
            assert "Traceback" not in door.log
    finally:
        for sock in crowd:
            sock.close()
    wait_until_free(door)


# anything


ALLOWED = {200, 400, 403, 404, 405, 408, 413, 414, 417, 426, 431, 501, 505}
GOOD = [
    request("/a/b?c=d", "Cookie: a=b", "Origin: http://127.0.0.1:8000"),
    request("/", "Content-Type: text/plain", method="POST", body="hello"),
    request("/", "Transfer-Encoding: chunked", method="POST", body="")[:-2] + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    request("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
]
SPICE = [
    b"\r\n",
    b"\n",
    b"\0",
    b":",
    b" ",
    b"\x80",
    b"\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"chunked",
    b"%",
    b"HTTP/1.1",
]


def mutated(rng):
    data = bytearray(rng.choice(GOOD))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = rng.choice(SPICE)
            case 3:
                data += data[at : at + 30]
    return bytes(data)


def test_U6_mutated_requests_get_a_listed_status_or_a_clean_end(start):
    door = start(header_deadline=0.5, body_deadline=0.5, keepalive_idle=0.5)
    rng = random.Random(6)
    for _ in range(600):
        data = mutated(rng)
        with door.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answers = read_all(sock)
        found = {int(code) for code in re.findall(rb"^HTTP/1.1 (\d{3}) ", answers, re.MULTILINE)}
        assert found <= ALLOWED | {100, 101}, data
    assert "Traceback" not in door.log
    wait_until_open(door, 1)


# TLS


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = {"certfile": str(folder / "cert.pem"), "keyfile": str(folder / "key.pem")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        + ["-out", files["certfile"], "-keyout", files["keyfile"]],
        check=True,
        capture_output=True,
    )
    return files


def test_H11_what_is_not_TLS_is_dropped_with_a_line_in_the_log(start, tls_files):
    door = start(header_deadline=0.5, **tls_files)
    for data in (last(), b"", b"\x16\x03\x01\0\x05hello", bytes(1000)):
        assert b"HTTP/1.1 200" not in door.ask(data)
    door.wait_for_log(r"TLS handshake with 127\.0\.0\.1 failed: (?s:.*)TLS handshake")
    assert "Traceback" not in door.log


def test_a_websocket_over_TLS_gets_the_TLS_socket(start, tls_files):
    door = start(**tls_files)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with door.connect() as plain, context.wrap_socket(plain) as sock:
        sock.sendall(upgrade() + b"left")
        answer = read_until(sock, b"]\n")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])[::2] == ["left", "gevent.ssl"]


# draining


def test_a_draining_door_takes_nobody_new_and_answers_once_more(start):
    door = start()
    with door.connect() as sock, door.connect() as other:
        other.sendall(request())
        read_until(other, b"}")
        sock.sendall(request("/drain"))
        assert status(read_all(sock)) == 200
        with pytest.raises(ConnectionRefusedError):
            door.connect()
        other.sendall(request())
        answer = read_all(other)
        assert status(answer) == 200
        assert b"Connection: close" in answer


@pytest.mark.skipif(
    not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"), reason="NOT TESTED: no IPv6"
)
def test_A18_an_IPv4_client_of_an_IPv6_listener_is_known_by_its_IPv4_address(start):
    door = start(interface="::", trusted_proxy=["127.0.0.1/32"])
    found = fields(door.ask(last("/", "X-Forwarded-For: 198.51.100.7:4711")))
    assert found["hookbox.client_ip"] == "198.51.100.7"
