"""The command as a process: starting, failing to start, reloading, logging, and in which order it patches."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import textwrap
import urllib.request
from contextlib import contextmanager

import pytest

from hookbox.testing import DEADLINE, HookboxProcess

pytestmark = pytest.mark.usefixtures("cold")

SLOWER = DEADLINE / 10  # the factor that deadlines of slow machines are stretched by


def hookbox(*args, **environ):
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hookbox", *args],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE * 3,
    )


@contextmanager
def listening(*args):
    """A running command, and what it said until it listened."""
    process = subprocess.Popen([sys.executable, "-m", "hookbox", "-p", "0", *args], stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        while "Listening to hookbox on" not in said:
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            said += line
        yield process, said
    finally:
        process.terminate()
        process.wait(DEADLINE)
        process.stderr.close()


def run(code):
    """Run Python code to its end; returns what it printed."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=DEADLINE * 3, check=True
    ).stdout


def get(url):
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        return answer.status


# patching


def test_everything_is_patched_before_requests_is_imported_Z1():
    out = run(
        """
        import runpy, sys
        class Look:
            def find_spec(self, name, path=None, target=None):
                if name == "requests":
                    from gevent import monkey
                    print(all(map(monkey.is_module_patched, ("socket", "ssl", "threading", "queue", "select"))))
                    sys.exit()
        sys.meta_path.insert(0, Look())
        sys.argv = ["hookbox", "-p", "0"]
        runpy.run_module("hookbox", run_name="__main__")
        """
    )
    assert out == "True\n"


def test_patching_is_the_first_thing_that_happens_Z1():
    out = run(
        """
        import sys
        sys.argv = ["hookbox"]
        before = set(sys.modules)
        import gevent.monkey
        patch_all = gevent.monkey.patch_all
        def look(*args, **options):
            print(sorted(name for name in sys.modules if name.startswith("hookbox")))
            return patch_all(*args, **options)
        gevent.monkey.patch_all = look
        import hookbox.__main__
        """
    )
    assert out == "['hookbox', 'hookbox.__main__']\n"


def test_importing_the_package_patches_nothing():
    out = run(
        """
        import sys
        import hookbox, hookbox.cli, hookbox.settings, hookbox.log, hookbox.manual, hookbox.testing
        from gevent import monkey
        print(monkey.is_module_patched("socket"), "requests" in sys.modules)
        """
    )
    assert out == "False False\n"


def test_asking_the_command_about_itself_needs_no_gevent():
    for wish in ("--help", "--version", "--check-config"):
        out = run(
            f"""
            import sys
            sys.argv = ["hookbox", "{wish}"]
            from hookbox.__main__ import main
            main()
            print("gevent:", "gevent" in sys.modules)
            """
        )
        assert out.endswith("gevent: False\n")


# starting


def test_the_command_and_the_module_are_the_same():
    assert hookbox("--version").stdout.startswith("hookbox ")
    script = shutil.which("hookbox", path=os.path.dirname(sys.executable))
    if script:
        done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=DEADLINE)
        assert done.stdout == hookbox("--version").stdout


def test_help_into_a_pipe_that_closes_early_is_no_error():
    command = f"{sys.executable} -m hookbox --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=DEADLINE)
    assert (done.stdout, done.stderr) == ("usage: hookbox [command] [flags]\n", "")


def test_port_0_is_picked_and_printed(app):
    with HookboxProcess(app, port=0) as server:
        assert server.port > 0
        assert get(f"{server.url}/healthz") == 200


def test_secrets_may_come_from_the_environment_and_are_never_printed_A13(tmp_path, monkeypatch):
    (tmp_path / "password").write_text("canary-file\n")
    done = hookbox(
        "--check-config",
        HOOKBOX_WEBHOOK_SECRET="canary-variable",
        HOOKBOX_ADMIN_PASSWORD_FILE=str(tmp_path / "password"),
    )
    assert done.returncode == 0
    assert "canary" not in done.stdout + done.stderr


def test_a_wrong_setting_ends_with_2():
    done = hookbox("-p", "abc")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hookbox: --port: 'abc' is not allowed; port is a whole number from 0 to 65535\n"


def test_a_port_in_use_ends_with_1_and_one_line_that_helps():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = hookbox("-p", str(port))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1 port {port}: the port is in use" in line
    assert "-p" in line


def test_an_address_of_another_machine_ends_with_1_and_one_line_that_helps():
    done = hookbox("-p", "0", "-i", "192.0.2.1")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no such address" in line


def test_a_log_file_that_cannot_be_opened_ends_with_1(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    done = hookbox("-p", "0", "-E", str(tmp_path / "log"))
    assert done.returncode == 1
    assert "cannot be opened: Permission denied" in done.stderr


def test_all_files_that_are_allowed_may_be_opened(app):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with HookboxProcess(app) as server:
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert limits == (hard, hard)


def test_a_unix_socket_can_take_the_place_of_the_port(tmp_path):
    path = tmp_path / "hookbox.sock"
    with listening("-i", f"unix:{path}"), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(path))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        assert path.stat().st_mode & 0o777 == 0o600


def test_sigterm_ends_with_0(server):
    assert server.stop() == 0


def test_dev_needs_no_application_and_says_what_it_is_for():
    with listening("dev") as (_, said):
        assert "NOT FOR PRODUCTION" in said
        assert "Only this machine can reach it." in said
        url = re.search(r"Listening to hookbox on (\S+)", said)[1]
        token = re.search(r"Bearer (\S+)'", said)[1]
        request = urllib.request.Request(
            f"{url}/web/create_channel", b"channel_name=demo", {"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            assert json.load(answer)[0] is True
        assert get(url) == 200
