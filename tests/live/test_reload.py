"""SIGHUP: what can be used at once is, by connections that are there already too."""

import signal

import pytest
from conftest import eventually
from raw import CONNECT, Raw, client_frame, line, text

from hookbox.testing import ApiRefused


@pytest.fixture
def reload(start, tmp_path):
    """Starts a server with a file of settings, and gives it another one."""
    file = tmp_path / "hookbox.toml"
    file.write_text("")
    hookbox = start(config=file)

    def change(**settings):
        seen = hookbox.log.count("settings read again")
        file.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        hookbox.process.send_signal(signal.SIGHUP)
        eventually(lambda: hookbox.log.count("settings read again") > seen)

    hookbox.change = change
    return hookbox


@pytest.fixture
def raw(reload):
    """A connection that was there before the settings changed."""
    with Raw(reload.port, CONNECT) as raw:
        assert raw.next_line()[1] == "CONNECTED"
        raw.send(client_frame(9, b"?"))
        assert raw.next() == (10, b"?"), "it has used its allowances"
        yield raw


def test_a_live_connection_is_pinged_at_the_new_interval(reload, raw):
    reload.change(ping_interval=0.3)
    assert raw.next() == (9, b"")


def test_a_live_connection_keeps_to_the_new_longest_message(reload, raw):
    reload.change(max_message=100)
    raw.send(text("x" * 101))
    assert raw.close_code() == 1009


def test_a_live_connection_keeps_to_the_new_longest_line(reload, raw):
    raw.send(text('[2,"PING",'))
    reload.change(max_message=20)
    raw.send(text("           "))
    assert raw.ending()[1:] == (4500, "bad application frame")


def test_a_live_connection_keeps_to_the_new_rates(reload, raw):
    reload.change(client_rate=0.001, client_burst=1, ping_rate=0.001, ping_burst=1)
    raw.send(*[line(2, "UNSUBSCRIBE", channel_name="nowhere")] * 2)
    assert raw.next_line()[2]["code"] == "rate"
    raw.send(*[client_frame(9)] * 2)
    assert raw.close_code() == 1008


def test_a_live_connection_keeps_to_the_new_outbox(reload, raw):
    raw.send(line(2, "SUBSCRIBE", channel_name="lobby"))
    assert raw.next_line()[1] == "SUBSCRIBE"
    reload.change(outbox_messages=5)
    while not reload.api("get_server_info")["counts"]["slow_consumers"]:
        reload.api("publish", channel_name="lobby", payload="x" * 60_000)
    assert reload.api("get_server_info")["counts"]["stalled_bytes"] < 1024 * 1024


def test_channels_keep_to_the_new_limits_of_history(reload):
    reload.api("create_channel", channel_name="lobby", history_size=10)
    for number in range(10):
        reload.api("publish", channel_name="lobby", payload=number)
    reload.change(history_messages=3)
    with pytest.raises(ApiRefused, match="from 0 to 3"):
        reload.api("set_channel_options", channel_name="lobby", history_size=4)
    with pytest.raises(ApiRefused, match="from 0 to 3"):
        reload.api("create_channel", channel_name="other", recovery_size=4)
    reload.api("publish", channel_name="lobby", payload=10)
    kept = reload.api("get_channel_info", channel_name="lobby")["history"]
    assert [args["payload"] for _, args in kept] == [8, 9, 10]


def test_the_new_number_of_connections_holds(reload, raw):
    reload.change(connections=1)
    with pytest.raises(AssertionError, match="503"):
        Raw(reload.port)
    reload.change(connections=100)
    Raw(reload.port).socket.close()
