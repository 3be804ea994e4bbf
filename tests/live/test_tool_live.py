"""`hookbox publish`, `dispatch` and `deliveries` as processes, against a running server."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from hookbox.testing import DEADLINE, HookboxProcess

TOKEN = HookboxProcess.TOKEN


class Inbox(ThreadingHTTPServer):
    """Answers with the next of its statuses, the last one for ever, and keeps what it got."""

    def __init__(self, *statuses):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses or (200,))
        self.got = []
        self.url = f"http://127.0.0.1:{self.server_port}/in"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((dict(self.headers), body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"said\x1b[2J\n")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with HookboxProcess(egress="internal", retry_schedule="none") as server:
        yield server


@pytest.fixture
def inbox():
    with Inbox() as inbox:
        yield inbox


@pytest.fixture
def tool(server):
    """Run the command; returns its exit code, output and complaints."""

    def run(*words, code=0, stdin=b"", environ=None, command=("-m", "hookbox")):
        given = {"HOOKBOX_SERVER": server.url, "HOOKBOX_API_SECURITY_TOKEN": TOKEN} if environ is None else environ
        ended = subprocess.run(
            [sys.executable, *command, *words],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], **given},
            capture_output=True,
            input=stdin,
            timeout=DEADLINE * 3,
        )
        assert ended.returncode == code, (ended.stdout, ended.stderr)
        assert b"Traceback" not in ended.stderr
        run.complaint = ended.stderr.decode()
        return ended.stdout.decode()

    return run


def call(server, method, path, **about):
    answer = requests.request(
        method, server.url.rstrip("/") + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=DEADLINE, **about
    )
    assert answer.ok, answer.text
    return answer.json()


def dispatched(tool, *words, **about):
    return json.loads(tool("dispatch", *words, "--json", **about))


def until_over(server, name):
    until = time.monotonic() + DEADLINE
    while (shown := call(server, "GET", f"/api/v1/deliveries/{name}"))["state"] not in ("succeeded", "dead"):
        assert time.monotonic() < until, shown
        time.sleep(0.01)
    return shown


def test_publish_reaches_who_listens(server, tool):
    call(server, "POST", "/web/create_channel", json={"channel_name": "news", "options": {"history_size": 10}})
    assert tool("publish", "news", '{"a": [1, "é"]}') == "published on news, offset 1\n"
    tool("publish", "news", "hello", "--originator", "ann")
    tool("publish", "news", "7", "--text")
    tool("publish", "news", "-", stdin="schön\n".encode())
    assert json.loads(tool("publish", "news", "--json", "--key", "k"))["offset"] == 5
    assert json.loads(tool("publish", "news", "--json", "--key", "k"))["offset"] == 5
    shown = call(server, "POST", "/web/history", json={"channel_name": "news"})[1]
    assert [each["payload"] for each in shown["publications"]] == [{"a": [1, "é"]}, "hello", "7", "schön", None]
    tool("publish", "nowhere", "1", code=1)
    assert tool.complaint == "hookbox: channel nowhere does not exist\n"


def test_dispatch_delivers_json_text_files_and_bytes(server, tool, inbox, tmp_path):
    (tmp_path / "body").write_bytes(b"\xff\x00")
    said = tool("dispatch", inbox.url, "--data", '{"a": 1}', "--header", "X-A: b: c", "--type", "t", "--tag", "x")
    assert re.fullmatch(r"accepted as msg_\w{26}\nDELIVERY +URL\ndlv_\w{26}  " + re.escape(inbox.url) + "\n", said)
    for words, stdin in [(("--data", "hi"), b""), (("--data", f"@{tmp_path}/body"), b""), (("--data", "-"), b"<a/>"), ((), b"")]:
        name = dispatched(tool, inbox.url, *words, stdin=stdin)["deliveries"][0]["id"]
        assert until_over(server, name)["state"] == "succeeded"
    first, *others = inbox.got
    assert (first[0]["Content-Type"], first[0]["X-A"], first[0]["hookbox-type"], first[1]) == (
        "application/json", "b: c", "t", b'{"a": 1}',
    )  # fmt: skip
    assert [(headers["Content-Type"], body) for headers, body in others] == [
        ("text/plain; charset=utf-8", b"hi"), ("application/octet-stream", b"\xff\x00"),
        ("text/plain; charset=utf-8", b"<a/>"), ("text/plain; charset=utf-8", b""),
    ]  # fmt: skip


def test_dispatch_to_a_topic_and_an_endpoint(server, tool, inbox):
    endpoint = call(server, "POST", "/api/v1/endpoints", json={"url": inbox.url, "topics": ["news"]})["id"]
    assert "on topic news, offset 1, for 1 endpoints" in tool("dispatch", "--topic", "news", "--data", "1")
    assert dispatched(tool, "--endpoint", endpoint, "--id", "k")["message_id"] == dispatched(tool, "--endpoint", endpoint, "--id", "k")["message_id"]
    tool("dispatch", "--endpoint", "ep_none", code=1)
    assert tool.complaint == "hookbox: destination: there is no endpoint ep_none\n"
    tool("dispatch", "http://169.254.169.254/", code=1)
    assert "169.254.169.254 is link-local" in tool.complaint


def test_deliveries_are_listed_shown_and_tried_again(server, tool):
    with Inbox(500, 500, 200) as inbox:
        names = [dispatched(tool, inbox.url, "--tag", tag)["deliveries"][0]["id"] for tag in ("one", "two")]
        for name in names:
            until_over(server, name)
        table = tool("deliveries", "list", "--state", "undelivered").splitlines()
        assert table[0].split() == ["DELIVERY", "STATE", "TRIES", "STATUS", "CREATED", "(UTC)", "TOPIC", "URL"]
        assert [line.split()[0] for line in table[1:]] == names[::-1]
        assert "dead (exhausted)" in table[1]
        assert table[1].endswith(inbox.url)
        assert json.loads(tool("deliveries", "list", "--tag", "two", "--json"))["deliveries"][0]["id"] == names[1]
        shown = tool("deliveries", "show", names[0])
        assert re.search(r"state +dead\nreason +exhausted|state +dead", shown)
        assert re.search(r"1 +schedule +\S+ \S+ +\d+ ms +http_500 +500", shown)
        assert "\x1b" not in shown
        assert "said\\x1b[2J" in shown
        assert tool("deliveries", "retry", names[0]) == f"{names[0]} is tried now\n"
        assert until_over(server, names[0])["state"] == "succeeded"
        said = tool("deliveries", "retry", "--since", "1h", "--tag", "two", "--rate", "50")
        assert re.fullmatch(r"job_\w+: retry done: 1 of 1 \(100%\)\n", said)
        assert until_over(server, names[1])["state"] == "succeeded"
    tool("deliveries", "show", "dlv_none", code=1)
    assert tool.complaint == "hookbox: there is no delivery dlv_none\n"
    tool("deliveries", "list", "--state", "deda", code=1)
    assert "did you mean dead" in tool.complaint


def test_a_replay_is_followed_to_its_end(server, tool, inbox):
    tool("dispatch", "--topic", "news.a", "--data", "1")
    tool("dispatch", "--topic", "news.a", "--data", "2")
    said = tool("deliveries", "replay", "news.a", inbox.url)
    assert re.fullmatch(r"job_\w+: replay done: 2 of 2 \(100%\)\n", said)
    assert "replay" in tool.complaint
    job = json.loads(tool("deliveries", "replay", "news.a", inbox.url, "--from", "0", "--no-wait", "--json"))
    assert "done: 2 of 2" in tool("deliveries", "job", job["id"])
    tool("deliveries", "job", job["id"], "--cancel", code=1)
    assert "over already" in tool.complaint
    tool("deliveries", "replay", "news.a", "ep_none", code=1)
    assert "there is no endpoint ep_none" in tool.complaint


def test_who_gives_up_waiting_is_told_that_it_goes_on(server, tool, inbox):
    for _ in range(3):
        until_over(server, dispatched(tool, "http://127.0.0.1:9/", "--tag", "x")["deliveries"][0]["id"])
    words = ["deliveries", "retry", "--since", "1h", "--rate", "0.1"]
    environ = {**os.environ, "HOOKBOX_SERVER": server.url, "HOOKBOX_API_SECURITY_TOKEN": TOKEN}
    process = subprocess.Popen(
        [sys.executable, "-m", "hookbox", *words],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
    )
    assert "retry running: " in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 130
    job = re.search(r"the server goes on with it: hookbox deliveries job (job_\w+)", said)[1]
    assert "running" in tool("deliveries", "job", job, "--no-wait")
    tool("deliveries", "job", job, "--cancel", "--no-wait")
    assert "cancelled" in tool("deliveries", "job", job)


def test_a_wrong_token_and_a_wrong_port_say_what_to_do(server, tool):
    for words in (["publish", "news", "1"], ["dispatch", "--topic", "a"], ["deliveries", "list"]):
        tool(*words, "--token", "wrong", code=1)
        assert "wrong token for" in tool.complaint, words
        tool(*words, code=1, environ={"HOOKBOX_SERVER": server.url})
        assert "no token for" in tool.complaint, words
        tool(*words, "--server", "http://127.0.0.1:9", code=3)
        assert "no server answers at http://127.0.0.1:9 (connection refused)" in tool.complaint
        tool(*words, "--server", server.url.rstrip("/") + "/elsewhere", code=1)
        assert "is it the port of Hookbox's API?" in tool.complaint


def test_address_and_token_are_read_from_the_servers_own_file(server, tool, tmp_path):
    file = tmp_path / "hookbox.toml"
    file.write_text(f'port = {server.port}\napi_security_token = ["{TOKEN}"]\nstore = ":memory:"\n')
    assert tool("deliveries", "list", "--config", str(file), environ={}).startswith("DELIVERY")
    assert tool("deliveries", "list", environ={"HOOKBOX_CONFIG": str(file)}).startswith("DELIVERY")


def test_the_listing_into_a_pipe_that_closes_early_is_no_error(server):
    environ = {**os.environ, "HOOKBOX_SERVER": server.url, "HOOKBOX_API_SECURITY_TOKEN": TOKEN}
    command = f"{sys.executable} -m hookbox deliveries list | true"
    assert subprocess.run(command, shell=True, env=environ, capture_output=True, timeout=DEADLINE * 3).stderr == b""


def test_on_a_terminal_tables_fit_and_progress_is_one_line(server, tool, inbox):
    tool("dispatch", "--topic", "a.topic.with.a.rather.long.name", inbox.url + "?" + "q" * 200, "--data", "1")
    environ = {**os.environ, "HOOKBOX_SERVER": server.url, "HOOKBOX_API_SECURITY_TOKEN": TOKEN}
    environ.pop("COLUMNS", None)
    shown = on_a_terminal(["deliveries", "list"], environ, columns=70)
    head, row = shown.splitlines()
    assert head.startswith("DELIVERY")
    assert len(row) <= 70
    assert row.endswith("…")
    shown = on_a_terminal(["deliveries", "replay", "a.topic.with.a.rather.long.name", inbox.url], environ, columns=70)
    *_, progress, end = shown.splitlines()
    assert progress.split("\r")[-1].strip() == "replay done: 1 of 1 (100%)"
    assert re.fullmatch(r"job_\w+: replay done: 1 of 1 \(100%\)", end)


def on_a_terminal(words, environ, columns):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([sys.executable, "-m", "hookbox", *words], env=environ, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says at the end
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert process.wait(DEADLINE) == 0, shown
    return shown.decode().replace("\r\n", "\n")
