"""Durable channels: on disk first, then acknowledged and shown, in one order with what is dispatched."""

import json
import sqlite3
import threading
from contextlib import contextmanager

import pytest
from conftest import assert_clean, eventually
from dispatching import api, batch, form, rows

from hookbox.testing import DEADLINE, ApiRefused, HookboxProcess, Receiver

pytestmark = pytest.mark.usefixtures("cold")

FEATURES = ["ack", "ping", "recover"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hookbox.db"


@pytest.fixture
def house(path):
    with HookboxProcess(egress="internal", store=path, leave_grace=0) as process:
        process.app.allow("create_channel", durable=True, reflective=True)
        yield process
        if process.process.poll() is None:
            assert_clean(process)


@contextmanager
def held(path):
    """Nobody can write to the store meanwhile; the server tries it for two seconds at a time."""
    db = sqlite3.connect(path, timeout=DEADLINE, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


def subscribed(house, *names):
    clients = [house.connect(name, features=FEATURES) for name in names]
    for client in clients:
        client.subscribe("orders")
        client.expect("ACK", id=client.sent)
    return clients


def kept(path):
    return [
        (offset, json.loads(payload), source)
        for offset, payload, source in rows(
            path, "SELECT offset, payload, source FROM messages WHERE topic = 'orders' ORDER BY seq"
        )
    ]


def test_WD_P10_a_browser_hears_of_its_publish_only_when_it_is_on_disk(house, path):
    ann, bob = subscribed(house, "ann", "bob")
    with held(path):
        number = ann.publish("orders", 1)
        bob.send("PING")
        bob.expect("PONG")  # and nothing before it
    ack = ann.skip_to("ACK", id=number)
    assert ack["offset"] == 1
    assert bob.next_publication()["payload"] == 1
    assert kept(path) == [(1, 1, "browser")]


def test_WD_P10_while_the_store_refuses_it_is_an_error_and_nobody_has_seen_it(house, path):
    ann, bob = subscribed(house, "ann", "bob")
    with held(path):
        number = ann.publish("orders", "lost")
        error = ann.skip_to("ERROR", id=number)
        assert error["code"] == "unavailable"
        with pytest.raises(Exception, match="503"):
            house.api("publish", channel_name="orders", payload="lost too")
        assert batch(house, topic="orders", json="lost as well").status == 503
    house.api("publish", channel_name="orders", payload="marker")
    for client in (ann, bob):
        shown = client.next_publication()
        assert (shown["payload"], shown["offset"]) == ("marker", 1)
    assert kept(path) == [(1, "marker", "rest")]


def test_WD_P10_whatever_was_acknowledged_is_there_after_a_kill(house, path):
    (ann,) = subscribed(house, "ann")
    acknowledged, stop = [], threading.Event()

    def publish():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                house.api("publish", channel_name="orders", payload=n)
            except (OSError, RuntimeError, ApiRefused):
                return
            acknowledged.append(n)

    thread = threading.Thread(target=publish)
    thread.start()
    frames = [ann.publish("orders", f"b{n}") for n in range(50)]
    for number in frames[:20]:
        ann.skip_to("ACK", id=number)
    eventually(lambda: len(acknowledged) > 20)
    house.kill()
    stop.set()
    thread.join(DEADLINE)
    there = [payload for _, payload, _ in kept(path)]
    assert set(acknowledged) <= set(there)
    assert {f"b{n}" for n in range(20)} <= set(there)
    with HookboxProcess(egress="internal", store=path, leave_grace=0) as again:
        again.app.allow("create_channel", durable=True)
        (cid,) = subscribed(again, "cid")
        assert again.api("publish", channel_name="orders", payload="next")["offset"] == len(there) + 1
        assert cid.next_publication()["offset"] == len(there) + 1


def test_every_road_leads_into_one_order(house, path):
    ann, bob = subscribed(house, "ann", "bob")
    with Receiver() as receiver:
        api(house, "POST", "/endpoints", url=receiver.hook, topics=["orders"], ordered=True)
        each = 30

        def by_browser():
            for n in range(each):
                ann.publish("orders", ["browser", n])

        def by_rest():
            for n in range(each):
                house.api("publish", channel_name="orders", payload=["rest", n])

        def by_dispatch():
            for n in range(each):
                assert batch(house, topic="orders", json=["dispatch", n]).status == 202

        threads = [threading.Thread(target=work) for work in (by_browser, by_rest, by_dispatch)]
        for thread in threads:
            thread.start()
        shown = [bob.next_publication() for _ in range(3 * each)]
        for thread in threads:
            thread.join(DEADLINE)
        assert [frame["offset"] for frame in shown] == list(range(1, 3 * each + 1))
        payloads = [frame["payload"] for frame in shown]
        assert [payload for _, payload, _ in kept(path)] == payloads
        assert [received.json for received in receiver.wait_for(3 * each)] == payloads
        for source in ("browser", "rest", "dispatch"):
            assert [n for name, n in payloads if name == source] == list(range(each))


def test_what_need_not_be_on_disk_waits_behind_what_has_to_be(house, path):
    house.app.allow("create_channel")
    ann, bob = subscribed(house, "ann", "bob")
    with held(path):
        dispatched = threading.Thread(target=batch, args=(house,), kwargs={"topic": "orders", "json": 1})
        dispatched.start()
        eventually(lambda: house.api("get_server_info")["counts"]["publications"])
        number = ann.publish("orders", 2)
        bob.send("PING")
        bob.expect("PONG")
    dispatched.join(DEADLINE)
    assert ann.skip_to("PUBLISH")["payload"] == 1
    assert ann.skip_to("PUBLISH")["payload"] == 2
    assert ann.expect("ACK", id=number)["offset"] == 2  # after its effects
    assert [bob.next_publication()["payload"] for _ in range(2)] == [1, 2]
    assert [source for _, _, source in kept(path)] == ["dispatch"]


def test_a_publish_that_an_endpoint_wants_is_on_disk_though_its_channel_is_not_durable(house, path):
    house.app.allow("create_channel")
    ann, bob = subscribed(house, "ann", "bob")
    with Receiver() as receiver:
        name = api(house, "POST", "/endpoints", url=receiver.hook, topics=["orders"]).json["id"]
        ann.publish("orders", 1)
        assert receiver.wait_for(1)[0].json == 1
        api(house, "DELETE", f"/endpoints/{name}")
        ann.publish("orders", 2)
        assert [bob.next_publication()["payload"] for _ in range(2)] == [1, 2]
    assert kept(path) == [(1, 1, "browser")]


def test_X04_what_a_form_says_is_recovered_as_it_was_shown(house, path):
    ann, bob = subscribed(house, "ann", "bob")
    epoch = house.api("get_channel_info", channel_name="orders")["epoch"]
    ann.cut()
    form(house, ("a", "1"), ("a", "2"), topic="orders")
    shown = bob.next_publication()
    again = house.connect("ann", features=FEATURES)
    (missed,) = again.subscribe("orders", since={"epoch": epoch, "offset": 0})["missed"]
    assert missed["payload"] == shown["payload"] == {"a": ["1", "2"]}
