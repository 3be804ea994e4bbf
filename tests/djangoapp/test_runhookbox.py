"""`manage.py runhookbox`, with real processes."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import include, path
from managed import Managed, is_gone

from hookbox.contrib.django.management.commands import runhookbox
from hookbox.contrib.django.running import child, options
from hookbox.contrib.django.running.upkeep import Upkeep
from hookbox.errors import ConfigError
from hookbox.testing import DEADLINE

LISTENING = r"Listening to hookbox on http://127\.0\.0\.1:(\d+)"
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="NOT TESTED: there is no /proc")

PROGRAM = r"""
#!{python} -IS
import json, os, signal, sys, time
def end(number, frame):
    os.write(2, f"got {signal.Signals(number).name}\n".encode())  # which may interrupt a print
    os._exit(7)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("started", os.getpid(), json.dumps(sys.argv[1:]), file=sys.stderr, flush=True)
time.sleep(600)
"""


@pytest.fixture
def program(tmp_path):
    """A program that says what it was started with and which signal ended it; its status is then 7."""
    file = tmp_path / "other-hookbox"
    file.write_text(PROGRAM.lstrip().replace("{python}", sys.executable))
    file.chmod(0o755)
    return file


def settings_module(folder, **values):
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    (folder / "special.py").write_text("\n".join(["from project.settings import *", *lines]))
    return "special"


# ---- the server, as it is started without an --executable ----


@needs_proc
def test_the_server_runs_with_the_settings_and_its_secrets_are_in_no_list_of_processes(tmp_path):
    secrets = {
        "HOOKBOX_WEBHOOK_SECRET": "s-webhook",
        "HOOKBOX_REST_SECRET": "s-token",
        "HOOKBOX_ADMIN_PASSWORD": "s-password",
        "HOOKBOX_ERRBACK_SECRET": "whsec_" + "c" * 40,
    }
    module = settings_module(
        tmp_path, **secrets, HOOKBOX_PORT=0, HOOKBOX_CBPORT="9", HOOKBOX_STORE=str(tmp_path / "kept.db")
    )
    (tmp_path / "requests.py").write_text("raise SystemExit('an app of the project, not the library')")
    with Managed("runhookbox", "--", "--leave-grace", "1.5", cwd=tmp_path, settings=module) as command:
        port = command.wait_for(LISTENING)[1]
        assert LISTENING.partition(":")[0] in command.out  # so that a script can wait for it there
        (server,) = command.children()
        line = Path(f"/proc/{server}/cmdline").read_bytes().decode().split("\0")
        assert {"--port=0", "--cbport=9", "--cbpath=/hookbox", "--interface=localhost"} <= set(line)
        assert line[-3:] == ["--leave-grace", "1.5", ""]
        ours = Path(f"/proc/{command.process.pid}/cmdline").read_bytes().decode()
        environ = Path(f"/proc/{server}/environ").read_bytes().decode()
        for secret in secrets.values():
            assert secret not in " ".join(line) + ours
            assert f"={secret}\0" in environ
        assert (tmp_path / "kept.db").exists()
        assert port != "0"
        command.send(signal.SIGTERM)
        assert command.ended() == 0
        assert is_gone(server)
        assert "draining" in command.err


def test_what_the_server_says_about_its_failure_is_shown_and_its_status_is_ours(tmp_path):
    with Managed("runhookbox", "-p", "0", "--", "--store", "/nowhere/x.db", cwd=tmp_path) as command:
        assert command.ended() == 2
    assert "--store" in command.err
    assert "/nowhere" in command.err


# ---- signals and ends ----


RUN = """
import os, sys
from hookbox.contrib.django.running import child
sys.exit(child.run(sys.argv[1:], os.environ, lambda line: print(line, flush=True)))
"""


def running(program, cwd):
    """What the command does, without the second that Django takes to start."""
    return Managed("-c", RUN, program, cwd=cwd, program=())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_signals_are_passed_on_and_the_status_is_that_of_the_program(tmp_path, program, number):
    with running(program, tmp_path) as command:
        command.wait_for("started")
        command.send(number)
        assert command.ended() == 7
        expected = "SIGTERM" if number == signal.SIGHUP else number.name
        assert command.out.count(f"got {expected}") == 1


@needs_proc
def test_a_ctrl_c_of_the_terminal_reaches_the_program_once_and_through_us(tmp_path, program):
    with running(program, tmp_path) as command:
        pid = int(command.wait_for(r"started (\d+)")[1])
        assert os.getpgid(pid) != os.getpgid(command.process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux tells a process of its parent's death")
def test_the_program_ends_when_the_command_is_killed(tmp_path, program):
    with running(program, tmp_path) as command:
        pid = int(command.wait_for(r"started (\d+)")[1])
        command.send(signal.SIGKILL)
        command.ended()
        assert is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: only Linux tells a process of its parent's death")
def test_nothing_is_started_for_a_command_that_is_gone_already(tmp_path):
    marker = tmp_path / "it ran"
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = subprocess.run([sys.executable, "-IS", child.TIED, str(gone.pid), "touch", str(marker)], check=False)
    assert done.returncode == 1
    assert not marker.exists()


def test_a_program_that_a_signal_ends_counts_as_a_shell_counts_it(tmp_path):
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert child.run([sys.executable, "-IS", "-c", script], os.environ, lambda line: None) == 128 + 9


def test_all_it_said_has_been_told_when_it_has_ended():
    told = []
    script = "import sys; [print(n, file=sys.stderr) for n in range(5000)]; sys.exit(3)"
    assert child.run([sys.executable, "-IS", "-c", script], os.environ, told.append) == 3
    assert told == [str(n) for n in range(5000)]


def test_it_ends_when_we_fail(monkeypatch):
    class Broken(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **kw: started.append(popen(*a, **kw)) or started[0])
    monkeypatch.setattr(child.threading, "Thread", Broken)
    with pytest.raises(RuntimeError):
        child.run(["sleep", "600"], os.environ, print)
    assert started[0].returncode is not None
    started[0].stderr.close()


# ---- what it is told ----


def test_the_command_line_counts_more_than_settings_and_those_more_than_defaults(settings):
    settings.HOOKBOX_PORT, settings.HOOKBOX_CBPORT = "8100", 8200
    chosen = options.read_options({"port": "8300"})
    assert (chosen["port"], chosen["cbport"], chosen["cbhost"]) == (8300, 8200, "localhost")
    assert "api_security_token" not in chosen


def test_the_server_knows_the_session_cookie(settings):
    assert "session_cookie" not in options.read_options({}), "it looks for Django's usual one by itself"
    settings.SESSION_COOKIE_NAME = "mine"
    assert options.read_options({})["session_cookie"] == ("mine",)
    settings.HOOKBOX_SESSION_COOKIE = ["other", "mine"]
    assert options.read_options({})["session_cookie"] == ("other", "mine")
    assert options.read_options({"session_cookie": ["given"]})["session_cookie"] == ("given",)


def test_any_option_of_the_server_may_stand_in_the_settings(settings, tmp_path):
    settings.DEBUG = False
    settings.HOOKBOX_STORE = tmp_path / "x.db"
    settings.HOOKBOX_ORIGIN = ["https://a.example", "https://b.example"]
    settings.HOOKBOX_DATETIME_UTC = True
    settings.HOOKBOX_ADMIN_PASSWORD = 1234
    settings.HOOKBOX_EGRESS_PROXY = "http://user:pass@proxy.example:3128"
    settings.HOOKBOX_LEAVE_GRACE = None
    orders = options.orders(options.read_options({}), ["--debug"], {"PATH": "/bin", "HOOKBOX_ADMIN_PASSWORD": "x"})
    assert orders.arguments[-1] == "--debug"
    assert {
        f"--store={tmp_path / 'x.db'}", "--origin=https://a.example", "--origin=https://b.example", "--datetime-utc",
    } <= set(orders.arguments)  # fmt: skip
    assert orders.environ == {
        "PATH": "/bin",
        "HOOKBOX_ADMIN_PASSWORD": "1234",
        "HOOKBOX_EGRESS_PROXY": "http://user:pass@proxy.example:3128",
    }
    assert "pass@" not in repr(orders)


def test_while_debugging_deliveries_may_stay_on_this_machine_unless_somebody_decided(settings):
    settings.DEBUG = True
    settings.HOOKBOX_HUB_POLICY = "token"
    orders = options.orders(options.read_options({}), [], {"HOOKBOX_EGRESS": "public"})
    assert [word for word in orders.arguments if word.startswith(("--egress", "--dispatch", "--hub"))] == [
        "--dispatch-auth=loopback",
        "--hub-policy=token",
    ]
    settings.DEBUG = False
    assert "--dispatch-auth=loopback" not in options.orders(options.read_options({}), [], {}).arguments


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("HOOKBOX_PORT", "many", "HOOKBOX_PORT in the settings: 'many' is not allowed"),
        ("HOOKBOX_EGRESS", "none", "one of public, internal, off"),
        ("HOOKBOX_CBPORT", "auto", "give runhookbox the one that Django listens on, as --cbport 8000"),
        ("HOOKBOX_API_SECURITY_TOKEN", "a,b", "none can contain one"),
    ],
)
def test_a_wrong_setting_is_named(settings, name, value, text):
    setattr(settings, name, value)
    with pytest.raises(CommandError, match=text):
        call_command("runhookbox")


def test_a_secret_that_is_wrong_is_not_shown(settings):
    settings.HOOKBOX_ERRBACK_SECRET = "whsec_not-base64!"
    with pytest.raises(ConfigError) as refused:
        options.read_options({})
    assert "not-base64" not in str(refused.value)


def test_auto_on_the_command_line_is_an_error_that_says_what_to_do():
    with pytest.raises(CommandError, match=r"--cbport: .* cannot be known here"):
        call_command("runhookbox", cbport="auto")


def test_a_setting_that_was_misspelt_is_named(settings):
    settings.HOOKBOX_LEAVE_GRACES = 3
    settings.HOOKBOX_OUR_OWN_THING_ALTOGETHER = 3
    settings.HOOKBOX_DEBUG_VIEW = settings.HOOKBOX_OUTBOX = True
    settings.HOOKBOX_API_SECURITY_TOKEN = "t"
    (doubt,) = options.doubts(options.read_options({}))
    assert "HOOKBOX_LEAVE_GRACES" in doubt
    assert "did you mean HOOKBOX_LEAVE_GRACE" in doubt


def test_a_project_that_cannot_work_is_told_why(settings):
    settings.ROOT_URLCONF = ()
    without_token, without_views = options.doubts(options.read_options({}))
    assert "publish() and other calls of Django will be refused" in without_token
    assert "everything will be denied" in without_views
    settings.HOOKBOX_CBPATH, settings.HOOKBOX_API_SECURITY_TOKEN = "/elsewhere", "t"
    assert not [*options.doubts(options.read_options({}))]


def test_secrets_that_only_the_server_gets_are_doubted(settings):
    """Django knows neither the command line of another process nor its environment."""
    (without,) = options.doubts(options.read_options({"api_security_token": "given"}))
    assert "HOOKBOX_API_SECURITY_TOKEN is not in the settings" in without
    settings.HOOKBOX_API_SECURITY_TOKEN, settings.HOOKBOX_WEBHOOK_SECRET = 12345, "s"
    assert not [*options.doubts(options.read_options({}))]
    token, secret = options.doubts(options.read_options({"api_security_token": "x", "webhook_secret": "y"}))
    assert "--api-security-token is not" in token
    assert "--webhook-secret is not" in secret
    assert not {"12345", "x,", "y,"} & set((token + secret).split())


def test_variables_that_are_there_for_the_settings_do_not_reach_the_server(settings):
    """It would take HOOKBOX_REST_SECRET or HOOKBOX_TIMEOUT for a typing error, and not start."""
    settings.DEBUG = False
    own = {
        f"HOOKBOX_{name}": "1"
        for name in ("REST_SECRET", "TIMEOUT", "URL", "OUTBOX", "DEBUG_VIEW", "HOOK_BACKEND", "ON_COMMIT")
    }
    environ = own | {"HOOKBOX_STORE": "x.db", "HOOKBOX_LEAVE_GRAEC": "1", "PATH": "/bin"}
    kept = {name: value for name, value in environ.items() if name not in own}
    for given in (options.orders({}, [], environ), options.orders_of_old({}, [], environ)):
        assert given.environ == kept


def test_the_webhooks_are_where_the_urls_say(settings):
    ours = include("hookbox.contrib.django.urls")
    for patterns, expected in [([path("live/hb/", ours)], "/live/hb"), ([path("", ours)], "/"), ([], "/hookbox")]:
        settings.ROOT_URLCONF = tuple(patterns)
        assert options.read_options({})["cbpath"] == expected
    settings.HOOKBOX_CBPATH = "/elsewhere"
    assert options.read_options({})["cbpath"] == "/elsewhere"


# ---- another program ----


def test_another_program_gets_the_secrets_as_arguments_with_a_warning(tmp_path, program):
    module = settings_module(tmp_path, HOOKBOX_EXECUTABLE=str(program), HOOKBOX_API_SECURITY_TOKEN="t", DEBUG=True)
    with Managed("runhookbox", "-s", "secret", "-p", "8123", "--", "--more", cwd=tmp_path, settings=module) as command:
        arguments = json.loads(command.wait_for(r"started \d+ (.*)")[1])
    assert arguments == [
        "--port=8123", "--interface=localhost", "--cbhost=localhost", "--cbport=8000", "--cbpath=/hookbox",
        "-s", "secret", "-r", "t", "--more",
    ]  # fmt: skip
    assert "gets the secrets as arguments, which everybody on this machine can see" in command.err


def test_a_program_that_does_not_exist_is_named():
    with pytest.raises(CommandError, match="there is no program /no/such"):
        call_command("runhookbox", executable="/no/such")


# ---- the outbox ----


def test_the_outbox_is_flushed_at_once_and_again_whatever_goes_wrong(caplog):
    calls, thrice = [], threading.Event()

    def flush(at_start):
        calls.append(at_start)
        if len(calls) == 3:
            thrice.set()
        if len(calls) < 3:
            raise OSError("no such table")

    upkeep = Upkeep(flush, every=0.001)
    with caplog.at_level(logging.WARNING, logger="hookbox.django"):
        upkeep.begin()
        upkeep.begin()
        assert thrice.wait(DEADLINE)
        upkeep.end(DEADLINE)
    assert calls[:3] == [True, False, False]
    assert [record.getMessage() for record in caplog.records] == [
        "the outbox could not be flushed, which is tried again: OSError: no such table"
    ]


def test_calls_of_the_command_go_to_the_server_that_it_has_started(settings):
    from hookbox.contrib.django import conf

    settings.HOOKBOX_API_SECURITY_TOKEN = "theirs"
    with runhookbox._known_here({"api_security_token": ("given",)}) as reach:
        reach("http://", "0.0.0.0", "4711")
        assert (conf.url(), conf.api_token()) == ("http://127.0.0.1:4711", "given")
    assert (conf.url(), conf.api_token()) == ("http://localhost:8001", "theirs")
    with runhookbox._known_here({"path_prefix": "/realtime"}) as reach:
        reach("http://", "127.0.0.1", "4711")
        assert conf.url() == "http://127.0.0.1:4711/realtime"
    settings.HOOKBOX_URL = "https://hookbox.example"
    with runhookbox._known_here({}) as reach:
        reach("http://", "0.0.0.0", "4711")
        assert conf.url() == "https://hookbox.example"


# ---- about the command ----


def test_its_help_names_every_option_and_shows_examples(capsys):
    with pytest.raises(SystemExit):
        runhookbox.Command(stdout=io.StringIO()).run_from_argv(["manage.py", "runhookbox", "--help"])
    text = capsys.readouterr().out
    for word in (
        "-e", "-i", "-p", "--cbhost", "--cbport", "--cbpath", "-s", "-r", "--rest-secret", "-a",
        "manage.py runhookbox -p 0", "hookbox --help", "egress=internal",
    ):  # fmt: skip
        assert word in text


def test_django_is_neither_patched_nor_does_it_wait_for_gevent(tmp_path):
    script = """
import sys, django
django.setup()
from hookbox.contrib.django.management.commands import runhookbox
from hookbox.contrib.django.running import options
options.read_options({})
print(sorted({name.partition('.')[0] for name in sys.modules} & {'gevent', 'bottle', 'requests', 'websockets'}))
"""
    with Managed("-c", script, cwd=tmp_path, program=()) as command:
        assert command.ended() == 0, command.err
        assert command.out == "[]\n"
