"""The harness of the fault matrix sees what it is there to see."""

import socket
import subprocess
import sys

import pytest
from conftest import eventually
from faults import Watched


@pytest.fixture
def assert_is_seen(monkeypatch):
    """Asserts that the invariants do not hold, without waiting long for them to."""

    def assert_is_seen(watched, what):
        with monkeypatch.context() as patch:
            patch.setattr("faults.WITHIN", 0.3)
            with pytest.raises(AssertionError, match=what):
                watched.assert_invariants()

    return assert_is_seen


@pytest.fixture(scope="module")
def watched():
    with Watched() as watched:
        yield watched


def test_a_healthy_server_keeps_the_invariants(watched):
    for name in ("ann", "bob"):
        watched.connect(name).subscribe("lobby")
    proxy = watched.proxied()
    assert watched.figures().users == 2
    watched.assert_invariants()
    assert proxy._loop.is_closed()
    watched.assert_invariants()


def test_a_client_that_stays_is_seen(watched, assert_is_seen):
    client = watched.connect("ann")
    watched._clients.clear()
    assert_is_seen(watched, "somebody or something is left over")
    client.cut()
    watched.assert_invariants()


def test_sockets_that_stay_are_seen(watched, assert_is_seen):
    silent = [socket.create_connection(("127.0.0.1", watched.port)) for _ in range(3)]
    eventually(
        lambda: watched.figures().open_connections == 3
    )  # the kernel connects before the server accepts
    assert_is_seen(watched, r"greenlets, \d+ at the start.*\n\d+ files open")
    for sock in silent:
        sock.close()
    watched.assert_invariants()


def test_a_control_client_that_is_cut_is_seen(assert_is_seen):
    with Watched() as watched:
        watched.control._client.cut()
        assert_is_seen(watched, "the control client, after")


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        pytest.param(
            "import time; began = time.thread_time()\nwhile time.thread_time() - began < 0.3: pass",
            "late by the server's own fault",
            id="computes",
        ),
        pytest.param(
            "from gevent import monkey; monkey.get_original('time', 'sleep')(1)",
            "late by the server's own fault",
            id="blocks",
        ),
        pytest.param(
            "import logging; logging.getLogger('hookbox').error('oh', exc_info=ValueError('no'))",
            "ValueError: no",
            id="logs",
        ),
        pytest.param(
            "import traceback\ntry: {}['raw']\nexcept KeyError: traceback.print_exc()",
            "KeyError: 'raw'",
            id="prints",
        ),
        pytest.param(
            "import sys; sys.kept = [b'x' * (4096 + n) for n in range(4000)]", "MiB more", id="keeps"
        ),
        pytest.param(
            "import sys, gevent; sys.kept = [gevent.spawn(gevent.sleep, 60) for _ in range(3)]; gevent.sleep(0.01)",
            "greenlets",
            id="spawns",
        ),
    ],
)
def test_a_fault_inside_is_seen(fault, seen, assert_is_seen):
    with Watched() as watched:
        watched.inside(fault)
        assert_is_seen(watched, seen)
        if seen in ("MiB more", "greenlets"):
            watched.inside(
                "import sys, gevent; gevent.killall(sys.kept) if sys.kept[0].__class__ is not bytes else 0; del sys.kept"
            )
        watched.assert_invariants()


def test_what_is_expected_does_not_fail(watched):
    watched.inside("import logging; logging.getLogger('hookbox').error('as planned')")
    watched.assert_invariants(expected="as planned")


def test_a_busy_machine_is_not_the_servers_fault(watched):
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        for _ in range(20):
            watched.connect("ann").subscribe("lobby")
        watched.assert_invariants()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_the_log_and_the_status_of_a_server_that_ends_are_there():
    with Watched() as watched:
        assert watched.stop() == 0
