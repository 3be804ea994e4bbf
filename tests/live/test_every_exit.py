"""Whatever road a message comes by, it reaches every exit: browsers, streams, subscribers and endpoints."""

import json
import threading
from contextlib import ExitStack, suppress
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from conftest import assert_clean
from dispatching import FORM, JSON, api, batch, form, request
from streaming import Stream

from hookbox.testing import DEADLINE, HookboxProcess, Receiver, Reply

TOPIC = "orders"
SEPARATE = "text/event-stream"


@pytest.fixture
def house(tmp_path):
    with HookboxProcess(egress="internal", store=tmp_path / "hookbox.db", leave_grace=0) as process:
        yield process
        assert_clean(process)


def echo(received):
    """What a subscriber answers: it wants what it is asked about."""
    if received.method == "GET":
        query = parse_qs(urlsplit(received.target).query)
        return Reply(body=query["hub.challenge"][0].encode())
    return 200


class Exits:
    """One of each: a browser, two streams, a WebSub callback and a registered endpoint."""

    def __init__(self, house, stack):
        self.house = house
        self.subscriber = stack.enter_context(Receiver(echo))
        self.endpoint = stack.enter_context(Receiver())
        (self.ann,) = house.subscribed(TOPIC, "ann")
        self.lines = stack.enter_context(Stream(house.port, topic=TOPIC))
        self.events = stack.enter_context(Stream(house.port, topic=TOPIC, headers=f"Accept: {SEPARATE}\r\n"))
        api(house, "POST", "/endpoints", url=self.endpoint.hook, topics=[TOPIC], ordered=True)
        wanted = {"hub.mode": "subscribe", "hub.topic": TOPIC, "hub.callback": self.subscriber.hook}
        answer = request(house, urlencode(wanted).encode(), {"Content-Type": FORM}, path="/hub", token=None)
        assert answer.status == 202, answer
        self.subscriber.wait_for(1)
        self._await_subscription()

    def _await_subscription(self):
        """Publish until the subscriber gets something; the others get it too, and forget it."""
        made = 0
        while len(self.subscriber.requests(hookbox_topic=TOPIC)) == 0:
            made += 1
            assert made < 1000, "the subscription did not become active"
            self.house.api("publish", channel_name=TOPIC, payload="begin")
            with suppress(TimeoutError):
                self.subscriber.wait_for(1, 0.2, hookbox_topic=TOPIC)
        self.endpoint.wait_for(made)
        for _ in range(made):
            self.ann.next_publication()
            self.lines.unit()
            self._event()
        self.endpoint.got.clear()
        self.subscriber.got.clear()

    def _event(self):
        while True:
            event = self.events.event()
            if event.get("event") == "message":
                return json.loads(event["data"])

    def take(self, count):
        """What came at each exit, in order: payloads, and ids where they are shown."""
        browser = [self.ann.next_publication() for _ in range(count)]
        lines = self.lines.units(count)
        events = [self._event() for _ in range(count)]
        callbacks = {}
        for name, receiver in (("subscriber", self.subscriber), ("endpoint", self.endpoint)):
            got = receiver.wait_for(count)
            assert len(got) == count
            callbacks[name] = got
        return browser, lines, events, callbacks["subscriber"], callbacks["endpoint"]


@pytest.fixture
def exits(house):
    with ExitStack() as stack:
        yield Exits(house, stack)


def agree(browser, lines, events, subscriber, endpoint):
    """Everything came everywhere, once, under one id and in one order."""
    offsets = [frame["offset"] for frame in browser]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    payloads = [frame["payload"] for frame in browser]
    ids = [unit["message_id"] for unit in lines]
    assert len(set(ids)) == len(ids)
    for units in (lines, events):
        assert [unit["payload"] for unit in units] == payloads
        assert [unit["offset"] for unit in units] == offsets
        assert [unit["message_id"] for unit in units] == ids
    assert [received.headers["webhook-id"] for received in endpoint] == ids
    by_id = {received.headers["webhook-id"]: received for received in subscriber}
    assert sorted(by_id) == sorted(ids)  # subscribers get them four at a time, their order is best effort
    assert [by_id[name].body for name in ids] == [received.body for received in endpoint]
    return payloads


def by_browser(house, exits, n):
    exits.ann.publish(TOPIC, ["browser", n])


def by_rest(house, exits, n):
    house.api("publish", channel_name=TOPIC, payload=["rest", n])


def by_dispatch(house, exits, n):
    assert batch(house, topic=TOPIC, json=["dispatch", n]).status == 202


def by_form(house, exits, n):
    assert form(house, ("n", n), topic=TOPIC).status == 202


def by_ping(house, exits, n):
    path = f"/hub?hub.mode=publish&hub.topic={TOPIC}"
    answer = request(house, json.dumps(["ping", n]).encode(), {"Content-Type": JSON}, path=path)
    assert answer.status == 204, answer


ROADS = [by_browser, by_rest, by_dispatch, by_form, by_ping]


@pytest.mark.parametrize("road", ROADS)
def test_WD_X01_each_road_leads_to_every_exit(house, exits, road):
    for n in range(3):
        road(house, exits, n)
    payloads = agree(*exits.take(3))
    assert [int(p["n"] if isinstance(p, dict) else p[1]) for p in payloads] == [0, 1, 2]


def test_WD_X01_a_hundred_from_all_roads_at_once_have_one_order(house, exits):
    def travel(road):
        for n in range(20):
            road(house, exits, n)

    threads = [threading.Thread(target=travel, args=(road,)) for road in ROADS]
    for thread in threads:
        thread.start()
    taken = exits.take(100)
    for thread in threads:
        thread.join(DEADLINE)
    payloads = agree(*taken)
    for name in ("browser", "rest", "dispatch", "ping"):
        assert [p[1] for p in payloads if isinstance(p, list) and p[0] == name] == list(range(20))


def test_WD_X02_what_the_application_puts_in_instead_reaches_all(house, exits):
    info = house.api("set_channel_options", channel_name=TOPIC, moderated_publish=True)
    assert info is not None
    house.app.allow("publish", override_payload={"other": 1})
    exits.ann.publish(TOPIC, "mine")
    house.api("publish", channel_name=TOPIC, payload="x", send_hook=1)
    form(house, ("a", "1"), topic=TOPIC, moderate=1)
    taken = exits.take(3)
    assert agree(*taken) == [{"other": 1}] * 3
    assert {received.headers["content-type"] for received in taken[-1]} == {JSON}


def test_WD_X03_X05_what_is_for_its_sender_only_or_refused_reaches_nobody_else(house, exits):
    house.api("set_channel_options", channel_name=TOPIC, moderated_publish=True)
    house.app.allow("publish", only_to_sender=True)
    exits.ann.publish(TOPIC, "to me")
    assert exits.ann.next_publication()["payload"] == "to me"
    house.app.refuse("publish", "no")
    exits.ann.publish(TOPIC, "refused")
    exits.ann.skip_to("ERROR")
    assert form(house, ("a", "1"), topic=TOPIC, moderate=1).status == 403
    by_dispatch(house, exits, "marker")
    assert agree(*exits.take(1)) == [["dispatch", "marker"]]


def test_WD_X04_a_form_is_an_object_for_browsers_and_streams_and_a_form_for_callbacks(house, exits):
    form(house, ("a", "1"), ("b", "2"), ("b", "é"), topic=TOPIC)
    taken = exits.take(1)
    assert agree(*taken) == [{"a": "1", "b": ["2", "é"]}]
    for (received,) in taken[-2:]:
        assert (received.headers["content-type"], received.body) == (FORM, b"a=1&b=2&b=%C3%A9")


def test_WD_X06_a_topic_goes_on_without_its_channel(house, exits):
    by_dispatch(house, exits, 0)
    first = exits.take(1)
    epoch = first[1][0]["epoch"]
    house.api("destroy_channel", channel_name=TOPIC)
    for n in (1, 2):
        by_dispatch(house, exits, n)
    units = exits.lines.units(2)
    assert [unit["payload"] for unit in units] == [["dispatch", 1], ["dispatch", 2]]
    assert [unit["offset"] for unit in units] == [first[1][0]["offset"] + n for n in (1, 2)]
    assert {unit["epoch"] for unit in units} == {epoch}
    assert [received.json for received in exits.endpoint.wait_for(3)[1:]] == [
        ["dispatch", 1],
        ["dispatch", 2],
    ]
    exits.subscriber.wait_for(3)
    again = house.connect("ann", features=["recover"])
    shown = again.subscribe(TOPIC, since={"epoch": epoch, "offset": first[1][0]["offset"]})
    assert shown["recovered"] is True
    assert [missed["payload"] for missed in shown["missed"]] == [["dispatch", 1], ["dispatch", 2]]
