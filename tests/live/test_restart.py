"""Restarting without anyone noticing: inherited sockets, systemd, --replace, and a queue that nobody loses."""

import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
from pathlib import Path

import pytest
from conftest import eventually
from raw import CONNECT, Raw, line
from restarting import Arrivals, asks_by_http, asks_by_websocket, dial, listener
from running import Running

from hookbox.notify import Notifier
from hookbox.testing import DEADLINE, ScriptedApp


@pytest.fixture
def run(app):
    """Starts servers that ask `app`."""
    started = []

    def begin(*flags, **how):
        started.append(Running(app, *flags, **how))
        return started[-1]

    yield begin
    for server in started:
        server.__exit__()


def refusal(*flags, sockets=(), environ=None):
    """How a server that does not start ends: exit status and its last line."""
    app = ScriptedApp()
    try:
        server = Running(app, *flags, sockets=sockets, environ=environ, wait=False)
        return server.ends(), server.log.splitlines()[-1]
    finally:
        server.__exit__()
        app.stop()


# a socket that somebody else opened


def test_an_inherited_descriptor_is_listened_on(run):
    with listener() as given:
        server = run("--fd", given.fileno(), sockets=[given])
        assert server.port == given.getsockname()[1]
        asks_by_http(server.port)()


def test_the_api_can_have_an_inherited_descriptor_of_its_own(run):
    with listener() as given, listener() as private:
        server = run("--fd", given.fileno(), "--web-api-fd", private.fileno(), sockets=[given, private])
        asks_by_websocket(server.port)()
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            server.api("get_server_info")
        refused.value.close()
        server.url = f"http://127.0.0.1:{private.getsockname()[1]}"
        assert server.api("get_server_info")["users"] == 0


def test_nobody_who_waits_in_the_queue_of_an_inherited_socket_is_lost_over_a_restart(run):
    with listener() as given:
        port = given.getsockname()[1]
        first = run("--fd", given.fileno(), sockets=[given])
        with Arrivals(asks_by_http(port), asks_by_websocket(port)) as arrivals:
            first.terminate()
            assert first.ends() == 0
            run("--fd", given.fileno(), sockets=[given])
            arrivals.wait_for_more()
        assert arrivals.faults == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "not a stream socket"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), "does not listen"),
        (Path(os.devnull).open, "this is no socket"),
    ],
    ids=["datagrams", "not listening", "a file"],
)
def test_a_descriptor_that_is_no_listening_stream_socket_is_refused_by_name(make, reason):
    with make() as given:
        fd = given.fileno()
        status, said = refusal("--fd", fd, sockets=[given])
    assert status == 2
    assert said.startswith(f"hookbox: --fd {fd}: ")
    assert reason in said


def test_a_descriptor_that_is_not_open_is_refused_by_name():
    status, said = refusal("--fd", 900)
    assert (status, said) == (
        2,
        "hookbox: --fd 900: no such descriptor is open; start Hookbox with the socket open and inheritable",
    )


def test_one_descriptor_cannot_be_both_doors():
    status, said = refusal("--fd", 7, "--web-api-fd", 7)
    assert status == 2
    assert "both 7" in said


# systemd


def test_a_socket_of_systemd_is_listened_on(run):
    with listener() as given:
        server = run(sockets=[given], activated=True)
        assert server.port == given.getsockname()[1]
        assert server.api("get_server_info")["users"] == 0


@pytest.mark.parametrize("names", ["", "hookbox.socket:hookbox.socket", "web:api", "api:web"])
def test_of_two_sockets_of_systemd_the_one_named_api_is_for_it_else_the_second(run, names):
    with listener() as one, listener() as two:
        server = run(sockets=[one, two], activated=True, environ={"LISTEN_FDNAMES": names})
        public, private = (two, one) if names.startswith("api") else (one, two)
        assert server.port == public.getsockname()[1]
        asks_by_websocket(server.port)()
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            server.api("get_server_info")
        refused.value.close()
        server.url = f"http://127.0.0.1:{private.getsockname()[1]}"
        assert server.api("get_server_info")["users"] == 0


def test_three_sockets_of_systemd_are_too_many(app):
    with listener() as one, listener() as two, listener() as three:
        server = Running(app, sockets=[one, two, three], activated=True, wait=False)
        assert server.ends() == 2
        assert "systemd gave 3 sockets" in server.log
        server.__exit__()


def test_sockets_for_another_process_are_not_ours(run):
    with listener() as given:
        environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
        server = run("-p", 0, sockets=[given], environ=environ)
        assert server.port != given.getsockname()[1]


class Manager:
    """The service manager's end of sd_notify(3)."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(DEADLINE)

    def heard(self):
        return dict(item.split("=") for item in self.socket.recv(4096).decode().split("\n"))


@pytest.mark.parametrize("place", ["a file", "an abstract name"])
def test_the_service_manager_hears_of_start_reload_and_end(run, tmp_path, place):
    address = str(tmp_path / "notify") if place == "a file" else f"@hookbox-test-{os.getpid()}"
    manager = Manager(address)
    server = run("-p", 0, environ={"NOTIFY_SOCKET": address})
    assert manager.heard() == {"READY": "1"}
    server.process.send_signal(1)
    reloading = manager.heard()
    assert reloading.pop("RELOADING") == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.heard() == {"READY": "1"}
    server.terminate()
    assert manager.heard() == {"STOPPING": "1"}
    manager.socket.close()


def test_a_service_manager_that_watches_gets_signs_of_life(run, tmp_path):
    address = str(tmp_path / "notify")
    manager = Manager(address)
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    server = run("-p", 0, environ=environ)
    heard = [manager.heard() for _ in range(4)]
    assert {"READY": "1"} in heard
    assert heard.count({"WATCHDOG": "1"}) == 3
    server.terminate()
    server.ends()
    manager.socket.close()


@pytest.mark.parametrize(
    ("environ", "every"),
    [
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.5),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_only_who_is_watched_gives_signs_of_life(environ, every, tmp_path):
    address = str(tmp_path / "notify")
    manager = Manager(address)
    environ = {"NOTIFY_SOCKET": address, "OTHER": "1", **environ}
    notifier = Notifier.from_environment(environ, pid=7)
    assert environ == {"OTHER": "1"}
    for moment in range(4):
        notifier.alive(moment)
    notifier.stopping()
    assert [manager.heard() for _ in range(3 if every else 1)] == [{"WATCHDOG": "1"}] * (2 if every else 0) + [
        {"STOPPING": "1"}
    ]
    manager.socket.close()


def test_a_service_manager_that_does_not_listen_holds_nothing_up(run, tmp_path):
    server = run("-p", 0, environ={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    asks_by_http(server.port)()
    server.wait_for_log("NOTIFY_SOCKET was not told")


# --replace


def test_nobody_who_comes_during_a_replacement_is_refused_or_reset(run):
    servers = [run("-p", 0)]
    port = servers[0].port
    with Arrivals(asks_by_http(port), asks_by_websocket(port)) as arrivals:
        for _ in range(3):
            servers.append(run("-p", port, "--replace"))
            arrivals.wait_for_more()
        assert [server.ends() for server in servers[:-1]] == [0, 0, 0]
        arrivals.wait_for_more()
    assert arrivals.faults == []
    for server in servers:
        assert not re.search("ERROR|Traceback", server.log), server.log


def test_nobody_who_comes_to_a_unix_socket_during_a_replacement_is_refused(run, tmp_path):
    path = tmp_path / "hookbox.sock"
    first = run("-i", f"unix:{path}")
    with Arrivals(asks_by_http(path), threads=4) as arrivals:
        run("-i", f"unix:{path}", "--replace")
        assert first.ends() == 0
        arrivals.wait_for_more()
    assert arrivals.faults == []
    assert path.stat().st_mode & 0o777 == 0o600


def ports(server):
    """Where both doors of a server are."""
    return map(int, server.wait_for_log(r"(?s)hookbox on http://127.0.0.1:(\d+).*hookbox on http://127.0.0.1:(\d+)").groups())


def test_a_kept_alive_connection_ends_when_the_server_is_replaced_so_that_its_next_request_finds_the_new_one(run, app):
    first = run("-p", 0)
    slow = threading.Event()
    app.answer("connect", lambda asked: slow.wait(DEADLINE) and [True, {"name": "ann"}])
    with dial(first.port) as keep, Raw(first.port, CONNECT):
        app.wait_for("connect")  # which holds the old one up
        keep.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert keep.recv(4096).startswith(b"HTTP/1.1 200 ")
        run("-p", first.port, "--replace")
        assert keep.recv(4096) == b""
        assert first.process.poll() is None
        slow.set()
    assert first.ends() == 0


def test_both_doors_are_taken_over(run):
    first = run("-p", 0, "-w", 0)
    public, private = ports(first)
    with Arrivals(asks_by_websocket(public), asks_by_http(private)) as arrivals:
        second = run("-p", public, "-w", private, "--replace")
        assert first.ends() == 0
        arrivals.wait_for_more()
    assert arrivals.faults == []
    assert list(ports(second)) == [public, private]


def test_a_second_door_may_come_and_go_with_a_replacement(run):
    first = run("-p", 0)
    second = run("-p", first.port, "-w", 0, "--replace")
    _, private = ports(second)
    third = run("-p", first.port, "--replace")
    assert [first.ends(), second.ends()] == [0, 0]
    asks_by_http(third.port)()
    with pytest.raises(ConnectionRefusedError):
        dial(private)


def test_an_inherited_socket_can_be_taken_over(run):
    with listener() as given:
        first = run("--fd", given.fileno(), sockets=[given])
        second = run("-p", first.port, "--replace")
        assert first.ends() == 0
        second.terminate()
        assert second.ends() == 0
        waiting = dial(first.port)  # whoever opened the socket still holds it
        third = run("--fd", given.fileno(), sockets=[given])
        waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert waiting.recv(12) == b"HTTP/1.1 200"
        waiting.close()
        assert third.port == first.port


def test_without_a_server_to_replace_it_just_starts(run):
    with listener() as free:
        port = free.getsockname()[1]
    assert run("-p", port, "--replace").port == port


def test_a_second_start_by_mistake_is_refused_and_changes_nothing(run):
    first = run("-p", 0)
    status, said = refusal("-p", first.port)
    assert status == 1
    assert "the port is in use" in said
    asks_by_websocket(first.port)()


def test_a_port_that_a_stranger_has_is_not_taken_over():
    with listener() as stranger:
        status, said = refusal("-p", stranger.getsockname()[1], "--replace")
    assert status == 1
    assert "not by a Hookbox of this user" in said


def test_if_the_new_one_cannot_start_the_old_one_goes_on_untouched(run, tmp_path):
    with listener() as taken:
        first = run("-p", 0)
        with Raw(first.port, CONNECT + line(2, "SUBSCRIBE", channel_name="lobby")) as client:
            status, said = refusal("-p", first.port, "-w", taken.getsockname()[1], "--replace")
            assert status == 1
            assert "in use" in said
            first.wait_for_log("did not start; going on")
            client.send(line(3, "PUBLISH", channel_name="lobby", payload='"still here"'))
            while (frame := client.next_line())[1] != "PUBLISH":
                pass
            assert frame[2]["payload"] == "still here"
        asks_by_http(first.port)()
    second = run("-p", first.port, "--replace")
    assert first.ends() == 0
    asks_by_http(second.port)()


def test_a_control_socket_that_says_nonsense_or_nothing_changes_nothing(run):
    first = run("-p", 0)
    (name,) = control_names(first.process.pid)
    for words in ([], [b"hookbox take-over 9"], [b"x" * 5000]):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.settimeout(DEADLINE)
            line.connect("\0" + name[1:])
            for word in words:
                line.send(word)
            if words:
                assert line.recv(100) == b""
    second = run("-p", first.port, "--replace")
    assert first.ends() == 0
    asks_by_http(second.port)()


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can be somebody else")
def test_another_user_can_neither_take_over_nor_pretend_to_be_the_server(run):
    first = run("-p", 0)
    (name,) = control_names(first.process.pid)
    stranger = f"""
import os, socket
os.setuid(65534)
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect({chr(0) + name[1:]!r})
try:
    line.send(b"hookbox take-over 1")
    print(line.recv(4096))
except (BrokenPipeError, ConnectionResetError):
    print(b"")
"""
    done = subprocess.run([sys.executable, "-c", stranger], capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout == "b''\n", done.stderr
    asks_by_http(first.port)()


def control_names(pid):
    """The names of the control sockets that a process listens on, with `@` in front."""
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
        except OSError:
            pass
    names = set()
    with open("/proc/net/unix") as table:
        for row in table:
            columns = row.split()
            if f"socket:[{columns[6]}]" in inodes and len(columns) > 7 and columns[7].startswith("@hookbox/"):
                names.add(columns[7])
    return names


# the queue of a server's own socket


def test_F30_who_waits_in_the_queue_when_the_server_ends_is_still_answered(run, app):
    server = run("-p", 0)
    stop, answers, faults = threading.Event(), [], []

    def arrive():
        """Connect until it is refused: everybody who was let in gets an answer."""
        while not stop.is_set():
            try:
                sock = dial(server.port)
            except OSError:
                return
            with sock:
                try:
                    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answers.append(sock.recv(12))
                except OSError as error:
                    faults.append(error)

    threads = [threading.Thread(target=arrive) for _ in range(4)]
    for thread in threads:
        thread.start()
    server.process.send_signal(19)  # SIGSTOP: now they wait in the queue
    waiting = [dial(server.port) for _ in range(20)]
    server.terminate()
    server.process.send_signal(18)  # SIGCONT
    for sock in waiting:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"
        sock.close()
    for thread in threads:
        thread.join(DEADLINE)
    stop.set()
    assert server.ends() == 0
    assert set(answers) == {b"HTTP/1.1 200"}
    assert len(faults) <= 4, "at most one per client, who came between the last look and the close"


def test_F30_a_websocket_that_comes_at_the_last_moment_is_told_to_come_back(run):
    server = run("-p", 0)
    server.process.send_signal(19)
    waiting = dial(server.port)
    server.terminate()
    server.process.send_signal(18)
    waiting.sendall(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    answer = b""
    while b"server restarts" not in answer:
        piece = waiting.recv(4096)
        assert piece, answer
        answer += piece
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert (1012).to_bytes(2, "big") + b"server restarts" in answer
    waiting.close()


def test_a_comet_session_does_not_begin_on_a_server_that_ends(run):
    server = run("-p", 0)
    keep = dial(server.port)
    keep.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert keep.recv(4096).startswith(b"HTTP/1.1 200 ")
    with Raw(server.port, CONNECT) as client:
        server.terminate()
        assert client.close_code() == 1012
        keep.sendall(b"POST /csp/handshake HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        answer = keep.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert b"Retry-After: " in answer
    keep.close()


# users


def actions(app, name):
    return [asked.action for asked in app.asked if asked.form.get("name", asked.form.get("user")) == name]


def test_F30_who_was_away_already_when_the_server_ends_is_reported_gone_and_nobody_else(run, app):
    server = run("-p", 0, "--leave-grace", "60")
    away, here = server.subscribed("lobby", "away", "here")
    away.cut()
    eventually(lambda: server.api("get_server_info")["connections"] == 1)
    server.terminate()
    assert here.wait_closed()[0] == 1012
    assert server.ends() == 0
    assert actions(app, "away")[-2:] == ["unsubscribe", "disconnect"]
    assert "disconnect" not in actions(app, "here")


def test_who_is_sent_to_the_next_server_does_not_leave_even_after_the_grace(run, app):
    first = run("-p", 0, "--leave-grace", "0.1")
    ann, bob = first.subscribed("lobby", "ann", "bob")
    slow = threading.Event()
    app.answer("publish", lambda asked: slow.wait(DEADLINE) and [True, {}])
    bob.publish("lobby", "slow")  # holds the old server up while ann has gone
    app.wait_for("publish")
    run("-p", first.port, "--replace")
    assert ann.wait_closed()[0] == 1012
    slow.set()
    assert bob.wait_closed()[0] == 1012
    assert first.ends() == 0
    assert "disconnect" not in actions(app, "ann") + actions(app, "bob")


# decisions


def test_F30_a_decision_under_way_is_finished_before_its_client_is_told_to_go(run, app):
    server = run("-p", 0)
    decided = threading.Event()
    app.answer("publish", lambda asked: decided.wait(DEADLINE) and [True, {}])
    bob = server.connect("bob", features=["ack", "close"])
    bob.subscribe("lobby")
    sent = bob.publish("lobby", "last words")
    app.wait_for("publish")
    server.terminate()
    server.wait_for_log("draining")
    decided.set()
    assert bob.next_publication()["payload"] == "last words"
    assert bob.skip_to("ACK", id=sent)["offset"] == 1
    assert bob.skip_to("CLOSE")["code"] == 1012
    assert server.ends() == 0


def test_F30_a_second_signal_ends_it_at_once(run, app):
    server = run("-p", 0)
    never = threading.Event()
    app.answer("publish", lambda asked: never.wait(DEADLINE) and [True, {}])
    bob = server.connect("bob")
    bob.subscribe("lobby")
    bob.publish("lobby", "hangs")
    app.wait_for("publish")
    server.terminate()
    server.wait_for_log("draining")
    server.terminate()
    assert server.process.wait(1 + DEADLINE / 10) == 0
    never.set()


def test_F30_readiness_ends_on_connections_that_are_still_open(run, app):
    server = run("-p", 0)
    slow = threading.Event()
    app.answer("connect", lambda asked: slow.wait(DEADLINE) and [True, {"name": "bob"}])
    keep = dial(server.port)
    keep.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert keep.recv(4096).startswith(b"HTTP/1.1 200 ")
    with Raw(server.port, CONNECT):
        app.wait_for("connect")
        server.terminate()
        server.wait_for_log("draining")
        keep.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = keep.recv(4096)
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert answer.endswith(b"draining\n")
        slow.set()
    keep.close()
    assert server.ends() == 0
