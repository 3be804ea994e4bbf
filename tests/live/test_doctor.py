"""`hookbox doctor` against real deployments: a real nginx in front of a real Hookbox, well and badly set up."""

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from nginx import WELL, Nginx, need_nginx

from hookbox.testing import DEADLINE, HookboxProcess, Reply
from hookbox.tool.command import run
from hookbox.tool.problems import INTERRUPTED, UNREACHABLE, USAGE

PING_SECONDS = 1
SETTINGS = {
    "ping_interval": PING_SECONDS,
    "path_prefix": "/realtime",
    "trusted_proxy": "127.0.0.1",
    "leave_grace": 0.1,
}
SILENCE = ["--idle", "2.5"]
QUICK = ["--idle", "0"]
BUFFERED = WELL.replace("proxy_buffering         off", "proxy_ignore_headers X-Accel-Buffering; proxy_buffering on")
assert BUFFERED != WELL


def without(text, *directives):
    """A location without some directives, which it has to have."""
    for directive in directives:
        text, count = re.subn(rf"(?m)^ *{re.escape(directive)} .*\n", "", text)
        assert count == 1, directive
    return text


LOCATIONS = {
    "well": WELL,
    "tls": WELL,
    "no_upgrade_headers": without(WELL, "proxy_set_header Upgrade", "proxy_set_header Connection"),
    "as_nginx_does_by_itself": "proxy_set_header Host $http_host;",
    "buffering_on": BUFFERED + "gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;",
    "buffering_http10": without(BUFFERED, "proxy_http_version"),
    "short_idle_timeout": WELL.replace("75s", "1s"),
    "no_host": without(WELL, "proxy_set_header Host"),
    "no_origin": WELL + 'proxy_set_header Origin "";',
    "cors_twice": WELL + 'add_header Access-Control-Allow-Origin "*" always;',
    "no_cookies": WELL + 'proxy_set_header Cookie "";',
    "small_bodies": WELL.replace("256k", "10k"),
    "password": WELL + "auth_basic realm; auth_basic_user_file /dev/null;",
    "not_forwarded": WELL + "location /realtime/ws { return 404; }",
    "cached": WELL + "location /realtime/csp/comet { return 200 '([])'; }",
}
PAGES = """
    location = /with-cookie { add_header Set-Cookie "sessionid=8f1c0a; Path=/; HttpOnly"; return 200 ok; }
    location = /for-all { add_header Set-Cookie "sessionid=8f1c0a; Path=/; Domain=example.test"; return 200 ok; }
    location = /secure { add_header Set-Cookie "sessionid=8f1c0a; Path=/; Secure"; return 200 ok; }
    location = /below { add_header Set-Cookie "sessionid=8f1c0a; Path=/below"; return 200 ok; }
    location / { return 200 "<title>The shop</title>"; default_type text/html; }
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl command to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90".split()
    command += ["-keyout", key, "-out", chain, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


@pytest.fixture(scope="module")
def nginx(hookbox, certificate):
    need_nginx()
    servers = {
        name: f"{PAGES} location /realtime/ {{ proxy_pass http://127.0.0.1:{hookbox.port}; {text} }}"
        for name, text in LOCATIONS.items()
    }
    servers["gateway"] = "location /realtime/ { proxy_pass http://127.0.0.1:1; }"
    servers["cut_prefix"] = f"location /live/ {{ proxy_pass http://127.0.0.1:{hookbox.port}/; }}"
    nginx = Nginx(servers, certificate)
    yield nginx
    nginx.stop()


@pytest.fixture
def doctor(nginx, capsys):
    """Examines a deployment; returns the exit code and what is not as it should be, by key."""

    def examine(name, *words, host="127.0.0.1", path="/realtime", token=True):
        words = [*words, *(["--token", HookboxProcess.TOKEN] if token else [])]
        code = run(["doctor", nginx.url(name, host) + path, "--json", "--quiet", *words])
        found = json.loads(capsys.readouterr().out)["findings"]
        return code, {one["key"]: one for one in found if one["grade"] in ("warning", "wrong")}

    return examine


def test_a_healthy_deployment_raises_no_alarm(doctor, nginx, certificate):
    page = ["--page", nginx.url("tls", "localhost") + "/with-cookie", "--cacert", str(certificate[0])]
    code, bad = doctor("tls", *page, "--cookie", "sessionid=8f1c0a", *SILENCE, host="localhost")
    assert (code, bad) == (0, {})


# the seeded misconfigurations that show from outside; those that show in the application's answers: test_check.py

SEEDED = {
    "no upgrade headers": ("no_upgrade_headers", [*QUICK, "--only", "upgrade"], "upgrade"),
    "no upgrade headers, HTTP/1.0": ("as_nginx_does_by_itself", [*QUICK, "--only", "upgrade"], "upgrade"),
    "buffering on": ("buffering_on", [*QUICK, "--only", "streaming"], "buffering"),
    "buffering on, HTTP/1.0": ("buffering_http10", [*QUICK, "--only", "streaming"], "buffering"),
    "short idle timeout": ("short_idle_timeout", [*SILENCE, "--only", "idle"], "idle_timeout"),
    "cookie on another host": ("well", [*QUICK, "--only", "cookies", "--page"], "cookie_host"),
    "wrong origin": ("well", [*QUICK, "--only", "origin", "--origin", "https://shop.example"], "origin"),
}


@pytest.mark.parametrize("seeded", SEEDED)
def test_a_seeded_misconfiguration_is_named(seeded, doctor, nginx):
    name, words, key = SEEDED[seeded]
    if words[-1] == "--page":
        words = [*words, nginx.url("well", "localhost") + "/with-cookie"]
    code, bad = doctor(name, *words)
    assert code == 1
    assert {one: bad[one]["grade"] for one in bad if one != "http10"} == {key: "wrong"}, "one fault, one finding"
    assert bad[key]["mend"]


def test_a_wrong_callback_port_is_named_with_the_token(doctor, application):
    application.down()
    try:
        code, bad = doctor("well", *QUICK, "--only", "application")
        assert code == 1
        assert "--cbport" in bad["refused"]["mend"]
        code, bad = doctor("well", *QUICK, "--only", "application", token=False)
        assert code == 1
        assert "hookbox check" in bad["app_unavailable"]["mend"]
    finally:
        application.up()


def test_what_the_application_answers_wrongly_is_named_with_the_token(doctor, application):
    application.answer("connect", Reply.redirect("/accounts/login/?next=/hookbox/connect"))
    code, bad = doctor("well", *QUICK, "--only", "application")
    assert code == 1
    assert list(bad) == ["login_redirect"]


def test_an_application_that_is_left_alone_is_told_by_what_was_wrong_before(start, capsys):
    server = start(breaker_failures=1, breaker_first_pause=60)
    server.app.answer("connect", Reply(None, 500))
    for _ in range(2):
        assert run(["doctor", server.url, "--only", "front,application", "--quiet", "--token", server.TOKEN]) == 1
        assert "WRONG error" in capsys.readouterr().out
    server.app.forget()


def test_a_refusal_is_no_fault_of_the_deployment(doctor, application):
    application.refuse("connect", "please log in")
    assert doctor("well", *QUICK, "--only", "application") == (0, {})
    code, bad = doctor("well", *QUICK, "--only", "application", "--cookie", "sessionid=old")
    assert code == 0
    assert "please log in" in bad["denied"]["what"]


# more that goes wrong

OTHERS = {
    "Host changed": ("no_host", ["--only", "origin"], "host_header"),
    "Origin dropped": ("no_origin", ["--only", "origin"], "origin_open"),
    "CORS headers twice": ("cors_twice", ["--only", "origin"], "cors"),
    "cookies dropped": ("no_cookies", ["--only", "passage", "--cookie", "sessionid=1"], "cookie_lost"),
    "small bodies": ("small_bodies", ["--only", "limits"], "body_limit"),
    "password": ("password", ["--only", "front"], "password"),
    "WebSocket not forwarded": ("not_forwarded", ["--only", "upgrade"], "not_forwarded"),
    "polls cached": ("cached", ["--only", "long_poll"], "cached"),
    "Hookbox not running": ("gateway", ["--only", "front"], "gateway"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_misconfiguration_is_named(other, doctor):
    name, words, key = OTHERS[other]
    code, bad = doctor(name, *words, *QUICK, host="localhost")
    assert list(bad) == [key]
    assert code == (bad[key]["grade"] == "wrong")


@pytest.mark.parametrize(
    ("page", "key"),
    [("with-cookie", None), ("secure", "cookie_secure"), ("below", "cookie_path"), ("for-all", "cookie_host")],
)
def test_the_pages_cookies_are_judged_as_a_browser_would(page, key, doctor, nginx):
    words = ["--only", "cookies", "--page", f"{nginx.url('well')}/{page}"]
    assert list(doctor("well", *words)[1]) == ([key] if key else [])


def test_a_path_that_hookbox_does_not_know_is_told_from_another_server(doctor, nginx):
    code, bad = doctor("well", "--only", "front", path="/elsewhere")
    assert code == 1
    assert "The shop" in bad["not_hookbox"]["what"]
    code, bad = doctor("cut_prefix", "--only", "front", path="/live")
    assert (code, bad) == (0, {})
    code, bad = doctor("cut_prefix", "--only", "front", path="/live/no")
    assert code == 1
    assert "--path-prefix" in bad["prefix"]["mend"]


def test_an_untrusted_certificate_and_the_wrong_scheme_end_the_examination(doctor, nginx, certificate, capsys):
    code, bad = doctor("tls", host="localhost")
    assert code == 1
    assert list(bad) == ["certificate"]
    code, bad = doctor("tls", "--cacert", str(certificate[0]))
    assert code == 1
    assert "not for 127.0.0.1" in bad["certificate"]["what"]
    assert run(["doctor", f"http://127.0.0.1:{nginx.ports['tls']}/realtime", "--quiet"]) == 1
    assert "TLS is spoken there" in capsys.readouterr().out
    assert run(["doctor", f"https://127.0.0.1:{nginx.ports['well']}/realtime", "--quiet"]) == 1
    assert "no TLS is spoken" in capsys.readouterr().out


def test_what_is_open_to_everybody_is_told(start, capsys):
    open_house = start(dispatch_auth="open")
    assert run(["doctor", open_house.url, "--only", "exposed", "--quiet"]) == 1
    assert "WRONG dispatch_open" in capsys.readouterr().out
    assert open_house.api("get_server_info")["counts"]["publications"] == 0


# what a tired person does


def output(words):
    """A run of the command as a process, its output through a pipe."""
    command = [sys.executable, "-m", "hookbox", "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=3 * DEADLINE)


def test_a_url_as_people_type_it_is_understood(nginx, capsys):
    port = nginx.ports["well"]
    for typed in (f"127.0.0.1:{port}/realtime", f"ws://127.0.0.1:{port}/realtime/ws", f"<http://127.0.0.1:{port}/realtime/>"):
        assert run(["doctor", typed, "--only", "front", "--quiet"]) == 0, typed
        assert f"http://127.0.0.1:{port}/realtime/" in capsys.readouterr().out


def test_nothing_there_exits_with_3(capsys):
    with contextlib.closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))
        assert run(["doctor", f"localhost:{place.getsockname()[1]}", "--quiet"]) == UNREACHABLE
    assert "nothing listens" in capsys.readouterr().out
    assert run(["doctor", "http://no-such-host.invalid/realtime", "--quiet"]) == UNREACHABLE
    assert "no host called no-such-host.invalid" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["ftp://a.example"], ["http://"], ["http://a.example", "--only", "x"], ["http://a.example", "--token", "x"], []],
)
def test_wrong_arguments_exit_with_2(words, capsys):
    assert run(["doctor", *words]) == USAGE
    assert capsys.readouterr().err.startswith("hookbox: ")


def test_the_table_goes_through_a_pipe_whole_and_the_progress_beside_it(nginx):
    done = output([nginx.url("well") + "/realtime", "--only", "front,limits"])
    assert done.returncode == 0
    assert "Hookbox 1." in done.stdout
    assert "\x1b" not in done.stdout
    assert "looking at" in done.stderr
    assert "looking at" not in done.stdout


def test_ctrl_c_shows_what_was_found_until_then(nginx):
    command = [sys.executable, "-m", "hookbox", "doctor", nginx.url("well") + "/realtime", "--only", "front,idle"]
    with subprocess.Popen(
        [*command, "--idle", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
    ) as process:
        seen = b""
        while b"silence" not in seen:
            seen += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == INTERRUPTED
    assert b"Hookbox 1." in out
    assert b"interrupted" in err
    assert b"Traceback" not in err
