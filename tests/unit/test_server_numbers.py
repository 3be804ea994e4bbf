"""Numbers that the server tells of itself: true ones, and counters that never go down."""

import time
from types import SimpleNamespace

import gevent
import pytest

from hookbox.admin.feed import Feed
from hookbox.admin.logins import Logins
from hookbox.metrics.clients import sent
from hookbox.protocol.csp_variables import Variables
from hookbox.protocol.disconnects import NORMAL
from hookbox.protocol.rtjp import frame
from hookbox.pulse import PULSE_SECONDS, PULSE_SLICES
from hookbox.server import Server
from hookbox.settings import Settings

BLOCKED = 0.3


@pytest.fixture
def server():
    server = Server(Settings(admin_password="secret"))
    yield server
    server.stop()


def test_a_loop_that_stood_still_says_so(server):
    server.greenlets.spawn(server.pulse.run)
    gevent.sleep(0.01)
    assert server.loop_lag < BLOCKED
    time.sleep(BLOCKED)  # nobody else runs meanwhile
    gevent.sleep(2 * PULSE_SECONDS / PULSE_SLICES)
    assert server.loop_lag >= BLOCKED - PULSE_SECONDS / PULSE_SLICES


def test_what_a_console_got_by_comet_still_counts_when_it_is_gone(server):
    feed = Feed(server, Logins(lambda: "secret", server.clock))
    feed._logins = SimpleNamespace(find=lambda cookie, acts: SimpleNamespace(over=False))
    session = feed.comet.open(Variables(), "", "192.0.2.1")
    session.outbox.put(frame("PONG", {}))
    session.flush()
    before = sent(server)
    session.close(NORMAL)
    feed.forget(session)
    assert sent(server) >= before > 0
