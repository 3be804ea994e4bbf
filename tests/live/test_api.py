"""The HTTP API of a real server, called over real sockets."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from hookbox.testing import DEADLINE, ApiRefused, HookboxProcess, Reply, ScriptedApp

TOKEN = HookboxProcess.TOKEN
FORM = "application/x-www-form-urlencoded"
SETTINGS = {"leave_grace": 0.2}


def send(server, method, path, body=b"", *, content_type=FORM, token=TOKEN, port=None, **headers):
    """One request on a connection of its own; status, headers in lower case, body."""
    connection = http.client.HTTPConnection("127.0.0.1", port or server.port, timeout=DEADLINE)
    given = {"Content-Type": content_type} if content_type and body else {}
    if token:
        given["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, body or None, given | headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def fresh(hookbox, application, channel, *names, **options):
    """A channel nobody knew before, with these users subscribed."""
    hookbox.api("create_channel", channel_name=channel, moderated=False, **options)
    return hookbox.subscribed(channel, *names)


@pytest.mark.parametrize("path", ["/web/publish", "/rest/publish", "/publish"])
def test_a_form_as_curl_sends_it_reaches_the_subscribers(hookbox, application, path):
    channel = "curl " + path
    (alice,) = fresh(hookbox, application, channel, "alice")
    body = f"channel_name={channel.replace(' ', '+')}&payload=%7B%22a%22%3A+%22%C3%A9%22%7D".encode()
    status, headers, answer = send(hookbox, "POST", path, body)
    assert (status, headers["content-type"]) == (200, "application/json")
    done, result = json.loads(answer)
    assert done is True
    assert alice.expect("PUBLISH", payload={"a": "é"}, user=None)["offset"] == result["offset"]
    alice.close()


def test_calls_follow_each_other_on_one_connection_whatever_they_are_answered(hookbox, application):
    fresh(hookbox, application, "kept")
    connection = http.client.HTTPConnection("127.0.0.1", hookbox.port, timeout=DEADLINE)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    expected = [
        ("publish", 200),
        ("nonsense", 404),
        ("publish", 200),
        ("get_server_info", 200),
        ("publish", 200),
    ]
    offsets = []
    for method, status in expected:
        connection.request("POST", f"/web/{method}", b'{"channel_name": "kept"}', headers)
        answer = connection.getresponse()
        assert answer.status == status
        offsets.append(json.loads(answer.read())[1].get("offset"))
    assert offsets == [1, None, 2, None, 3]
    connection.close()


def test_a_chunked_body_is_read(hookbox, application):
    fresh(hookbox, application, "chunk")
    pieces = b"8\r\nchannel_\r\na;x=y\r\nname=chunk\r\n8\r\n&payload\r\n2\r\n=7\r\n0\r\n\r\n"
    status, _, body = send(hookbox, "POST", "/web/publish", pieces, **{"Transfer-Encoding": "chunked"})
    assert (status, json.loads(body)[0]) == (200, True)


def test_H8_a_body_above_api_body_is_413(start):
    server = start(api_body=1000)
    status, _, _ = send(server, "POST", "/web/publish", b"x" * 1001)
    assert status == 413
    status, _, body = send(server, "POST", "/web/publish", b"x" * 1000)
    assert (status, json.loads(body)[0]) == (200, False)


def test_a_body_far_above_what_a_comet_client_may_send_is_taken(hookbox, application):
    (alice,) = fresh(hookbox, application, "large", "alice")
    hookbox.api("publish", channel_name="large", payload="x" * 400_000)
    assert len(alice.next_publication()["payload"]) == 400_000
    alice.close()


def test_H16_a_json_body_that_is_not_utf8_is_400(hookbox):
    status, headers, body = send(
        hookbox, "POST", "/web/publish", b'{"a": "\xff"}', content_type="application/json"
    )
    assert (status, json.loads(body)[1]["code"]) == (400, "bad_json")
    hookbox.wait_for_log(headers["x-request-id"])


def test_A2_no_cors_headers_and_no_preflight(hookbox):
    status, headers, _ = send(hookbox, "OPTIONS", "/web/publish", Origin=f"http://127.0.0.1:{hookbox.port}")
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control")]


def test_A6_a_wrong_token_is_answered_with_200_and_no(hookbox):
    for token in ("wrong", "", "é".encode().decode("latin-1")):
        status, _, body = send(hookbox, "POST", "/web/get_server_info", token=token)
        assert (status, json.loads(body)[0]) == (200, False)


def test_A6_query_tokens_and_get_where_the_operator_allows_them(start):
    server = start(allow_query_token=True)
    server.api("create_channel", channel_name="c")
    status, _, body = send(server, "GET", f"/web/publish?channel_name=c&payload=1&secret={TOKEN}", token=None)
    assert (status, json.loads(body)[1]["offset"]) == (200, 1)
    assert TOKEN not in server.log, "A13"


def test_A6_two_tokens_for_rotation(start):
    server = start(api_security_token=["test-token", "next-token"])
    for token in ("test-token", "next-token"):
        assert json.loads(send(server, "POST", "/web/get_server_info", token=token)[2])[0] is True


def test_A6_without_a_token_the_api_is_off(start):
    server = start(api_security_token=None)
    for token in (None, "", "None"):
        done, result = json.loads(send(server, "POST", "/web/get_server_info", token=token)[2])
        assert done is False
        assert "api_security_token" in result["error"]
    assert b"HTTP API</a>: off" in send(server, "GET", "/")[2]


def test_the_api_has_a_port_of_its_own_where_that_is_set(start):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = start(web_api_port=port)
    assert send(server, "POST", "/web/get_server_info")[0] == 404
    assert send(server, "POST", "/publish")[0] == 404
    status, _, body = send(server, "POST", "/web/get_server_info", port=port)
    assert (status, json.loads(body)[0]) == (200, True)
    assert send(server, "GET", "/healthz", port=port)[0] == 200


def test_D1_eight_publishers_at_once_and_everybody_sees_the_same_order(hookbox, application):
    clients = fresh(hookbox, application, "order", "a", "b", "c")

    def publish(publisher):
        return [
            hookbox.api("publish", channel_name="order", payload=[publisher, n])["offset"] for n in range(25)
        ]

    with ThreadPoolExecutor(8) as pool:
        offsets = list(pool.map(publish, range(8)))
    assert sorted(offset for mine in offsets for offset in mine) == list(range(1, 201))
    seen = [[client.next_publication() for _ in range(200)] for client in clients]
    assert [args["offset"] for args in seen[0]] == list(range(1, 201))
    assert seen[0] == seen[1] == seen[2]
    assert {n: args["payload"][0] for n, args in enumerate(seen[0], 1)} == {
        offset: publisher for publisher, mine in enumerate(offsets) for offset in mine
    }
    for client in clients:
        client.close()


def test_D8_repeats_at_once_publish_once(hookbox, application):
    hookbox.api("create_channel", channel_name="once")
    (alice,) = hookbox.subscribed("once", "alice")
    decided = threading.Event()
    application.answer("publish", Reply([True, {}], wait_for=decided))

    def publish(_):
        params = {"channel_name": "once", "payload": 1, "send_hook": True, "idempotency_key": "k"}
        return hookbox.api("publish", **params)["offset"]

    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(publish, n) for n in range(6)]
        application.wait_for("publish")
        decided.set()
        assert {call.result(DEADLINE) for call in calls} == {1}
    assert len(application.questions("publish")) == 1
    application.allow("publish")
    hookbox.api("publish", channel_name="once", payload="marker")
    assert [alice.next_publication()["payload"] for _ in range(2)] == [1, "marker"]
    alice.close()


def test_send_hook_carries_the_cookies_of_the_user_it_is_about(hookbox, application):
    hookbox.api("create_channel", channel_name="asked")
    alice = hookbox.connect("alice", headers={"Cookie": "sid=abc"})
    hookbox.api("subscribe", channel_name="asked", name="alice", send_hook=True)
    (question,) = application.questions("subscribe", channel_name="asked")
    assert (question.headers["cookie"], question.form["user"]) == ("sid=abc", "alice")
    application.refuse("publish", "not now")
    with pytest.raises(ApiRefused, match="not now"):
        hookbox.api("publish", channel_name="asked", originator="alice", send_hook=True)
    alice.close()


def test_F2_a_publish_of_the_application_waits_for_nobody(start):
    application = ScriptedApp()
    server = start(app=application, webhook_timeout=60)
    server.api("create_channel", channel_name="c")
    never = threading.Event()
    application.answer("publish", Reply([True, {}], wait_for=never))
    alice = server.connect("alice")
    alice.publish("c", 1)
    application.wait_for("publish")
    assert server.api("publish", channel_name="c", payload=2)["offset"] == 1
    never.set()
    alice.cut()


def test_A10_after_disconnect_user_nothing_reaches_the_user(hookbox, application):
    alice, again, bob = fresh(hookbox, application, "banned", "alice", "alice", "bob")
    hookbox.api("publish", channel_name="banned", payload="before")
    assert hookbox.api("disconnect_user", name="alice") == {"connections": 2}
    hookbox.api("publish", channel_name="banned", payload="after")
    for client in (alice, again):
        assert client.next_publication()["payload"] == "before"
        assert client.wait_closed() == (4504, "disconnected by the application")
    assert [bob.next_publication()["payload"] for _ in range(2)] == ["before", "after"]
    application.wait_for("disconnect", name="alice")
    with pytest.raises(ApiRefused, match="user alice is not connected"):
        hookbox.api("get_user_info", user_name="alice")
    bob.close()


def test_A10_after_disconnect_and_unsubscribe_nothing_reaches_the_connection(hookbox, application):
    alice, bob, carol = fresh(hookbox, application, "left", "alice", "bob", "carol")
    (identifier,) = hookbox.api("get_user_info", user_name="alice")["connections"]
    hookbox.api("disconnect", identifier=identifier)
    hookbox.api("unsubscribe", channel_name="left", name="bob")
    hookbox.api("publish", channel_name="left", payload="after")
    assert alice.wait_closed()[0] == 4504
    bob.expect("UNSUBSCRIBE", user="bob")
    hookbox.api("subscribe", channel_name="left", name="bob")
    bob.expect("SUBSCRIBE", user="bob")
    assert carol.next_publication()["payload"] == "after"
    bob.close()
    carol.close()


def test_set_config_sends_the_next_webhook_elsewhere(start):
    server, other = start(), ScriptedApp()
    try:
        assert server.api("set_config", cbport=other.port, webhook_secret="s3cret")["changed"]
        server.connect("alice").close()
        (question,) = other.questions("connect")
        assert question.form["secret"] == "s3cret"
        assert server.app.questions("connect") == []
        assert "s3cret" not in server.log, "A13"
    finally:
        other.stop()


def test_a_token_set_while_running_counts_at_once(start):
    server = start()
    server.api("set_config", api_security_token="fresh-token")
    with pytest.raises(ApiRefused, match="Invalid security token"):
        server.api("get_server_info")
    assert json.loads(send(server, "POST", "/web/get_server_info", token="fresh-token")[2])[0] is True


def test_polling_publishes_what_a_url_says_until_it_is_switched_off(hookbox, application):
    source = ScriptedApp()
    source.answer("feed", [True, {"payload": {"n": 1}, "state": {"k": 2}}])
    url = f"http://127.0.0.1:{source.port}/feed"
    (alice,) = fresh(hookbox, application, "polled", "alice")
    polling = {"mode": "persistent", "url": url, "interval": 0.1, "form": {"a": "b"}}
    hookbox.api("set_channel_options", channel_name="polled", polling=polling)
    assert alice.skip_to("STATE_UPDATE")["updates"] == {"k": 2}
    assert alice.skip_to("PUBLISH")["payload"] == {"n": 1}
    assert alice.skip_to("PUBLISH")["user"] == ""
    assert source.asked[0].form == {"a": "b"}
    hookbox.api("set_channel_options", channel_name="polled", polling="off")
    hookbox.api("publish", channel_name="polled", payload="marker")
    alice.skip_to("PUBLISH", payload="marker")
    asked = len(source.asked)
    hookbox.api("publish", channel_name="polled", payload="second marker")
    assert alice.next_publication()["payload"] == "second marker"
    assert len(source.asked) <= asked + 1
    alice.close()
    source.stop()


def test_health_and_the_client_are_served(hookbox):
    assert send(hookbox, "GET", "/healthz", token=None)[0] == 200
    assert send(hookbox, "GET", "/readyz", token=None)[0] == 200
    status, headers, body = send(hookbox, "GET", "/static/hookbox.js", token=None)
    assert (status, headers["cross-origin-resource-policy"]) == (200, "cross-origin")
    unchanged = send(hookbox, "GET", "/static/hookbox.js", token=None, **{"If-None-Match": headers["etag"]})
    assert (unchanged[0], unchanged[2]) == (304, b"")
    assert len(body) == int(headers["content-length"])


def test_the_descriptions_are_served_without_a_token(hookbox):
    with urllib.request.urlopen(f"{hookbox.url}/web/openapi.json", timeout=DEADLINE) as answer:
        assert json.load(answer)["openapi"] == "3.1.0"
    with urllib.request.urlopen(f"{hookbox.url}/web/", timeout=DEADLINE) as answer:
        assert json.load(answer)["methods"]


@pytest.mark.skipif(not shutil.which("curl"), reason="NOT TESTED: curl is missing")
def test_the_manuals_first_example_works_with_the_real_curl(hookbox, application):
    (alice,) = fresh(hookbox, application, "lobby", "alice")
    command = ["curl", "-sS", f"{hookbox.url}/web/publish", "-H", f"Authorization: Bearer {TOKEN}"]
    command += ["-d", "channel_name=lobby", "-d", 'payload="Hello"']
    answer = subprocess.run(command, capture_output=True, check=True, timeout=DEADLINE)
    assert json.loads(answer.stdout)[0] is True
    assert alice.next_publication()["payload"] == "Hello"
    alice.close()
