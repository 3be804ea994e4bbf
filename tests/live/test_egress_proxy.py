"""Deliveries through a proxy: what it is told, what it can do wrong, and what nobody else gets to see."""

import base64
import shutil
import signal
import socket

import pytest
from conftest import eventually
from dispatching import api, form, request, states
from http_proxy import HttpProxy, Target, certificate

from hookbox.clock import SystemClock
from hookbox.delivery.egress import Policy, Rule
from hookbox.delivery.proxy import Proxy
from hookbox.delivery.sender import Outgoing, Sender
from hookbox.testing import DEADLINE, HookboxProcess
from hookbox.webhooks.resolve import Resolver, system_lookup

NAME = "target.example"
PASSWORD = "canary:p/w"
IN_URL = "ann:canary%3Ap%2Fw"
BASIC = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl command to make a certificate with")
    return certificate(tmp_path_factory.mktemp("tls"), NAME)


@pytest.fixture
def trusted(tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))


@pytest.fixture
def proxy():
    with HttpProxy() as made:
        yield made


@pytest.fixture
def plain():
    with Target() as made:
        yield made


@pytest.fixture
def secure(tls):
    with Target(context=tls[0]) as made:
        yield made


@pytest.fixture
def through():
    """Makes senders that go through a proxy, and may go nowhere inside; they can look up the proxy only."""
    made = []

    def lookup(host, port):
        assert host in ("localhost", "nobody.invalid"), "the proxy looks up names"
        return system_lookup(host, port)

    def make(proxy, *targets, **policy):
        ports = frozenset(target.port for target in targets)
        chosen = proxy if callable(proxy) else lambda: proxy
        clock = SystemClock()
        made.append(Sender(lambda: Policy(ports=ports, **policy), Resolver(clock, lookup), clock, chosen))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def at(proxy, userinfo="", host="127.0.0.1"):
    return Proxy.read(f"http://{userinfo}{'@' if userinfo else ''}{host}:{proxy.port}")


def test_https_goes_through_a_tunnel_and_the_certificate_is_for_the_name(through, proxy, secure, trusted):
    sender = through(at(proxy, IN_URL), secure)
    sent = [sender.send(Outgoing(secure.url(), (("X-A", "1"),), b"body")) for _ in range(3)]
    assert [(s.outcome, s.status, s.body, s.address) for s in sent] == [("ok", 200, b"ok", "127.0.0.1")] * 3
    [(line, headers)] = proxy.asked  # once, and kept
    assert line == f"CONNECT {NAME}:{secure.port} HTTP/1.1"
    assert headers == {"host": f"{NAME}:{secure.port}", "proxy-authorization": BASIC}
    assert {got[0] for got in secure.got} == {"POST /hook?x=1"}
    for _, headers, body in secure.got:
        assert (headers["host"], headers["x-a"], body) == (f"{NAME}:{secure.port}", "1", b"body")
        assert "proxy-authorization" not in headers
    assert secure.connections == 1


def test_a_certificate_for_another_name_is_the_receivers_fault(through, proxy, secure, trusted):
    sent = through(at(proxy), secure).send(Outgoing(secure.url("other.example")))
    assert (sent.outcome, sent.detail[:4]) == ("tls", "TLS:")
    assert secure.got == []


def test_http_is_handed_over_whole(through, proxy, plain):
    sender = through(at(proxy, IN_URL), plain)
    url = plain.url().replace("//", "//bob:secret@")
    sent = [sender.send(Outgoing(url, (), b"body")) for _ in range(3)]
    assert [(s.outcome, s.status, s.body) for s in sent] == [("ok", 200, b"ok")] * 3
    assert proxy.lines == [f"POST http://{NAME}:{plain.port}/hook?x=1 HTTP/1.1"] * 3
    assert {headers["proxy-authorization"] for _, headers in proxy.asked} == {BASIC}
    assert proxy.connections == 1
    line, headers, body = plain.got[0]
    assert (line, headers["host"], body) == ("POST /hook?x=1", f"{NAME}:{plain.port}", b"body")
    assert base64.b64decode(headers["authorization"].split()[1]) == b"bob:secret"
    assert "proxy-authorization" not in headers


def test_errbacks_to_the_application_go_straight_to_it(through, proxy, plain):
    sender = through(at(proxy), plain, app=("127.0.0.1", plain.port))
    url = f"http://127.0.0.1:{plain.port}/told"
    assert sender.send(Outgoing(url, (), b"body", errback=True)).status == 200
    assert sender.send(Outgoing(url, (), b"body")).outcome == "blocked", "nothing else goes there"
    assert proxy.asked == []


def test_a_receivers_answer_stays_its_own(through, proxy, secure, trusted):
    secure.status = 403
    sent = through(at(proxy), secure).send(Outgoing(secure.url()))
    assert (sent.outcome, sent.status, sent.detail) == ("ok", 403, "")


@pytest.mark.parametrize(
    ("says", "outcome", "detail"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "unreachable", "the proxy answered 403 Forbidden"),
        (b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", "unreachable", "the proxy answered 407 Who?"),
        (b"HTTP/1.0 502 \r\n\r\n", "unreachable", "the proxy answered 502"),
        (b"HTTP/1.1 410 Gone\r\nRetry-After: 9999\r\n\r\n", "unreachable", "the proxy answered 410 Gone"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://x/\r\n\r\n", "unreachable", "the proxy answered 301 Moved"),
        (b"HTTP/1.1 500 " + b"x" * 200 + b"\r\n\r\n", "unreachable", "the proxy answered 500 " + "x" * 100),
        (b"SSH-2.0-OpenSSH\r\n", "protocol", "the proxy: unusable answer: not HTTP/1.x"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 101 + b"\r\n", "protocol", "the proxy: unusable answer: more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "protocol", "the proxy: unusable answer: more than a head in answer to CONNECT"),
        (b"HTTP/1.1 200 O", "reset", "the proxy: connection closed without an answer"),
        (b"", "reset", "the proxy: connection closed without an answer"),
        (None, "connect_timeout", "the proxy: no answer to CONNECT within 0.3 s"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_the_proxy_is_said_to_be_its_fault(through, secure, says, outcome, detail):
    with HttpProxy(says) as proxy:
        sent = through(at(proxy), secure).send(Outgoing(secure.url(), connect_timeout=0.3))
    assert (sent.outcome, sent.detail, sent.status, sent.headers) == (outcome, detail, 0, ())
    assert secure.connections == 0


@pytest.mark.parametrize(
    ("says", "outcome", "detail"),
    [
        (b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", "unreachable", "the proxy answered 407 Who?"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol", "the proxy: unusable answer: not HTTP/1.x"),
        (b"", "reset", "the proxy: connection closed without an answer"),
        (None, "timeout", "no complete answer within 0.3 s"),
    ],
)
def test_the_same_over_http_as_far_as_it_can_be_told(through, plain, says, outcome, detail):
    with HttpProxy(says) as proxy:
        sent = through(at(proxy), plain).send(Outgoing(plain.url(), timeout=0.3 if says is None else 20))
    assert (sent.outcome, sent.detail, sent.status, sent.headers) == (outcome, detail, 0, ())
    assert plain.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(through, plain, scheme):
    sending = Outgoing(plain.url().replace("http", scheme))
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        nobody = Proxy("127.0.0.1", place.getsockname()[1])
        sent = through(nobody, plain).send(sending)
    assert (sent.outcome, sent.detail) == ("refused", "the proxy: connection refused")
    sent = through(Proxy("nobody.invalid", 3128), plain).send(sending)
    assert (sent.outcome, sent.detail[:11]) == ("dns", "the proxy: ")


def test_a_receiver_that_is_not_there_is_what_the_proxy_says(through, proxy, tls):
    with Target(context=tls[0]) as gone:
        url = gone.url()
    sent = through(at(proxy), gone).send(Outgoing(url))
    assert (sent.outcome, sent.detail) == ("unreachable", "the proxy answered 502 Bad Gateway")


def test_a_proxy_may_have_a_name(through, proxy, plain):
    assert through(at(proxy, host="localhost"), plain).send(Outgoing(plain.url())).outcome == "ok"


@pytest.mark.parametrize(
    ("url", "rules", "said"),
    [
        ("http://127.0.0.1:{port}/", {}, "127.0.0.1 is loopback"),
        ("https://169.254.169.254/", {}, "port 443 is not among egress_ports"),
        ("http://[::ffff:10.0.0.1]:{port}/", {}, "10.0.0.1 is private"),
        ("http://2130706433:{port}/", {}, "is a number"),
        ("http://target.example:22/", {}, "port 22 is not among egress_ports"),
        ("http://target.example:{port}/", {"deny": (Rule.read("*.example"),)}, "is denied"),
        ("http://target.example:{port}/", {"https_only": True}, "only https"),
    ],
)
def test_G01_what_a_url_tells_is_judged_before_the_proxy_is_asked(through, proxy, plain, url, rules, said):
    sent = through(at(proxy), plain, **rules).send(Outgoing(url.format(port=plain.port)))
    assert sent.outcome == "blocked"
    assert said in sent.detail
    assert proxy.connections == 0


def test_the_proxy_itself_may_be_anywhere(through, proxy, plain):
    sender = through(at(proxy), plain, deny=(Rule.read("127.0.0.0/8"),), own=frozenset({("127.0.0.1", proxy.port)}))
    assert sender.send(Outgoing(plain.url())).outcome == "ok"


def test_another_proxy_takes_over_and_kept_connections_are_not_used_any_more(through, proxy, secure, trusted):
    with HttpProxy() as other:
        now = [at(proxy)]
        sender = through(lambda: now[0], secure)
        for now[0] in (at(proxy), at(other), at(other), at(proxy)):
            assert sender.send(Outgoing(secure.url())).outcome == "ok"
        assert (proxy.connections, other.connections) == (1, 1)


def test_R10_a_kept_tunnel_that_was_closed_is_replaced_without_a_word(through, proxy, secure, trusted):
    sender = through(at(proxy), secure)
    assert sender.send(Outgoing(secure.url())).outcome == "ok"
    proxy.cut()
    assert sender.send(Outgoing(secure.url())).outcome == "ok"
    assert proxy.lines == [f"CONNECT {NAME}:{secure.port} HTTP/1.1"] * 2


def test_G09_a_proxy_of_the_environment_changes_nothing(through, proxy, plain, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "*")
    assert through(at(proxy), plain).send(Outgoing(plain.url())).outcome == "ok"
    assert proxy.connections == 1


# with a whole server


def over(path, answer, state="succeeded", outcomes=("ok",)):
    def looks():
        found = states(path, answer.message_id)
        return all(row[1] == state and row[3] == list(outcomes) for row in found)

    eventually(looks, what=f"{states(path, answer.message_id)}")


def test_everything_that_is_delivered_goes_through_and_the_password_stays_here(
    proxy, plain, secure, tls, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    store, file = tmp_path / "hookbox.db", tmp_path / "hookbox.toml"
    file.write_text(f'egress_proxy = "http://{IN_URL}@127.0.0.1:{proxy.port}"\n')
    file.chmod(0o600)
    settings = {"config": file, "store": store, "retry_schedule": "0.1,0.1", "log_level": "DEBUG"}
    settings |= {"egress_allow": [f"{NAME}:{plain.port}", f"{NAME}:{secure.port}"], "hub_policy": "open"}
    with HookboxProcess(**settings) as server:
        over(store, form(server, url=secure.url(), event="a"))
        proxy.cut()
        proxy.says[:] = [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 410 Gone\r\n\r\n"]
        tried = form(server, url=secure.url(), event="b")
        over(store, tried, outcomes=("unreachable", "unreachable", "ok"))

        proxy.cut()
        proxy.says[:] = [b"garbage\r\n\r\n"]
        lost = form(server, url=secure.url(), errback=plain.url(), retry="none")
        over(store, lost, "dead", ("protocol",))
        eventually(lambda: [headers for _, headers, body in plain.got if b"delivery.dead" in body])

        body = f"hub.mode=subscribe&hub.topic={server.url}/topic/news&hub.callback={plain.url()}"
        body = body.replace("?", "%3F").replace("x=1", "x%3D1")
        asked = request(server, body.encode(), {"Content-Type": "application/x-www-form-urlencoded"}, path="/hub")
        assert asked.status == 202, asked
        eventually(lambda: any("hub.challenge=" in line for line, _, _ in plain.got))

        shown = api(server, "GET", f"/messages/{tried.message_id}").text
        for delivery in api(server, "GET", "/deliveries?limit=100").json["deliveries"]:
            shown += api(server, "GET", f"/deliveries/{delivery['id']}").text
        assert "the proxy answered 403 Forbidden" in shown
        assert "the proxy: unusable answer" in shown

        asked = len(proxy.asked)
        file.write_text("")
        seen = server.log.count("settings read again")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.log.count("settings read again") > seen)
        over(store, form(server, url=f"http://{NAME}:{plain.port}/", retry="none"), "dead", ("dns",))
        assert len(proxy.asked) == asked
        server.process.terminate()
        server.process.wait(DEADLINE)
        log = server.log
        kept = b"".join(each.read_bytes() for each in tmp_path.glob("hookbox.db*"))
        told = b"".join(body + repr(headers).encode() for _, headers, body in plain.got + secure.got)
        for text in (PASSWORD, "canary", BASIC.split()[1]):
            assert text not in log
            assert text not in shown
            assert text.encode() not in kept
            assert text.encode() not in told
