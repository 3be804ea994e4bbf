"""The comet endpoints over real HTTP, with a scripted road behind them: exact bytes of answers and headers."""

import json
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import gevent
import pytest
from bottle import Bottle
from comet_client import PATIENCE, Comet, Request
from gevent.pywsgi import WSGIServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookbox.clock import ManualClock
from hookbox.errors import LimitReached
from hookbox.greenlets import run_later
from hookbox.protocol.csp_variables import Variables
from hookbox.protocol.disconnects import RESTART
from hookbox.protocol.rtjp import EncodedFrame
from hookbox.settings import Settings
from hookbox.transports.comet import CometSessions
from hookbox.transports.outbox import Flusher
from hookbox.web.comet import add_comet_routes, end_session_over_body

SESSION = json.loads((Path(__file__).parent.parent / "wire" / "csp_session.json").read_text("utf-8"))
ORIGIN = "http://hookbox.example"


class ScriptedRoad:
    """Answers each line of the recorded client by the recorded server's line."""

    connected = True

    def __init__(self, outbox):
        self.outbox = outbox
        self.fed = b""
        self.over = 0
        self.busy_until = None

    def feed(self, data):
        self.fed += data
        if self.busy_until:
            self.busy_until.wait()
        for asked, answered in zip(SESSION["client_lines"], SESSION["server_lines"], strict=True):
            if data == asked.encode():
                _, name, args = answered.rstrip("\r\n").split(", ", 2)
                self.outbox.put(EncodedFrame(name.strip('"'), args[:-1]))

    def farewell(self, why):
        self.over += 1

    def gone(self):
        self.over += 1


class Site:
    """Comet on a bare WSGI server; the origin is taken as allowed."""

    def __init__(self):
        self.settings = Settings(client_body=10_000)
        self.clock = ManualClock()
        self.opened = []
        self.cookies = []
        self.full = ""
        self.flusher = Flusher(
            gevent.get_hub().loop.run_callback, run_later, self.clock.monotonic, self.settings.outbox_total
        )
        self.sessions = CometSessions(self, self.flusher, self.clock, gevent.spawn)
        app = self.app = Bottle()
        add_comet_routes(app, self.sessions, lambda: self.settings)

        def with_origin(environ, start_response):
            environ["hookbox.origin"] = environ.get("HTTP_ORIGIN", "")
            return app(environ, start_response)

        self.server = WSGIServer(("127.0.0.1", 0), with_origin, log=None)
        self.server.start()
        self.port = self.server.server_port

    def welcome(self, session, cookies, client_ip):
        if self.full:
            raise LimitReached("too many connections", self.full)
        session.road = ScriptedRoad(session.outbox)
        self.cookies.append(cookies)
        session.on_cookies = self.cookies.append
        self.opened.append(session)

    def forget(self, session):
        pass

    def ask(self, method, target, body=b"", **headers):
        return Request(self.port, method, target, body, headers).reply()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.server.stop(timeout=0)


def put(session, text):
    session.outbox.put(EncodedFrame("X", json.dumps(text)))


def test_the_recorded_session_replays_byte_for_byte(site):
    held, key = {}, ""
    for step in SESSION["requests"]:
        target = step["target"].replace("{key}", key)
        request = Request(site.port, step["method"], target, step["body"].encode(), {"Origin": ORIGIN})
        if "/comet" in target:
            held[step["step"]] = request, step
            if step["step"] < 5:
                assert request.reply().body.decode() == step["reply"]
            continue
        answer = request.reply()
        key = key or site.opened[0].key
        assert (answer.status, answer.body.decode()) == (step["status"], step["reply"].replace("{key}", key))
    request, step = held[5]
    assert request.reply().body.decode() == step["reply"]
    road = site.opened[0].road
    assert road.fed.decode() == "".join(SESSION["client_lines"])
    assert road.over == 1
    answer = site.ask("POST", f"/csp/comet?s={key}&a=3")
    assert (answer.status, answer.body) == (404, b"'Session not found'")


def test_the_headers_of_an_answer_are_these_in_this_order(site):
    answer = site.ask("POST", "/csp/handshake?ct=application%2Fjavascript", b"{}", Origin=ORIGIN)
    headers = [header for header in answer.headers if header[0] not in ("Date", "Connection")]
    assert headers == [
        ("Content-Type", "application/javascript"),
        ("Access-Control-Allow-Origin", ORIGIN),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Length", str(len(answer.body))),
    ]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/csp/send?s=null", 404),
        ("POST", "/csp/nonsense", 404),
        ("DELETE", "/csp/comet", 405),
        ("OPTIONS", "/csp/send", 204),
    ],
)
def test_A2_a_page_of_an_allowed_origin_can_read_every_answer(site, method, target, status):
    answer = site.ask(method, target, Origin=ORIGIN)
    assert answer.status == status
    assert answer.header("Access-Control-Allow-Origin") == ORIGIN
    assert answer.header("Access-Control-Allow-Credentials") == "true"
    assert answer.header("Vary") == "Origin"
    assert answer.header("X-Content-Type-Options") == "nosniff"


def test_A2_without_an_origin_no_cors_header_is_sent(site):
    answer = site.ask("POST", "/csp/handshake")
    assert answer.status == 200
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    assert answer.header("Vary") == "Origin"


def test_options_makes_no_session(site):
    answer = site.ask("OPTIONS", "/csp/handshake", Origin=ORIGIN)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("Access-Control-Allow-Methods") == "GET, POST, OPTIONS"
    assert site.opened == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
def test_H9_other_methods_are_told_which_there_are(site, method):
    answer = site.ask(method, "/csp/handshake")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.header("Allow") == "GET, POST, OPTIONS"
    assert site.opened == []


@pytest.mark.parametrize("target", ["/csp/reflect?d=x", "/csp/static/x.html", "/csp/", "/csp/streamtest"])
def test_an_unknown_path_is_an_empty_404(site, target):
    answer = site.ask("GET", target)
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("action", ["send", "comet", "close"])
@pytest.mark.parametrize("query", ["", "?s=null", "?s=" + "0" * 64])
def test_6_an_unknown_session_gets_the_one_answer_that_ends_the_client(site, action, query):
    answer = site.ask("POST", f"/csp/{action}{query}")
    assert (answer.status, answer.body) == (404, b"'Session not found'")


def test_a_handshake_may_be_repeated_with_an_empty_body(site):
    first = Comet(site.port)
    answer = site.ask("POST", "/csp/handshake?ct=application%2Fjavascript")
    assert answer.status == 200
    assert first.key not in answer.body.decode()


def test_A4_the_newest_requests_cookies_reach_the_connection(site):
    client = Comet(site.port, headers={"Cookie": "sid=1"})
    client.post("send", "", b"[]").reply()
    client.post("send", "", b"[]", Cookie="sid=2").reply()
    assert site.cookies == ["sid=1", "sid=2"]


def test_a_jsonp_handshake_by_get_is_answered(site):
    target = "/csp/handshake?d=%7B%7D&ct=application%2Fjavascript&n=0.75&rs=%3B&rp=cb1"
    answer = site.ask("GET", target)
    assert answer.body.decode() == f'cb1({{"session": "{site.opened[0].key}"}});'


def test_the_variables_of_a_handshake_dress_all_answers(site):
    answer = site.ask("POST", "/csp/handshake?bp=B&bs=E&rp=R&rs=S&ps=4&p=PRE&du=0")
    key = site.opened[0].key
    assert answer.body.decode() == f'R({{"session": "{key}"}})S'
    assert answer.header("Content-Type") == "text/plain"
    assert site.ask("POST", f"/csp/comet?s={key}").body == b"    PREB([])E"
    assert site.ask("POST", f"/csp/send?s={key}", b"[]").body == b'R("OK")S'


def test_the_data_of_a_get_is_in_its_query_and_a_post_body_overrides_it(site):
    client = Comet(site.port)
    assert site.ask("GET", f"/csp/send?s={client.key}&d=[[1,0,%22a%2B%C3%A9%22]]").body == b'("OK")'
    assert site.ask("POST", f"/csp/send?s={client.key}&d=[[2,0,%22x%22]]", b'[[2,0,"b"]]').body == b'("OK")'
    assert site.ask("POST", f"/csp/send?s={client.key}&d=[[3,0,%22c%22]]").body == b'("OK")'
    gevent.idle()
    assert site.opened[0].road.fed == "a+ébc".encode()


def test_the_documented_url_with_csp_in_it_works(site):
    client = Comet(site.port, base="/csp/csp")
    client.post("send", "", b"[]").reply()
    assert len(site.opened) == 1


def test_4_the_same_send_posted_twice_has_one_effect(site):
    client = Comet(site.port)
    body = client.packet(b"once")
    for _ in range(2):
        assert client.post("send", "", body).reply().body == b'("OK")'
    gevent.idle()
    assert site.opened[0].road.fed == b"once"


def test_4_a_comet_with_an_old_acknowledgement_gets_identical_packets_again(site):
    client = Comet(site.port)
    put(site.opened[0], "a")
    first = client.begin().reply().body
    put(site.opened[0], "b")
    both = client.begin().reply().body
    assert both.startswith(first[:-2])
    client.received = 1
    assert client.begin().reply().body == b"([[2, 1" + both.split(b"[2, 1")[1]


def test_5_a_held_comet_whose_connection_is_killed_loses_and_doubles_nothing(site):
    client = Comet(site.port)
    for number in range(20):
        held = client.begin()
        gevent.idle()
        held.close()
        put(site.opened[0], number)
        gevent.idle()
        if number % 3 == 0:
            put(site.opened[0], -number)
    client.finish(client.begin())
    expected = [text for n in range(20) for text in ([n, -n] if n % 3 == 0 else [n])]
    assert [frame[2] for frame in client.unread] == expected
    assert [frame[0] for frame in client.unread] == list(range(1, len(expected) + 1))


def test_a_send_is_answered_while_an_earlier_one_is_still_being_handled(site):
    client = Comet(site.port)
    gate = site.opened[0].road.busy_until = gevent.event.Event()
    assert client.post("send", "", client.packet(b"slow")).reply().body == b'("OK")'
    assert client.post("send", "", client.packet(b"next")).reply().body == b'("OK")'
    gevent.idle()
    assert site.opened[0].road.fed == b"slow"
    gate.set()
    gevent.idle()
    assert site.opened[0].road.fed == b"slownext"


@pytest.mark.parametrize("body", [b"", b"{}", b"[[1,1]]", b'[[1,1,"?"]]', b"\xff"])
def test_22_a_malformed_send_is_a_400_and_closes_the_session(site, body):
    client = Comet(site.port)
    held = client.begin()
    answer = client.post("send", "", body).reply()
    assert answer.status == 400
    assert answer.body in (b"'bad_json'", b"'bad_frame'")
    assert client.finish(held) == [[1, 0, None]]
    assert client.begin().reply().status == 404


def test_H8_a_body_over_the_limit_is_a_413_and_closes_the_session(site):
    client = Comet(site.port)
    held = client.begin()
    answer = client.post("send", "", b"x" * 10_001).reply()
    assert (answer.status, answer.body) == (413, b"'too_large'")
    assert client.finish(held) == [[1, 0, None]]


def test_H8_a_body_refused_at_the_door_closes_its_session(site):
    client, other = Comet(site.port), Comet(site.port)
    end_session_over_body(site.sessions, f"s={client.key}&a=0")
    end_session_over_body(site.sessions, "s=null")
    end_session_over_body(site.sessions, "")
    assert client.finish(client.begin()) == [[1, 0, None]]
    assert other.post("send", "", b"[]").reply().status == 200


def test_more_waiting_than_a_body_may_hold_is_refused_and_closes_the_session(site):
    client = Comet(site.port)
    site.opened[0].road.busy_until = gevent.event.Event()
    client.post("send", "", client.packet(b"now")).reply()
    for _ in range(2):
        assert client.post("send", "", client.packet(b"x" * 5000)).reply().status == 200
    assert client.post("send", "", client.packet(b"x")).reply().status == 413
    assert client.finish(client.begin()) == [[1, 0, None]]
    site.opened[0].road.busy_until.set()


@pytest.mark.parametrize(("code", "status"), [("limit", 503), ("rate", 429)])
def test_a_server_that_is_full_asks_to_come_later(site, code, status):
    site.full = code
    answer = site.ask("POST", "/csp/handshake", Origin=ORIGIN)
    assert answer.status == status
    assert answer.header("Retry-After") == "5"
    assert answer.header("Access-Control-Expose-Headers") == "Retry-After"
    assert len(site.sessions) == 0


def test_a_close_request_leaves_the_null_packet_and_then_nothing(site):
    client = Comet(site.port)
    assert client.post("close").reply().body == b'("OK")'
    assert client.finish(client.begin()) == [[1, 0, None]]
    assert client.begin().reply().status == 404


def test_a_close_request_may_be_repeated(site):
    client = Comet(site.port)
    held = client.begin()
    assert client.post("close").reply().body == b'("OK")'
    assert client.finish(held) == [[1, 0, None]]
    client.received = 0
    assert client.post("close").reply().body == b'("OK")'
    assert client.post("close").reply().body == b"'Session not found'"


def test_a_server_side_close_is_answered_by_the_clients_null_packet(site):
    client = Comet(site.port)
    site.opened[0].close(RESTART)
    assert client.finish(client.begin()) == [[1, 0, None]]
    assert client.post("send", "", b"[[1,0,null]]").reply().body == b'("OK")'
    assert client.post("send", "", b"[[1,0,null]]").reply().status == 404


query_text = st.lists(
    st.tuples(
        st.sampled_from(["a", "d", "rp", "rs", "bp", "bs", "p", "ps", "is", "i", "se", "ct", "n", "%73", ""]),
        st.text(max_size=8) | st.integers().map(str) | st.just("[[1,0,null]]"),
    ),
    max_size=4,
).map(urlencode)


@given(
    st.sampled_from(["handshake", "send", "comet", "close"]),
    query_text,
    st.binary(max_size=40),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_U6_whatever_is_asked_the_answer_is_one_of_a_few(site, action, query, body, known):
    session = site.sessions.open(Variables(du=0), "", "")
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/csp/{action}",
        "QUERY_STRING": query + (f"&s={session.key}&du=0" if known else ""),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    statuses = []
    answer = site.app(environ, lambda status, headers, exc_info=None: statuses.append(status[:3]))
    assert not set(b"".join(answer)) & set(b"<>&")
    assert statuses[0] in ("200", "400", "404")


# streams


def test_a_stream_gives_a_batch_at_once_and_one_per_flush(site):
    client = Comet(site.port)
    with client.begin("is=1&bs=%0A&p=P&ps=2") as request, gevent.Timeout(PATIENCE):
        status, headers = request.head()
        assert status == 200
        assert ("Transfer-Encoding", "chunked") in headers
        assert ("X-Accel-Buffering", "no") in headers
        assert request.chunk() == b"  P([])\n"
        put(site.opened[0], "a")
        assert request.chunk() == b'([[1, 1, "WzEsICJYIiwgImEiXQ0K"]])\n'
        put(site.opened[0], "b")
        assert request.chunk().startswith(b"([[2, 1, ")
        site.opened[0].close(RESTART)
        assert request.chunk() == b"([[3, 0, null]])\n"
        assert request.chunk() == b""


def test_a_second_comet_completes_a_stream(site):
    client = Comet(site.port)
    with client.begin("is=1") as request, gevent.Timeout(PATIENCE):
        request.head()
        assert request.chunk() == b"([])"
        other = client.begin("is=0")
        assert request.chunk() == b""
        put(site.opened[0], "a")
        assert client.finish(other)[0][0] == 1


def test_an_event_stream_carries_ids(site):
    client = Comet(site.port, query="ct=text%2Fevent-stream&bp=data%3A%20&bs=%0D%0A&se=1&is=1")
    put(site.opened[0], "a")
    with client.begin() as request, gevent.Timeout(PATIENCE):
        _, headers = request.head()
        assert ("Content-Type", "text/event-stream") in headers
        assert request.chunk() == b'data: ([[1, 1, "WzEsICJYIiwgImEiXQ0K"]])\r\nid: 1\r\n\r\n'


def test_D4_a_stream_that_is_cut_is_continued_without_a_hole(site):
    client = Comet(site.port)
    with client.begin("is=1") as request, gevent.Timeout(PATIENCE):
        request.head()
        request.chunk()
        put(site.opened[0], "a")
        request.chunk()
        request.close()
    put(site.opened[0], "b")
    gevent.idle()
    client.finish(client.begin("is=0"))
    assert [frame[2] for frame in client.unread] == ["a", "b"]
