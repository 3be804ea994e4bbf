"""The orderly end while everything is busy: publications, clients and decisions."""

import contextlib
import http.client
import json
import os
import threading
import time
from itertools import count, pairwise

import pytest
from conftest import eventually
from crowd import Crowd
from raw import line
from restarting import dial
from running import Running

from hookbox.testing import DEADLINE

CLIENTS = int(os.environ.get("HOOKBOX_TEST_CLIENTS", "1000"))
DECISIONS = 50
CHANNELS = 40
PER_SECOND = 500


class Publisher(threading.Thread):
    """Publishes by the API at an even pace until the server takes no more; keeps what was accepted."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.accepted = [0] * CHANNELS
        self.stop = threading.Event()

    def run(self):
        headers = {"Authorization": f"Bearer {Running.TOKEN}", "Content-Type": "application/json"}
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        began = time.monotonic()
        with contextlib.closing(line), contextlib.suppress(OSError, http.client.HTTPException):
            for number in count():
                if self.stop.is_set():
                    return
                time.sleep(max(0, began + number / PER_SECOND - time.monotonic()))
                channel = number % CHANNELS
                body = json.dumps({"channel_name": f"c{channel}", "payload": number})
                line.request("POST", "/web/publish", body, headers)
                done, _ = json.loads(line.getresponse().read())
                self.accepted[channel] += done


@pytest.fixture
def server(app):
    with Running(app, "-p", 0, "--webhook-concurrency", 64, "--breaker-failures", 1000) as server:
        yield server


def test_F30_the_server_ends_in_order_under_load(server, app):
    crowd = Crowd(server.port, [f"c{number % CHANNELS}" for number in range(CLIENTS)])
    publisher = Publisher(server.port)
    decided = threading.Event()
    try:
        crowd.wait(lambda member: member.subscribed and 2 in member.acks, 4 * DEADLINE)
        app.answer("publish", lambda asked: decided.wait(2 * DEADLINE) and [True, {}])
        asking = crowd.members[:DECISIONS]
        for member in asking:
            member.socket.sendall(line(3, "PUBLISH", channel_name="c0", payload='"asked"'))
        app.wait_for("publish", DECISIONS)
        publisher.start()
        eventually(lambda: sum(publisher.accepted) > PER_SECOND, 2 * DEADLINE)

        server.terminate()
        began = time.monotonic()
        while answers(server.port):
            pass
        closed_after = time.monotonic() - began
        threading.Timer(1.5, decided.set).start()
        crowd.wait(lambda member: member.ended, 3 * DEADLINE)
        assert server.ends() == 0
        took = time.monotonic() - began
    finally:
        decided.set()
        publisher.stop.set()
        crowd.close()
        publisher.join(DEADLINE)

    assert closed_after < 0.1 * DEADLINE, "the row says 100 ms"
    assert took < 30
    assert not crowd.faults
    assert {member.code for member in crowd.members} == {1012}
    assert {member.goodbye["code"] for member in crowd.members} == {1012}
    assert all(3 in member.acks for member in asking), "what was being decided was finished"
    retries = sorted(member.goodbye["retry_ms"] for member in crowd.members)
    assert retries[0] < 1000
    assert 4000 < retries[-1] <= 5000
    told = sorted(member.told_at for member in crowd.members)
    assert told[-1] - told[0] > 2, "they are not all told in one go"
    for member in crowd.members:
        assert all(after == before + 1 for before, after in pairwise(member.offsets)), "without a hole"
    if os.environ.get("HOOKBOX_TEST_FIGURES"):
        print(f"\nclosed after {closed_after * 1000:.1f} ms, ended after {took:.2f} s, told over {told[-1] - told[0]:.2f} s")
        print(f"accepted {sum(publisher.accepted)}, delivered {sum(len(m.offsets) for m in crowd.members)}")


def answers(port):
    """Whether a connection is still accepted."""
    try:
        with dial(port):
            return True
    except OSError:
        return False
