"""HttpOnly cookies on their way to the browser, against a real server: frame, one POST, and what is asked later."""

import http.client

import pytest
from comet_client import Comet
from streaming import Stream

from hookbox.testing import Client, HookboxProcess, Reply

FEATURES = ["ack", "resume", "cookies"]
SID = "sid=s3cr3t-new; HttpOnly; Path=/; SameSite=Lax"
OWN = "http://127.0.0.1:1234"


@pytest.fixture(scope="module")
def access_log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def server(access_log):
    with HookboxProcess(
        path_prefix="/push", log_file_access=str(access_log), log_level="DEBUG", origin="https://listed.example"
    ) as server:
        yield server
        for key in KEYS:
            assert key not in server.log + access_log.read_text(), "a key is in a log"
        assert "s3cr3t" not in server.log + access_log.read_text(), "a cookie is in a log"


KEYS = []


@pytest.fixture
def app(server):
    server.app.forget()
    return server.app


def sets(*cookies, answer=(True, {})):
    return Reply(list(answer), headers=tuple(("Set-Cookie", cookie) for cookie in cookies))


def joined(server, **args):
    client = Client(server.url, headers={"Cookie": "sid=old"}, features=FEATURES)
    client.connected = client.connect("ann", **args)
    return client


def announced(client):
    path = client.skip_to("COOKIE")["path"]
    KEYS.append(path.removeprefix("cookie/"))
    return path


def fetch(server, path, method="POST", prefix="/push/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, prefix + path, headers=headers)
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    connection.close()
    return answer


def test_the_frame_comes_first_the_cookie_once_and_later_questions_carry_it(app, server):
    ann = joined(server)
    app.answer("publish", sets(SID, "theme=dark", "cart=7; HttpOnly"))
    ann.publish("lobby", 1)
    ann.expect("SET_COOKIE", cookie="theme=dark")
    path = announced(ann)
    ann.expect("ACK")
    answer = fetch(server, path, Origin=OWN)
    assert (answer.status, answer.text) == (204, "")
    assert answer.headers.get_all("Set-Cookie") == [SID, "cart=7; HttpOnly; Path=/"]
    assert answer.headers["Access-Control-Allow-Origin"] == OWN
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Cache-Control"] == "no-store"
    again = fetch(server, path, Origin=OWN)
    assert (again.status, again.headers["Set-Cookie"]) == (410, None)
    ann.publish("lobby", 2)
    ann.skip_to("ACK")
    assert app.questions("publish")[-1].headers["cookie"] == "sid=s3cr3t-new; theme=dark; cart=7"


def test_without_a_prefix_the_same_path_is_served(app, server):
    ann = joined(server)
    app.answer("publish", sets(SID))
    ann.publish("lobby", 1)
    assert fetch(server, announced(ann), prefix="/").status == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=lambda headers: "".join(headers.values()),
)
def test_A1_another_site_cannot_set_a_cookie_with_its_own_key(app, server, headers):
    ann = joined(server)
    app.answer("publish", sets(SID))
    ann.publish("lobby", 1)
    path = announced(ann)
    for raw in (path, path.replace("cookie", "%63ookie")):
        refused = fetch(server, raw, **headers)
        assert (refused.status, refused.headers["Set-Cookie"]) == (403, None)
        assert refused.headers["Access-Control-Allow-Origin"] is None
    listed = fetch(server, path, Origin="https://listed.example")
    assert (listed.status, listed.headers["Access-Control-Allow-Origin"]) == (204, "https://listed.example")


def test_A3_a_link_gets_no_cookie_and_is_told_why(app, server):
    ann = joined(server)
    app.answer("publish", sets(SID))
    ann.publish("lobby", 1)
    path = announced(ann)
    answer = fetch(server, path, method="GET")
    assert (answer.status, answer.headers["Allow"], answer.headers["Set-Cookie"]) == (405, "POST, OPTIONS", None)
    assert "must not set" in answer.text
    assert fetch(server, path).status == 204


def test_old_clients_get_nothing_new(app, server):
    app.answer("connect", sets(SID, "theme=dark", answer=(True, {"name": "ann"})))
    old = Client(server.url)
    old.send("CONNECT", cookie_string="", payload="null")
    old.expect("SET_COOKIE", cookie="theme=dark")
    old.expect("CONNECTED")


def test_those_of_the_login_are_announced_before_it(app, server):
    app.answer("connect", sets(SID, answer=(True, {"name": "ann"})))
    client = Client(server.url)
    client.send("CONNECT", cookie_string="", payload="null", features=FEATURES)
    path = client.expect("COOKIE")["path"]
    assert "cookies" in client.expect("CONNECTED")["features"]
    assert fetch(server, path).headers["Set-Cookie"] == SID


def test_after_a_cut_what_was_not_fetched_is_announced_again(app, server):
    ann = joined(server)
    app.answer("publish", sets(SID))
    ann.publish("lobby", 1)
    announced(ann)
    ann.skip_to("ACK")
    ann.cut()
    again = joined(server, resume={"conn_id": ann.connected["conn_id"], "key": ann.connected["resume"]})
    assert again.connected["resumed"] is True
    assert fetch(server, announced(again)).headers["Set-Cookie"] == SID


def test_over_comet_they_are_announced_alike_and_the_browsers_next_request_counts(app, server):
    app.allow("connect", name="ann")
    comet = Comet(server.port, headers={"Cookie": "sid=old"})
    comet.connect(payload="null", features=FEATURES)
    app.answer("publish", sets(SID))
    comet.send("PUBLISH", channel_name="lobby", payload="1")
    path = comet.frame("COOKIE")[2]["path"]
    comet.frame("ACK")
    assert fetch(server, path, Origin=OWN).headers["Set-Cookie"] == SID
    app.allow("publish")
    for cookie, carried in [
        ("sid=old", "sid=s3cr3t-new"),  # it was on its way before the browser had the new one
        ("sid=s3cr3t-new", "sid=s3cr3t-new"),
        ("sid=another-login", "sid=another-login"),
    ]:
        comet.headers["Cookie"] = cookie
        comet.send("PUBLISH", channel_name="lobby", payload="2")
        comet.frame("ACK")
        assert app.questions("publish")[-1].headers["cookie"] == carried


@pytest.mark.parametrize("path", ["/stream", "/stream/ticket"])
def test_what_is_set_when_a_stream_is_asked_for_comes_with_its_answer(app, server, path):
    app.answer("connect", sets(SID, answer=(True, {"name": "ann"})))
    app.answer("subscribe", sets("theme=dark"))
    body = b"topic=lobby"
    with Stream(
        server.port, path=path, method="POST", token=False, body=body, headers="Cookie: sid=old\r\n"
    ) as stream:
        assert stream.status == 200
        assert stream.headers["set-cookie"] == "theme=dark; Path=/"  # the last; http.client would join them
    assert app.questions("subscribe")[-1].headers["cookie"] == "sid=s3cr3t-new"


def test_what_is_set_with_a_refusal_of_a_stream_comes_too(app, server):
    app.answer("connect", sets(SID, answer=(False, {"error": "log in"})))
    with Stream(server.port, token=False, topic="lobby") as stream:
        assert (stream.status, stream.headers["set-cookie"]) == (403, SID)
