"""`hookbox check` against applications that answer well and badly, some of them behind a real nginx."""

import json
import socket
import subprocess
import sys
import time

import pytest
from nginx import Nginx, need_nginx

from hookbox.testing import DEADLINE, Reply, ScriptedApp
from hookbox.tool.command import run
from hookbox.tool.problems import UNREACHABLE, USAGE

SECRET = "kept secret"
COOKIE = "sessionid=8f1c0a"
JSON_TYPE = (("Content-Type", "application/json"),)
WEBHOOKS = [
    "connect",
    "create_channel",
    "subscribe",
    "publish",
    "message",
    "unsubscribe",
    "destroy_channel",
    "disconnect",
    "hub_subscribe",
]
DJANGO_CSRF = b"""<!DOCTYPE html><html lang="en"><head><title>403 Forbidden</title></head>
<body><h1>Forbidden <span>(403)</span></h1><p>CSRF verification failed. Request aborted.</p></body></html>"""


def good(asked):
    """What a careful application answers."""
    if asked.method != "POST" or asked.action not in WEBHOOKS:
        return Reply([False, {"error": "what?"}], 404, JSON_TYPE)
    if asked.form.get("secret") != SECRET:
        return Reply([False, {"error": "wrong webhook secret"}], headers=JSON_TYPE)
    channel = asked.form.get("channel_name", "hookbox-check")
    is_user = COOKIE in asked.headers.get("cookie", "") or asked.action == "hub_subscribe"
    if not is_user or channel != "hookbox-check" or "unfinished" in asked.form.get("payload", ""):
        return Reply([False, {"error": "no"}], headers=JSON_TYPE)
    options = {
        "connect": {"name": "ann", "auto_subscribe": ["news"]},
        "create_channel": {"history_size": 10, "presenceful": True},
    }
    return Reply([True, options.get(asked.action, {})], headers=JSON_TYPE)


@pytest.fixture(scope="module")
def shop():
    app = ScriptedApp()
    yield app
    app.stop()


@pytest.fixture(scope="module")
def nginx(shop):
    need_nginx()
    there = f"location / {{ proxy_pass http://127.0.0.1:{shop.port}; proxy_set_header Host $http_host; }}"
    nginx = Nginx(
        {
            "well": there,
            "slash": "rewrite ^([^.]*[^/])$ $1/ permanent;" + there,
            "login": "location / { return 302 /accounts/login/?next=$uri; }",
            "error": "location / { return 500; }",
            "gateway": "location / { proxy_pass http://127.0.0.1:1; }",
            "elsewhere": "location / { return 404; }",
            "by_get": "location / { return 405; }",
        }
    )
    yield nginx
    nginx.stop()


@pytest.fixture
def check(nginx, shop, tmp_path, capsys, monkeypatch):
    """Checks an application; returns the exit code and what is not as it should be, by key."""
    monkeypatch.setattr("hookbox.tool.check.judging.SLOW", DEADLINE)  # this machine may be slow, too
    shop.forget()
    shop.answer("*", good)
    cookie, secret = tmp_path / "cookie", tmp_path / "secret"
    cookie.write_text(COOKIE + "\n")
    secret.write_text(SECRET + "\n")

    def examine(name, *words, secret=secret):
        url = name if "//" in name else f"{nginx.url(name)}/hookbox"
        known = ["--cookie-file", str(cookie), *(["--secret-file", str(secret)] if secret else [])]
        code = run(["check", url, "--json", "--quiet", *known, *words])
        report = json.loads(capsys.readouterr().out)
        examine.report = report
        return code, {one["key"]: one for one in report["findings"] if one["grade"] in ("warning", "wrong")}

    return examine


def test_a_careful_application_raises_no_alarm(check, shop):
    assert check("well") == (0, {})
    assert [one["webhook"] for one in check.report["questions"]][:9] == WEBHOOKS


def test_the_questions_are_those_that_hookbox_asks(check, shop):
    check(shop.url + "/hookbox")
    connect, create = shop.questions("connect")[0], shop.questions("create_channel")[0]
    assert connect.form == {"action": "connect", "secret": SECRET, "payload": "null", "conn_id": "hookbox-check"}
    assert connect.headers["cookie"] == COOKIE
    assert connect.headers["user-agent"].startswith("hookbox/")
    assert {"channel_name", "destination", "conn_id"} <= create.form.keys()
    assert shop.questions("subscribe")[0].form["user"] == "ann", "as connect named it"
    hub = shop.questions("hub_subscribe")[0]
    assert "cookie" not in hub.headers
    assert "conn_id" not in hub.form
    keys = [one.headers["idempotency-key"] for one in shop.asked]
    assert len(set(keys)) == len(keys)


# the seeded misconfigurations that show in the application's answers; the others: test_doctor.py


def slow(asked):
    time.sleep(0.6)
    return good(asked)


SEEDED = {
    "trailing slash redirect": ("slash", None, "trailing_slash", "--cbtrailingslash"),
    "login redirect": ("login", None, "login_redirect", "login_required"),
    "HTML error page": ("error", None, "error_page", "log"),
    "CSRF answer": ("well", Reply(None, 403, (("Content-Type", "text/html"),), DJANGO_CSRF), "csrf", "csrf_exempt"),
    "slow application": ("well", slow, "slow", "webhook_timeout"),
}


@pytest.mark.parametrize("seeded", SEEDED)
def test_a_seeded_misconfiguration_is_named(seeded, check, shop):
    name, answer, key, mend = SEEDED[seeded]
    if answer is not None:
        shop.answer("*", answer)
    words = ["--timeout", "0.5"] if key == "slow" else []
    code, bad = check(name, *words, "--only", "connect,publish")
    assert (code, list(bad)) == (1, [key]), "one fault, one finding"
    assert bad[key]["grade"] == "wrong"
    assert mend in bad[key]["mend"]
    assert bad[key]["where"] == "all webhooks"


@pytest.mark.parametrize(
    "said",
    [{"error": "wrong webhook secret"}, {"msg": "webhook secret verification failed", "error": "Unauthorized"}],
    ids=["plainly", "as the Django app does"],
)
def test_a_secret_mismatch_is_named(said, check, shop, tmp_path):
    other = tmp_path / "other"
    other.write_text("another secret")
    shop.answer("*", [False, said])
    code, bad = check("well", secret=other)
    assert code == 1
    assert list(bad) == ["secret"]


@pytest.mark.parametrize(
    ("answer", "key"),
    [([False, {"error": "wrong webhook secret"}], "secret"), (Reply(status=403), "forbidden")],
    ids=["said", "by status"],
)
def test_without_a_secret_of_its_own_it_is_told_to_ask_with_one(answer, key, check, shop, monkeypatch):
    shop.answer("*", answer)
    monkeypatch.delenv("HOOKBOX_WEBHOOK_SECRET", raising=False)
    code, bad = check("well", secret="")
    assert code == 1
    assert "--secret-file" in bad[key]["mend"]
    assert not [one for one in check.report["findings"] if one["key"] == "no_secret"], "the application does look"


@pytest.mark.parametrize("status", [200, 403])
def test_a_secret_mismatch_that_is_not_spoken_of_is_suspected(status, check, shop):
    shop.answer("*", Reply([False, {}], status, JSON_TYPE))
    code, bad = check("well")
    assert code == 1
    assert bad["secret"]["grade"] == "wrong"


def test_a_wrong_callback_port_is_named_and_ends_it(check):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        code, bad = check(f"http://127.0.0.1:{place.getsockname()[1]}/hookbox")
    assert (code, list(bad)) == (UNREACHABLE, ["refused"])
    assert "--cbport" in bad["refused"]["mend"]
    assert len(check.report["questions"]) == 1


# more that goes wrong


@pytest.mark.parametrize(
    ("name", "key"), [("gateway", "error_page"), ("elsewhere", "not_found"), ("by_get", "method")]
)
def test_another_misconfiguration_is_named(name, key, check):
    code, bad = check(name, "--only", "connect")
    assert (code, list(bad)) == (1, [key])


@pytest.mark.parametrize(
    ("action", "answer", "key", "grade"),
    [
        ("connect", [True, []], "shape", "wrong"),
        ("connect", [1, {}], "shape", "wrong"),
        ("connect", {"ok": True}, "shape", "wrong"),
        ("connect", Reply(body=b"<br />\n<b>Warning</b>: x in y.php"), "php_message", "wrong"),
        ("connect", Reply(body=b""), "empty", "wrong"),
        ("connect", [True, {"nam": "ann"}], "option", "warning"),
        ("connect", [True, {"reflective": "yes"}], "option", "wrong"),
        ("create_channel", [True, {"history_size": "ten"}], "option", "wrong"),
        ("create_channel", [True, {"presencefull": True}], "option", "wrong"),
        ("publish", Reply.hang_up(), "broken", "wrong"),
        ("publish", Reply.raw(b"SSH-2.0-OpenSSH\r\n"), "not_http", "wrong"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(action, answer, key, grade, check, shop):
    shop.answer(action, answer)
    _, bad = check(shop.url + "/hookbox", "--only", action)
    assert bad[key]["grade"] == grade


def test_an_application_that_allows_everything_is_told_so(check, shop):
    shop.answer("*", [True, {}])
    code, bad = check("well")
    assert code == 0
    assert set(bad) == {"secret_unchecked", "allows_unknown", "allows_get"}


# what a tired person does


def test_the_settings_of_the_server_are_enough(shop, tmp_path, capsys):
    shop.answer("*", good)
    file = tmp_path / "hookbox.toml"
    file.write_text(f'cbport = {shop.port}\nwebhook_secret = "{SECRET}"\n')
    assert run(["check", "--config", str(file), "--quiet", "--only", "connect"]) == 0
    out = capsys.readouterr().out
    assert f"http://127.0.0.1:{shop.port}/hookbox/connect" in out
    assert SECRET not in out


@pytest.mark.parametrize("typed", ["127.0.0.1:{}", "127.0.0.1:{}/hookbox/connect", "http://127.0.0.1:{}/hookbox/"])
def test_a_url_as_people_type_it_is_understood(typed, shop, capsys):
    run(["check", typed.format(shop.port), "--quiet", "--only", "connect"])
    assert f"asked   http://127.0.0.1:{shop.port}/hookbox/connect\n" in capsys.readouterr().out


def test_the_cookie_may_come_from_standard_input_and_is_never_shown(shop):
    shop.answer("*", good)
    command = [sys.executable, "-m", "hookbox", "check", shop.url + "/hookbox", "--cookie", "-"]
    done = subprocess.run(command, input=COOKIE + "\n", capture_output=True, text=True, timeout=3 * DEADLINE)
    assert shop.questions("connect")[-1].method == "GET"
    assert "8f1c0a" not in done.stdout + done.stderr
    assert any(COOKIE in asked.headers.get("cookie", "") for asked in shop.asked)
    assert "\x1b" not in done.stdout
    assert "asking connect" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["ftp://a.example"],
        ["http://a.example", "--only", "conect"],
        ["http://a.example", "--cookie", "nonsense"],
        ["http://a.example", "--payload", "{"],
        ["http://a.example", "--secret-file", "/nonexistent"],
        ["http://a.example", "--single-url", "http://a.example/cb"],
    ],
)
def test_wrong_arguments_exit_with_2(words, capsys):
    assert run(["check", *words]) == USAGE
    assert capsys.readouterr().err.startswith("hookbox: ")
