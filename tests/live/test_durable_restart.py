"""Channels that are durable: what is acknowledged outlives the process, its numbers and its subscribers' places."""

import pytest

from hookbox.testing import HookboxProcess

pytestmark = pytest.mark.usefixtures("cold")


@pytest.fixture
def begin(tmp_path):
    """Starts a server on the same store each time."""
    started = []

    def start(**flags):
        server = HookboxProcess(store=tmp_path / "hookbox.db", **flags)
        server.app.allow("create_channel", durable=True)
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__()


def kill(server):
    server.process.kill()
    server.process.wait()


def test_a_browser_recovers_what_it_missed_on_a_durable_channel_across_a_kill(begin):
    first = begin()
    ann = first.connect("ann", features=["recover"])
    epoch = ann.subscribe("news")["epoch"]
    first.api("publish", channel_name="news", payload="seen")
    ann.next_publication()
    ann.close()
    first.api("publish", channel_name="news", payload="missed")
    kill(first)
    client = begin().connect("ann", features=["recover"])
    client.send("SUBSCRIBE", channel_name="news", since={"epoch": epoch, "offset": 1})
    own = client.expect("SUBSCRIBE", recovered=True, epoch=epoch, offset=2)
    assert [publication["payload"] for publication in own["missed"]] == ["missed"]


def test_numbers_of_a_channel_that_was_not_always_durable_begin_anew_after_a_kill(begin):
    first = begin()
    ann = first.connect("ann", features=["recover"])
    ann.subscribe("news")
    first.api("publish", channel_name="news", payload=1)
    first.api("set_channel_options", channel_name="news", durable=False)
    first.api("publish", channel_name="news", payload=2)
    now = first.api("publish", channel_name="news", payload=3)
    kill(first)
    client = begin().connect("ann", features=["recover"])
    client.send("SUBSCRIBE", channel_name="news", since={"epoch": now["epoch"], "offset": now["offset"] - 1})
    client.expect("SUBSCRIBE", recovered=False)


def test_D8_a_repeat_after_a_kill_returns_the_first_offset_and_publishes_nothing(begin):
    first = begin()
    ann = first.connect("ann")
    ann.subscribe("news")
    said = first.api("publish", channel_name="news", payload=1, idempotency_key="once")
    kill(first)
    second = begin()
    client = second.connect("ann")
    client.subscribe("news")
    assert second.api("publish", channel_name="news", payload=1, idempotency_key="once") == said
    after = second.api("publish", channel_name="news", payload="marker")
    assert after["offset"] == said["offset"] + 1
    assert client.next_publication()["payload"] == "marker"
