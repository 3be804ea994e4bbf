"""The files of packaging/ with a real server: this test is the service manager, and the engine's health check."""

import json
import re
import shlex
import signal
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from raw import CONNECT, Raw
from restarting import listener
from running import Running
from test_restart import Manager

PACKAGING = Path(__file__).parents[2] / "packaging"


def directive(unit, name):
    return re.search(rf"^{name}=(.*)$", (PACKAGING / "systemd" / unit).read_text(), re.MULTILINE)[1]


@pytest.fixture
def config(app, tmp_path):
    """hookbox.toml, with a store and an application that are there."""
    text = (PACKAGING / "systemd/hookbox.toml").read_text()
    text = text.replace("/var/lib/hookbox/hookbox.db", str(tmp_path / "hookbox.db"))
    text = re.sub(r"(?m)^cbport = \d+", f"cbport = {app.port}", text)
    (tmp_path / "hookbox.toml").write_text(text)
    return tmp_path / "hookbox.toml"


@pytest.mark.usefixtures("cold")
def test_the_service_starts_on_its_sockets_lives_reloads_and_ends_as_its_unit_says(app, config, tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    with listener() as public, listener() as api, closing(manager.socket):
        _lives(app, config, tmp_path, manager, public, api)


def _lives(app, config, tmp_path, manager, public, api):
    _program, *words = shlex.split(directive("hookbox.service", "ExecStart"))
    words[words.index("/etc/hookbox/hookbox.toml")] = str(config)
    names = [directive(unit, "FileDescriptorName") for unit in ("hookbox-api.socket", "hookbox.socket")]
    watchdog = int(directive("hookbox.service", "WatchdogSec"))
    environ = {
        "LISTEN_FDNAMES": ":".join(names),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": str(watchdog * 1_000_000),
        "HOOKBOX_LOG_FORMAT": "plain",  # in which Running finds the address
    }
    with Running(app, *words, sockets=[api, public], activated=True, environ=environ) as server:
        heard = [manager.heard(), manager.heard()]
        assert {"READY": "1"} in heard
        assert {"WATCHDOG": "1"} in heard
        with Raw(public.getsockname()[1], path="/realtime/ws") as client:
            client.send(CONNECT)
            assert app.wait_for("connect")
            request = urllib.request.Request(
                f"http://127.0.0.1:{api.getsockname()[1]}/realtime/web/get_server_info",
                b"{}",
                {"Authorization": f"Bearer {server.TOKEN}", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                assert json.load(answer)[0] is True
        assert re.fullmatch(r"/bin/kill -HUP \$MAINPID", directive("hookbox.service", "ExecReload"))
        server.process.send_signal(signal.SIGHUP)
        assert manager.heard()["RELOADING"] == "1"
        assert manager.heard() == {"READY": "1"}
        server.terminate()
        assert manager.heard() == {"STOPPING": "1"}
        assert server.ends() == 0


def test_the_health_check_of_the_image_says_whether_work_may_be_given(server):
    text = (PACKAGING / "docker/Dockerfile").read_text()
    _python, *words = json.loads(re.search(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", text)[1])
    program = compile(words[words.index("-c") + 1], "HEALTHCHECK", "exec")

    def check(port):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOOKBOX_PORT", str(port))
            exec(program, {})

    check(server.port)
    server.kill()
    with pytest.raises(OSError, match="refused"):
        check(server.port)
