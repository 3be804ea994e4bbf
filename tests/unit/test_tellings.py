"""The application is told what has happened, at least once and in order, whatever happens to it or to Hookbox."""

import json

import pytest
from parts import House, ScriptedGate
from post_office import PostOffice

from hookbox.commands.channels import is_still_so
from hookbox.delivery.models import TELLING, DeliveryId, Source, State
from hookbox.delivery.store.base import Search
from hookbox.delivery.tellings import Application, StoredTellings
from hookbox.errors import NotAsked, UnusableAnswer, WebhookError
from hookbox.webhooks.gate import Allow, Refuse

DOWN = WebhookError("down", "connection refused")


class Thinker(ScriptedGate):
    """An application of which is known how many questions it thinks about."""

    def __init__(self, receivers):
        super().__init__()
        self.receivers = receivers
        self.most = 0

    def ask(self, question):
        self.receivers.thinking += 1
        self.most = max(self.most, self.receivers.thinking)
        try:
            return super().ask(question)
        finally:
            self.receivers.thinking -= 1


class Town(PostOffice):
    """A House whose application is told by way of a store."""

    def __init__(self, gate=None, **about):
        self.gate = gate
        super().__init__(**about)
        self.move_in()

    def move_in(self):
        self.gate = self.gate or Thinker(self.receivers)
        self.gate.receivers = self.receivers
        self.house = House(gate=self.gate, clock=self.clock, leave_grace=0, client_rate=10**9, client_burst=10**9)
        application = Application(
            self.gate, "http://app.example/{}".format, lambda event: is_still_so(self.house.site, event),
            self.house.later,
        )  # fmt: skip
        self.teller = StoredTellings(self.store, self.numbers, self.clock, application)
        self.house.site.tellings = self.teller

    def start(self):
        super().start()
        self.teller.wake = self.worker.wake
        return self

    def crash(self):
        """Everything ends; only the file is left."""
        self.worker._group.kill()
        self.worker = None
        self.opened.pop().close()

    def restart(self):
        self.open()
        self.move_in()
        return self.start()

    def settle(self):
        self.house.settle()
        assert self.store.refuses or self.teller._written.wait(10)
        super().settle()
        self.house.settle()

    def subscribed(self, channel, *names):
        return self.house.subscribed(channel, *names)

    def leave(self, *clients):
        for client in clients:
            client.leave()
        self.settle()

    def told(self, *actions):
        """What the application was told or asked since users came: actions with the user or channel."""
        wanted = actions or ("unsubscribe", "destroy_channel", "disconnect")
        return [
            (q.action, q.fields.get("user") or q.fields.get("name") or q.fields["channel_name"])
            for q in self.gate.asked
            if q.action in wanted
        ]


@pytest.fixture
def open_town(tmp_path):
    opened = []

    def open_town(**about):
        opened.append(Town(path=str(tmp_path / "hookbox.db"), **about).start())
        return opened[-1]

    yield open_town
    for town in opened:
        town.close()


@pytest.fixture
def town(open_town):
    return open_town(schedule=(10.0, 20.0, 40.0))


def test_D11_what_has_happened_is_told_in_order_and_then_forgotten(town):
    client = town.house.client(cookies="sid=1", ip="198.51.100.7")
    client.connect("ann")
    for name in "ab":
        client.send("SUBSCRIBE", channel_name=name)
    town.leave(client)
    assert town.told() == [
        ("unsubscribe", "ann"),
        ("destroy_channel", "a"),
        ("unsubscribe", "ann"),
        ("destroy_channel", "b"),
        ("disconnect", "ann"),
    ]
    last = town.gate.asked[-1]
    assert last.fields == {"name": "ann", "channels": '["a", "b"]'}
    assert (last.cookies, last.client_ip) == ("sid=1", "198.51.100.7")
    assert last.key.startswith("msg_")
    assert len({q.key for q in town.gate.asked[-5:]}) == 5
    assert town.house.hub.channels == {}
    assert town.teller.untold() == 0
    assert town.store.standing().states == {}, "cookies are not kept longer than it takes"
    assert town.store.newest("", 10) == []


def test_D11_it_is_told_again_with_the_same_key_until_the_application_answers(town):
    ann = town.house.connected("ann")
    town.gate.answer("disconnect", DOWN)
    town.leave(ann)
    for pause, made in ((10, 2), (20, 3)):
        town.advance(pause - 0.1)
        assert len(town.gate.questions("disconnect")) == made - 1
        town.advance(0.2)
        assert len(town.gate.questions("disconnect")) == made
    town.gate.refuse("disconnect")
    town.advance(41)
    town.advance(10_000)
    questions = town.gate.questions("disconnect")
    assert len(questions) == 4, "a no is an answer too"
    assert len({q.key for q in questions}) == 1
    assert town.everything() == []


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        (DOWN, "unreachable", 0),
        (UnusableAnswer("x", "status 500", 500), "http_500", 500),
        (UnusableAnswer("x", "status 410", 410), "http_410", 410),
        (UnusableAnswer("x", "status 302", 302), "http_3xx", 302),
        (UnusableAnswer("x", "not JSON"), "protocol", 200),
    ],
)
def test_D13_whatever_is_no_usable_answer_is_a_failure_and_listed(town, error, outcome, status):
    ann = town.house.connected("ann")
    town.gate.answer("disconnect", error)
    town.leave(ann)
    (owed,) = town.everything()
    assert (owed.state, owed.failures, owed.last_status) == (State.SCHEDULED, 1, status)
    assert owed.url == "http://app.example/disconnect"
    (attempt,) = town.store.attempts(owed.id)
    assert (attempt.outcome, attempt.status) == (outcome, status)


def test_an_application_that_has_no_time_is_told_a_little_later_and_nothing_is_used_up(town):
    ann = town.house.connected("ann")
    town.gate.answer("disconnect", NotAsked("busy", "the breaker is open"))
    town.leave(ann)
    (owed,) = town.everything()
    assert (owed.state, owed.failures, owed.attempts) == (State.SCHEDULED, 0, 0)
    assert 5 <= town.wait(owed.id) <= 10
    town.pass_(60)
    assert len(town.gate.questions("disconnect")) <= 12
    town.gate.allow("disconnect")
    town.pass_(10)
    assert town.everything() == []


def test_D12_each_user_in_order_and_nobody_behind_another(town):
    ann, bob = town.house.connected("ann"), town.house.connected("bob")
    for client in (ann, bob):
        client.send("SUBSCRIBE", channel_name=client.connection.user.name)
    town.gate.answer("unsubscribe", lambda q: DOWN if q.fields["user"] == "ann" else Allow())
    town.leave(ann, bob)
    assert town.told() == [
        ("unsubscribe", "ann"), ("unsubscribe", "bob"), ("destroy_channel", "bob"), ("disconnect", "bob"),
    ]  # fmt: skip
    states = sorted(d.state.value for d in town.everything())
    assert states == ["scheduled", "waiting", "waiting"]
    again = town.house.connected("ann")
    town.leave(again)
    town.gate.allow("unsubscribe")
    town.pass_(10)
    assert town.told()[4:] == [
        ("unsubscribe", "ann"), ("destroy_channel", "ann"), ("disconnect", "ann"), ("disconnect", "ann"),
    ]  # fmt: skip


def test_D12_what_is_given_up_releases_the_next(town, complaints):
    ann = town.subscribed("lobby", "ann")
    town.gate.answer("unsubscribe", DOWN)
    town.leave(ann)
    town.pass_(100)
    assert town.told() == [("unsubscribe", "ann")] * 4 + [("destroy_channel", "lobby"), ("disconnect", "ann")]
    (dead,) = town.everything()
    assert (dead.state, dead.reason) == (State.DEAD, "exhausted")
    assert "is given up: exhausted" in complaints()[-1]
    town.worker.retry_now(dead.id)
    town.gate.allow("unsubscribe")
    town.settle()
    assert len(town.told("unsubscribe")) == 5
    assert town.everything() == []


def test_D12_what_an_operator_cancels_releases_the_next(town):
    ann = town.subscribed("lobby", "ann")
    town.gate.answer("unsubscribe", DOWN)
    town.leave(ann)
    (head,) = town.store.search(Search(states=(State.SCHEDULED,)))
    assert town.worker.cancel(head.id)
    town.settle()
    assert town.told() == [("unsubscribe", "ann"), ("destroy_channel", "lobby"), ("disconnect", "ann")]


@pytest.mark.parametrize("when", ["before", "during"])
def test_F18_what_was_kept_before_a_crash_is_told_after_it_with_the_same_key(town, when):
    ann = town.subscribed("lobby", "ann")
    if when == "during":
        town.gate.think("unsubscribe")
    else:
        town.gate.answer("unsubscribe", DOWN)
    town.leave(ann)
    (before,) = town.gate.questions("unsubscribe")
    town.crash()
    town.gate = Thinker(None)
    town.restart()
    town.pass_(20)
    assert town.told() == [("unsubscribe", "ann"), ("destroy_channel", "lobby"), ("disconnect", "ann")]
    assert town.gate.asked[0].key == before.key
    assert town.everything() == []


def test_a_user_that_comes_back_changes_nothing_of_what_is_told(town):
    ann = town.subscribed("lobby", "ann")
    town.gate.answer("unsubscribe", DOWN)
    town.leave(ann)
    town.gate.allow("unsubscribe")
    again = town.subscribed("lobby", "ann")
    town.pass_(20)
    assert town.told() == [("unsubscribe", "ann")] * 2 + [("disconnect", "ann")]
    assert list(town.house.hub.channels) == ["lobby"], "in use again, so there was nothing to ask"
    again.publish("lobby", 1)
    assert [f.name for f in again.take()] == ["PUBLISH"]


def test_an_empty_channel_goes_as_soon_as_the_application_can_be_asked(town):
    ann = town.subscribed("lobby", "ann")
    town.gate.answer("destroy_channel", DOWN)
    town.leave(ann)
    assert list(town.house.hub.channels) == ["lobby"]
    town.gate.allow("destroy_channel")
    town.pass_(11)
    assert town.house.hub.channels == {}
    assert town.told()[-1] == ("disconnect", "ann")


def test_an_empty_channel_that_the_application_keeps_stays_and_it_is_asked_once(town):
    ann = town.subscribed("lobby", "ann")
    town.gate.refuse("destroy_channel")
    town.leave(ann)
    town.pass_(1000)
    assert list(town.house.hub.channels) == ["lobby"]
    assert len(town.told("destroy_channel")) == 1


def test_a_channel_that_somebody_subscribes_to_while_the_application_decides_stays(town):
    ann = town.subscribed("lobby", "ann")
    go = town.gate.think("destroy_channel")
    town.leave(ann)
    town.subscribed("lobby", "bob")
    go.set()
    town.settle()
    assert list(town.house.hub.channels["lobby"].subscribers) == ["bob"]


def test_after_a_restart_a_channel_of_that_name_is_another_one(town):
    for name in ("a", "b"):
        town.leave_with = town.subscribed(name, name)
        town.gate.answer("unsubscribe", DOWN)
        town.leave(town.leave_with)
    town.crash()
    town.gate = Thinker(None)
    town.open()
    town.move_in()
    town.subscribed("a", "eve")
    town.start()
    town.pass_(30)
    assert town.told("destroy_channel") == [("destroy_channel", "b")]
    assert list(town.house.hub.channels) == ["a"]


@pytest.mark.parametrize("call", ["tell", "reserve"])
def test_F20_while_the_store_refuses_users_go_and_it_is_told_when_it_works(town, call, complaints):
    ann, _ = town.subscribed("lobby", "ann", "bob")
    town.store.refuses = {call}
    if call == "reserve":
        town.numbers._end = town.numbers._next
    ann.leave()
    town.house.settle()
    assert list(town.house.hub.users) == ["bob"]
    assert town.told() == []
    town.store.refuses = set()
    assert town.teller._written.wait(10)
    town.settle()
    assert town.told() == [("unsubscribe", "ann"), ("disconnect", "ann")]


def test_what_cannot_be_kept_until_the_end_is_counted(town, complaints):
    ann, _ = town.subscribed("lobby", "ann", "bob")
    town.store.refuses = {"tell"}
    ann.leave()
    town.house.settle()
    town.teller.stop(0.01)
    assert "will not hear that 1 users have gone" in complaints()[-1]


def test_F10_after_an_hour_everything_arrives_few_at_once_and_each_user_in_order(open_town):
    town = open_town()
    users = [f"user{n}" for n in range(1000)]
    clients = []
    for user in users:
        clients.append(town.house.connected(user))
        clients[-1].send("SUBSCRIBE", channel_name="lobby" if len(clients) % 2 else user)
    for action in ("unsubscribe", "destroy_channel", "disconnect"):
        town.gate.answer(action, DOWN)
    town.leave(*clients)
    assert town.store.standing().states[State.SCHEDULED] == 1000
    assert len(town.gate.asked) < 3050, "after ten failures it is left alone"
    town.pass_(3600)
    up_from = len(town.gate.asked)
    town.gate.most = 0
    for action in ("unsubscribe", "destroy_channel", "disconnect"):
        town.gate.allow(action)
    town.pass_(3600)
    assert town.everything() == []
    assert 1 <= town.gate.most <= 4
    told = {}
    for question in town.gate.asked[up_from:]:
        who = question.fields.get("user") or question.fields.get("name")
        told.setdefault(who or question.fields["channel_name"], []).append(question)
    assert set(told) - {"lobby"} == set(users)
    for number, user in enumerate(users):
        emptied = ["destroy_channel"] if number % 2 and user in told else []
        assert [q.action for q in told[user]] == ["unsubscribe", *emptied, "disconnect"]
    assert len(town.house.hub.channels) == 0


def test_the_store_is_not_asked_for_what_waits(town):
    """Of each user one is scheduled: a thousand that wait behind it cost nothing."""
    town.gate.answer("disconnect", DOWN)
    for _ in range(5):
        town.leave(town.house.connected("ann"))
    states = town.store.standing().states
    assert states == {State.SCHEDULED: 1, State.WAITING: 4}
    assert town.worker.counts().waiting == 1


def test_what_is_shown_of_a_telling_has_no_cookies(town):
    client = town.house.client(cookies="sid=secret")
    client.connect("ann")
    town.gate.answer("disconnect", DOWN)
    town.leave(client)
    (message,) = town.store.newest("", 1)
    assert json.loads(message.payload) == {"action": "disconnect", "fields": {"name": "ann", "channels": "[]"}}
    assert "secret" not in repr(message)
    assert town.store.attempts(DeliveryId(town.everything()[0].id))[0].request == ()


def test_only_what_hookbox_itself_tells_is_a_webhook(town):
    """Whoever may dispatch cannot have the application believe anything by that."""
    forged = {"content_type": TELLING, "source": Source.DISPATCH}
    body = b'{"action": "disconnect", "fields": {"name": "ann"}}'
    town.accepted("http://a.example/", about=forged, body=body)
    assert town.gate.asked == []
    assert town.receivers.bodies == [body]


def test_a_usable_no_counts_as_heard(town):
    town.gate.answer("unsubscribe", Refuse("stay"))
    town.leave(town.subscribed("lobby", "ann"))
    assert len(town.told("unsubscribe")) == 1
    assert town.everything() == []
