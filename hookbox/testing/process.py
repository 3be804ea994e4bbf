"""A real Hookbox in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hookbox.core.values import JSON, JSONObject
from hookbox.testing.app import ScriptedApp
from hookbox.testing.deadline import DEADLINE

if TYPE_CHECKING:
    from hookbox.testing.client import Client

STARTING = 3 * DEADLINE
"""Seconds: a process that starts reads many files, which on a busy machine takes its time."""
HOOKBOX = (sys.executable, "-m", "hookbox")


class HookboxProcess:
    """A real Hookbox in a process of its own, on a free port.

    It asks `app`, or, without one, the application that the flags name (`cbport=8000`, `cb_single_url=...`);
    without either it asks a `ScriptedApp` of its own.

    Args:
        app: who answers its webhooks.
        command: what to run; the flags follow.
        flags: settings by name, e.g. `leave_grace=0.2`; True is a bare switch, a list repeats the flag.
            Without `store` what is owed is kept in memory.

    Raises:
        ValueError: an application is given and named too.
        RuntimeError: it did not start; the text has its log.
    """

    TOKEN = "test-token"

    def __init__(
        self, app: ScriptedApp | None = None, *, command: Sequence[str] = HOOKBOX, **flags: object
    ) -> None:
        named = {"cbport", "cb_single_url"} & flags.keys()
        if app is not None and named:
            raise ValueError(f"give app or {', '.join(sorted(named))}, not both: who is to be asked?")
        self._app = app if app is not None or named else ScriptedApp()
        self._clients: list[Client] = []
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="hookbox-", suffix=".log")  # noqa: SIM115
        given: dict[str, object] = {"port": 0, "api_security_token": self.TOKEN, "store": ":memory:"}
        if self._app is not None:
            given["cbport"] = self._app.port
        self.process = self._launch([*command, *_as_flags(given | flags)])
        try:
            self.url = self.wait_for_log(r"Listening to hookbox on ([^\s\"]+)", STARTING).group(1)
        except RuntimeError:
            self.__exit__()
            raise
        self.port = urllib.parse.urlsplit(self.url).port or 0

    def _launch(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(arguments, stdout=self._log, stderr=subprocess.STDOUT)

    @property
    def app(self) -> ScriptedApp:
        """The scripted application it asks.

        Raises:
            RuntimeError: it asks another.
        """
        if self._app is None:
            raise RuntimeError("this Hookbox asks an application of yours; there is no scripted one")
        return self._app

    # its log

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        with open(self._log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for_log(self, pattern: str, seconds: float = DEADLINE) -> re.Match[str]:
        """Wait for a line in the server's log, for so many seconds at most.

        Raises:
            RuntimeError: it did not come, or the server has ended.
        """
        until = time.monotonic() + seconds
        while True:
            status = self.process.poll()  # before the log is read, so that no last line is missed
            if found := re.search(pattern, self.log):
                return found
            if status is not None:
                why = f"the server ended with status {status}"
                break
            if time.monotonic() > until:
                why = f"the server runs, but {seconds:g} seconds were not enough (HOOKBOX_TEST_DEADLINE)"
                break
            time.sleep(0.01)
        raise RuntimeError(f"no log line like {pattern!r}; {why}; its log:\n{self.log or '(empty)'}")

    # its API

    def api(self, method: str, **params: object) -> JSONObject:
        """Call the HTTP API.

        Raises:
            ApiRefused: it answered `[false, ...]`.
            RuntimeError: the server has ended.
            OSError: it cannot be reached, or answers something else.
        """
        request = urllib.request.Request(
            f"{self.url}/web/{method}",
            json.dumps(params).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.TOKEN}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                done, result = json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError as error:
            if self.process.poll() is None:
                raise
            raise RuntimeError(f"the server has ended; its log:\n{self.log}") from error
        if not done:
            raise ApiRefused(result)
        assert isinstance(result, dict)
        return result

    def dispatch(self, *urls: str, **members: JSON) -> JSONObject:
        """Dispatch to URLs; returns what was accepted: `message_id`, `deliveries`, `topic` ...

        Args:
            members: of a batch, e.g. `json={"id": 1}`, `topic="news"`, `delay=2`.

        Raises:
            urllib.error.HTTPError: it was not accepted.
        """
        members.setdefault("to", [{"url": url} for url in urls])
        headers = {
            "Content-Type": "application/vnd.hookbox.dispatch+json",
            "Accept": "application/json",
            "Authorization": f"Bearer {self.TOKEN}",
        }
        request = urllib.request.Request(f"{self.url}/dispatch", json.dumps(members).encode(), headers)
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            accepted = json.load(answer)
        assert isinstance(accepted, dict)
        return accepted

    # clients of it

    def client(self, **options: Any) -> Client:
        """A client that has not sent CONNECT; options as for `Client`."""
        from hookbox.testing.client import Client  # whoever needs none needs no websockets

        client = Client(self.url, **options)
        self._clients.append(client)
        return client

    def connect(self, name: str, **options: Any) -> Client:
        """A client connected as that user; options as for `Client`."""
        client = self.client(**options)
        client.connect(name)
        return client

    def subscribed(self, channel: str, *names: str) -> list[Client]:
        """Clients connected and subscribed to a channel."""
        clients = [self.connect(name) for name in names]
        for client in clients:
            client.subscribe(channel)
        return clients

    def settle(self) -> JSONObject:
        """Close all its clients and wait until nothing is left of them; says how the server stands then.

        So one server can serve many tests.

        Raises:
            TimeoutError: users, connections or webhooks are left over.
        """
        while self._clients:
            self._clients.pop().cut()
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            info = self.api("get_server_info")
            counts = info["counts"]
            assert isinstance(counts, dict)
            busy = counts["webhooks_out"] or counts["untold_events"]
            if not (info["users"] or info["connections"] or busy):
                return info
            time.sleep(0.01)
        raise TimeoutError(f"left over: {info}")

    # its end

    def stop(self) -> int:
        """End the server as an operator does; returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode
        finally:
            self._log.close()

    def kill(self) -> None:
        """End the server without a word, as a crash does."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> HookboxProcess:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.close()
        if self._app is not None:
            self._app.stop()


class ApiRefused(Exception):
    """The HTTP API answered `[false, ...]`; `result` is its object."""

    def __init__(self, result: JSONObject) -> None:
        super().__init__(str(result.get("error")))
        self.result = result


def _as_flags(settings: dict[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is True:
                yield flag
            elif item is not None and item is not False:
                yield from (flag, str(item))
