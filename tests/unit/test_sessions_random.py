"""Browsers, tabs, renewals, cuts, logouts, in any order: nobody is forgotten, nothing is left in the end."""

import random

import gevent
import pytest
from parts import House

from hookbox.commands import administer
from hookbox.commands.recheck import Recheck
from hookbox.commands.stream import leave, let_in
from hookbox.core.pickups import LIFE_SECONDS
from hookbox.core.sessions import digest_of
from hookbox.errors import HookboxError, UnusableAnswer
from hookbox.webhooks.gate import Allow, Refuse

FEATURES = ["ack", "recover", "close", "resume", "cookies"]
CHANNELS = ("a", "b")
UNKNOWN = UnusableAnswer("Invalid callback response, status=401", "status 401", 401)
GRACE = 5
INTERVAL = 30


class Browser:
    """One cookie jar, shared by its tabs."""

    def __init__(self, user, value):
        self.user = user
        self.value = value
        self.tabs = []

    @property
    def header(self):
        return f"sessionid={self.value}" if self.value else ""


class Application:
    """Knows sessions; renews some in its answers, after a while."""

    def __init__(self, chance):
        self.chance = chance
        self.users = {}
        self.made = 0

    def log_in(self, user):
        self.made += 1
        value = f"s{self.made}"
        self.users[value] = user
        return value

    def answer(self, question):
        value = question.cookies.removeprefix("sessionid=")
        user = self.users.get(value)
        for _ in range(self.chance.choice([0, 0, 1, 3, 8])):
            gevent.sleep(0)
        if user is None:
            return UNKNOWN if self.chance.random() < 0.7 else Refuse("who are you?")
        options = {"name": user} if question.action == "connect" else {}
        if self.chance.random() < 0.1 and value in self.users:
            del self.users[value]
            return Allow(options, (f"sessionid={self.log_in(user)}; HttpOnly; Path=/",))
        return Allow(options)


class Storm:
    """Browsers that do something random.

    Args:
        seed: of chance.
    """

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.house = House(
            client_rate=10**9, client_burst=10**9, leave_grace=GRACE, recheck_interval=INTERVAL,
            connections_per_user=0,
        )  # fmt: skip
        self.app = Application(self.chance)
        for action in ("connect", "create_channel", "subscribe", "unsubscribe", "publish"):
            self.house.gate.answer(action, self.app.answer)
        self.browsers = []
        self.guests = []
        self.running = []
        self.recheck = Recheck(self.house.site, self.chance.random)

    def act(self, function, *args, **kwargs):
        def safely():
            try:
                return function(*args, **kwargs)
            except HookboxError:
                return None

        self.running = [greenlet for greenlet in self.running if not greenlet.dead]
        self.running.append(gevent.spawn(safely))
        return self.running[-1]

    def step(self):
        kind = self.chance.random()
        if kind < 0.05 or len(self.browsers) < 3:
            user = self.chance.choice(["ann", "bob"])
            self.browsers.append(Browser(user, self.app.log_in(user)))
            return
        browser = self.chance.choice(self.browsers)
        tab = self.chance.choice(browser.tabs) if browser.tabs else None
        if tab is not None and not tab.connection.open:
            self.come_back(browser, tab)
        elif kind < 0.2 or tab is None:
            self.come(browser)
        elif kind < 0.3:
            tab.leave()
        elif kind < 0.35:
            self.log_out(browser)
        elif kind < 0.4:
            self.act(self.listen, browser)
        elif kind < 0.45:
            self.house.clock.advance(self.chance.uniform(0, 3))
            self.house.later.run_due()
            self.recheck.check(self.house.clock.monotonic())
        elif tab.busy is None or tab.busy.dead:
            name = self.chance.choice(["SUBSCRIBE", "PUBLISH", "PUBLISH", "UNSUBSCRIBE"])
            tab.busy = self.act(tab.send, name, channel_name=self.chance.choice(CHANNELS))
        for _ in range(self.chance.randrange(4)):
            gevent.sleep(0)

    def come(self, browser, **more):
        tab = self.house.client(browser.header)
        browser.tabs.append(tab)
        tab.busy = self.act(tab.connect, "", features=FEATURES, **more)

    def come_back(self, browser, tab):
        """What the client kept is what its frames said."""
        browser.tabs.remove(tab)
        ticket = None
        for frame in tab.take():
            if frame.name == "CONNECTED":
                ticket = {"conn_id": frame.args["conn_id"], "key": frame.args["resume"]}
            elif frame.name == "COOKIE" and self.chance.random() < 0.7:
                key = frame.args["path"].removeprefix("cookie/")
                for cookie in self.house.site.pickups.take(key, self.house.clock.monotonic()) or ():
                    browser.value = cookie.partition(";")[0].removeprefix("sessionid=")
                    ticket = ticket and {**ticket, "key": frame.args["resume"]}
        if self.chance.random() < 0.8:
            self.come(browser, **({"resume": ticket} if ticket else {}))

    def log_out(self, browser):
        self.app.users.pop(browser.value, None)
        if self.chance.random() < 0.7:
            administer.disconnect_session(self.house.site, digest_of(browser.value))
        if self.chance.random() < 0.7:
            browser.value = self.app.log_in(browser.user)

    def listen(self, browser):
        self.guests.append(let_in(self.house.site, browser.header, "192.0.2.1", CHANNELS[:1]))

    def settle(self):
        gevent.joinall(self.running, timeout=20, raise_error=True)
        for _ in range(10):
            self.house.settle()


def look(storm):
    """What must hold whenever nothing is under way."""
    hub = storm.house.hub
    alive = [c for user in hub.users.values() for c in user.connections]
    assert {id(c) for c in hub.connections.values()} == {id(c) for c in alive}
    assert all(c.open and not c.revoked for c in alive)
    guests = [guest.speaker for guest in storm.guests if guest.speaker.open]
    for connection in [*alive, *guests]:
        if connection.session:
            assert connection in hub.sessions.of(connection.session)
            assert connection.session == digest_of(connection.cookies.removeprefix("sessionid="))
    for browser in storm.browsers:
        for tab in browser.tabs:
            assert tab.ended is not None or tab.connection.open or not tab.connection.revoked


@pytest.mark.parametrize("seed", range(8))
def test_F34_whatever_happens_to_logins_nothing_is_left_of_them(seed):
    storm = Storm(seed)
    house = storm.house
    for _ in range(5):
        for _ in range(80):
            storm.step()
        storm.settle()
        look(storm)
    for browser in storm.browsers:
        for tab in browser.tabs:
            tab.leave()
    for guest in storm.guests:
        leave(house.site, guest)
    for action in ("unsubscribe", "destroy_channel", "disconnect"):
        house.gate.allow(action)
    storm.settle()
    for _ in range(int(LIFE_SECONDS + GRACE) + INTERVAL):
        house.advance(1)
        storm.recheck.check(house.clock.monotonic())
    storm.settle()
    site, hub = house.site, house.hub
    site.places.forget_old(site.grace_time())
    assert site.pickups.again("nobody", house.clock.monotonic(), 0) == ""
    assert (len(hub.sessions), len(site.places), len(site.pickups)) == (0, 0, 0)
    assert (hub.users, hub.connections, hub.guests) == ({}, {}, {})
    assert len(site.introductions) == len(site.subscriptions) == len(site.creations) == len(site.errands) == 0

    assert site.pickups._size == 0
    assert not site.pickups._by_key
