"""Sessions are asked about again, once in an interval each, and what follows from the answer."""

from dataclasses import replace

import pytest
from parts import House
from test_commands_sessions import COOKIES, FEATURES, SESSION, UNKNOWN, tabs

from hookbox.commands.recheck import MOST_WAITING, Recheck
from hookbox.commands.stream import leave, let_in
from hookbox.core.sessions import digest_of
from hookbox.errors import WebhookError
from hookbox.protocol.disconnects import REVOKED, SESSION_EXPIRED
from hookbox.webhooks.gate import Allow

INTERVAL = 300


@pytest.fixture
def house():
    return House(recheck_interval=INTERVAL)


class Pulse:
    """Turns the clock, and has the server's sessions looked at each second."""

    def __init__(self, house, chance=0.5):
        self.house = house
        self.recheck = Recheck(house.site, lambda: chance)
        self.recheck.check(house.clock.monotonic())
        house.gate.asked.clear()

    def run(self, seconds):
        """When what was asked of which session meanwhile: lists of seconds by cookies."""
        times = {}
        for second in range(1, seconds + 1):
            self.house.gate.asked.clear()
            self.house.advance(1)
            self.recheck.check(self.house.clock.monotonic())
            for question in self.house.gate.questions("connect"):
                times.setdefault(question.cookies, []).append(second)
        return times


def browsers(house, count, tabs_each=1):
    return [tabs(house, tabs_each, name=f"user{n}", cookies=f"sessionid={n}") for n in range(count)]


def test_each_session_is_asked_about_once_in_an_interval_however_many_tabs_it_has(house):
    browsers(house, 30, tabs_each=3)
    times = Pulse(house).run(10 * INTERVAL)
    assert len(times) == 30
    for asked in times.values():
        gaps = [later - earlier for earlier, later in zip(asked, asked[1:], strict=False)]
        assert max([asked[0], *gaps]) <= INTERVAL
        assert min(gaps) >= 0.8 * INTERVAL
    asked = sorted(second for seconds in times.values() for second in seconds)
    assert max(later - earlier for earlier, later in zip(asked, asked[1:], strict=False)) <= 10, "evenly spread"


def test_who_has_just_connected_is_asked_about_last(house):
    browsers(house, 3)
    pulse = Pulse(house)
    pulse.run(200)
    tabs(house, 1, cookies="sessionid=new")
    times = pulse.run(INTERVAL + 10)
    assert max(times, key=lambda cookies: times[cookies][0]) == "sessionid=new"
    assert times["sessionid=new"][0] > 100


def test_chance_spreads_the_questions_within_the_second(house):
    browsers(house, 1)
    due = []
    house.later.spawn_later = lambda seconds, *work: due.append(seconds)
    Pulse(house, chance=0.25).run(INTERVAL)
    assert due == [0.25]


def test_it_is_asked_as_the_page_did(house):
    (tab,) = tabs(house, 1)
    Pulse(house).recheck.ask(SESSION)
    (question,) = house.gate.asked
    assert (question.action, question.cookies, question.client_ip) == ("connect", COOKIES, "192.0.2.1")
    assert question.fields == {"payload": '"ann"', "conn_id": tab.connection.id}
    assert question.session == SESSION
    assert tab.take() == []


def test_a_no_ends_the_session(house):
    one, two = tabs(house, 2)
    (other,) = tabs(house, 1, cookies="sessionid=other")
    house.gate.refuse("connect", "logged out", "sessionid=; Max-Age=0")
    Pulse(house).recheck.ask(SESSION)
    assert (one.ended, two.ended, other.ended) == (REVOKED, REVOKED, None)
    assert one.names() == ["CLOSE"]


def test_a_401_ends_the_session(house):
    one, two = tabs(house, 2)
    house.gate.answer("connect", UNKNOWN)
    Pulse(house).recheck.ask(SESSION)
    assert (one.ended, two.ended) == (REVOKED, REVOKED)


def test_another_name_has_all_tabs_come_back(house):
    one, two = tabs(house, 2)
    house.gate.allow("connect", name="somebody else")
    Pulse(house).recheck.ask(SESSION)
    assert (one.ended, two.ended) == (SESSION_EXPIRED, SESSION_EXPIRED)
    assert SESSION_EXPIRED.client_may_return
    ticket = {"conn_id": one.connection.id, "key": one.ticket}
    again = house.client(COOKIES)
    again.connect("ann", features=FEATURES, resume=ticket)
    assert again.frames[0].args["name"] == "somebody else", "asked anew: there is no place to resume"


@pytest.mark.parametrize(
    "answer",
    [WebhookError("down"), Allow({"name": ["no name"]}), Allow({"name": "ann", "auto_subscribe": ["x"]})],
    ids=["no answer", "unusable", "yes with more"],
)
def test_otherwise_nothing_happens(house, answer):
    (tab,) = tabs(house, 1)
    house.gate.answer("connect", answer)
    Pulse(house).recheck.ask(SESSION)
    assert tab.ended is None
    assert tab.take() == []
    assert list(tab.connection.user.channels) == ["lobby"]


@pytest.mark.parametrize("made_up", [None, " _Ab12345678"])
def test_those_without_a_name_may_get_another_made_up_one(house, made_up):
    house.gate.answer("connect", Allow({"name": made_up} if made_up else {}))
    (tab,) = tabs(house, 1)
    house.gate.answer("connect", Allow({"name": " _Zz00000000"}))
    recheck = Pulse(house).recheck
    recheck.ask(SESSION)
    assert tab.ended is None
    house.gate.allow("connect", name="ann")
    recheck.ask(SESSION)
    assert tab.ended == SESSION_EXPIRED, "logged in meanwhile"


def test_a_user_who_has_no_name_any_more_comes_back_without_one(house):
    (tab,) = tabs(house, 1)
    house.gate.allow("connect")
    Pulse(house).recheck.ask(SESSION)
    assert tab.ended == SESSION_EXPIRED


def test_its_cookies_are_taken(house):
    one, two = tabs(house, 2)
    house.gate.answer("connect", Allow({"name": "ann"}, ("sessionid=new; HttpOnly",)))
    Pulse(house).recheck.ask(SESSION)
    assert [tab.connection.session for tab in (one, two)] == [digest_of("new")] * 2


def test_a_stream_alone_is_asked_about_too(house):
    house.gate.allow("connect", name="ann")
    guest = let_in(house.site, COOKIES, "192.0.2.1", ["lobby"])
    recheck = Pulse(house).recheck
    recheck.ask(SESSION)
    assert guest.speaker.open
    assert house.gate.asked[-1].fields == {"payload": "null"}
    house.gate.refuse("connect")
    recheck.ask(SESSION)
    assert not guest.speaker.open
    leave(house.site, guest)


def test_nobody_is_asked_about_who_has_gone_or_is_not_let_in(house):
    (gone,) = tabs(house, 1)
    gone.leave()
    house.gate.refuse("connect")
    refused = house.client("sessionid=refused")
    refused.connect("ann")
    recheck = Pulse(house).recheck
    for session in (SESSION, digest_of("refused")):
        recheck.ask(session)
    assert house.gate.asked == []


def test_it_is_off_by_default_and_can_be_changed_at_any_time(house):
    browsers(house, 2)
    pulse = Pulse(house)
    house.site.settings = replace(house.site.settings, recheck_interval=0)
    assert pulse.run(2 * INTERVAL) == {}
    house.site.settings = replace(house.site.settings, recheck_interval=10)
    times = pulse.run(100)
    assert all(10 <= len(asked) <= 11 for asked in times.values())
    assert len(times) == 2


def test_an_application_that_is_slow_is_not_asked_ever_more(house):
    browsers(house, 2 * MOST_WAITING)
    pulse = Pulse(house)
    go = house.gate.think("connect")
    pulse.run(10 * INTERVAL)
    waiting = len(pulse.recheck._errands)
    assert MOST_WAITING < waiting < 2 * MOST_WAITING
    go.set()
    house.settle()


def test_while_the_server_drains_nobody_is_asked(house):
    browsers(house, 2)
    pulse = Pulse(house)
    house.site.draining = True
    assert pulse.run(2 * INTERVAL) == {}


def test_an_application_that_was_slow_is_not_asked_everything_at_once(house):
    browsers(house, 6 * MOST_WAITING)
    pulse = Pulse(house)
    go = house.gate.think("connect")
    pulse.run(2 * INTERVAL)
    go.set()
    house.settle()
    times = pulse.run(5)
    assert 0 < sum(len(asked) for asked in times.values()) <= 2 * MOST_WAITING


def test_who_is_cut_off_again_and_again_is_asked_about_all_the_same(house):
    (tab,) = tabs(house, 1)
    ticket = {"conn_id": tab.connection.id, "key": tab.ticket}
    pulse = Pulse(house)
    asked = []
    for _ in range(6):
        asked.append(len(pulse.run(INTERVAL // 3)))
        tab.leave()
        pulse.run(1)
        tab = house.client(COOKIES)
        tab.connect("ann", features=FEATURES, resume=ticket)
        (connected, *_) = tab.take()
        assert connected.args["resumed"] is True
        ticket["key"] = connected.args["resume"]
    assert sum(asked) == 2


def test_nothing_is_kept_of_who_does_not_come_back(house):
    (one,), (other,) = browsers(house, 2)
    pulse = Pulse(house)
    one.leave()
    pulse.run(2 * INTERVAL)
    assert len(house.hub.sessions) == 1
    other.leave()
    house.site.settings = replace(house.site.settings, recheck_interval=0)
    pulse.run(1)
    assert len(house.hub.sessions) == 0
