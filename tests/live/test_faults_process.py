"""F29 and F31 to F35: clocks, files, bugs, races and logs go wrong in the server's own process."""

import os
import random
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import eventually
from gathering import Crowd
from raw import CONNECT, Raw, line

from hookbox.testing import DEADLINE, ApiRefused, Reply


def counts(hookbox):
    return hookbox.api("get_server_info")["counts"]


# F29


def test_F29_steps_of_the_wall_clock_end_nothing_and_put_nothing_off(watch_over):
    hookbox = watch_over(ping_interval=0.5, pong_timeout=1, leave_grace=0.5)
    app = hookbox.app
    app.allow("create_channel", history_size=100, history_duration=60, recovery_duration=60)
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    first = hookbox.api("publish", channel_name="lobby", payload="first", idempotency_key="k")
    for number, step in enumerate((-3600, 3600, 86_400, -86_400)):
        decided = threading.Event()
        app.answer("subscribe", Reply([True, {}], wait_for=decided))
        ann.send("SUBSCRIBE", channel_name=f"room {number}")
        app.wait_for("subscribe", channel_name=f"room {number}")
        hookbox.inside(f"import faulty; faulty.step_wall({step})")
        decided.set()
        app.allow("subscribe")
        ann.skip_to("SUBSCRIBE", channel_name=f"room {number}")
        bob.publish("lobby", number)
        ann.skip_to("PUBLISH", payload=number)
        hookbox.api("publish", channel_name="lobby", payload=f"api {number}")
        bob.skip_to("PUBLISH", payload=f"api {number}")
        again = hookbox.api("publish", channel_name="lobby", payload="twice", idempotency_key="k")
        assert again == first, "what was done once is still known"
        late = hookbox.connect(f"late {number}", features=["recover"])
        shown = late.subscribe("lobby", since={"epoch": first["epoch"], "offset": first["offset"] - 1})
        assert shown["recovered"], "nothing has become too old"
        published = [args for kind, args in shown["history"] if kind == "PUBLISH"]
        assert len(published) == len(shown["missed"]) == 1 + 2 * (number + 1)
        late.cut()
        app.wait_for("disconnect", name=f"late {number}")


# F31

FEW_FILES = ("sh", "-c", 'ulimit -n 256; exec "$0" "$@"')


class Flood:
    """Clients who come and come, whatever they are told."""

    def __init__(self, port, width=30):
        self.url = f"http://127.0.0.1:{port}/csp/handshake?ct=text/plain"
        self.told = {}
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(width)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.enough.is_set():
            try:
                with urllib.request.urlopen(self.url, timeout=DEADLINE):
                    told = 200
            except urllib.error.HTTPError as error:
                told = error.code
                assert error.headers["Retry-After"]
                error.close()
            except OSError:
                told = "closed"
            self.told[told] = self.told.get(told, 0) + 1

    def stop(self):
        self.enough.set()
        for thread in self.threads:
            thread.join(DEADLINE)


def test_F31_when_files_run_out_those_who_are_there_are_served(watch_over):
    hookbox = watch_over(within=FEW_FILES, connect_deadline=600)
    app = hookbox.app
    with Crowd(hookbox.port) as crowd:
        with pytest.raises(AssertionError, match="HTTP/1.1 503 .*Retry-After: 1"):
            for number in range(256):
                crowd.come(f"user{number}")
        assert len(crowd.present) > 180
        crowd.read_until(lambda: all(member.connected for member in crowd.present))
        app.answer("publish", lambda asked: time.sleep(0.05) or [True, {}])
        members = crowd.present[:64]
        for member in members:
            member.send("SUBSCRIBE", channel_name="lobby")
        crowd.read_until(lambda: all(len(member.answers) == 1 for member in members))
        began, most_files, lines_before = time.monotonic(), 0, hookbox.log.count("turning clients away")
        flood = Flood(hookbox.port)
        for turn in range(10):
            for member in members:
                member.send("PUBLISH", channel_name="lobby", payload="1")
            crowd.read_until(lambda turn=turn: all(len(member.answers) == turn + 2 for member in members), 60)
            most_files = max(most_files, hookbox.files)
        flood.stop()
        seconds = time.monotonic() - began
        assert {code for member in members for code in member.answers.values()} == {None}
        assert flood.told.keys() <= {503, "closed"}
        assert flood.told[503] > 10
        assert most_files < 256
        lines = hookbox.log.count("turning clients away") - lines_before
        assert 1 <= lines <= seconds + 2
        assert "no more files" not in hookbox.log
    began = time.monotonic()
    eventually(lambda: comes(hookbox))
    assert time.monotonic() - began < 4


def comes(hookbox):
    """Whether a new client is let in."""
    try:
        hookbox.connect("late").close()
    except Exception:
        return False
    return True


def test_F31_more_connections_than_files_are_never_promised(watch_over):
    hookbox = watch_over(within=FEW_FILES, connections=10_000)
    assert "connections = 10000, but 192 is what the limit on open files allows" in hookbox.log


# F32


def test_F32_a_bug_in_a_handler_ends_that_connection_only(watch_over):
    hookbox = watch_over(expecting="a bug in a handler")
    hookbox.inside("import faulty; faulty.fail_in_handler('boom')")
    ann, bob, carl = hookbox.subscribed("lobby", "ann", "bob", "carl")
    ann.send("MESSAGE", name="bob", payload='"boom"')
    ann.skip_to("ERROR", code="internal", msg="Internal error")
    assert ann.wait_closed() == (1011, "internal error")
    carl.send("MESSAGE", name="bob", payload='"fine"')
    bob.skip_to("MESSAGE", payload="fine")


def test_F32_an_error_in_encoding_ends_that_connection_only(watch_over):
    hookbox = watch_over(expecting="UnicodeEncodeError")
    hookbox.inside("import faulty; faulty.fail_in_encoding('boom')")
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    ann.publish("lobby", "boom")
    assert ann.wait_closed() == (1011, "internal error")
    hookbox.api("publish", channel_name="lobby", payload="fine")
    assert bob.next_publication()["payload"] == "fine"


SURROGATE = r'"\ud800"'


def test_F32_a_lone_surrogate_gets_in_nowhere(watch_over):
    hookbox = watch_over()
    app = hookbox.app
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    ann.send("PUBLISH", channel_name="lobby", payload=SURROGATE)
    ann.skip_to("ERROR", code="bad_json")
    ann.send_text(f'[99,"SUBSCRIBE",{{"channel_name":{SURROGATE}}}]\r\n')
    ann.skip_to("ERROR", code="bad_json")
    for action, answer in [
        ("publish", "override_payload"),
        ("subscribe", "history"),
        ("create_channel", "state"),
    ]:
        body = f'[true, {{"{answer}": {SURROGATE}}}]'.encode()
        app.answer(action, Reply(body=body))
        frame = "PUBLISH" if action == "publish" else "SUBSCRIBE"
        ann.send(frame, channel_name="lobby" if action == "publish" else f"for {action}", payload="1")
        ann.skip_to("ERROR", code="app_unavailable")
        app.allow(action)
    with pytest.raises((ApiRefused, urllib.error.HTTPError)):
        hookbox.api("publish", channel_name="lobby", payload="\ud800")
    hookbox.api("publish", channel_name="lobby", payload="fine")
    assert bob.next_publication()["payload"] == "fine"


def test_F32_a_bug_in_the_flusher_ends_that_connection_only(watch_over):
    hookbox = watch_over(expecting="a bug in the flusher")
    with Crowd(hookbox.port) as crowd:
        for name in ("ann", "ann", "bob", "carl"):
            crowd.come(name).send("SUBSCRIBE", channel_name="lobby")
        crowd.read_until(lambda: all("lobby" in member.presence for member in crowd.members))
        hookbox.inside("import faulty; faulty.fail_in_flush('ann')")
        for number in range(20):
            hookbox.api("publish", channel_name="lobby", payload=number)
        others = crowd.members[2:]
        crowd.read_until(lambda: all(len(member.heard) == 20 for member in others))
        assert [member.heard for member in others] == [list(range(20))] * 2
        crowd.read_until(lambda: len(crowd.present) == 2)
        assert crowd.present == others


# F33

LEAVING = ("cut", "unsubscribe", "destroy")


@pytest.mark.parametrize("what", LEAVING)
def test_F33_who_leaves_in_the_middle_of_a_broadcast_disturbs_nobody(watch_over, what):
    hookbox = watch_over()
    hookbox.app.allow("create_channel", presenceful=True)
    with Crowd(hookbox.port) as crowd:
        names = ["first", "ann", "between", "ann", "last"]
        for name in names:
            member = crowd.come(name)
            member.send("SUBSCRIBE", channel_name="lobby")
            crowd.read_until(lambda member=member: "lobby" in member.presence)
        hookbox.api("publish", channel_name="lobby", payload=0)
        crowd.read_until(lambda: all(member.heard for member in crowd.members))
        hookbox.inside(f"import faulty; faulty.while_flushing('ann', {what!r})")
        hookbox.api("publish", channel_name="lobby", payload=1)
        others = [member for member in crowd.members if member.name != "ann"]
        if what == "destroy":
            crowd.read_until(lambda: not any("lobby" in member.presence for member in crowd.members))
            assert [member.heard for member in crowd.members] == [[0, 1]] * 5
            return
        hookbox.api("publish", channel_name="lobby", payload=2)
        crowd.read_until(lambda: all(len(member.heard) == 3 for member in others))
        assert [member.heard for member in others] == [[0, 1, 2]] * 3
        first, second = (member for member in crowd.members if member.name == "ann")
        if what == "cut":
            crowd.read_until(lambda: len(first.heard) == 3)
            crowd.read_until(lambda: not second.open)
            assert first.heard == [0, 1, 2]
            assert second.heard in ([0], [0, 1])
            assert "ann" in others[0].presence["lobby"], "the user is still there"
        else:
            crowd.read_until(lambda: "ann" not in others[0].presence["lobby"])
            assert [first.heard, second.heard] == [[0, 1]] * 2, "it was queued before"


# F34

ROOMS = ("red", "green", "blue")
STEPS = int(os.environ.get("HOOKBOX_TEST_STEPS", "2000"))
"""100000 where there is time for it."""


@pytest.mark.parametrize("seed", range(3))
def test_F34_after_any_number_of_random_steps_all_know_who_is_there(watch_over, seed):
    hookbox = watch_over(client_rate=10_000, client_burst=10_000, leave_grace=0.2)
    hookbox.app.allow("create_channel", presenceful=True)
    chance = random.Random(seed)
    with Crowd(hookbox.port) as crowd:
        for step in range(STEPS):
            random_step(hookbox, crowd, chance, step)
        for member in crowd.present:
            marker = member.send("UNSUBSCRIBE", channel_name="nowhere")
            crowd.read_until(lambda member=member, marker=marker: marker in member.answers or not member.open)
        eventually(lambda: same_presence(hookbox, crowd))
        assert {room for member in crowd.present for room in member.presence} <= set(ROOMS)


def random_step(hookbox, crowd, chance, step):
    present = crowd.present
    kind = chance.random()
    if len(present) < 30 or kind < 0.02:
        crowd.come(f"user{chance.randrange(40)}").send("SUBSCRIBE", channel_name=chance.choice(ROOMS))
    elif kind < 0.04:
        chance.choice(present).leave()
    elif kind < 0.045:
        member = chance.choice(present)
        api_perhaps(hookbox, "disconnect_user", name=member.name)
    elif kind < 0.05:
        name = f"user{chance.randrange(40)}"
        api_perhaps(hookbox, "unsubscribe", user=name, channel_name=chance.choice(ROOMS))
    elif kind < 0.053:
        api_perhaps(hookbox, "destroy_channel", channel_name=chance.choice(ROOMS))
    elif kind < 0.3:
        chance.choice(present).send("PUBLISH", channel_name=chance.choice(ROOMS), payload=str(step))
    else:
        frame = chance.choice(("SUBSCRIBE", "UNSUBSCRIBE"))
        chance.choice(present).send(frame, channel_name=chance.choice(ROOMS))
    crowd.read()


def api_perhaps(hookbox, method, **params):
    """An API call about somebody or something that need not be there."""
    try:
        hookbox.api(method, **params)
    except ApiRefused:
        pass


def same_presence(hookbox, crowd):
    """Whether everybody who listens knows just those who are there, and so does the server."""
    crowd.read()
    for room in ROOMS:
        try:
            there = sorted(hookbox.api("get_channel_info", channel_name=room)["subscribers"])
        except ApiRefused:
            there = []
        listening = [member for member in crowd.present if room in member.presence]
        if there != sorted({member.name for member in listening}):
            return False
        if any(sorted(member.presence[room]) != there for member in listening):
            return False
    return True


# F35


def serves(hookbox, *clients):
    """That clients get what is published, and what they publish."""
    for client in clients:
        client.publish("lobby", "mine")
    hookbox.api("publish", channel_name="lobby", payload="served")
    for client in clients:
        client.skip_to("PUBLISH", payload="served")


def test_F35_a_pipe_that_nobody_reads_stops_the_log_only(watch_over):
    hookbox = watch_over()
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    hookbox.inside("import faulty; faulty.standard_error.get_stuck()")
    hookbox.inside("import faulty; faulty.log_lines('hookbox.faulty', 20_000)")
    serves(hookbox, ann, bob)
    dropped = counts(hookbox)["log_lines_dropped"]
    assert 10_000 < dropped < 20_000
    hookbox.inside("import faulty; faulty.standard_error.come_loose()")
    hookbox.wait_for_log(r"\d+ log lines were dropped")
    serves(hookbox, ann, bob)
    assert counts(hookbox)["log_lines_dropped"] >= dropped


def test_F35_a_fifo_that_nobody_reads_stops_that_log_only(watch_over, tmp_path):
    fifo = tmp_path / "access"
    os.mkfifo(fifo)
    hookbox = watch_over(log_file_access=fifo)
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    hookbox.inside("import faulty; faulty.log_lines('hookbox.access', 10_000)")
    serves(hookbox, ann, bob)
    assert counts(hookbox)["log_lines_dropped"] > 1000
    with open(fifo) as reading:
        for text in reading:
            if "log lines were dropped" in text:
                break
        serves(hookbox, ann, bob)
        assert any("/web/" in text for text in reading)


def test_F35_a_full_disk_stops_that_log_only(watch_over):
    hookbox = watch_over(log_file_access="/dev/full", log_file_errors="/dev/full")
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    serves(hookbox, ann, bob)
    eventually(lambda: counts(hookbox)["log_lines_dropped"] > 0)
    serves(hookbox, ann, bob)


# what goes with them


def test_F13_a_client_that_takes_no_byte_is_dropped_and_counted(watch_over):
    hookbox = watch_over(write_stall=0.5, outbox_bytes=10**8)
    with Raw(hookbox.port, CONNECT + line(2, "SUBSCRIBE", channel_name="lobby"), receive_buffer=4096):
        eventually(lambda: hookbox.api("get_server_info")["channels"] == 2)
        while not counts(hookbox)["stalled_bytes"]:
            hookbox.api("publish", channel_name="lobby", payload="x" * 60_000)
        eventually(lambda: counts(hookbox)["stalled_connections"] == 1)
        assert counts(hookbox)["stalled_bytes"] == 0


def test_F11_a_client_that_vanishes_while_the_application_decides_is_missed_at_once(watch_over):
    hookbox = watch_over()
    decided = threading.Event()
    ann, bob = hookbox.subscribed("lobby", "ann", "bob")
    hookbox.app.answer("subscribe", Reply([True, {}], wait_for=decided))
    ann.send("SUBSCRIBE", channel_name="elsewhere")
    hookbox.app.wait_for("subscribe", channel_name="elsewhere")
    ann.cut()
    hookbox.app.wait_for("disconnect", name="ann")
    eventually(lambda: counts(hookbox)["webhooks_out"] == 1, what="only that decision is out still")
    assert hookbox.api("get_server_info")["users"] == 2, "bob and the control client"
    decided.set()
    bob.publish("lobby", "goes on")
    bob.skip_to("PUBLISH", payload="goes on")
