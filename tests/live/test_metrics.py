"""What a real server tells Prometheus of what was really done to it."""

import json
import re
import threading
from pathlib import Path

import pytest
from comet_client import Comet
from conftest import assert_clean, eventually
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from raw import CONNECT, Raw, line
from scraping import OPEN_METRICS, Scrape, Since, get
from streaming import Stream

from hookbox.testing import HookboxProcess, Receiver, Reply

CANARIES = ("canary-user", "canary-channel", "canary-payload", "canary-cookie", "canary-path", "canary-reason")


@pytest.fixture(scope="module")
def hookbox(tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "hookbox.db"
    with HookboxProcess(egress="internal", store=store, leave_grace=0, outbox_messages=20) as process:
        yield process
        assert_clean(process)


@pytest.fixture
def since(hookbox):
    return Since(hookbox)


# who may read it


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_there_are_no_numbers(hookbox, token):
    page = get(hookbox, token=token)
    assert page.status == 401
    assert page.headers["www-authenticate"] == 'Bearer realm="hookbox"'
    assert "hookbox_" not in page.text


def test_with_the_token_there_are_in_both_formats_and_to_HEAD(hookbox):
    page = get(hookbox)
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert page.headers["cache-control"] == "no-store"
    head = get(hookbox, method="HEAD")
    assert (head.status, head.text) == (200, "")
    opened = get(hookbox, Accept=OPEN_METRICS)
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in read_open_metrics(opened.text)}
    assert {"hookbox_connections", "hookbox_messages_sent", "hookbox_build", "process_open_fds"} <= names
    assert get(hookbox, method="POST").status == 405


def test_they_can_be_open_and_leave_with_the_API(start):
    hookbox = start(metrics_open=True, web_api_port=0)
    port = int(hookbox.wait_for_log(r"(?s)Listening.+Listening to hookbox on http://127.0.0.1:(\d+)")[1])
    assert port != hookbox.port
    assert get(hookbox, token="").status == 404
    page = get(hookbox, token="", port=port)
    assert (page.status, "hookbox_build_info" in page.text) == (200, True)
    assert [get(hookbox, "/readyz", token="", port=one).text for one in (hookbox.port, port)] == ["ready\n"] * 2


# connections


def test_connections_are_told_by_transport_and_by_how_they_ended(hookbox, since):
    with Raw(hookbox.port, CONNECT) as cut, Stream(hookbox.port, topic="canary-channel"):
        assert cut.next_line()[1] == "CONNECTED"
        closed, comet = hookbox.connect("canary-user"), Comet(hookbox.port)
        comet.send("CONNECT", cookie_string="canary-cookie=1")
        now = eventually(lambda: (found := Scrape(hookbox))("hookbox_users") == 3 and found)
        assert now("hookbox_connections", transport="websocket") == 2
        assert now("hookbox_connections", transport="comet") == 1
        assert now("hookbox_connections", transport="stream") == 1
        assert now("hookbox_sockets") >= 3
        closed.close()
        comet.post("close").reply()
    eventually(lambda: since("hookbox_disconnects_total", code="1006") == 1)
    eventually(lambda: since("hookbox_disconnects_total", code="1000") == 3)
    assert since("hookbox_connects_total") == 3
    assert Scrape(hookbox)("hookbox_connections") == 0


def test_a_client_that_reads_too_slowly_is_counted(hookbox, application, since):
    application.allow("create_channel", moderated=False)
    slow = Raw(hookbox.port, CONNECT + line(2, "SUBSCRIBE", channel_name="lobby"), receive_buffer=4096)
    with slow:
        assert (slow.next_line()[1], slow.next_line()[1]) == ("CONNECTED", "SUBSCRIBE")
        hookbox.connect("canary-user").subscribe("lobby")
        for _ in range(200):
            hookbox.api("publish", channel_name="lobby", payload="x" * 60_000)
            if since("hookbox_slow_consumers_total"):
                break
        now = Scrape(hookbox)
        assert now("hookbox_outbox_bytes") > 0
        assert now("hookbox_outboxes_waiting") == 1
    eventually(lambda: since("hookbox_disconnects_total", code="4001") == 1)


def test_a_client_that_comes_back_is_counted_and_so_is_what_it_recovers(start):
    hookbox = start(leave_grace=5)
    hookbox.app.allow("create_channel", moderated=False, recovery_size=10)
    since = Since(hookbox)
    first = hookbox.client(features=["resume", "recover"])
    about = first.connect("alice")
    first.subscribe("lobby")
    first.cut()
    again = hookbox.client(features=["resume", "recover"])
    resume = {"conn_id": about["conn_id"], "key": about["resume"]}
    assert again.connect("alice", resume=resume)["resumed"]
    lost = {"epoch": "another", "offset": 3}
    again.send("SUBSCRIBE", channel_name="lobby", since=lost)
    again.skip_to("SUBSCRIBE")
    hookbox.client(features=["resume"]).connect("bob", resume={**resume, "key": "wrong"})
    found = {result: since("hookbox_recoveries_total", result=result) for result in ("resumed", "not_resumed", "lost")}
    assert found["resumed"] == 1
    assert found["not_resumed"] == 1
    assert found["lost"] >= 1


# messages, webhooks, calls


def test_messages_in_and_out_are_counted_also_those_of_connections_that_are_gone(hookbox, application, since):
    alice, bob = hookbox.subscribed("canary-channel", "canary-user", "canary-user-2")
    alice.publish("canary-channel", "canary-payload")
    assert bob.next_publication()["payload"] == "canary-payload"
    alice.skip_to("PUBLISH")
    assert since("hookbox_publications_total") == 1
    assert since("hookbox_messages_received_total") == 5
    assert since("hookbox_messages_sent_total") >= 6
    now = Scrape(hookbox)
    assert (now("hookbox_channels"), now("hookbox_users"), now("hookbox_subscriptions")) == (1, 2, 2)
    before = since("hookbox_messages_sent_total")
    hookbox.settle()
    assert since("hookbox_messages_sent_total") >= before
    assert Scrape(hookbox)("hookbox_subscriptions") == 0


def test_a_stream_gets_messages_too(hookbox, since):
    hookbox.api("create_channel", channel_name="canary-channel")
    with Stream(hookbox.port, topic="canary-channel"):
        for number in range(5):
            hookbox.api("publish", channel_name="canary-channel", payload=number)
        eventually(lambda: since("hookbox_messages_sent_total") == 5)
    hookbox.api("destroy_channel", channel_name="canary-channel")
    assert since("hookbox_api_calls_total", method="publish", outcome="ok") == 5


def test_each_webhook_is_measured_by_what_it_asked_and_how_that_ended(hookbox, application, since):
    (alice,) = hookbox.subscribed("canary-channel", "canary-user")
    application.refuse("publish", "canary-reason")
    alice.publish("canary-channel", "canary-payload")
    alice.skip_to("ERROR")
    application.answer("publish", Reply(status=500, body=b"canary-body"))
    alice.publish("canary-channel", "canary-payload")
    alice.skip_to("ERROR")
    application.answer("publish", Reply(body=b"<html>"))
    alice.publish("canary-channel", "canary-payload")
    alice.skip_to("ERROR")
    count = "hookbox_hook_duration_seconds_count"
    assert since(count, hook="connect", outcome="allowed") == 1
    for outcome in ("refused", "http_5xx", "unusable"):
        assert since(count, hook="publish", outcome=outcome) == 1, outcome
    assert since("hookbox_frames_refused_total", code="denied") == 1
    assert since("hookbox_frames_refused_total", code="app_unavailable") == 2
    now = Scrape(hookbox)
    assert now("hookbox_hook_inflight") == now("hookbox_hook_queued") == 0
    assert not now("hookbox_breaker_open")


def test_a_webhook_under_way_is_told(start):
    hookbox = start(webhook_concurrency=1)
    go_on = threading.Event()
    hookbox.app.answer("connect", Reply([True, {}], wait_for=go_on))
    try:
        clients = [hookbox.client() for _ in range(2)]
        for number, client in enumerate(clients):
            client.send("CONNECT", cookie_string="", payload=f'"user{number}"')
        eventually(lambda: Scrape(hookbox)("hookbox_hook_queued", hook="connect") == 1)
        assert Scrape(hookbox)("hookbox_hook_inflight", hook="connect") == 1
    finally:
        go_on.set()
    for client in clients:
        client.expect("CONNECTED")
    assert Scrape(hookbox)("hookbox_hook_inflight") == 0


def test_an_application_that_is_down_opens_the_breaker_and_that_is_told(start):
    hookbox = start(breaker_failures=2, breaker_first_pause=30)
    hookbox.app.answer("connect", Reply(status=500))
    for _ in range(3):
        client = hookbox.client()
        client.send("CONNECT", cookie_string="", payload="null")
        client.expect("ERROR")
    now = Scrape(hookbox)
    assert now("hookbox_breaker_open", target="application") == 1
    assert now("hookbox_breaker_openings_total") == 1
    count = "hookbox_hook_duration_seconds_count"
    assert now(count, hook="connect", outcome="http_5xx") == 2
    assert now(count, hook="connect", outcome="not_asked") == 1


def test_frames_calls_and_requests_that_are_refused_are_told_by_why(hookbox, since):
    client = hookbox.connect("canary-user")
    client.send_text("[1, nonsense\r\n")
    client.expect("ERROR")
    client.send("SUBSCRIBE", channel_name="")
    client.expect("ERROR")
    assert since("hookbox_frames_refused_total", code="bad_json") == 1
    assert since("hookbox_frames_refused_total", code="bad_channel") == 1
    with pytest.raises(Exception, match="canary-channel"):
        hookbox.api("publish", channel_name="canary-channel", payload=1)
    assert since("hookbox_api_calls_total", method="publish", outcome="not_found") == 1
    assert get(hookbox, "/canary-path/" + "x" * 9000).status == 414
    assert since("hookbox_http_responses_total", status="414") == 1


# deliveries


def test_deliveries_are_told_by_how_they_ended(hookbox, since):
    with Receiver() as receiver:
        hookbox.dispatch(receiver.url + "/canary-path", json={"canary-payload": 1})
        eventually(lambda: since("hookbox_webhook_deliveries_total", outcome="succeeded") >= 1)
        receiver.answer(500)
        hookbox.dispatch(receiver.url + "/canary-path", json={}, retry=[])
        eventually(lambda: since("hookbox_webhook_deliveries_total", outcome="dead") == 1)
    assert since("hookbox_attempts_total", _class="ok") >= 1  # what the application is told is one, too
    assert since("hookbox_attempts_total", _class="http_5xx") == 1
    assert since("hookbox_attempt_seconds_count") >= 2
    assert since("hookbox_store_commit_seconds_count") >= 2
    eventually(lambda: Scrape(hookbox)("hookbox_deliveries", state="dead") >= 1)
    assert Scrape(hookbox)("hookbox_store_bytes") > 0
    assert Scrape(hookbox)("hookbox_store_wal_bytes") > 0


def test_a_destination_against_the_policy_is_told_by_the_rule(hookbox, since):
    with pytest.raises(OSError, match="403"):
        hookbox.dispatch("http://169.254.169.254/canary-path", json={})
    assert since("hookbox_egress_blocked_total", rule="address") == 1


# all of it


def test_no_user_channel_URL_or_payload_is_ever_told(hookbox):
    text = Scrape(hookbox).text
    assert not [canary for canary in (*CANARIES, "test-token", "127.0.0.1", "http://", "lobby") if canary in text]


def test_labels_have_few_values(hookbox):
    now = Scrape(hookbox)
    assert now.values("transport") == {"websocket", "comet", "stream"}
    assert len(now.text.splitlines()) < 2000


def test_health_tells_how_the_parts_stand_to_whoever_asks_for_JSON(start):
    hookbox = start(breaker_failures=1, breaker_first_pause=30)
    hookbox.app.answer("connect", Reply(status=500))
    client = hookbox.client()
    client.send("CONNECT", cookie_string="", payload="null")
    client.expect("ERROR")
    page = get(hookbox, "/readyz", token="", Accept="application/json")
    assert page.status == 200
    told = json.loads(page.text)
    assert told["status"] == "ready"
    assert told["parts"] | {"loop": "ok"} == {"clients": "ok", "store": "ok", "application": "failing", "loop": "ok"}


def test_the_page_has_every_metric_with_its_type_and_labels_and_no_other(hookbox):
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `((?:hookbox|process)_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    now = Scrape(hookbox)
    assert {name: kind for name, kind, _ in rows} == now.kinds
    written = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    for family in now.families:
        for sample in family.samples:
            name = family.name if family.type == "histogram" else sample.name
            assert set(sample.labels) - {"le"} == written[name], sample
