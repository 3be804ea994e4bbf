"""F29: an operator or a time server steps the wall clock. Nothing ends early, nothing is put off."""

import socket
import time
from dataclasses import replace

import gevent
import pytest
from parts import House, errors

from hookbox.clock import ManualClock
from hookbox.commands.receipts import Receipts
from hookbox.errors import NotAsked
from hookbox.protocol.csp_variables import Variables
from hookbox.protocol.disconnects import NEVER_CONNECTED, SESSION_EXPIRED
from hookbox.protocol.websocket import Codecs
from hookbox.settings import Settings
from hookbox.transports.comet import CometSessions
from hookbox.transports.outbox import Flusher
from hookbox.transports.websocket import PING_EARLY, WebSocket
from hookbox.web.admission import Admission, Refused
from hookbox.webhooks.breaker import BreakerRules, Mode
from hookbox.webhooks.shield import Outcome, Shield, ShieldRules

pytestmark = pytest.mark.parametrize(
    "step", [-3600, 3600, 86_400, -86_400], ids=["an hour back", "an hour on", "a day on", "a day back"]
)


def due(clock, step, seconds, happened):
    """`happened` becomes true after some seconds of the steady clock, whatever the wall clock does."""
    assert not happened()
    clock.advance(seconds / 2)
    clock.step_wall(step)
    assert not happened(), "the step alone made it happen"
    clock.advance(seconds / 2 - 0.01)
    assert not happened(), "too early"
    clock.advance(0.02)
    assert happened(), "put off"


def test_F29_a_user_that_has_gone_is_missed_after_the_grace(step):
    house = House(leave_grace=5)
    house.channel("lobby", presenceful=True)
    ann, bob = house.subscribed("lobby", "ann", "bob")
    ann.leave()

    def missed():
        house.later.run_due()
        house.settle()
        return "ann" not in house.hub.users

    due(house.clock, step, 5, missed)
    assert bob.take()[-1].name == "UNSUBSCRIBE"


def test_F29_what_is_kept_keeps_its_age(step):
    house = House()
    house.channel("lobby", history_size=10, history_duration=60, recovery_duration=60)
    ann = house.subscribed("lobby", "ann")
    start = house.site.broker.position("lobby")
    ann.publish("lobby", 1)
    channel = house.hub.channels["lobby"]

    def forgotten():
        now = house.clock.monotonic()
        channel.forget_old(now)
        lost = house.site.broker.since("lobby", start, channel.keep, now) is None
        assert lost == (len(channel.history) == 0)
        return lost

    due(house.clock, step, 60, forgotten)


def test_F29_a_rate_is_forgiven_by_the_time_that_has_passed(step):
    house = House(client_rate=0.1, client_burst=1)
    ann = house.client()

    def allowed():
        ann.send("PING")
        return errors(ann.take()) == ["not_connected"]

    assert allowed()
    due(house.clock, step, 10, allowed)


def test_F29_a_receipt_is_kept_as_long_as_it_should_be(step):
    clock = ManualClock()
    receipts, made = Receipts(clock), []
    receipts.once("key", 300, lambda: made.append(1))

    def forgotten():
        receipts.once("key", 300, lambda: made.append(2))
        return len(made) == 2

    due(clock, step, 300, forgotten)


def test_F29_the_breaker_lets_a_probe_out_when_its_pause_is_over(step):
    clock = ManualClock()
    breaker = BreakerRules(failures=1, first_pause=8)
    guard = Shield("http://app:80", ShieldRules(breaker=breaker), clock)
    place = guard.enter(clock.monotonic() + 5)
    place.outcome = Outcome.BAD
    guard.leave(place)

    def probes():
        try:
            guard.enter(clock.monotonic() + 5)
        except NotAsked:
            return False
        return guard.mode is Mode.PROBING

    due(clock, step, guard._breaker.pause_left(clock.monotonic()), probes)


def test_F29_an_address_may_come_again_at_its_rate(step):
    clock = ManualClock()
    admission = Admission(1000, 0, 0.1, clock.monotonic)
    admission.enter("192.0.2.1")

    def admitted():
        try:
            admission.enter("192.0.2.1")
        except Refused:
            return False
        return True

    due(clock, step, 10, admitted)


class Road:
    """What a connection without a user does."""

    connected = False

    def farewell(self, why):
        self.why = why

    def gone(self):
        pass


class Door:
    """What a transport needs around it."""

    settings = Settings(connect_deadline=60, ping_interval=25, pong_timeout=10)

    def __init__(self):
        self.clock = ManualClock()
        self.flusher = Flusher(
            lambda job: None, lambda seconds, job: None, self.clock.monotonic, self.settings.outbox_total
        )

    def welcome(self, session, cookies, client_ip):
        session.road = Road()

    def forget(self, session):
        pass


@pytest.fixture
def websocket():
    door = Door()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    websocket = WebSocket(ours, door.flusher, Codecs(1000, 10), door, door.clock)
    websocket.road = Road()
    yield door, websocket
    websocket.outbox.discard()
    ours.close()
    theirs.close()


def test_F29_a_websocket_has_as_long_to_connect_as_it_should(websocket, step):
    door, websocket = websocket
    door.settings = replace(door.settings, ping_interval=1000)

    def ended():
        websocket.check(door.clock.monotonic())
        return websocket.closing is NEVER_CONNECTED

    due(door.clock, step, 60, ended)


def test_F29_a_silent_websocket_is_pinged_and_given_up_when_it_should_be(websocket, step):
    door, websocket = websocket
    websocket.road.connected = True

    def pinged():
        websocket.check(door.clock.monotonic())
        return bool(websocket.outbox.queue)

    def given_up():
        websocket.check(door.clock.monotonic())
        return websocket.closing is not None

    due(door.clock, step, PING_EARLY * 25, pinged)
    due(door.clock, step, 10, given_up)


def test_F29_a_comet_session_expires_when_it_should(step):
    door = Door()
    door.settings = replace(door.settings, connect_deadline=1000)
    session = CometSessions(door, door.flusher, door.clock, gevent.spawn).open(Variables(), "", "")

    def expired():
        session.check(door.clock.monotonic())
        return session.closing is SESSION_EXPIRED

    due(door.clock, step, session.variables.idle_limit, expired)


def test_F29_summer_time_begins_and_ends_without_a_gap_in_what_is_dated(step, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        house = House(datetime_utc=True)
        local = House()
        for instant in (1_774_745_999, 1_774_746_000, 1_792_889_999, 1_792_890_000):  # 2026-03-29, 2026-10-25
            for each in (house, local):
                each.clock.step_wall(instant - each.clock.now())
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(instant))
            assert local.site.timestamp() == shown
            assert house.site.timestamp() != shown
            house.clock.step_wall(step)
            assert house.site.timestamp() == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(instant + step))
    finally:
        monkeypatch.undo()
        time.tzset()
