"""Cookies of the application's answers: announced to who can fetch them, used in what is asked later."""

import pytest
from parts import House

from hookbox.commands import administer
from hookbox.commands.cookies import take_request_cookies
from hookbox.commands.end_session import end_session
from hookbox.core.kept import LATE_SECONDS
from hookbox.core.sessions import digest_of
from hookbox.protocol.disconnects import REVOKED
from hookbox.webhooks.gate import Allow

FEATURES = ["ack", "resume", "cookies"]
SID = "sid=new; HttpOnly; Path=/"


@pytest.fixture
def house():
    return House()


def joined(house, *, cookies="sid=old", **args):
    client = house.client(cookies)
    client.connect("ann", features=FEATURES, **args)
    connected = client.take()[-1].args
    return client, {"conn_id": connected["conn_id"], "key": connected["resume"]}


def fetch(house, frame, **shown):
    """What the browser gets for a frame, if it has these cookies now."""
    assert frame.name == "COOKIE"
    before, key = frame.args["path"].split("/")
    assert before == "cookie"
    return house.site.pickups.take(key, house.clock.monotonic(), shown)


def carried(house):
    """The cookies of the question asked last."""
    return house.gate.asked[-1].cookies


# which way


def test_A5_a_cookie_that_script_must_not_see_is_announced_before_what_it_came_with(house):
    ann, _ = joined(house)
    house.gate.allow("publish", SID, "theme=dark")
    ann.publish("lobby", 1)
    frames = ann.take()
    assert [frame.name for frame in frames] == ["SET_COOKIE", "COOKIE", "ACK"]
    assert fetch(house, frames[1]) == (SID,)
    assert b"new" not in b"".join(ann.outbox.lines)
    ann.publish("lobby", 2)
    assert carried(house) == "sid=new; theme=dark"


@pytest.mark.parametrize(
    ("shown", "gets"),
    [
        ({}, True),
        ({"sid": "old"}, True),
        ({"sid": "between"}, True),
        ({"sid": "new", "other": "1"}, True),
        ({"sid": "of a login in another tab"}, False),
    ],
    ids=["none", "the replaced one", "one that came between", "the same", "a newer one"],
)
@pytest.mark.parametrize("sid", [SID, "sid=; Max-Age=0; Path=/"], ids=["set", "taken away"])
def test_what_the_browser_got_meanwhile_by_itself_stays(house, sid, shown, gets):
    ann, _ = joined(house)
    house.gate.allow("publish", "sid=between; HttpOnly; Path=/")
    ann.publish("lobby", 1)
    house.gate.allow("publish", SID)
    ann.publish("lobby", 2)
    house.gate.allow("publish", sid)
    ann.take()
    ann.publish("lobby", 3)
    announced = next(frame for frame in ann.take() if frame.name == "COOKIE")
    assert fetch(house, announced, **shown) == ((sid,) if gets else ())


def test_a_cookie_of_another_path_is_not_judged_by_what_is_shown_here(house):
    ann, _ = joined(house)
    house.gate.allow("publish", elsewhere := "sid=new; HttpOnly; Path=/app")
    ann.publish("lobby", 1)
    assert fetch(house, ann.take()[0], sid="whatever") == (elsewhere,)


def test_who_does_not_ask_for_it_is_told_nothing_new(house):
    old, plain = house.client("sid=old"), house.client("sid=old")
    house.gate.allow("connect", SID, "theme=dark", name="ann")
    old.connect("ann")
    plain.connect("ann", features=["ack"])
    assert old.names() == plain.names() == ["SET_COOKIE", "CONNECTED"]
    assert len(house.site.pickups) == 0


def test_those_of_the_login_come_before_it(house):
    house.gate.allow("connect", "theme=dark", SID, name="ann")
    client = house.client()
    client.connect("ann", features=FEATURES)
    frames = client.take()
    assert [frame.name for frame in frames] == ["SET_COOKIE", "COOKIE", "CONNECTED"]
    assert "cookies" in frames[-1].args["features"]
    assert "resume" not in frames[1].args  # CONNECTED brings it


def test_those_of_a_refusal_come_too(house):
    house.gate.refuse("connect", "log in", SID)
    client = house.client()
    client.connect("ann", features=FEATURES)
    frames = client.take()
    assert [frame.name for frame in frames] == ["COOKIE", "ERROR"]
    assert fetch(house, frames[0]) == (SID,)


def test_what_is_taken_away_goes_both_ways_as_script_cannot_remove_what_it_does_not_see(house):
    ann, _ = joined(house)
    gone = 'sid=""; Max-Age=0; Path=/'
    house.gate.allow("publish", gone)
    ann.publish("lobby", 1)
    frames = ann.take()
    assert [frame.name for frame in frames] == ["SET_COOKIE", "COOKIE", "ACK"]
    assert fetch(house, frames[1]) == (gone,)


def test_a_cookie_for_script_replaces_one_of_its_name_that_waits(house):
    ann, _ = joined(house)
    house.gate.allow("publish", "sid=gone; Max-Age=0")
    ann.publish("lobby", 1)
    house.gate.allow("publish", "sid=back")
    ann.publish("lobby", 1)
    announced = [frame for frame in ann.take() if frame.name == "COOKIE"]
    assert fetch(house, announced[-1]) == ("sid=back; Path=/",)


@pytest.mark.parametrize(
    ("raw", "handed"),
    [
        ("a=1; HttpOnly", "a=1; HttpOnly; Path=/"),
        ("a=1; Path=; HttpOnly", "a=1; Path=; HttpOnly; Path=/"),
        ("a=1; path=here; httponly", "a=1; path=here; httponly; Path=/"),
        ("a=1; Path=/app; HttpOnly; SameSite=Lax; Secure", "a=1; Path=/app; HttpOnly; SameSite=Lax; Secure"),
    ],
)
def test_without_a_path_of_its_own_a_cookie_is_for_the_whole_site(house, raw, handed):
    ann, _ = joined(house)
    house.gate.allow("publish", raw)
    ann.publish("lobby", 1)
    assert fetch(house, ann.take()[0]) == (handed,)


# a cut


def test_what_was_not_fetched_before_a_cut_is_announced_again(house):
    ann, ticket = joined(house)
    house.gate.allow("publish", SID)
    ann.publish("lobby", 1)
    ann.leave()
    again = house.client("sid=old")
    again.connect("ann", features=FEATURES, resume=ticket)
    frames = again.take()
    assert [frame.name for frame in frames] == ["CONNECTED", "COOKIE"]
    assert frames[0].args["resumed"] is True
    assert fetch(house, frames[1]) == (SID,)
    again.publish("lobby", 2)
    assert carried(house) == "sid=new"


def test_what_was_fetched_is_not_announced_again_and_the_place_is_good_with_the_new_cookies(house):
    ann, ticket = joined(house)
    house.gate.allow("publish", SID)
    ann.publish("lobby", 1)
    announced = ann.take()[0]
    assert fetch(house, announced) == (SID,)
    ann.leave()
    again = house.client("sid=new")
    again.connect("ann", features=FEATURES, resume={**ticket, "key": announced.args["resume"]})
    (frame,) = again.take()
    assert frame.args["resumed"] is True


def test_an_answer_that_comes_after_the_cut_reaches_who_takes_the_place(house):
    ann, ticket = joined(house)
    house.gate.allow("publish", SID, "theme=dark")
    go = house.gate.think("publish")
    ann.sending("PUBLISH", channel_name="lobby", payload="1")
    ann.leave()
    go.set()
    house.settle()
    again = house.client("sid=old")
    again.connect("ann", features=FEATURES, resume=ticket)
    assert fetch(house, again.take()[1]) == (SID, "theme=dark; Path=/")
    again.publish("lobby", 2)
    assert carried(house) == "sid=new; theme=dark"


def test_the_place_belongs_to_the_session_that_came_after_the_cut():
    house = House(session_cookie=("sid",))
    ann, ticket = joined(house)
    house.gate.allow("publish", SID)
    go = house.gate.think("publish")
    ann.sending("PUBLISH", channel_name="lobby", payload="1")
    ann.leave()
    go.set()
    house.settle()
    end_session(house.site, digest_of("new"), REVOKED)
    again = house.client("sid=old")
    again.connect("ann", features=FEATURES, resume=ticket)
    assert "resumed" not in again.take()[0].args


def test_what_is_decided_for_a_session_that_has_ended_sets_no_cookie(house):
    ann, _ = joined(house, cookies="sessionid=old")
    house.gate.allow("publish", SID)
    go = house.gate.think("publish")
    ann.sending("PUBLISH", channel_name="lobby", payload="1")
    end_session(house.site, digest_of("old"), REVOKED)
    go.set()
    house.settle()
    assert not [frame for frame in ann.take() if "COOKIE" in frame.name]
    assert len(house.site.pickups) == 0


def test_an_answer_that_comes_after_the_return_goes_to_the_new_connection(house):
    ann, ticket = joined(house)
    house.gate.allow("publish", SID, "theme=dark")
    go = house.gate.think("publish")
    ann.sending("PUBLISH", channel_name="lobby", payload="1")
    ann.leave()
    again = house.client("sid=old")
    again.connect("ann", features=FEATURES, resume=ticket)
    again.take()
    go.set()
    house.settle()
    assert again.names() == ["SET_COOKIE", "COOKIE"]
    again.publish("lobby", 2)
    assert carried(house) == "sid=new; theme=dark"


def test_what_waits_for_a_connection_goes_with_it_when_the_application_ends_it(house):
    ann, _ = joined(house)
    house.gate.allow("publish", SID)
    ann.publish("lobby", 1)
    announced = ann.take()[0]
    administer.disconnect_connection(house.site, ann.connection.id)
    assert fetch(house, announced) is None
    assert len(house.site.pickups) == 0


@pytest.mark.parametrize(
    "end",
    [
        lambda site, ann: administer.disconnect_connection(site, ann.connection.id),
        lambda site, ann: administer.disconnect_user(site, "ann"),
        lambda site, ann: administer.disconnect_session(site, ann.connection.session),
    ],
    ids=["connection", "user", "session"],
)
def test_so_it_does_with_a_place_that_is_given_up(end):
    house = House(session_cookie=("sid",))
    ann, _ = joined(house)
    house.gate.allow("publish", SID)
    ann.publish("lobby", 1)
    announced = ann.take()[0]
    ann.leave()
    end(house.site, ann)
    assert fetch(house, announced) is None
    assert len(house.site.pickups) == 0


# comet: later requests bring the cookies that the browser has then


def comet(house, *set_cookies):
    ann, _ = joined(house, cookies="sid=v0; other=1")
    for raw in set_cookies:
        house.gate.allow("publish", raw)
        ann.publish("lobby", 1)
    house.gate.answer("publish", Allow({}))

    def request(cookies):
        take_request_cookies(house.site, ann.connection, cookies)
        return ann.connection.cookies

    return request


def test_a_request_from_before_a_cookie_was_fetched_does_not_bring_the_old_one_back(house):
    request = comet(house, "sid=v1; HttpOnly", "sid=v2; HttpOnly")
    assert request("sid=v0; other=2") == "other=2; sid=v2"
    assert request("sid=v1; other=2") == "other=2; sid=v2"


def test_what_the_browser_got_elsewhere_goes_before_what_is_kept(house):
    request = comet(house, "sid=v1; HttpOnly")
    assert request("sid=login; other=1") == "sid=login; other=1"
    assert request("sid=v1") == "sid=v1"


def test_once_the_browser_has_shown_a_cookie_it_decides_but_for_a_late_request(house):
    request = comet(house, "sid=v1; HttpOnly")
    assert request("sid=v1; other=1") == "other=1; sid=v1"
    assert request("sid=v0; other=1") == "other=1; sid=v1"
    house.advance(LATE_SECONDS + 1)
    assert request("other=1") == "other=1"


def test_a_logout_of_the_browser_is_not_covered_up(house):
    ann, _ = joined(house, cookies="")
    house.gate.allow("publish", SID)
    ann.publish("lobby", 1)
    take_request_cookies(house.site, ann.connection, "a=1")
    assert ann.connection.cookies == "a=1; sid=new"  # not fetched yet
    take_request_cookies(house.site, ann.connection, "a=1; sid=new")
    house.advance(LATE_SECONDS + 1)
    take_request_cookies(house.site, ann.connection, "a=1")
    assert ann.connection.cookies == "a=1"
