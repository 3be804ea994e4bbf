import json
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from webhook_app import DEADLINE, App, answer

HERE = Path(__file__).parent
QUESTION = {"action": "subscribe", "fields": {"channel_name": "lobby", "user": "alice"}}
UNAVAILABLE = "failure: the application is not available"
CANARY = "canary-7c2e"


class Asker:
    """Talks to a `webhook_probe.py` process."""

    def __init__(self, environment=None):
        path = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "webhook_probe.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        )
        self.errors = []
        self.lines = queue.Queue()
        self.answers = {}
        self.sent = 0
        self.readers = [
            threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def begin(self, command, **arguments):
        self.sent += 1
        self.process.stdin.write(json.dumps([self.sent, command, arguments]) + "\n")
        self.process.stdin.flush()
        return self.sent

    def result(self, id):
        while id not in self.answers:
            line = self.lines.get(timeout=DEADLINE)
            self.answers[line.pop("id")] = line
        return self.answers.pop(id)

    def do(self, command, **arguments):
        return self.result(self.begin(command, **arguments))

    def ask(self, **question):
        return self.do("ask", **{**QUESTION, **question})

    def begin_ask(self, **question):
        return self.begin("ask", **{**QUESTION, **question})

    def log(self):
        """What it logged since this was asked last."""
        return self.do("log")["lines"]

    def finish(self):
        """End the process, which must have nothing to complain about."""
        self.process.stdin.close()
        assert self.process.wait(DEADLINE) == 0
        for reader in self.readers:
            reader.join(DEADLINE)
        self.process.stdout.close()
        self.process.stderr.close()
        assert "".join(self.errors) == ""


@pytest.fixture
def apps():
    apps = []

    def start(script=None, **options):
        app = App(**({"script": script} if script else {}), **options)
        apps.append(app)
        return app.start()

    yield start
    for app in apps:
        app.stop()


@pytest.fixture
def app(apps):
    return apps()


@pytest.fixture(scope="module")
def common_asker():
    asker = Asker()
    yield asker
    asker.finish()


@pytest.fixture
def asking(common_asker):
    """Starts an asker with these settings; with an environment it gets a process of its own."""
    askers = []

    def start(app=None, environment=None, **settings):
        if environment is not None:
            askers.append(Asker(environment))
        asker = common_asker if environment is None else askers[-1]
        asker.do("renew", **({"cbport": app.port} if app else {}), **settings)
        return asker

    yield start
    for asker in askers:
        asker.finish()


# What is asked, and how


def test_a_question_is_a_form_post_with_everything_the_application_needs(app, asking):
    asker = asking(app, webhook_secret="s3cret&", cbsendhookboxversion=True)
    result = asker.ask(
        fields={"channel_name": "größe & mehr", "user": ""}, cookies="a=1; b=ü", client_ip="192.0.2.7"
    )
    assert result == {"verdict": "Allow", "options": {}, "set_cookies": []}
    (request,) = app.requests
    assert (request.method, request.path) == ("POST", "/hookbox/subscribe")
    assert request.fields == {
        "action": "subscribe",
        "secret": "s3cret&",
        "channel_name": "größe & mehr",
        "user": "",
    }
    assert request.all("Cookie") == ["a=1; b=ü"]
    assert request.all("X-Real-IP") == ["192.0.2.7"]
    assert request.all("Host") == [f"127.0.0.1:{app.port}"]
    assert request.all("Content-Type") == ["application/x-www-form-urlencoded"]
    assert request.all("Accept-Encoding") == ["identity"]
    assert request.all("X-Hookbox-Version")[0] in request.all("User-Agent")[0]
    assert request.all("User-Agent")[0].startswith("hookbox/")
    assert len(request.all("Idempotency-Key")) == 1


def test_what_is_not_configured_or_not_known_is_not_sent(app, asking):
    asking(app).ask()
    (request,) = app.requests
    assert "secret" not in request.fields
    for name in ("Cookie", "X-Real-IP", "X-Hookbox-Version"):
        assert request.all(name) == []


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"cbpath": "/"}, "/subscribe"),
        ({"cbpath": "app/hooks/"}, "/app/hooks/subscribe"),
        ({"cbtrailingslash": True}, "/hookbox/subscribe/"),
        ({"cb_subscribe": "may-i"}, "/hookbox/may-i"),
        ({"cb_subscribe": "é x"}, "/hookbox/%C3%A9%20x"),
        ({"cb_single_url": "http://127.0.0.1:{port}/one?a=b"}, "/one?a=b"),
    ],
)
def test_the_url_is_made_from_the_settings(app, asking, settings, path):
    settings = {
        name: value.format(port=app.port) if name == "cb_single_url" else value
        for name, value in settings.items()
    }
    assert asking(app, **settings).ask()["verdict"] == "Allow"
    assert [request.path for request in app.requests] == [path]


@pytest.mark.parametrize("host", ["localhost", "app.test"])
def test_the_application_may_be_named(app, asking, host):
    assert asking(app, cbhost=host).ask()["verdict"] == "Allow"
    assert app.requests[0].all("Host") == [f"{host}:{app.port}"]


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_application_may_have_an_ipv6_address(apps, asking, host):
    app = apps(family=socket.AF_INET6)
    assert asking(app, cbhost=host).ask()["verdict"] == "Allow"
    assert app.requests[0].all("Host") == [f"[::1]:{app.port}"]


def test_each_question_has_its_own_key_unless_it_brings_one(app, asking):
    asker = asking(app)
    asker.ask()
    asker.ask()
    asker.ask(key="mine")
    first, second, third = (request.all("Idempotency-Key")[0] for request in app.requests)
    assert first != second
    assert third == "mine"


def test_a_refusal_gives_its_reason_options_and_cookies(apps, asking):
    app = apps(
        lambda *_: answer(b'[false, {"error": "no room"}]', b"Set-Cookie: a=1; HttpOnly", b"Set-Cookie: b=2")
    )
    assert asking(app).ask() == {
        "verdict": "Refuse",
        "reason": "no room",
        "options": {"error": "no room"},
        "set_cookies": ["a=1; HttpOnly", "b=2"],
    }


def test_A16_a_cookie_set_for_one_user_never_reaches_anothers_call(apps, asking):
    app = apps(lambda *_: answer(b"[true, {}]", b"Set-Cookie: sessionid=alice; Path=/"))
    asker = asking(app)
    asker.ask(cookies="who=alice")
    asker.ask(cookies="who=bob")
    asker.ask()
    assert [request.all("Cookie") for request in app.requests] == [["who=alice"], ["who=bob"], []]
    assert app.connections == 1


def test_A16_proxies_of_the_environment_are_not_used(apps, app, asking):
    proxy = apps()
    address = f"http://127.0.0.1:{proxy.port}"
    asker = asking(
        app, environment={"http_proxy": address, "HTTP_PROXY": address, "ALL_PROXY": address, "no_proxy": ""}
    )
    assert asker.ask()["verdict"] == "Allow"
    assert (proxy.connections, app.connections) == (0, 1)


@pytest.mark.parametrize(
    "question", [{"cookies": "a=1\r\nX-Evil: 1"}, {"client_ip": "1\n2"}, {"cookies": "a=\0"}]
)
def test_A4_a_line_break_never_leaves_for_the_application(app, asking, question):
    asker = asking(app)
    assert asker.ask(**question)["verdict"] == "WebhookError"
    assert asker.ask()["verdict"] == "Allow"
    assert len(app.requests) == 1


def test_a_large_question_arrives_whole(app, asking):
    payload = json.dumps(["größe"] * 20_000)
    assert asking(app).ask(fields={"payload": payload})["verdict"] == "Allow"
    assert app.requests[0].fields["payload"] == payload


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_https_works_with_a_certificate_that_the_system_trusts(apps, asking, certificate, host):
    context, cert = certificate
    app = apps(tls=context)
    asker = asking(app, environment={"SSL_CERT_FILE": str(cert)}, cbhttps=True, cbhost=host)
    assert asker.ask()["verdict"] == "Allow"
    assert asker.ask()["verdict"] == "Allow"
    assert app.connections == 1


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("app.test", True)])
def test_A16_a_certificate_that_does_not_verify_ends_the_call_before_anything_is_sent(
    apps, asking, certificate, host, trusted
):
    context, cert = certificate
    app = apps(tls=context)
    asker = asking(
        app, environment={"SSL_CERT_FILE": str(cert)} if trusted else {}, cbhttps=True, cbhost=host
    )
    result = asker.ask()
    assert (result["verdict"], result["text"]) == ("WebhookError", UNAVAILABLE)
    assert "TLS" in result["detail"]
    assert app.requests == []


# Connections


def test_connections_are_kept_and_used_again(app, asking):
    asker = asking(app)
    for _ in range(5):
        asker.ask()
    assert (app.connections, len(app.requests)) == (1, 5)


def test_no_more_calls_than_allowed_are_out_at_once_and_all_get_their_answer(apps, asking):
    app = apps()
    app.script = app.hold
    asker = asking(app, webhook_concurrency=8)
    ids = [asker.begin_ask() for _ in range(50)]
    app.wait_for_requests(8)
    counts = asker.do("counts")
    assert (counts["out"], counts["waiting"]) == (8, 42)
    app.released.set()
    assert [asker.result(id)["verdict"] for id in ids] == ["Allow"] * 50
    assert app.most_open <= 8


def close_at(*numbers, then=b""):
    """A script that closes instead of answering the requests with these numbers, from 1."""
    seen = []

    def script(request, sock):
        seen.append(request)
        if len(seen) in numbers:
            if then:
                sock.sendall(then)
            return None
        return answer()

    return script


def test_D10_a_kept_connection_closed_unanswered_is_repeated_once_with_the_same_key(apps, asking):
    app = apps(close_at(2))
    asker = asking(app)
    assert [asker.ask()["verdict"] for _ in range(2)] == ["Allow"] * 2
    keys = [request.all("Idempotency-Key")[0] for request in app.requests]
    assert keys[1] == keys[2] != keys[0]
    assert [request.connection for request in app.requests] == [1, 1, 2]
    assert asker.do("counts")["repeated"] == 1


def test_D10_the_same_holds_over_tls(apps, asking, certificate):
    context, cert = certificate
    app = apps(close_at(2), tls=context)
    asker = asking(app, environment={"SSL_CERT_FILE": str(cert)}, cbhttps=True, cbhost="localhost")
    assert [asker.ask()["verdict"] for _ in range(2)] == ["Allow"] * 2
    assert [request.connection for request in app.requests] == [1, 1, 2]


def test_D10_the_repeat_is_not_repeated(apps, asking):
    app = apps(close_at(2, 3))
    asker = asking(app)
    assert [asker.ask()["verdict"] for _ in range(2)] == ["Allow", "WebhookError"]
    assert len(app.requests) == 3


def test_D10_a_new_connection_closed_unanswered_is_not_repeated(apps, asking):
    app = apps(close_at(1))
    assert asking(app).ask()["verdict"] == "WebhookError"
    assert len(app.requests) == 1


def test_D10_what_was_partly_answered_is_not_repeated(apps, asking):
    app = apps(close_at(2, then=b"HTTP/1.1 200"))
    asker = asking(app)
    assert [asker.ask()["verdict"] for _ in range(2)] == ["Allow", "WebhookError"]
    assert len(app.requests) == 2


def test_a_connection_closed_between_two_questions_is_noticed_before_the_second(apps, asking):
    app = apps(lambda request, sock: sock.sendall(answer()))  # answers, then closes without saying so
    asker = asking(app)
    for _ in range(3):
        assert asker.ask()["verdict"] == "Allow"
        app.wait_for(lambda: app.open == 0)
    assert len(app.requests) == 3
    assert asker.do("counts")["repeated"] == 0


def test_bytes_after_an_answer_are_never_taken_for_the_next_one(apps, asking):
    evil = answer(b'[true, {"name": "evil"}]')
    app = apps(lambda request, sock: answer(b'[true, {"name": "good"}]') + evil)
    asker = asking(app)
    assert [asker.ask()["options"] for _ in range(3)] == [{"name": "good"}] * 3


def test_bytes_that_come_between_two_questions_are_never_taken_for_an_answer(apps, asking):
    socks = queue.Queue()
    app = apps(lambda request, sock: socks.put(sock) or answer(b'[true, {"name": "good"}]'))
    asker = asking(app)
    assert asker.ask()["options"] == {"name": "good"}
    socks.get().sendall(answer(b'[true, {"name": "evil"}]'))
    assert asker.ask()["options"] == {"name": "good"}
    assert app.connections == 2


def test_a_connection_whose_asker_was_killed_is_not_used_again(apps, asking):
    app = apps()
    app.script = app.hold
    asker = asking(app)
    killed = asker.begin_ask()
    app.wait_for_requests(1)
    asker.do("kill", of=killed)
    app.wait_for(lambda: app.open == 1 and app.in_work == 1)
    app.released.set()
    assert asker.ask()["verdict"] == "Allow"
    assert app.requests[1].connection == 2
    assert asker.do("counts")["out"] == 0


def test_idle_connections_do_not_stay_for_ever(app, asking):
    asker = asking(app)
    asker.ask()
    app.wait_for(lambda: app.open == 0)
    assert asker.do("counts")["connections"] == 0


def test_an_answer_before_the_end_of_the_question_counts(apps, asking):
    app = App()
    app.listener.listen()

    def refuse_early():
        sock, _ = app.listener.accept()
        with sock:
            sock.recv(1000)
            sock.sendall(answer(b"", b"Connection: close", status=b"413 Too Large"))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    thread = threading.Thread(target=refuse_early)
    thread.start()
    result = asking(app).ask(fields={"payload": "x" * 3_000_000})
    assert result["text"] == "Invalid callback response, status=413"
    thread.join(DEADLINE)
    app.stop()


# Configuration and the end


def test_other_settings_hold_from_the_next_question_on(apps, asking):
    old, new = apps(), apps()
    old.script = old.hold
    asker = asking(old)
    first = asker.begin_ask()
    old.wait_for_requests(1)
    asker.do("reconfigure", cbport=new.port, webhook_secret="new")
    assert asker.ask()["verdict"] == "Allow"
    old.released.set()
    assert asker.result(first)["verdict"] == "Allow"
    assert (len(old.requests), len(new.requests)) == (1, 1)
    assert new.requests[0].fields["secret"] == "new"
    old.wait_for(lambda: old.open == 0)


def test_stopping_lets_calls_under_way_finish_and_refuses_new_ones(apps, asking):
    app = apps()
    app.script = app.hold
    asker = asking(app)
    first = asker.begin_ask()
    app.wait_for_requests(1)
    stopped = asker.begin("stop", timeout=DEADLINE)
    threading.Timer(0.05, app.released.set).start()
    assert asker.result(first)["verdict"] == "Allow"
    asker.result(stopped)
    assert asker.ask()["verdict"] == "NotAsked"
    assert len(app.requests) == 1


def test_stopping_cuts_off_what_takes_too_long(apps, asking):
    app = apps()
    app.script = app.hold
    asker = asking(app)
    first = asker.begin_ask()
    app.wait_for_requests(1)
    asker.do("stop", timeout=0.01)
    assert asker.result(first)["verdict"] == "WebhookError"


# Faults


def warnings(log):
    return [line for line in log if line.startswith("WARNING hookbox.webhooks")]


def test_F1_an_application_that_is_down_is_told_at_once_and_then_not_asked(asking):
    app = App()  # bound, not listening: connections are refused
    asker = asking(app)
    results = [asker.ask() for _ in range(12)]
    assert {result["text"] for result in results} == {UNAVAILABLE}
    assert {result["code"] for result in results} == {"app_unavailable"}
    assert [result["verdict"] for result in results] == ["WebhookError"] * 10 + ["NotAsked"] * 2
    assert "refused" in results[0]["detail"]
    assert asker.do("counts")["breaker_open"] == 1
    log = asker.log()
    assert len(warnings(log)) == 11  # one for each that was asked, one for the breaker
    app.stop()


def test_F1_an_application_that_does_not_accept_is_told_within_the_connect_timeout(asking):
    app = App()
    app.listener.listen(0)
    fillers = []
    for _ in range(8):  # until the backlog is full and the kernel drops what comes
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", app.port))
        fillers.append(sock)
    result = asking(app, webhook_connect_timeout=0.2).ask()
    assert "no connection within" in result["detail"]
    for sock in fillers:
        sock.close()
    app.stop()


def test_F2_an_application_that_never_answers_is_given_up_at_the_deadline(apps, asking):
    app, other = apps(), apps()
    app.script = app.hold
    asker = asking(app, webhook_timeout=0.5, webhook_concurrency=4, webhook_queue_wait=0.05)
    ids = [asker.begin_ask() for _ in range(6)]
    app.wait_for_requests(4)
    asker.do("reconfigure", cbport=other.port)
    assert asker.ask()["verdict"] == "Allow"
    results = [asker.result(id) for id in ids]
    assert ["no complete answer" in result["detail"] for result in results] == [True] * 4 + [False] * 2
    assert app.most_open <= 4
    assert asker.do("counts")["out"] == 0


def drip(sent, stop):
    def script(request, sock):
        for at in range(len(sent)):
            sock.sendall(sent[at : at + 1])
            if stop.wait(0.05):
                break

    return script


@pytest.mark.parametrize(
    "sent",
    [
        answer(b"[true, {}]" + b" " * 1000),
        answer()[:-5] + b" " * 1000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    ],
    ids=["head", "body", "chunks", "interim answers"],
)
def test_F3_a_dripping_answer_is_given_up_at_the_same_deadline(apps, asking, sent):
    stop = threading.Event()
    head = sent.index(b"\r\n\r\n") + 4 if sent.startswith(b"HTTP/1.1 200") and b"chunked" in sent else 0
    dripping = drip(sent[head:], stop)
    app = apps(lambda request, sock: sock.sendall(sent[:head]) or dripping(request, sock))
    result = asking(app, webhook_timeout=0.3).ask()
    assert "no complete answer" in result["detail"]
    stop.set()


GARBAGE = {
    "not HTTP": b"hello " + CANARY.encode() + b"\r\n\r\n",
    "bad status line": b"HTTP/1.1 twohundred " + CANARY.encode() + b"\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b"\r\n\r\n[true, {}]",
    "two lengths": answer(b"[true, {}]", b"Content-Length: 10"),
    "truncated JSON": answer(b'[true, {"a": "%s' % CANARY.encode()),
    "empty": answer(b""),
    "empty list": answer(b"[]"),
    "one": answer(b"[1]"),
    "object": answer(b'{"ok": "true"}'),
    "text for true": answer(b'["true", {}]'),
    "NaN": answer(b'[true, {"a": NaN}]'),
    "deep": answer(b"[true, " + b"[" * 1000 + b"]" * 1000 + b"]"),
    "UTF-16": answer("[true, {}]".encode("utf-16")),
    "HTML": answer(b"<h1>%s</h1>" % CANARY.encode(), status=b"200 OK"),
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE)
def test_F4_garbage_is_a_denial_and_one_warning_without_the_body(apps, asking, reply):
    app = apps(lambda request, sock: sock.sendall(reply))
    asker = asking(app)
    result = asker.ask(cookies=f"sessionid={CANARY}", fields={"payload": CANARY})
    assert result["verdict"] in ("WebhookError", "UnusableAnswer")
    assert result["text"].startswith(("failure: ", "Invalid json: "))
    log = asker.log()
    assert len(warnings(log)) == 1
    assert CANARY not in json.dumps([log, result])
    assert len(app.requests) == 1


@pytest.mark.parametrize(
    ("status", "opens"), [(500, 1), (502, 1), (503, 1), (429, 1), (401, 0), (403, 0), (404, 0)]
)
def test_F5_error_pages_deny_and_only_overload_opens_the_breaker(apps, asking, status, opens):
    app = apps(lambda *_: answer(b"[true, {}]", b"Set-Cookie: a=1", status=b"%d X" % status))
    asker = asking(app, breaker_failures=3)
    for _ in range(3):
        result = asker.ask()
        assert (result["verdict"], result["text"]) == (
            "UnusableAnswer",
            f"Invalid callback response, status={status}",
        )
    assert asker.do("counts")["breaker_open"] == opens


def test_F5_denials_do_not_open_the_breaker(apps, asking):
    app = apps(lambda *_: answer(b"[false, {}]"))
    asker = asking(app, breaker_failures=3)
    assert [asker.ask()["verdict"] for _ in range(6)] == ["Refuse"] * 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_F6_a_redirect_is_a_failure_and_its_target_is_not_visited(apps, asking, status):
    second = apps()
    location = b"Location: http://127.0.0.1:%d/elsewhere" % second.port
    app = apps(lambda *_: answer(b"[true, {}]", location, status=b"%d Moved" % status))
    asker = asking(app)
    assert asker.ask()["text"] == f"Invalid callback response, status={status}"
    assert (second.connections, len(app.requests)) == (0, 1)


def pour(head, piece):
    """A script that sends a head and then pieces until the other side closes."""

    def script(request, sock):
        sock.sendall(head)
        for _ in range(200 * 2**20 // len(piece)):
            sock.sendall(piece)

    return script


HUGE = {
    "announced": pour(b"HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n", b" " * 65536),
    "until closed": pour(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
    "chunked": pour(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
    ),
    "small chunks": pour(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (b"1" + b" " * 99 + b"\r\n \r\n") * 600
    ),
    "headers": pour(b"HTTP/1.1 200 OK\r\n", (b"X-Long: " + b"x" * 990 + b"\r\n") * 65),
    "one header": pour(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
    "gzip": pour(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", b"\x1f\x8b" * 5),
}


@pytest.mark.parametrize("script", HUGE.values(), ids=HUGE)
def test_F7_a_huge_answer_is_cut_off_and_costs_no_memory(apps, asking, script):
    asker = asking(apps(script), environment={})
    before = asker.do("memory")["peak_kib"]
    result = asker.ask()
    assert (result["verdict"], result["text"]) == ("WebhookError", UNAVAILABLE)
    assert "than" in result["detail"] or "compressed" in result["detail"]
    assert asker.do("memory")["peak_kib"] - before < 5 * 1024


def test_F7_an_answer_of_just_the_limit_is_read(apps, asking):
    body = b"[true, {}]".ljust(262_144)
    assert asking(apps(lambda *_: answer(body))).ask()["verdict"] == "Allow"
    assert "than 262144" in asking(apps(lambda *_: answer(body + b" "))).ask()["detail"]


def test_F8_a_name_that_is_not_there_is_told(asking):
    result = asking(cbhost="nowhere.invalid", webhook_timeout=20.0).ask()
    assert (result["verdict"], result["text"]) == ("WebhookError", UNAVAILABLE)


def test_F8_a_name_that_hangs_is_given_up_at_the_deadline_and_holds_up_nobody(app, asking):
    asker = asking(cbport=app.port, webhook_timeout=2.0)
    ids = []
    for number in range(20):
        asker.do("reconfigure", cbhost=f"hangs{number}.test")
        ids.append(asker.begin_ask())
    asker.do("reconfigure", cbhost="app.test")
    assert asker.ask()["verdict"] == "Allow"
    assert not any(id in asker.answers for id in ids)
    assert all("no complete answer" in asker.result(id)["detail"] for id in ids)


def test_F9_an_application_that_comes_back_is_asked_by_one_then_by_ever_more(asking):
    app = App(script=lambda request, sock: threading.Event().wait(0.02) or answer())
    asker = asking(app, breaker_first_pause=0.1, webhook_concurrency=4)
    for _ in range(10):
        asker.ask()
    assert asker.do("counts")["breaker_open"] == 1
    app.start()
    waiting = []
    while not app.requests or max(request.alongside for request in app.requests) < 4:
        waiting = [*waiting, *(asker.begin_ask() for _ in range(40 - len(waiting)))]
        asker.result(waiting.pop(0))
    for id in waiting:
        asker.result(id)
    first = app.requests[0].at  # the ramp begins when the probe is answered, so after this
    for request in app.requests:
        assert request.alongside <= 2 ** int(request.at - first)
    app.stop()
