"""The programs of a run: compiled when needed, servers on free ports, each server alone on processor 0."""

from __future__ import annotations

import http.client
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
SERVER_PROCESSOR, LOAD_PROCESSOR = 0, 1
DEADLINE = 30.0
START_SECONDS = 10.0
WARM = 0.5
"""Seconds until Hookbox has made its webhooks ready, so that no connection is charged with it."""
LATE_PATHS = ("/dispatch", "/stream", "/hub", "/api/v1/stats")
"""What is served here is loaded when it is first asked for."""

PATIENCE = ("--webhook-queue-wait", "60", "--webhook-timeout", "60")
"""A machine that is busy with other things must not make the application look ill."""

FORM = r"Content-Type: application/x-www-form-urlencoded\r\n"
CONNECT = r'[1,"CONNECT",{"cookie_string":"a=%i","payload":"null"}]\r\n'
SUBSCRIBE = r'[2,"SUBSCRIBE",{"channel_name":"CHANNEL"}]\r\n'


class Missing(Exception):
    """Something that is not installed; the text says how to get it."""


@dataclass(frozen=True)
class Server:
    """A running server, and how the load generators subscribe to it and publish on it."""

    pid: int
    port: int
    subscribe: Sequence[str] = ()
    publish: Sequence[str] = ()


class Workshop:
    """Compiles and starts programs; used in a `with` statement, which ends and removes them."""

    def __enter__(self) -> Workshop:
        if shutil.which("cc") is None:
            raise Missing("there is no C compiler; apt-get install gcc libc6-dev")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._directory = tempfile.TemporaryDirectory()
        self.path = Path(self._directory.name)
        return self

    def __exit__(self, *error: object) -> None:
        self._directory.cleanup()

    def program(self, name: str) -> str:
        """The path of a compiled program."""
        path = self.path / name
        if not path.exists():
            subprocess.run(["cc", "-O2", "-o", str(path), str(HERE / f"{name}.c")], check=True)
        return str(path)

    @contextmanager
    def limit(self) -> Iterator[Server]:
        """The floor: one send for each delivery, and nothing else."""
        port = free_port()
        with started([self.program("limit"), str(port)], port) as process:
            yield Server(process.pid, port, ["-u", "/ws", "-W", "hello"], ["-P", "/pub", "-b", "%m"])

    @contextmanager
    def nchan(self) -> Iterator[Server]:
        """nginx with the nchan module."""
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if nginx is None or not NCHAN.exists():
            raise Missing("nchan is not installed; apt-get install nginx-light libnginx-mod-nchan")
        port = free_port()
        directory = Path(tempfile.mkdtemp(dir=self.path))
        directory.chmod(0o755)
        conf = directory / "nchan.conf"
        conf.write_text((HERE / "nchan.conf").read_text().replace("127.0.0.1:9003", f"127.0.0.1:{port}"))
        with started([nginx, "-p", str(directory), "-c", str(conf)], port) as process:
            yield Server(first_child(process.pid), port, ["-u", "/sub"], ["-P", "/pub", "-b", "%m"])

    @contextmanager
    def bare(self) -> Iterator[Server]:
        """gevent-websocket on pywsgi, which echoes and does nothing else."""
        port = free_port()
        with started([sys.executable, "-m", "bench.bare", str(port)], port) as process:
            yield Server(process.pid, port, ["-u", "/ws"])

    @contextmanager
    def application(self, moderated: bool = False) -> Iterator[int]:
        """A web application that says yes to everything at once; gives its port."""
        port = free_port()
        command = [self.program("yes"), str(port), *(["moderated"] if moderated else [])]
        with started(command, port, LOAD_PROCESSOR):
            yield port

    @contextmanager
    def hookbox(self, *flags: str, moderated: bool = False, channel: str = "c") -> Iterator[Server]:
        """Hookbox, with its application; `%i` in the channel's name is the connection's number."""
        port = free_port()
        with self.application(moderated) as callback:
            command = [
                sys.executable,
                "-m",
                "hookbox",
                "-i",
                "127.0.0.1",
                "-p",
                str(port),
                "-L",
                "ERROR",
                "--store",
                ":memory:",
            ]
            command += ["--cbhost", "127.0.0.1", "--cbport", str(callback), "-r", "tok", *PATIENCE, *flags]
            with started(command, port) as process:
                warm(port)
                time.sleep(WARM)
                script = ["-S", CONNECT, "-W", "CONNECTED"]
                script += ["-S", SUBSCRIBE.replace("CHANNEL", channel), "-W", '"SUBSCRIBE"']
                body = f"security_token=tok&channel_name={channel.replace('%i', '0')}&payload=%22%m%22"
                publish = ["-P", "/web/publish", "-h", FORM, "-b", body]
                yield Server(process.pid, port, ["-u", "/ws", *script], publish)


def warm(port: int) -> None:
    """Have a Hookbox load what it would load later."""
    for path in LATE_PATHS:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()


def first_child(pid: int) -> int:
    """The first process that another one has started; waits for it."""
    until = time.monotonic() + START_SECONDS
    while True:
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False).stdout.split()
        if found:
            return int(found[0])
        if time.monotonic() > until:
            raise RuntimeError(f"process {pid} has started no other")
        time.sleep(0.01)


@contextmanager
def started(
    command: Sequence[str], port: int, processor: int = SERVER_PROCESSOR
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is running and listens; it is ended with the block."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=lambda: pin(processor)
    )
    try:
        await_listening(process, port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:  # saying goodbye to thousands of clients is not our subject
            process.kill()
            process.wait()
        assert process.stderr is not None
        process.stderr.close()


def pin(processor: int) -> None:
    """Keep this process on one processor, where there are several."""
    if hasattr(os, "sched_setaffinity") and {SERVER_PROCESSOR, LOAD_PROCESSOR} <= os.sched_getaffinity(0):
        os.sched_setaffinity(0, {processor})


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until something accepts connections.

    Raises:
        RuntimeError: the process has ended, or takes too long.
    """
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        if process.poll() is not None:
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace")
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {said}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen")
