"""Listening sockets: addresses, private Unix sockets, what is in the way."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from hookbox.web.listen import listen, tls_context


@pytest.mark.parametrize("interface", ["127.0.0.1", "localhost"])
def test_a_free_port_is_found(interface):
    with listen(interface, 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_taken_port_is_an_error():
    with listen("127.0.0.1", 0) as listener, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listener.getsockname()[1])


def test_accepted_sockets_send_at_once_and_notice_dead_peers():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        listener.settimeout(5)
        with listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


def test_a_unix_socket_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        with listen(f"unix:{tmp_path}/s", 0):
            assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
        assert os.umask(0) == 0, "it is as it was"
    finally:
        os.umask(before)


def test_a_unix_socket_left_behind_is_replaced(tmp_path):
    listen(f"unix:{tmp_path}/s", 0).close()
    with listen(f"unix:{tmp_path}/s", 0):
        pass


def test_a_unix_socket_in_use_or_another_file_stays(tmp_path):
    with listen(f"unix:{tmp_path}/s", 0), pytest.raises(OSError, match="listens"):
        listen(f"unix:{tmp_path}/s", 0)
    assert (tmp_path / "s").exists()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OSError, match="no socket"):
        listen(f"unix:{tmp_path}/file", 0)
    assert (tmp_path / "file").read_text() == "kept"


def test_without_a_certificate_there_is_no_tls_and_a_bad_one_is_an_error(tmp_path):
    assert tls_context("", "") is None
    with pytest.raises(OSError):
        tls_context(str(tmp_path / "no"), str(tmp_path / "no"))
    (tmp_path / "bad").write_text("not a certificate")
    with pytest.raises(OSError):
        tls_context(str(tmp_path / "bad"), str(tmp_path / "bad"))


def test_an_encrypted_key_is_an_error_and_no_question(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-passout",
            "pass:secret",
            "-days",
            "1",
            "-subj",
            "/CN=x",
        ]
        + ["-out", str(cert), "-keyout", str(key)],
        check=True,
        capture_output=True,
    )
    with pytest.raises(OSError):
        tls_context(str(cert), str(key))
