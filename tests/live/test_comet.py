"""Comet against a whole server in a process of its own."""

import json
import random
import re
import threading
from pathlib import Path

import pytest
from comet_client import Comet, Request, evaluate
from gevent import Timeout

from hookbox.testing import DEADLINE, Client, HookboxProcess, Reply

SESSION = json.loads((Path(__file__).parent.parent / "wire" / "csp_session.json").read_text("utf-8"))
WORDS = ["é", "世", "😀", "a b/ä?&"]


@pytest.fixture(scope="module")
def server():
    with HookboxProcess(
        client_burst=1_000_000, leave_grace=0.2, max_message=3_000_000, client_payload=2_000_000
    ) as process:
        yield process


@pytest.fixture
def app(server):
    yield server.app
    server.app._answers.clear()


def lines_of(server_packets):
    client = Comet.__new__(Comet)
    client.received, client.stream, client.unread, client.ended = 0, b"", [], False
    client.take(server_packets)
    return client.unread


def without_extras(frame, like):
    """A frame less the keys that are ours, and with the recorded time."""
    frame_id, name, args = frame
    kept = {key: value for key, value in args.items() if key in like[2]}
    if "datetime" in kept:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", kept["datetime"])
        kept["datetime"] = like[2]["datetime"]
    return [frame_id, name, kept]


def test_1_the_recorded_session_replays_on_the_real_server(server, app):
    app.allow("connect", name="ann")
    app.allow("create_channel", presenceful=True, history_size=0)
    key, held, packets, at = "", [], [], 1
    for step in [*SESSION["requests"], {"step": 6}]:
        if step["step"] > at:
            packets += [evaluate(request.reply().body) for request in held]
            held, at = [], step["step"]
        if at == 6:
            break
        target = step["target"].replace("{key}", key)
        request = Request(server.port, step["method"], target, step["body"].encode())
        if "/comet" in target:
            held.append(request)
            continue
        answer = request.reply()
        key = key or evaluate(answer.body)["session"]
        assert (answer.status, answer.body.decode()) == (200, step["reply"].replace("{key}", key))
    assert [packet_id for batch in packets for packet_id, _, _ in batch] == [1, 2, 3, 4]
    assert packets[-1] == [[4, 0, None]]
    recorded = [json.loads(line) for line in SESSION["server_lines"]]
    received = lines_of([packet for batch in packets for packet in batch])
    assert [without_extras(*pair) for pair in zip(received, recorded, strict=True)] == recorded


@pytest.mark.parametrize("word", WORDS)
def test_2_any_script_round_trips_in_payload_user_and_channel(server, word):
    client = Comet(server.port)
    assert client.connect(payload=json.dumps(word))["name"] == word
    client.send("SUBSCRIBE", channel_name=word)
    assert client.frame("SUBSCRIBE")[2]["user"] == word
    client.send("PUBLISH", channel_name=word, payload=json.dumps({word: word}))
    args = client.frame("PUBLISH")[2]
    assert (args["channel_name"], args["payload"], args["user"]) == (word, {word: word}, word)


def test_3_a_megabyte_arrives_in_small_packets(server):
    client = Comet(server.port)
    client.connect(payload='"big"')
    client.send("SUBSCRIBE", channel_name="big")
    client.frame("SUBSCRIBE")
    payload = "0123456789" * 100_000
    other = Client(server.url)
    other.connect("other")
    other.publish("big", payload)
    assert client.frame("PUBLISH")[2]["payload"] == payload
    other.socket.close()


def test_4_the_same_send_posted_twice_publishes_once(server):
    client = Comet(server.port)
    client.connect(payload='"twice"')
    client.send("SUBSCRIBE", channel_name="twice")
    body = client.packet(b'[9,"PUBLISH",{"channel_name":"twice","payload":"1"}]\r\n')
    for _ in range(2):
        assert client.post("send", "", body).reply().body == b'("OK")'
    client.send("PUBLISH", channel_name="twice", payload='"marker"')
    assert [client.frame("PUBLISH")[2]["payload"] for _ in range(2)] == [1, "marker"]


@pytest.mark.parametrize("streaming", [0, 1], ids=["poll", "stream"])
def test_5_D4_comet_requests_cut_at_random_bytes_lose_and_double_nothing(server, streaming):
    rng = random.Random(streaming)
    channel, published, cuts, got = f"cuts-{streaming}", 0, 0, []
    publisher = server.subscribed(channel, "publisher")[0]
    client = Comet(server.port)
    client.connect(payload=json.dumps(channel))
    client.send("SUBSCRIBE", channel_name=channel)
    client.frame("SUBSCRIBE")
    while cuts < 500:
        for _ in range(rng.randint(published == len(got), 3)):
            publisher.publish(channel, [published, "x" * 200])
            publisher.next_publication()
            published += 1
        request = client.post("comet", f"is={streaming}&bs=%0A&du=10", Connection="close")
        arriving = 200 + 250 * (published - len(got))  # at least: the head, and what each message takes
        for batch in whole_batches(request.some(rng.randint(1, arriving))):
            client.take(batch)
        cuts += 1
        got = [frame[2]["payload"][0] for frame in client.unread if frame[1] == "PUBLISH"]
        assert got == list(range(len(got)))
    client.finish(client.begin("is=0&bs="))
    got = [frame[2]["payload"][0] for frame in client.unread if frame[1] == "PUBLISH"]
    assert got == list(range(published))
    publisher.socket.close()


def whole_batches(data):
    """The batches that arrived whole in the first bytes of an answer."""
    _, _, body = data.partition(b"\r\n\r\n")
    return [json.loads(text) for text in re.findall(rb"\((\[.*?\])\)\n", body)]


def test_6_a_restarted_server_says_that_the_session_is_gone():
    with HookboxProcess() as server:
        client = Comet(server.port)
        server.kill()
    with HookboxProcess() as server:
        client.port = server.port
        answer = client.begin().reply()
        assert (answer.status, answer.body) == (404, b"'Session not found'")


def test_7_a_clean_shutdown_answers_held_comets_with_a_goodbye_and_the_end():
    with HookboxProcess(drain_grace=3) as server:
        client = Comet(server.port)
        client.connect(payload='"ann"', features=["close"])
        old = Comet(server.port)
        old.connect(payload='"bob"')
        held, held_by_old = client.begin(), old.begin()
        server.process.terminate()
        client.finish(held)
        old.finish(held_by_old)
        assert client.ended
        assert old.ended
        _, name, args = client.unread.pop()
        assert (name, args["code"]) == ("CLOSE", 1012)
        assert isinstance(args["retry_ms"], int)
        assert old.unread == []


def test_8_a_second_connection_gets_connected_and_then_its_subscriptions(server):
    first, second = Comet(server.port), Comet(server.port)
    first.connect(payload='"tabs"')
    for name in ("one", "two"):
        first.send("SUBSCRIBE", channel_name=name)
        first.frame("SUBSCRIBE")
    second.send("CONNECT", cookie_string="", payload='"tabs"')
    names = [second.frame()[1:] for _ in range(3)]
    assert [name for name, _ in names] == ["CONNECTED", "SUBSCRIBE", "SUBSCRIBE"]
    assert {args["channel_name"] for _, args in names[1:]} == {"one", "two"}
    second.send("PUBLISH", channel_name="one", payload="1")
    assert first.frame("PUBLISH")[2]["payload"] == second.frame("PUBLISH")[2]["payload"] == 1


def test_10_the_documented_url_with_csp_in_it_works(server):
    assert Comet(server.port, base="/csp/csp").connect(payload='"ann"')["name"] == "ann"


def test_A4_the_handshakes_cookies_reach_the_application_and_newer_ones_replace_them(server, app):
    app.allow("connect", name="cook")
    client = Comet(server.port, headers={"Cookie": "sid=http-only; a=1"})
    client.connect(cookie_string="a=script; b=2")
    client.headers["Cookie"] = "sid=newer; a=1"
    client.send("SUBSCRIBE", channel_name="cookies")
    client.frame("SUBSCRIBE")
    assert cookie_names(app.questions("connect")[-1]) == {"sid=http-only", "a=1", "b=2"}
    assert cookie_names(app.wait_for("subscribe", channel_name="cookies")[-1]) == {"sid=newer", "a=1", "b=2"}


def cookie_names(asked):
    return set(asked.headers["cookie"].split("; "))


def test_a_send_is_answered_while_a_webhook_is_waited_for(server, app):
    decided = threading.Event()
    app.answer("subscribe", Reply([True, {}], wait_for=decided))
    client = Comet(server.port)
    client.connect(payload='"patient"')
    client.send("SUBSCRIBE", channel_name="slow")
    app.wait_for("subscribe", channel_name="slow")
    client.send("PUBLISH", channel_name="slow", payload="1")
    decided.set()
    assert [client.frame()[1] for _ in range(2)] == ["SUBSCRIBE", "PUBLISH"]


def test_D9_a_silent_client_is_missed_after_its_limit_and_the_grace(server, app):
    app.allow("create_channel", presenceful=True)
    watcher = server.subscribed("silence", "watcher")[0]
    client = Comet(server.port, query="du=1")
    client.connect(payload='"silent"')
    client.send("SUBSCRIBE", channel_name="silence")
    client.frame("SUBSCRIBE")
    assert watcher.skip_to("SUBSCRIBE", user="silent")
    assert watcher.skip_to("UNSUBSCRIBE", user="silent")
    client.finish(client.begin())
    assert client.ended


def test_a_client_that_closes_is_gone_after_the_grace(server, app):
    app.allow("create_channel", presenceful=True)
    watcher = server.subscribed("leaving", "watcher")[0]
    client = Comet(server.port)
    client.connect(payload='"leaver"')
    client.send("SUBSCRIBE", channel_name="leaving")
    client.frame("SUBSCRIBE")
    held = client.begin()
    assert client.post("send", "", b"[[9,0,null]]").reply().body == b'("OK")'
    assert client.finish(held)[-1][2] is None
    assert client.begin().reply().status == 404
    assert watcher.skip_to("UNSUBSCRIBE", user="leaver")


def test_a_stream_delivers_each_publication_as_it_comes(server):
    client = Comet(server.port)
    client.connect(payload='"streamer"')
    client.send("SUBSCRIBE", channel_name="flow")
    client.frame("SUBSCRIBE")
    with client.begin("is=1&bs=%0A") as request, Timeout(DEADLINE):
        request.head()
        assert request.chunk() == b"([])\n"
        for number in range(5):
            client.send("PUBLISH", channel_name="flow", payload=str(number))
            client.take(evaluate(request.chunk().rstrip()))
            assert client.unread.pop()[2]["payload"] == number


@pytest.mark.parametrize("name", ["NONSENSE", "__class__", "frame_CONNECT"])
def test_9_M5_an_unknown_frame_is_an_error_and_the_session_survives(server, name):
    client = Comet(server.port)
    client.connect(payload='"ann"')
    client.send(name)
    error = client.frame("ERROR")[2]
    assert (error["id"], error["msg"]) == (2, "Unknown frame")
    client.send("PUBLISH", channel_name="x", payload="not json")
    assert client.frame("ERROR")[2]["msg"] == "Invalid json for payload"


def test_F13_a_client_that_does_not_poll_is_told_it_was_too_slow():
    with HookboxProcess(client_burst=1_000_000, outbox_messages=20) as server:
        client = Comet(server.port)
        client.connect(payload='"lazy"', features=["close"])
        client.send("SUBSCRIBE", channel_name="fast")
        client.frame("SUBSCRIBE")
        quick = server.subscribed("fast", "quick")[0]
        for number in range(60):
            quick.publish("fast", number)
            assert quick.next_publication()["payload"] == number
        assert client.frame("CLOSE")[2]["code"] == 4001
        assert client.ended
