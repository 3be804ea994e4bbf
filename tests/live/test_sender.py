"""One try of a delivery against receivers that do everything receivers do."""

import socket
import struct

import gevent
import pytest
from gevent.server import StreamServer

import hookbox.delivery.sender as sending
from hookbox.clock import SystemClock
from hookbox.delivery.egress import Mode, Policy, Rule
from hookbox.delivery.sender import MOST_READ, Outgoing, Sender
from hookbox.webhooks.resolve import Resolver

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FOREVER = 60.0


@pytest.fixture
def receiver():
    """Starts receivers: functions of a socket, called for each connection; they are told the request."""
    servers = []

    def start(*scripts):
        seen = []

        def handle(sock, address):
            script = scripts[min(len(seen), len(scripts) - 1)]
            seen.append([])
            mine = seen[-1]
            read = sock.makefile("rb")

            def request():
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = read.readline()
                    if not line:
                        return None
                    head += line
                size = next(
                    (
                        int(h.split(b":")[1])
                        for h in head.split(b"\r\n")
                        if h.lower().startswith(b"content-length")
                    ),
                    0,
                )
                mine.append((head, read.read(size)))
                return mine[-1]

            try:
                script(sock, request)
            except OSError:
                pass
            finally:
                read.close()
                sock.close()

        server = StreamServer(("127.0.0.1", 0), handle)
        server.start()
        servers.append(server)
        server.seen = seen
        server.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        return server

    yield start
    for server in servers:
        server.stop(timeout=0)


@pytest.fixture
def sender():
    made = Sender(lambda: Policy(Mode.INTERNAL), Resolver(SystemClock()), SystemClock())
    yield made
    made.close()


def says(*pieces):
    def script(sock, request):
        while request():
            for piece in pieces:
                if isinstance(piece, bytes):
                    sock.sendall(piece)
                else:
                    gevent.sleep(piece)

    return script


def then_reset(*pieces):
    def script(sock, request):
        request()
        for piece in pieces:
            sock.sendall(piece)
        gevent.sleep(0.05)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


def then_close(*pieces):
    def script(sock, request):
        request()
        for piece in pieces:
            sock.sendall(piece)

    return script


def test_what_is_sent_is_what_was_asked_for(receiver, sender):
    server = receiver(says(OK))
    sent = sender.send(Outgoing(server.url, (("Content-Type", "a/b"), ("X-A", "é")), b"\x00body\xff"))
    assert (sent.outcome, sent.status, sent.body, sent.address) == ("ok", 200, b"ok", "127.0.0.1")
    [[(head, body)]] = server.seen
    assert head.split(b"\r\n")[:2] == [
        b"POST /hook?x=1 HTTP/1.1",
        f"Host: 127.0.0.1:{server.server_port}".encode(),
    ]
    assert b"X-A: \xe9\r\n" in head
    assert b"Content-Length: 6\r\n" in head
    assert body == b"\x00body\xff"


def test_D12_an_empty_body_is_a_post_of_length_0(receiver, sender):
    server = receiver(says(OK))
    sender.send(Outgoing(server.url))
    assert b"Content-Length: 0\r\n" in server.seen[0][0][0]


def test_userinfo_becomes_basic_auth_unless_there_is_another(receiver, sender):
    server = receiver(says(OK))
    url = server.url.replace("http://", "http://ann:s%3Acret@")
    sender.send(Outgoing(url))
    sender.send(Outgoing(url, (("authorization", "Bearer x"),)))
    first, second = (head for head, _ in server.seen[0])
    assert b"Authorization: Basic YW5uOnM6Y3JldA==\r\n" in first
    assert b"Basic" not in second


@pytest.mark.parametrize("status", [200, 204, 302, 404, 410, 429, 500, 503])
def test_every_status_is_an_answer_and_none_is_followed(receiver, sender, status):
    answer = (
        f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    )
    server = receiver(says(answer.encode()))
    sent = sender.send(Outgoing(server.url))
    assert (sent.outcome, sent.status, sent.header("retry-after")) == ("ok", status, "7")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("script", "outcome", "status"),
    [
        (then_reset(), "reset", 0),
        (then_close(), "reset", 0),
        (then_reset(b"HTTP/1.1 200 O"), "reset", 0),
        (then_reset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "ok", 200),
        (then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "ok", 200),
        (then_close(b"HTTP/1.1 500 No\r\n\r\nuntil the end"), "ok", 500),
        (then_close(b"SSH-2.0-OpenSSH\r\n"), "protocol", 0),
        (then_close(b"HTTP/1.1 abc\r\n\r\n"), "protocol", 0),
        (then_close(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 40_000), "protocol", 0),
        (then_close(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 101 + b"\r\n"), "protocol", 200),
        (then_close(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK), "ok", 200),
    ],
)
def test_R08_each_way_to_answer_badly_has_its_name(receiver, sender, script, outcome, status):
    sent = sender.send(Outgoing(receiver(script).url))
    assert sent.outcome == outcome, sent
    if outcome == "ok":
        assert sent.status == status
    else:
        assert sent.detail


def endless(sock, request):
    request()
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")


@pytest.mark.parametrize(
    "script",
    [endless, then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65_537), then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000),
     then_close(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)],
)  # fmt: skip
def test_R08_of_a_body_without_end_as_much_is_read_as_is_of_use(receiver, sender, script):
    sent = sender.send(Outgoing(receiver(script).url))
    assert (sent.outcome, sent.status, sent.truncated) == ("ok", 200, True)
    assert sent.body == b"x" * MOST_READ


def test_R08_a_body_of_just_the_limit_is_whole(receiver, sender):
    body = b"x" * MOST_READ
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    sent = sender.send(Outgoing(receiver(says(answer)).url))
    assert (sent.body, sent.truncated) == (body, False)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: %d\r\n\r\n" % (MOST_READ + 1),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (MOST_READ + 1),
    ],
)
def test_one_byte_too_many_is_not_read_even_if_it_comes_with_the_rest(receiver, sender, head):
    end = b"\r\n0\r\n\r\n" if b"chunked" in head else b""
    url = receiver(says(b"HTTP/1.1 200 OK\r\n" + head + b"x" * (MOST_READ + 1) + end)).url
    sent = sender.send(Outgoing(url))
    assert (sent.outcome, len(sent.body), sent.truncated) == ("ok", MOST_READ, True)


def test_what_is_asked_of_a_receiver_is_put_behind_its_own_query(receiver, sender):
    server = receiver(says(OK))
    sender.send(Outgoing(server.url, method="GET", query="a=b"))
    assert server.seen[0][0][0].startswith(b"GET /hook?x=1&a=b HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "pieces",
    [(FOREVER,), (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *(b"x", 0.1) * 99), (b"H", 0.1) * 99],
    ids=["never", "drip", "drip of the head"],
)
def test_R08_whoever_takes_too_long_is_given_up_at_the_deadline(receiver, sender, pieces):
    sent = sender.send(Outgoing(receiver(says(*pieces)).url, timeout=0.3))
    assert (sent.outcome, sent.status) in {("timeout", 0), ("protocol", 0)}
    assert sent.took < 5


def test_R08_nobody_listens(receiver, sender):
    server = receiver(says(OK))
    server.stop()
    assert sender.send(Outgoing(server.url)).outcome == "refused"


def test_R08_a_name_that_does_not_exist(sender):
    assert sender.send(Outgoing("http://nobody.invalid/")).outcome == "dns"


def test_R08_a_server_that_speaks_no_tls(receiver, sender):
    server = receiver(lambda sock, request: sock.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))
    assert sender.send(Outgoing(server.url.replace("http", "https"))).outcome in ("tls", "reset")


def test_R10_a_kept_connection_that_was_closed_is_replaced_without_a_word(receiver, sender):
    def once(sock, request):
        request()
        sock.sendall(OK)

    server = receiver(once)
    for _ in range(3):
        assert sender.send(Outgoing(server.url)).outcome == "ok"
    assert [len(requests) for requests in server.seen] == [1, 1, 1]


def test_R10_one_that_closes_on_the_second_request_is_asked_again_once(receiver, sender):
    def first(sock, request):
        request()
        sock.sendall(OK)
        request()

    server = receiver(first, says(OK))
    assert [sender.send(Outgoing(server.url)).outcome for _ in range(2)] == ["ok", "ok"]
    assert [len(requests) for requests in server.seen] == [2, 1]


def test_connections_are_kept_for_the_next_delivery(receiver, sender):
    server = receiver(says(OK))
    for _ in range(5):
        sender.send(Outgoing(server.url))
    assert [len(requests) for requests in server.seen] == [5]


# where it may go


class Names(Resolver):
    """A resolver with answers of its own, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    def addresses(self, host, port):
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, (address, port)) for address in found]


def going(names, policy):
    return Sender(lambda: policy, names, SystemClock())


def test_G02_of_several_addresses_only_an_allowed_one_is_connected_to(receiver):
    server = receiver(says(OK))
    names = Names(["10.255.255.1", "127.0.0.1"])
    policy = Policy(Mode.OFF, deny=(Rule.read("10.0.0.0/8"),))
    sent = going(names, policy).send(Outgoing(f"http://two.example:{server.server_port}/", connect_timeout=5))
    assert (sent.outcome, sent.address) == ("ok", "127.0.0.1")
    assert names.asked == 1
    assert b"Host: two.example:" in server.seen[0][0][0]


def test_G03_a_name_that_is_bound_anew_is_judged_again_at_each_attempt(receiver):
    server = receiver(says(OK))
    names = Names(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1"])
    policy = Policy(Mode.OFF, deny=(Rule.read("127.0.0.2"),))
    sender = going(names, policy)
    url = f"http://moving.example:{server.server_port}/"
    assert [sender.send(Outgoing(url)).outcome for _ in range(3)] == ["ok", "blocked", "ok"]


def test_G01_a_name_that_leads_inside_is_blocked_and_says_why():
    sent = going(Names(["169.254.169.254"]), Policy()).send(Outgoing("http://metadata.example/"))
    assert (sent.outcome, sent.detail) == ("blocked", "blocked: 169.254.169.254 is link-local")
    assert going(Names(["127.0.0.1"]), Policy()).send(Outgoing("http://127.0.0.1/")).outcome == "blocked"


def test_G09_proxies_of_the_environment_are_not_used(receiver, sender, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert sender.send(Outgoing(receiver(says(OK)).url)).outcome == "ok"


def test_the_loop_is_never_blocked(receiver, sender):
    server = receiver(says(0.2, OK))
    sent = [gevent.spawn(sender.send, Outgoing(server.url)) for _ in range(20)]
    assert {greenlet.get(timeout=20).outcome for greenlet in sent} == {"ok"}


def test_connections_are_kept_to_so_many_places_only(receiver, monkeypatch):
    monkeypatch.setattr(sending, "MOST_POOLS", 3)
    server = receiver(says(OK))
    names = Names(*[["127.0.0.1"]] * 100)
    one = going(names, Policy(Mode.OFF))

    def send(name):
        assert one.send(Outgoing(f"http://{name}.example:{server.server_port}/")).outcome == "ok"

    for n in range(10):
        send("often")
        send(f"once-{n}")
        assert len(one._pools) <= 3
    assert len(server.seen) == 11, "the connection to the one that is used often was kept"
    one.close()
