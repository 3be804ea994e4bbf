"""The backlog of a running server: over HTTP, with real receivers, through kills and restarts."""

import json
import time

import gevent
import pytest
import requests
from receivers import Receiver

from hookbox.testing import DEADLINE, HookboxProcess

AUTHORIZED = {"Authorization": f"Bearer {HookboxProcess.TOKEN}"}
SHORT = "0.2,0.2"


class Operator:
    """Calls a server, while receivers in this process go on."""

    def __init__(self, server):
        self.server = server
        self.made = set()

    def call(self, method, path, status=200, url=None, **about):
        about = {"headers": AUTHORIZED, "timeout": DEADLINE, **about}
        work = lambda: requests.request(method, (url or self.server.url.rstrip("/")) + path, **about)  # noqa: E731
        answer = gevent.get_hub().threadpool.apply(work)
        assert answer.status_code == status, answer.text
        return answer

    def get(self, path, **query):
        return self.call("GET", f"/api/v1{path}", params=query).json()

    def post(self, path, status=200, **body):
        return self.call("POST", f"/api/v1{path}", status, json=body).json()

    def publish(self, topic, payload):
        if topic not in self.made:
            self.made.add(topic)
            self.call("POST", "/web/create_channel", json={"channel_name": topic})
        answer = self.call("POST", "/web/publish", json={"channel_name": topic, "payload": payload}).json()
        assert answer[0] is True, answer

    def until(self, check):
        end = time.monotonic() + DEADLINE
        while not (found := check()):
            assert time.monotonic() < end, self.get("/deliveries")
            gevent.sleep(0.01)
        return found

    def done(self, job):
        return self.until(lambda: (now := self.get(f"/jobs/{job}"))["state"] != "running" and now)


@pytest.fixture
def serve(tmp_path):
    """Start a server on one and the same store; the one before has to be over."""
    servers = []

    def serve(**flags):
        given = {"store": str(tmp_path / "hookbox.db"), "egress": "internal", "retry_schedule": SHORT, **flags}
        servers.append(HookboxProcess(**given))
        return Operator(servers[-1])

    yield serve
    for server in servers:
        server.__exit__()


def payloads(receiver):
    return [json.loads(body) for _, body in receiver.got]


def test_R15_an_endpoint_gets_what_was_published_while_it_was_paused_in_order(serve):
    operator = serve()
    with Receiver() as receiver:
        endpoint = operator.post("/endpoints", 201, url=receiver.url, topics=["news"], ordered=True)["id"]
        operator.publish("news", 0)
        operator.until(lambda: receiver.got)
        operator.post(f"/endpoints/{endpoint}/pause")
        for n in range(1, 21):
            operator.publish("news", n)
        assert len(operator.get("/deliveries", state="undelivered")["deliveries"]) == 20
        operator.post(f"/endpoints/{endpoint}/enable")
        operator.until(lambda: len(receiver.got) == 21)
    assert payloads(receiver) == list(range(21))


def test_B02_B06_what_died_is_listed_and_arrives_when_tried_again(serve):
    operator = serve(retry_schedule="none")
    with Receiver(500, 200) as receiver:
        operator.post("/endpoints", 201, url=receiver.url, topics=["**"])
        operator.publish("news", {"a": 1})
        (dead,) = operator.until(lambda: operator.get("/deliveries", state="undelivered")["deliveries"])
        assert (dead["state"], dead["reason"], dead["topic"]) == ("dead", "exhausted", "news")
        operator.post(f"/deliveries/{dead['id']}/retry", 202)
        operator.until(lambda: operator.get(f"/deliveries/{dead['id']}")["state"] == "succeeded")
        first, second = operator.get(f"/deliveries/{dead['id']}")["attempts_made"]
        assert (first["class"], second["class"], second["trigger"]) == ("http_500", "ok", "manual")
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_B03_many_that_died_are_tried_again(serve):
    operator = serve(retry_schedule="none")
    refuse = [410] * 30
    with Receiver(*refuse, 200) as receiver:
        names = [operator.post("/endpoints", 201, url=f"{receiver.url}/{n}", topics=["news"])["id"] for n in range(30)]
        operator.publish("news", 1)
        operator.until(lambda: len(operator.get("/deliveries", state="dead")["deliveries"]) == 30)
        for name in names:
            assert operator.get(f"/endpoints/{name}")["state"] == "disabled"
        job = operator.post("/deliveries/retry", 202, since=0, rate=1000)
        assert job["count"] == 30
        assert operator.done(job["job"])["done"] == 30
        operator.until(lambda: len(operator.get("/deliveries", state="succeeded")["deliveries"]) == 30)


def test_B04_a_message_is_sent_again_with_the_same_id_or_a_new_one(serve):
    operator = serve()
    with Receiver() as receiver:
        operator.post("/endpoints", 201, url=receiver.url, topics=["news"])
        operator.publish("news", "once")
        operator.until(lambda: receiver.got)
        (message,) = operator.get("/messages")["messages"]
        operator.post(f"/messages/{message['id']}/resend", 202)
        operator.until(lambda: len(receiver.got) == 2)
        operator.post(f"/messages/{message['id']}/resend", 202, new_id=True)
        operator.until(lambda: len(receiver.got) == 3)
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert ids[0] == ids[1] == message["id"] != ids[2]
    assert payloads(receiver) == ["once"] * 3


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_B05_B07_P07_a_replay_is_whole_and_in_order_although_the_server_ends(serve, end):
    operator = serve(max_queue=100)
    with Receiver() as first:
        endpoint = operator.post("/endpoints", 201, url=first.url, topics=["news"])["id"]
        for n in range(300):
            operator.publish("news", n)
        operator.until(lambda: len(first.got) == 300)
        operator.post(f"/endpoints/{endpoint}/pause")
    with Receiver(seconds=0.002) as receiver:
        new = operator.post("/endpoints", 201, url=receiver.url, topics=["other"], ordered=True)["id"]
        job = operator.post("/topics/news/replay", 202, endpoint=new)
        assert job["count"] == 300
        for enough in (20, 120):
            operator.until(lambda enough=enough: len(receiver.got) >= enough)
            getattr(operator.server.process, end)()
            gevent.get_hub().threadpool.apply(operator.server.process.wait, (DEADLINE,))
            operator = serve(max_queue=100)
        assert operator.done(job["job"])["state"] == "done"
        operator.until(lambda: not [s for s, n in operator.get("/stats")["deliveries"].items() if n and s in ("scheduled", "in_flight", "waiting")])
        got = payloads(receiver)
    assert list(dict.fromkeys(got)) == list(range(300))
    assert len(got) <= 302  # at each kill the one under way may arrive twice
    rows, cursor = [], None
    while cursor != "":
        page = operator.get("/deliveries", endpoint=new, limit=200, **({"cursor": cursor} if cursor else {}))
        rows, cursor = rows + page["deliveries"], page["cursor"] or ""
    assert len(rows) == 300
    for row in (row for row in rows if row["attempts"] > 1):
        made = operator.get(f"/deliveries/{row['id']}")["attempts_made"]
        assert [attempt["class"] for attempt in made] == ["interrupted", "ok"]
        assert (row["state"], row["attempts"]) == ("succeeded", len(made))


def test_the_backlog_is_on_the_second_port_when_there_is_one(serve):
    operator = serve(web_api_port=0)
    private = operator.server.wait_for_log(r"(?s)Listening to.*Listening to hookbox on (\S+)").group(1).rstrip("/")
    assert operator.call("GET", "/api/v1/stats", url=private).json()["deliveries"]
    operator.call("GET", "/api/v1/stats", 404)


def test_only_the_token_opens_it_and_without_one_it_is_off(serve):
    operator = serve()
    assert operator.call("GET", "/api/v1/messages", 401, headers={}).headers["WWW-Authenticate"].startswith("Bearer")
    operator.call("GET", "/api/v1/messages", 401, headers={"Authorization": "Bearer wrong"})
    operator.call("GET", "/api/v1/messages", 401, headers={"Authorization": "Bearer \xff"})
    operator.server.__exit__()
    off = serve(api_security_token="")
    assert "api_security_token" in off.call("GET", "/api/v1/messages", 403).json()["message"]


def test_L01_a_body_above_api_body_is_413_and_one_at_it_is_not(serve):
    operator = serve(api_body="2048")
    about = {"url": "http://127.0.0.1:9/", "topics": ["a"], "description": ""}
    room = 2048 - len(json.dumps(about))
    operator.call("POST", "/api/v1/endpoints", 201, json={**about, "description": "x" * min(room, 1000)})
    headers = {**AUTHORIZED, "Content-Type": "application/json"}
    exact = json.dumps(about).ljust(2048).encode()
    operator.call("POST", "/api/v1/endpoints", 201, data=exact, headers=headers)
    operator.call("POST", "/api/v1/endpoints", 413, data=exact + b" ", headers=headers)
    operator.call("POST", "/api/v1/endpoints", 413, data=iter([exact, b" "]), headers=headers)


def test_G06_this_server_itself_is_no_destination(serve):
    operator = serve()
    for url in (operator.server.url, f"http://127.0.0.1:{operator.server.port}/web/publish"):
        refused = operator.call("POST", "/api/v1/endpoints", 403, json={"url": url, "topics": ["a"]}).json()
        assert "this server itself" in refused["message"]
