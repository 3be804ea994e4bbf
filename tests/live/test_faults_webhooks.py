"""F1 to F9: the application fails in every way there is, and the whole system gets over it."""

import heapq
import json
import os
import random
import threading
import time

import pytest
from conftest import eventually
from faults import Watched
from gathering import Crowd

from hookbox.testing import Reply, ScriptedApp

CLIENTS = int(os.environ.get("HOOKBOX_TEST_CLIENTS", "300"))
"""How many want something at once when the application comes back; 5000 where there is time for it."""
PATIENCE = 60 + CLIENTS / 50
PATIENT = {"breaker_failures": 1000, "breaker_calls": 1000}
"""Settings by which no breaker opens."""


def refused(client, frame="SUBSCRIBE", **args):
    """Send a frame that must fail for want of the application; seconds it took."""
    began = time.monotonic()
    frame_id = client.send(frame, **args or {"channel_name": "elsewhere"})
    client.skip_to("ERROR", id=frame_id, code="app_unavailable")
    return time.monotonic() - began


def works(hookbox, client, channel="elsewhere"):
    """Whether the application is asked again and its yes counts."""
    frame_id = client.send("SUBSCRIBE", channel_name=channel)
    while (frame := client.next()).name not in ("SUBSCRIBE", "ERROR"):
        pass
    assert frame.name == "SUBSCRIBE" or frame.args["id"] == frame_id
    return frame.name == "SUBSCRIBE"


def counts(hookbox):
    return hookbox.api("get_server_info")["counts"]


# F1


@pytest.mark.parametrize("vanished", [False, True], ids=["refused", "blackholed"])
def test_F1_an_application_that_is_down_stops_nobody_who_needs_it_not(watch_over, vanished):
    hookbox = watch_over(webhook_connect_timeout=0.5)
    app = hookbox.app
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    carl = hookbox.connect("carl")
    app.vanish() if vanished else app.down()
    carl.close()  # of which the application is told when it is back
    assert refused(ann) < 5
    hookbox.api("publish", channel_name="lobby", payload="still here")
    assert [client.next_publication()["payload"] for client in (ann, bob)] == ["still here"] * 2
    eventually(lambda: refused(ann) and counts(hookbox)["webhooks_breaker_open"], what="the breaker opens")
    app.up()
    eventually(lambda: works(hookbox, ann), 30)
    if not vanished:  # who did not answer in time is left alone for a minute
        assert len(app.wait_for("disconnect", name="carl")) == 1


def test_F1_while_the_breaker_is_open_nobody_waits(watch_over):
    hookbox = watch_over(breaker_first_pause=60)
    ann = hookbox.connect("ann")
    hookbox.app.down()
    for _ in range(10):
        refused(ann)
    visits, before = hookbox.app.visits, counts(hookbox)
    assert before["webhooks_breaker_open"] == 1
    hookbox.app.up()
    took = sorted(refused(ann) for _ in range(50))
    assert took[25] < 0.05, "ten times what is allowed, as the machine may be busy"
    assert hookbox.app.visits == visits
    assert counts(hookbox)["webhooks_not_asked"] - before["webhooks_not_asked"] == 50


# F2, F3


@pytest.mark.parametrize(
    "reply",
    [Reply.never(), Reply.drip(1, 0.5), Reply.drip(1, 1.0, from_body=True)],
    ids=["F2-silence", "F3-dripping-head", "F3-dripping-body"],
)
def test_an_application_that_takes_its_time_is_given_up_at_five_seconds(watch_over, reply):
    hookbox = watch_over(**PATIENT)
    with Crowd(hookbox.port) as crowd:
        members = [crowd.come(f"user{number}") for number in range(40)]
        crowd.read_until(lambda: all(member.connected for member in members))
        lobby = hookbox.subscribed("lobby", "ann")[0]
        hookbox.app.forget()
        hookbox.app.answer("*", reply)
        began, took = time.monotonic(), []
        for member in members:
            member.on_answer = lambda frame_id, code: took.append((time.monotonic() - began, code))
            member.send("SUBSCRIBE", channel_name=f"of {member.name}")
        for number in range(20):
            hookbox.api("publish", channel_name="lobby", payload=number)
            assert lobby.next_publication()["payload"] == number
        crowd.read_until(lambda: len(took) == 40, 20)
    assert {code for _, code in took} == {"app_unavailable"}
    assert len(hookbox.app.asked) == 32
    assert hookbox.app.most_sockets <= 33  # it may notice the end of the one before it is replaced
    late = sorted(seconds for seconds, _ in took)
    assert late[0] > 1.9, "those who wait for their turn wait two seconds for it"
    assert late[8] > 4.6
    assert late[-1] < 8


# F4 to F7


@pytest.fixture(scope="module")
def lasting():
    """A server for all that an application can answer badly."""
    with Watched(**PATIENT) as hookbox:
        yield hookbox


@pytest.fixture
def patient(lasting):
    """The same; after each test its invariants must hold."""
    yield lasting
    lasting.app.forget()
    lasting.assert_invariants()


CANARY = "canary-5f1d"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
GARBAGE = {
    "no-HTTP": b"hello " + CANARY.encode() + b"\r\n\r\n",
    "bad-status-line": b"HTTP/1.1 twohundred " + CANARY.encode() + b"\r\n\r\n",
    "truncated-JSON": OK % (11, b'[true, {"a"'),
    "empty-list": OK % (2, b"[]"),
    "one": OK % (3, b"[1]"),
    "object": OK % (14, b'{"ok": "true"}'),
    "NaN": OK % (17, b'[true, {"a":NaN}]'),
    "depth-1000": OK % (2011, b'[true, {"a":' + b"[" * 999 + b"]" * 999 + b"}]"[:1]),
    "UTF-16": OK % (24, "[true, {}] ".encode("utf-16")),
    "lone-surrogate": OK % (22, b'[true, {"a":"\\ud800"}]'),
    "a-name-that-is-none": OK % (22, b'[true, {"name": [1]}] '),
    "nothing": b"",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_F4_garbage_is_a_denial_and_one_warning_that_does_not_quote_it(patient, answer):
    patient.app.answer("connect", Reply.raw(answer))
    client = patient.client()
    seen = len(patient.log)
    client.send("CONNECT", cookie_string="", payload=json.dumps(CANARY))
    client.expect("ERROR", code="app_unavailable")
    patient.app.forget()
    client.connect("ann")
    warnings = eventually(lambda: [line for line in patient.log[seen:].splitlines() if " WARNING " in line])
    assert len(warnings) == 1, warnings
    assert CANARY not in patient.log


@pytest.mark.parametrize(
    ("status", "opens"), [(500, 1), (502, 1), (503, 1), (429, 1), (401, 0), (403, 0), (404, 0)]
)
def test_F5_error_pages_deny_and_only_overload_opens_the_breaker(watch_over, status, opens):
    hookbox = watch_over(breaker_failures=3, breaker_first_pause=60)
    ann = hookbox.connect("ann")
    hookbox.app.answer("create_channel", Reply([True, {}], status))
    for _ in range(3):
        refused(ann)
    assert counts(hookbox)["webhooks_breaker_open"] == opens
    hookbox.app.forget()
    assert works(hookbox, ann) is not bool(opens)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_F6_a_redirect_is_a_failure_and_its_target_is_not_visited(patient, status):
    second = ScriptedApp()
    ann = patient.connect("ann")
    patient.app.answer("create_channel", Reply.redirect(second.url + "/hookbox/create_channel", status))
    refused(ann)
    assert second.visits == 0
    second.stop()


HUGE = {
    "200-MiB": lambda: Reply.huge(200 * 2**20),
    "endless-chunks": Reply.endless,
    "gzip-bomb": Reply.bomb,  # takes half a second to make: not when tests are collected
}


@pytest.mark.parametrize("make", HUGE.values(), ids=HUGE)
def test_F7_a_huge_answer_is_cut_off(patient, make):
    ann = patient.connect("ann")
    patient.app.answer("create_channel", make())
    for _ in range(5):
        assert refused(ann) < 5


# F8


def test_F8_names_that_hang_hold_up_nobody(watch_over):
    hookbox = watch_over(webhook_timeout=1.0, **PATIENT)
    hookbox.inside("import faulty; faulty.names_hang()")
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    for number in range(20):  # each looked up by a thread of its own, for ever
        polling = {"mode": "simple", "url": f"http://hangs{number}.test/", "interval": 1}
        hookbox.api("create_channel", channel_name=f"polls {number}", polling=polling)
    hookbox.api("set_config", cbhost="hangs.test")
    with Crowd(hookbox.port) as crowd:
        waiting = [crowd.come(f"user{number}") for number in range(10)]
        hookbox.api("set_config", cbhost="localhost")
        bob.subscribe("elsewhere")
        bob.publish("lobby", "said meanwhile")
        assert ann.next_publication()["payload"] == "said meanwhile"
        crowd.read_until(lambda: all(member.answers for member in waiting))
        assert {member.answers[1] for member in waiting} == {"app_unavailable"}
    hookbox.api("set_config", cbhost="nowhere.invalid")
    refused(ann)
    hookbox.api("set_config", cbhost="127.0.0.1")
    for number in range(20):
        hookbox.api("destroy_channel", channel_name=f"polls {number}", send_hook=False)
    hookbox.inside("import faulty; faulty.names_answer()")


# F9


class Restarting:
    """An application that takes its time, and notes how many ask at once and since when they wait."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = 0
        self.taken = []

    def __call__(self, asked):
        began = time.monotonic()
        with self.lock:
            self.now += 1
            self.taken.append((began, self.now, began - json.loads(asked.form["payload"])))
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return [True, {}]


def test_F9_an_application_that_comes_back_is_not_run_over(watch_over):
    hookbox = watch_over(client_rate=1000, client_burst=1000, breaker_longest_pause=2)
    app = hookbox.app
    with Crowd(hookbox.port) as crowd:
        for number in range(CLIENTS):
            crowd.come(f"user{number}").send("SUBSCRIBE", channel_name=f"room {number}")
        crowd.read_until(lambda: all(len(member.answers) == 1 for member in crowd.members), PATIENCE)
        app.down()
        restarting = Restarting()
        app.answer("publish", restarting)
        served, again, chance = set(), [], random.Random(1)

        def ask(member):
            room = member.name.replace("user", "room ")
            member.send("PUBLISH", channel_name=room, payload=json.dumps(time.monotonic()))

        def answered(member, code):
            if code is None:
                served.add(member)
            else:  # later and later, as clients do
                pause = min(0.5 + CLIENTS / 500, 0.25 * 2 ** len(member.answers)) * chance.uniform(0.5, 1)
                heapq.heappush(again, (time.monotonic() + pause, id(member), member))

        for member in crowd.members:
            member.on_answer = lambda frame_id, code, member=member: answered(member, code)
            ask(member)
        began = time.monotonic()
        came_back = None
        while len(served) < CLIENTS:
            assert time.monotonic() - began < PATIENCE, len(served)
            crowd.read(0.02)
            now = time.monotonic()
            if came_back is None and counts(hookbox)["webhooks_breaker_open"] and now - began > 2:
                app.up()
                came_back = now
            while again and again[0][0] <= now:
                ask(heapq.heappop(again)[2])
    assert app.most_sockets <= 32
    first = restarting.taken[0][0]
    assert first > came_back
    for at, at_once, age in restarting.taken:
        assert at_once <= 2 ** int(at - first), "one at first, then twice as many each second"
        assert age < 5.5
