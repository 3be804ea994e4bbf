"""Everything at once, in any order, while the application takes its time: what clients see stays consistent."""

import random

import gevent
import pytest
from parts import House

from hookbox.commands import channels, connect, publish, subscribe
from hookbox.errors import ConnectionGone, HookboxError
from hookbox.protocol.disconnects import BY_API, SLOW_CONSUMER
from hookbox.webhooks.gate import Allow, Refuse

CHANNELS = ("a", "b", "c")
USERS = ("ann", "bob", "carl")


class Mirror:
    """What one connection can know from its frames; raises at any that cannot be.

    Args:
        client: whose frames are read.
    """

    def __init__(self, client):
        self.client = client
        self.name = None
        self.presence = {}
        self.expected = {}
        self.epochs = {}
        self.asked = {}
        client.outbox.received = self._reading(client.outbox.received)

    def _reading(self, received):
        def read(frame):
            received(frame)
            got = self.client.frames[-1]
            getattr(self, "on_" + got.name.lower(), lambda **args: None)(**got.args)

        return read

    def on_connected(self, name, **_):
        assert self.name is None
        self.name = name

    def on_subscribe(
        self, channel_name, user, presence=None, offset=None, epoch=None, recovered=None, missed=(), **_
    ):
        assert self.name is not None, "CONNECTED comes first"
        if presence is None:
            assert user != self.name
            assert user not in self.presence[channel_name], "nobody comes twice"
            self.presence[channel_name].append(user)
            return
        assert user == self.name
        if recovered:
            offsets = [publication["offset"] for publication in missed]
            assert offsets == list(range(offset - len(offsets) + 1, offset + 1))
            assert self.epochs[channel_name] == epoch
            known = self.expected.get(channel_name) or self.asked[channel_name]["offset"] + 1
            assert offset - len(offsets) + 1 <= known, "no gap"
        self.presence[channel_name] = list(presence)
        self.expected[channel_name] = offset + 1
        self.epochs[channel_name] = epoch

    def on_unsubscribe(self, channel_name, user, **_):
        if user == self.name:
            del self.presence[channel_name], self.expected[channel_name]
        else:
            self.presence[channel_name].remove(user)

    def on_publish(self, channel_name, offset, presence=None, **_):
        assert offset == self.expected[channel_name], "no gap, no repeat"
        self.expected[channel_name] += 1
        if presence is not None:
            assert presence == self.presence[channel_name]


class Crowd:
    """Clients that do something random, and an application that does too."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.house = House(client_rate=10**9, client_burst=10**9, leave_grace=3)
        self.house.gate.answer("connect", lambda q: self.decide(q, {"name": q.fields["payload"].strip('"')}))
        for action in ("subscribe", "publish", "unsubscribe", "message", "destroy_channel", "disconnect"):
            self.house.gate.answer(action, self.decide)
        self.house.gate.answer("create_channel", self.create)
        self.mirrors = []
        self.running = []

    def decide(self, question, options=None):
        for _ in range(self.chance.choice([0, 0, 1, 3, 10])):
            gevent.sleep(0)
        if self.chance.random() < 0.1:
            return Refuse("no")
        chain = {}
        if (
            question.action in ("subscribe", "publish", "connect", "unsubscribe")
            and self.chance.random() < 0.1
        ):
            chain[self.chance.choice(["auto_subscribe", "auto_unsubscribe"])] = [self.chance.choice(CHANNELS)]
        return Allow({**(options or {}), **chain})

    def create(self, question):
        self.decide(question)
        return Allow(
            {
                "presenceful": True,
                "history_size": self.chance.choice([0, 2, 20]),
                "moderated": self.chance.random() < 0.7,
                "recovery_size": self.chance.choice([0, 3, 100]),
            }
        )

    def come(self):
        client = self.house.client()
        mirror = Mirror(client)
        self.mirrors.append(mirror)
        features = ["ack"] + (["recover"] if self.chance.random() < 0.5 else [])
        self.act(client.connect, self.chance.choice(USERS), features=features)

    def act(self, function, *args, **kwargs):
        def safely():
            try:
                function(*args, **kwargs)
            except (HookboxError, ConnectionGone):
                pass

        self.running.append(gevent.spawn(safely))

    def step(self):
        here = [mirror for mirror in self.mirrors if mirror.client.connection.open]
        kind = self.chance.random()
        if kind < 0.12 or len(here) < 3:
            self.come()
        elif kind < 0.2:
            self.chance.choice(here).client.leave()
        elif kind < 0.23:
            client = self.chance.choice(here).client
            connect.disconnect(
                self.house.site, client.connection, self.chance.choice([BY_API, SLOW_CONSUMER])
            )
        elif kind < 0.3:
            self.from_app()
        elif kind < 0.34:
            self.house.clock.advance(self.chance.uniform(0, 2))
            self.house.later.run_due()
        else:
            self.chance_frame(self.chance.choice(here))
        for _ in range(self.chance.randrange(4)):
            gevent.sleep(0)

    def chance_frame(self, mirror):
        channel = self.chance.choice(CHANNELS)
        name = self.chance.choice(["SUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", "PUBLISH", "PUBLISH"])
        args = {"channel_name": channel}
        if name == "SUBSCRIBE" and channel in mirror.expected and self.chance.random() < 0.5:
            args["since"] = {"epoch": mirror.epochs[channel], "offset": mirror.expected[channel] - 1}
        if getattr(mirror.client, "busy", None) and not mirror.client.busy.dead:
            return  # a connection's frames are handled one at a time
        if "since" in args:
            mirror.asked[channel] = args["since"]
        mirror.client.busy = gevent.spawn(mirror.client.send, name, **args)
        self.running.append(mirror.client.busy)

    def from_app(self):
        house, chance = self.house, self.chance
        channel = house.hub.channels.get(chance.choice(CHANNELS))
        user = house.hub.users.get(chance.choice(USERS))
        if channel is not None and chance.random() < 0.5:
            publish.publish_from_app(house.site, channel, "1", None)
        elif channel is not None and chance.random() < 0.3:
            self.act(channels.destroy, house.site, house.from_app(), channel)
        elif user is not None:
            command = chance.choice([subscribe.subscribe, subscribe.unsubscribe])
            self.act(command, house.site, house.from_app(), user, chance.choice(CHANNELS))

    def settle(self):
        gevent.joinall(self.running, timeout=20, raise_error=True)
        assert all(greenlet.dead for greenlet in self.running)
        for _ in range(20):
            self.house.settle()


def look(crowd):
    """What must hold whenever nothing is under way."""
    house = crowd.house
    for mirror in crowd.mirrors:
        connection = mirror.client.connection
        if not connection.open or connection.user is None:
            continue
        assert set(mirror.expected) == set(connection.user.channels)
        for name, channel in connection.user.channels.items():
            assert house.hub.channels[name] is channel
            if channel.options.presenceful:  # one that the application subscribed to is not
                assert sorted(mirror.presence[name]) == sorted(channel.subscribers)
    for channel in house.hub.channels.values():
        assert channel.pending == 0
        members = [c for user in channel.subscribers.values() for c in user.connections]
        held = [c for c in members if c.held and channel.name in c.held]
        assert set(channel.audience) == {c.outbox for c in members} - {c.outbox for c in held}
        assert all(house.hub.users[name] is user for name, user in channel.subscribers.items())
    assert len(house.site.creations) == len(house.site.subscriptions) == 0


@pytest.mark.parametrize("seed", range(12))
def test_F34_whatever_happens_in_whatever_order(seed):
    crowd = Crowd(seed)
    for _ in range(6):
        for _ in range(60):
            crowd.step()
        crowd.settle()
        crowd.house.advance(1.5)  # what is held back is released
        crowd.settle()
        look(crowd)
    house = crowd.house
    for answer in ("destroy_channel", "unsubscribe", "disconnect"):
        house.gate.allow(answer)
    for mirror in crowd.mirrors:
        mirror.client.leave()
    house.advance(4)
    crowd.settle()
    for channel in list(house.hub.channels.values()):  # those nobody ever subscribed to
        assert channel.subscribers == channel.listeners == {}
        channels.close(house.site, channel)
    assert (house.hub.users, house.hub.connections, house.hub.channels) == ({}, {}, {})
    assert house.hub.history_budget.used == 0
