"""GET /stream over real sockets: its forms, resuming, slow readers, access, and its end."""

import json
import time

import pytest
from conftest import Watch, eventually
from streaming import Publisher, Stream

from hookbox.testing import Reply

EVENTS = "Accept: text/event-stream\r\n"
NDJSON = "Accept: application/x-ndjson\r\n"
ELSEWHERE = "https://pages.example"
SETTINGS = {"origin": ELSEWHERE, "store": ":memory:"}


@pytest.fixture
def visit():
    """Opens streams of any server, and connections to publish over; closed with the test."""
    opened = []

    def begin(hookbox, kind=Stream, **given):
        opened.append(kind(hookbox.port, **given))
        return opened[-1]

    yield begin
    for found in opened:
        found.close()


@pytest.fixture
def stream(hookbox, visit):
    """Opens streams of the module's server."""
    opened = []

    def begin(*topics, status=200, **given):
        found = visit(hookbox, **({"topic": topics} if topics else {}), **given)
        opened.append(found)
        assert found.status == status, (found.status, found.rest())
        return found

    yield begin
    for found in opened:
        found.close()
    eventually(lambda: count(hookbox) == 0, what="streams are left over")


@pytest.fixture
def topics(hookbox, request):
    """Two topics of the test's own."""
    names = [f"{request.node.name[:60]} {letter}" for letter in "ab"]
    for name in names:
        hookbox.api("create_channel", channel_name=name)
    yield names
    for name in names:
        hookbox.api("destroy_channel", channel_name=name)


def count(hookbox):
    return hookbox.api("get_server_info")["counts"]["streams"]


def publish(hookbox, topic, payload):
    return hookbox.api("publish", channel_name=topic, payload=payload)


class TestForms:
    def test_T01_json_lines_end_with_cr_lf(self, hookbox, stream, topics):
        found = stream(topics[0])
        publish(hookbox, topics[0], {"a": "ä\n\u2028"})
        unit = found.unit()
        assert unit["payload"] == {"a": "ä\n\u2028"}
        assert list(unit) == ["pos", "topic", "offset", "epoch", "message_id", "time", "payload"]
        assert found.headers["content-type"] == "application/json"
        assert found.headers["cache-control"] == "no-cache, no-transform"
        assert found.headers["x-accel-buffering"] == "no"
        assert "Accept" in found.headers["vary"]
        assert found.chunks[-1].endswith(b"}\r\n")
        assert found.chunks[-1].count(b"\n") == 1

    def test_T01_ndjson_by_accept(self, hookbox, stream, topics):
        found = stream(topics[0], headers=NDJSON)
        publish(hookbox, topics[0], 1)
        assert found.unit()["payload"] == 1
        assert found.headers["content-type"] == "application/x-ndjson"
        assert found.chunks[-1].endswith(b"}\n")
        assert b"\r" not in found.chunks[-1]

    def test_T01_T08_events_by_accept(self, hookbox, stream, topics):
        found = stream(topics[0], headers=EVENTS)
        assert found.event()["retry"] == "3000"
        publish(hookbox, topics[0], "one\ntwo\r\u2028three")
        event = found.event()
        assert event["event"] == "message"
        assert json.loads(event["data"])["payload"] == "one\ntwo\r\u2028three"
        assert json.loads(event["data"])["pos"] == event["id"]
        assert found.headers["content-type"].startswith("text/event-stream")

    def test_T07_lengths_count_bytes(self, hookbox, stream, topics):
        found = stream(topics[0], delimited="length")
        publish(hookbox, topics[0], "Größe")
        length, unit = found.chunk().split(b"\r\n", 1)
        assert int(length) == len(unit)
        assert json.loads(unit)["payload"] == "Größe"

    def test_old_clients_read_to_the_end(self, hookbox, stream, topics):
        found = stream(topics[0], version="1.0", limit=1)
        assert "transfer-encoding" not in found.headers
        publish(hookbox, topics[0], 1)
        assert json.loads(found.rest())["payload"] == 1

    def test_a_form_by_post(self, hookbox, stream, topics):
        body = b"limit=1&" + b"&".join(b"channel=" + t.replace(" ", "+").encode() for t in topics)
        found = stream(method="POST", body=body)
        publish(hookbox, topics[1], 1)
        assert found.unit()["topic"] == topics[1]
        assert found.chunk() == b""

    def test_HEAD_ends_at_once(self, stream, topics):
        found = stream(topics[0], method="HEAD")
        assert found.headers["content-type"] == "application/json"
        with pytest.raises(EOFError):
            found._more()


class TestBadRequests:
    def test_T02_no_topic(self, stream):
        assert stream(status=400).rest() == b"400 No topic"

    @pytest.mark.parametrize(
        "fields",
        [
            {"last_event_id": "nonsense"}, {"backlog": "1001"}, {"backlog": "-1"}, {"backlog": "x"},
            {"heartbeat": "4"}, {"heartbeat": "61"}, {"limit": "0"}, {"wait": "2"}, {"delimited": "lines"},
            {"topic": ["a", "b\x07"]}, {"topic": [str(n) for n in range(51)]}, {"topic": "x" * 201},
            {"topic": "$mine"}, {"ticket": "made up", "status": 403},
        ],
        ids=lambda fields: ",".join(fields),
    )  # fmt: skip
    def test_T06_what_is_wrong_is_refused(self, stream, fields):
        fields = {"topic": "a", **fields}
        status = fields.pop("status", 400)
        assert len(stream(status=status, **fields).rest()) > 10

    def test_bytes_that_are_not_utf_8(self, stream):
        stream(method="POST", body=b"topic=%FF", status=400)

    @pytest.mark.parametrize(("method", "path"), [("PUT", "/stream"), ("GET", "/stream/ticket")])
    def test_methods(self, stream, method, path):
        assert "POST" in stream("a", method=method, path=path, status=405).headers["allow"]

    def test_paths(self, stream):
        stream("a", path="/stream/other", status=404)

    def test_fifty_topics_are_enough(self, stream):
        stream(*map(str, range(50)))

    def test_no_more_streams_than_the_setting_allows(self, start, visit):
        hookbox = start(max_streams=2, store=":memory:")
        open_now = [visit(hookbox, topic="a") for _ in range(2)]
        refused = visit(hookbox, topic="a")
        assert (refused.status, int(refused.headers["retry-after"])) == (503, 5)
        open_now.pop().close()
        eventually(lambda: visit(hookbox, topic="a").status == 200)


class TestLife:
    def test_T03_signs_of_life(self, start, visit):
        hookbox = start(heartbeat=1, store=":memory:")
        for headers, sign in (("", b"\r\n"), (NDJSON, b"\n"), (EVENTS, b": hb\n\n")):
            found = visit(hookbox, topic="a", headers=headers)
            if headers == EVENTS:
                found.chunk()
            assert [found.chunk(), found.chunk()] == [sign, sign]

    def test_the_head_comes_before_anything_else(self, stream):
        assert stream("silent").headers["transfer-encoding"] == "chunked"

    def test_T11_a_client_that_goes_is_noticed_while_nothing_happens(self, hookbox, stream):
        found = [stream("silent"), stream("silent"), stream("silent", headers=EVENTS)]
        assert count(hookbox) == 3
        found[0].close()
        found[1].reset()
        eventually(lambda: count(hookbox) == 1, seconds=5)

    def test_T11_one_that_goes_on_talking_is_noticed_too(self, hookbox, stream):
        found = stream("silent")
        found.socket.sendall(b"GET /stream?topic=more HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        found.close()
        eventually(lambda: count(hookbox) == 0, seconds=5)

    def test_T11_connects_leave_nothing(self, hookbox):
        watch = Watch(hookbox)
        for round in range(3):
            for number in range(250):
                with Stream(hookbox.port, topic=f"passing {number}"):
                    pass
            eventually(lambda: count(hookbox) == 0)
            if round == 0:
                before = watch.resident
        assert watch.resident - before < 3_000_000

    def test_T12_the_end_of_the_server_is_said(self, start, visit):
        hookbox = start(store=":memory:")
        lines = visit(hookbox, topic="a")
        events = visit(hookbox, topic="a", headers=EVENTS)
        events.event()
        hookbox.process.terminate()
        assert lines.unit() == {"control": "shutdown", "code": 1012, "reason": "server restarts"}
        assert events.event()["event"] == "shutdown"
        assert [lines.chunk(), events.chunk()] == [b"", b""]
        assert hookbox.process.wait(10) == 0

    def test_T13_backlog_wait_and_limit(self, hookbox, stream, topics):
        for number in range(8):
            publish(hookbox, topics[number % 2], number)
        found = stream(*topics, backlog=5, wait=0)
        assert [unit["payload"] for unit in found.units(5)] == [3, 4, 5, 6, 7]
        assert found.chunk() == b""
        found = stream(*topics, backlog=5, limit=1)
        assert found.unit()["payload"] == 3
        assert found.chunk() == b""

    def test_T05_one_position_for_two_topics(self, hookbox, stream, topics):
        first = stream(*topics)
        for number in range(4):
            publish(hookbox, topics[number % 2], number)
        position = first.units(2)[1]["pos"]
        by_header = stream(*topics, headers=f"Last-Event-ID: {position}\r\n", last_event_id="00000000-0")
        by_field = stream(*topics, last_event_id=position)
        publish(hookbox, topics[0], 4)
        for found in (by_header, by_field):
            assert [unit["payload"] for unit in found.units(3)] == [2, 3, 4]

    def test_T06_what_is_not_kept_is_a_gap(self, hookbox, stream, topics):
        publish(hookbox, topics[0], 1)
        gap, unit = stream(topics[0], last_event_id="zzzzzzzz-1").units(2)
        assert gap == {"control": "gap", "topic": topics[0], "from": "zzzzzzzz-1", "to": unit["pos"]}
        events = stream(topics[0], last_event_id="zzzzzzzz-1", headers=EVENTS)
        assert [events.event().get("event") for _ in range(3)] == [None, "gap", "message"]


@pytest.mark.parametrize("by", ["header", "field"])
def test_T04_a_client_that_is_cut_50_times_misses_nothing(start, by, visit):
    hookbox = start(store=":memory:")
    publisher, many = visit(hookbox, Publisher), 2500
    hookbox.api("create_channel", channel_name="a")
    published, position, got, cuts = 0, None, [], 0
    found = visit(hookbox, topic="a")
    while len(got) < many:
        for _ in range(min(50, many - published)):
            publisher.publish("a", published)
            published += 1
        unread = 7 if published < many else 0
        for unit in found.units(published - len(got) - unread):
            assert "control" not in unit
            got.append(unit["payload"])
            position = unit["pos"]
        if published < many:
            found.reset()  # with some of it unread
            cuts += 1
            given = (
                {"headers": f"Last-Event-ID: {position}\r\n"}
                if by == "header"
                else {"last_event_id": position}
            )
            found = visit(hookbox, topic="a", **given)
    assert got == list(range(many))
    assert cuts == 49
    assert len(hookbox.app.asked) == 0


def test_what_is_on_disk_is_not_missed_over_a_crash(start, visit, tmp_path):
    first = start(store=tmp_path / "store.db")
    first.api("create_channel", channel_name="a", durable=True)
    before = visit(first, topic=["a", "b"])
    for number in range(5):
        publish(first, "a", number)
    units = before.units(3)
    first.kill()
    second = start(store=tmp_path / "store.db")
    second.api("create_channel", channel_name="a", durable=True)
    after = visit(second, topic="a", last_event_id=units[-1]["pos"])
    publish(second, "a", 5)
    later = after.units(3)
    assert [unit.get("payload") for unit in later] == [3, 4, 5]
    assert [unit["offset"] for unit in later] == [4, 5, 6]
    assert {unit["epoch"] for unit in later} == {units[0]["epoch"]}


class TestSlowReaders:
    def test_T09_who_reads_late_gets_all_that_is_kept(self, start, visit):
        hookbox = start(store=":memory:", stream_ring=3000, history_bytes=10**8, history_messages=3000)
        hookbox.api("create_channel", channel_name="a")
        slow = visit(hookbox, topic="a", receive_buffer=4096)
        publisher = visit(hookbox, Publisher)
        for number in range(2000):
            publisher.publish("a", [number, "x" * 4000])
        assert [unit["payload"][0] for unit in slow.units(2000)] == list(range(2000))

    def test_T09_what_is_on_disk_is_kept(self, start, tmp_path, visit):
        hookbox = start(store=tmp_path / "store.db", store_sync="normal", stream_ring=50)
        hookbox.api("create_channel", channel_name="a", durable=True)
        slow = visit(hookbox, topic="a", receive_buffer=4096)
        publisher = visit(hookbox, Publisher)
        for number in range(1500):
            publisher.publish("a", [number, "x" * 4000])
        assert [unit["payload"][0] for unit in slow.units(1500)] == list(range(1500))

    def test_T09_what_is_kept_nowhere_is_said_and_the_publisher_never_waits(self, start, visit):
        hookbox = start(store=":memory:", stream_ring=100)
        hookbox.api("create_channel", channel_name="a")
        slow = visit(hookbox, topic="a", receive_buffer=4096)
        publisher = visit(hookbox, Publisher)
        for number in range(2500):
            publisher.publish("a", [number, "x" * 4000])
        unit, before = slow.unit(), -1
        while "control" not in unit:
            assert unit["payload"][0] == before + 1
            before, unit = before + 1, slow.unit()
        assert (unit["control"], unit["code"]) == ("lag", 4001)
        assert slow.chunk() == b""
        assert before < 2400


class TestAccess:
    def test_T10_the_token_opens_all_topics_and_nobody_is_asked(self, hookbox, stream):
        stream("anything", headers="Cookie: user=ann\r\n")
        assert hookbox.app.asked == []
        assert hookbox.api("get_server_info")["channels"] == 0

    def test_T10_a_wrong_token_is_refused(self, stream):
        refused = stream("a", token=False, headers="Authorization: Bearer wrong\r\n", status=401)
        assert refused.headers["www-authenticate"].startswith("Bearer")
        stream("a", token=False, _token="test-token", status=401)  # in the query

    def test_T10_a_token_in_the_form(self, stream):
        stream(method="POST", token=False, body=b"topic=a&_token=test-token")

    def test_T10_a_browser_is_let_in_by_the_application(self, hookbox, stream):
        found = stream("room", "hall", token=False, headers="Cookie: user=ann; key=1\r\n")
        actions = [(asked.action, asked.form.get("channel_name")) for asked in hookbox.app.asked]
        assert actions == [
            ("connect", None),
            ("create_channel", "room"), ("subscribe", "room"),
            ("create_channel", "hall"), ("subscribe", "hall"),
        ]  # fmt: skip
        assert {asked.headers["cookie"] for asked in hookbox.app.asked} == {"user=ann; key=1"}
        assert {asked.form["user"] for asked in hookbox.app.questions("subscribe")} == {"ann"}
        assert not hookbox.api("channel_info", channel_name="room").get("presence")
        assert hookbox.api("get_server_info")["users"] == 0
        publish(hookbox, "room", 1)
        assert found.unit()["payload"] == 1
        found.close()
        hookbox.app.wait_for("destroy_channel", 2)

    @pytest.mark.parametrize("action", ["connect", "create_channel", "subscribe"])
    def test_T10_a_denial_is_403(self, hookbox, stream, action):
        hookbox.app.refuse(action, "members only")
        refused = stream("room", token=False, headers="Cookie: user=ann\r\n", status=403)
        assert refused.rest() == b"members only"
        eventually(lambda: hookbox.api("get_server_info")["channels"] == 0)

    def test_T10_no_answer_is_not_a_yes(self, hookbox, stream):
        hookbox.app.answer("subscribe", Reply(status=500))
        assert "retry-after" in stream("room", token=False, status=503).headers
        eventually(lambda: hookbox.api("get_server_info")["channels"] == 0)

    def test_T10_with_stream_auth_token_nobody_else_is_let_in(self, start, visit):
        hookbox = start(stream_auth="token", store=":memory:")
        for headers in ("", "Cookie: user=ann\r\n"):
            refused = visit(hookbox, topic="a", token=False, headers=headers)
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert visit(hookbox, topic="a").status == 200
        assert hookbox.app.asked == []

    def test_A2_pages_of_other_origins_are_refused_unless_listed(self, stream):
        stream("a", headers="Origin: https://evil.example\r\n", status=403)
        found = stream("a", headers=f"Origin: {ELSEWHERE}\r\n")
        assert found.headers["access-control-allow-origin"] == ELSEWHERE
        assert found.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in found.headers["vary"]
        refused = stream(headers=f"Origin: {ELSEWHERE}\r\n", status=400)
        assert refused.headers["access-control-allow-origin"] == ELSEWHERE

    @pytest.mark.parametrize("path", ["/stream", "/stream/ticket"])
    def test_A2_a_page_may_ask_beforehand(self, stream, path):
        found = stream(
            "a", method="OPTIONS", path=path, token=False, headers=f"Origin: {ELSEWHERE}\r\n", status=204
        )
        assert "Last-Event-ID" in found.headers["access-control-allow-headers"]
        assert found.headers["access-control-allow-origin"] == ELSEWHERE


class TestTickets:
    """A7"""

    def ticket(self, stream, body=b"topic=a&topic=b&limit=2", **given):
        return json.loads(stream(path="/stream/ticket", method="POST", body=body, **given).rest())["ticket"]

    def test_A7_a_ticket_opens_what_it_was_issued_for_once(self, hookbox, stream, topics):
        body = b"&".join(b"topic=" + t.replace(" ", "+").encode() for t in topics)
        ticket = self.ticket(stream, body + b"&limit=2")
        assert len(ticket) >= 43
        found = stream(token=False, ticket=ticket)
        publish(hookbox, topics[0], 1)
        publish(hookbox, topics[1], 2)
        assert [unit["payload"] for unit in found.units(2)] == [1, 2]
        assert found.chunk() == b""
        stream(token=False, ticket=ticket, status=403)
        assert hookbox.app.asked == []

    def test_A7_a_ticket_is_for_its_topics(self, stream):
        stream("c", token=False, ticket=self.ticket(stream), status=403)
        stream("b", token=False, ticket=self.ticket(stream))

    def test_A7_a_ticket_is_for_its_origin(self, stream):
        ticket = self.ticket(stream, headers=f"Origin: {ELSEWHERE}\r\n")
        stream(token=False, ticket=ticket, status=403)
        stream(token=False, ticket=ticket, headers=f"Origin: {ELSEWHERE}\r\n")

    def test_A7_a_page_of_the_same_origin_sends_none_for_its_stream(self, hookbox, stream):
        ticket = self.ticket(stream, headers=f"Origin: {hookbox.url}\r\n")
        stream(token=False, ticket=ticket, headers="Sec-Fetch-Site: same-origin\r\n")

    def test_A7_the_application_is_asked_when_the_ticket_is_issued(self, hookbox, stream):
        ticket = self.ticket(stream, token=False, headers="Cookie: user=ann\r\n")
        assert [asked.action for asked in hookbox.app.asked][-1] == "subscribe"
        asked = len(hookbox.app.asked)
        found = stream(token=False, ticket=ticket)
        assert len(hookbox.app.asked) == asked
        found.close()
        hookbox.app.wait_for("destroy_channel", 2)

    def test_A7_who_may_not_read_gets_no_ticket(self, hookbox, stream):
        hookbox.app.refuse("subscribe", "members only")
        refused = stream(path="/stream/ticket", method="POST", body=b"topic=a", token=False, status=403)
        assert refused.rest() == b"members only"


def test_a_slow_start_holds_nobody_up(start, visit):
    """Many streams open at once, and each gets what is published."""
    hookbox = start(store=":memory:")
    found = [visit(hookbox, topic="a", headers=EVENTS if n % 2 else "") for n in range(200)]
    hookbox.api("create_channel", channel_name="a")
    began = time.monotonic()
    for number in range(20):
        publish(hookbox, "a", number)
    for number, one in enumerate(found):
        if number % 2:
            one.event()
            assert [json.loads(one.event()["data"])["payload"] for _ in range(20)] == list(range(20))
        else:
            assert [unit["payload"] for unit in one.units(20)] == list(range(20))
    assert time.monotonic() - began < 30
