"""What a successor has asked for and does not need after all: the store goes back to whom it was taken from."""

import fcntl
import json
import os
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from conftest import eventually
from running import Running

from hookbox.testing import DEADLINE

if not Path("/proc/net/unix").exists():
    pytest.skip("NOT TESTED: --replace needs Linux", allow_module_level=True)


@pytest.fixture
def first(app, tmp_path):
    with Running(app, "-p", 0, "--store", tmp_path / "hookbox.db") as server:
        yield server


def successor(pid):
    """A process that begins to take over, and has the store."""
    owned = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    inodes = {found[1] for name in owned if (found := re.fullmatch(r"socket:\[(\d+)\]", name))}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    (name,) = {words[7] for words in lines if words[6] in inodes and words[-1].startswith("@hookbox/")}
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.settimeout(DEADLINE)
    line.connect("\0" + name[1:])
    line.send(b"hookbox take-over 1")
    _, doors, _, _ = socket.recv_fds(line, 4096, 4)
    for door in doors:
        os.close(door)
    line.send(b"store")
    assert line.recv(100) == b"released"
    return line


def dispatch(server, **fields):
    """The status that a dispatch is answered with."""
    form = urllib.parse.urlencode({"_token": server.TOKEN, **fields}).encode()
    try:
        with urllib.request.urlopen(f"{server.url}/dispatch", form, timeout=DEADLINE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def backlog(server, path, **fields):
    """What `/api/v1` answers."""
    form = urllib.parse.urlencode(fields).encode() if fields else None
    request = urllib.request.Request(f"{server.url}/api/v1{path}", form)
    request.add_header("Authorization", f"Bearer {server.TOKEN}")
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return json.load(answer)


def test_a_successor_that_dies_with_the_store_in_its_hands_gives_it_back_however_long_it_takes(first, tmp_path):
    line = successor(first.process.pid)
    with open(tmp_path / "hookbox.db.lock", "a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its end takes longer than its last word
        line.close()
        first.wait_for_log("cannot be taken back yet")
    eventually(lambda: dispatch(first, _topic="news") == 202)
    successor(first.process.pid).close()  # and once more
    eventually(lambda: dispatch(first, _topic="news") == 202)


def test_what_was_under_way_goes_on_when_the_store_has_come_back(first):
    for path in "ab":
        assert dispatch(first, _url=f"http://localhost:8000/{path}") == 202  # never reached: it is blocked
    eventually(lambda: len(backlog(first, "/deliveries?state=dead")["deliveries"]) == 2)
    job = backlog(first, "/deliveries/retry", since="0", rate="0.01")["job"]
    successor(first.process.pid).close()
    first.wait_for_log(f"job {job} .* goes on")
