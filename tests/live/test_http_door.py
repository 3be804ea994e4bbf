"""Malformed HTTP gets an exact answer and the connection is closed: rows H1 to H16 of the list."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time

import pytest

from hookbox.testing import DEADLINE, HookboxProcess, ScriptedApp

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(scope="module")
def server():
    with HookboxProcess(header_deadline=0.5, keepalive_idle=0.5, body_deadline=1) as server:
        yield server


def ask(server: HookboxProcess, request: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes on a connection of their own; everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        try:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still writing
        return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    parts = []
    try:
        while data := sock.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def get(
    path: str = "/healthz", *headers: str, version: str = "HTTP/1.1", method: str = "GET", body: str = ""
) -> bytes:
    lines = [f"{method} {path} {version}", "Host: 127.0.0.1", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def upgrade(*changes: str, drop: tuple[str, ...] = (), path: str = "/ws", **more: str) -> bytes:
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if name not in drop]
    return get(path, *lines, *changes, **more)


LONG = "x" * 8200

MALFORMED = {
    "H1-request-line-too-long": (get("/" + "x" * 8193), 414),
    "H1-request-line-that-never-ends": (b"GET /" + b"x" * 9000, 414),
    "H2-header-line-too-long": (get("/", f"X-Long: {LONG}"), 431),
    "H2-65-headers": (get("/", *(f"X-{n}: 1" for n in range(64))), 431),
    "H2-headers-too-long-together": (get("/", *(f"X-{n}: {'y' * 8000}" for n in range(5))), 431),
    "H3-http-0.9": (b"GET /\r\n\r\n", 400),
    "H3-http-0.9-named": (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 400),
    "H3-http-1.9": (get(version="HTTP/1.9"), 505),
    "H3-http-2.0": (get(version="HTTP/2.0"), 505),
    "H3-http-x": (get(version="HTTP/x"), 505),
    "H4-no-host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "H4-two-hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "H4-absolute-uri-of-another-host": (b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "H5-two-content-lengths": (
        get("/", "Content-Length: 1", "Content-Length: 2", method="POST", body="xx"),
        400,
    ),
    "H5-two-equal-content-lengths": (
        get("/", "Content-Length: 1", "Content-Length: 1", method="POST", body="x"),
        400,
    ),
    **{
        f"H5-content-length-{name}": (get("/", f"Content-Length:{text}", method="POST", body="x" * 20), 400)
        for name, text in {
            "underscore": " 1_0",
            "plus": " +5",
            "minus": " -1",
            "letter": "  5x",
            "20-digits": " " + "9" * 20,
        }.items()
    },
    "H6-length-and-chunked": (
        get("/", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST", body="0\r\n\r\n"),
        400,
    ),
    "H6-gzip-chunked": (get("/", "Transfer-Encoding: gzip, chunked", method="POST", body="0\r\n\r\n"), 501),
    "H6-xchunked": (get("/", "Transfer-Encoding: xchunked", method="POST", body="0\r\n\r\n"), 501),
    "H6-chunk-size-of-17-digits": (
        get("/", "Transfer-Encoding: chunked", method="POST", body="0" * 16 + "1\r\nx\r\n0\r\n\r\n"),
        400,
    ),
    "H6-chunk-size-malformed": (get("/", "Transfer-Encoding: chunked", method="POST", body="+5\r\n"), 400),
    "H7-space-before-colon": (get("/", "Name : v"), 400),
    "H7-no-colon": (get("/", "Name"), 400),
    "H7-folded": (get("/", "X-A: 1", " folded"), 400),
    "H7-bare-lf": (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", 400),
    "H7-bare-lf-in-header": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\nX: 1\r\n\r\n", 400),
    "H7-nul-in-value": (get("/", "X-A: a\0b"), 400),
    "H7-control-in-value": (get("/", "X-A: a\x1bb"), 400),
    "H9-connect": (get("127.0.0.1:80", method="CONNECT"), 501),
    "H9-trace": (get("/", method="TRACE"), 501),
    "H9-unknown": (get("/", method="BREW"), 501),
    "H10-crlf-in-path": (get("/%0d%0aX"), 400),
    "H10-nul-in-path": (get("/%00"), 400),
    "H10-dots": (get("/static/../../etc/passwd"), 400),
    "H10-not-utf8": (get("/%ff%fe"), 400),
    "H10-escape-byte": (b"GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "H11-ssh-banner": (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
    "H11-tls-hello": (bytes.fromhex("16030100a5010000a10303") + bytes(160), 400),
    "H11-a-mebibyte-of-zeros": (bytes(1 << 20), 400),
    "H12-no-version": (upgrade(drop=("Sec-WebSocket-Version",)), 426),
    **{
        f"H12-version-{number}": (
            upgrade(f"Sec-WebSocket-Version: {number}", drop=("Sec-WebSocket-Version",)),
            426,
        )
        for number in (7, 8, 99)
    },
    "H13-key-missing": (upgrade(drop=("Sec-WebSocket-Key",)), 400),
    "H13-key-not-base64": (upgrade("Sec-WebSocket-Key: ?????", drop=("Sec-WebSocket-Key",)), 400),
    "H13-key-not-16-bytes": (upgrade("Sec-WebSocket-Key: YWJj", drop=("Sec-WebSocket-Key",)), 400),
    "H13-key-not-ascii": (
        upgrade("Sec-WebSocket-Key: " + KEY[:5] + "\xe0" + KEY[6:], drop=("Sec-WebSocket-Key",)),
        400,
    ),
    "H13-key-twice": (upgrade(f"Sec-WebSocket-Key: {KEY}"), 400),
    "H13-http-1.0": (upgrade(version="HTTP/1.0"), 400),
    "H13-post": (upgrade("Content-Length: 0", method="POST"), 400),
    "H14-origin": (upgrade("Origin: http://evil.example"), 403),
    "H14-origin-null": (upgrade("Origin: null"), 403),
    "H14-two-origins": (upgrade("Origin: http://127.0.0.1", "Origin: http://127.0.0.1"), 403),
    "H15-unknown-subprotocol-only": (upgrade("Sec-WebSocket-Protocol: chat"), 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_get_their_exact_status_and_the_connection_is_closed(server, name):
    request, expected = MALFORMED[name]
    answer = ask(server, request)
    assert statuses(answer) == [expected]
    assert b"Connection: close" in answer
    assert b"Traceback" not in answer
    assert "Traceback" not in server.log


@pytest.mark.parametrize("name", [name for name in MALFORMED if name.startswith(("H5", "H6"))])
def test_what_follows_an_ambiguous_request_is_never_parsed_as_one(server, name):
    request, expected = MALFORMED[name]
    assert statuses(ask(server, request + get("/smuggled"))) == [expected]


def test_H12_says_which_version_is_spoken(server):
    assert b"Sec-WebSocket-Version: 13\r\n" in ask(server, upgrade(drop=("Sec-WebSocket-Version",)))


def test_H14_a_foreign_origin_causes_no_webhook():
    app = ScriptedApp()
    with HookboxProcess(app) as server:
        assert statuses(ask(server, upgrade("Origin: http://evil.example"))) == [403]
        assert statuses(ask(server, get("/csp/handshake", "Origin: http://evil.example"))) == [403]
        server.connect("marker")
        assert [asked.action for asked in app.asked] == ["connect"]


def test_H15_compression_is_not_negotiated(server):
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        sock.sendall(upgrade("Sec-WebSocket-Extensions: permessage-deflate"))
        answer = sock.recv(4096)
    assert statuses(answer) == [101]
    assert b"xtensions" not in answer


def test_H8_a_body_over_the_limit_is_refused_without_being_read(server):
    started = time.monotonic()
    request = get("/csp/send", "Content-Length: 300000000", method="POST")
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        sock.sendall(request)
        sent = 0
        try:
            while sent < 300_000_000 and time.monotonic() - started < DEADLINE:
                sent += sock.send(bytes(65536))
        except OSError:
            pass
        assert sent < 100_000_000


def test_H8_says_413(server):
    request = get("/csp/send", "Content-Length: 300000", method="POST", body="x" * 1000)
    assert statuses(ask(server, request)) == [413]


def test_H8_a_chunked_body_over_the_limit_gets_413(server):
    chunk = "10000\r\n" + "x" * 65536 + "\r\n"
    request = get("/csp/send", "Transfer-Encoding: chunked", method="POST", body=chunk * 5)
    assert 413 in statuses(ask(server, request))


def test_F15_a_head_that_drips_is_cut_with_408(server):
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        sock.sendall(b"GET / HT")
        assert statuses(read_all(sock)) == [408]


def test_F15_a_body_that_does_not_come_is_cut_with_408(server):
    assert statuses(ask(server, get("/csp/send", "Content-Length: 5", method="POST", body="x"))) == [408]


def test_F16_a_silent_connection_is_closed(server):
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        assert read_all(sock) == b""


def test_requests_may_be_pipelined(server):
    assert (
        statuses(ask(server, get("/nowhere") + get("/nowhere") + get("/nowhere", "Connection: close")))
        == [404] * 3
    )


def test_a_body_may_be_chunked_and_waited_for(server):
    request = get(
        "/csp/send?s=x",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Connection: close",
        method="POST",
    )
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
        sock.sendall(request)
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"3\r\nabc\r\n0\r\n\r\n")
        assert statuses(read_all(sock)) == [404]


def test_A18_forwarded_addresses_are_believed_from_trusted_proxies_only():
    for trusted, expected in (([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.7")):
        app = ScriptedApp()
        with HookboxProcess(app, trusted_proxy=trusted) as server:
            server.connect("ann", headers={"X-Forwarded-For": "10.9.9.9, 203.0.113.7, 127.0.0.2"})
            assert app.questions("connect")[0].headers["x-real-ip"] == expected


def test_errors_carry_a_request_id_and_no_internals(server):
    answer = ask(server, get("/", "Name : v"))
    assert b"X-Request-ID: " in answer
    assert b"hookbox/" not in answer


def test_a_server_below_a_prefix_serves_both_ways():
    with HookboxProcess(path_prefix="/realtime") as server:
        assert statuses(ask(server, get("/realtime/csp/handshake", "Connection: close"))) == [200]
        assert statuses(ask(server, get("/csp/handshake", "Connection: close"))) == [200]
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as sock:
            sock.sendall(upgrade(path="/realtime/ws"))
            assert statuses(sock.recv(4096)) == [101]


def test_a_unix_socket_serves_and_is_private(tmp_path):
    path = tmp_path / "hookbox.sock"
    app = ScriptedApp()
    server = subprocess.Popen(
        [sys.executable, "-m", "hookbox", "-i", f"unix:{path}", "--cbport", str(app.port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert server.stdout is not None
        while b"Listening" not in server.stdout.readline():
            assert server.poll() is None
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(get("/csp/handshake", "Connection: close"))
            assert statuses(read_all(sock)) == [200]
    finally:
        server.terminate()
        server.wait(DEADLINE)
        server.stdout.close()
        app.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(files[0]), "-keyout", str(files[1])],
        check=True,
        capture_output=True,
    )
    return files


def test_tls_serves_http_and_websocket(certificate):
    cert, key = certificate
    with HookboxProcess(certfile=cert, keyfile=key) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        with (
            socket.create_connection(("127.0.0.1", server.port), DEADLINE) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        ):
            sock.sendall(get("/csp/handshake", "Connection: close"))
            assert statuses(read_all(sock)) == [200]
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # see `Client`
        client = server.connect("ann", context=context)
        client.subscribe("c")
        for number in range(50):
            client.publish("c", "x" * 20000)
            assert client.next_publication()["offset"] == number + 1
        client.close()


def test_a_page_of_the_same_site_may_load_the_client(server):
    request = get("/static/hookbox.js", "Sec-Fetch-Site: same-site", "Connection: close")
    assert statuses(ask(server, request)) == [200]
