"""A session of the application ends (A8, A10): by its API, or because it answers a webhook with 401."""

import json

import gevent
import pytest
from parts import House, errors

from hookbox.commands import administer
from hookbox.commands.stream import leave, let_in
from hookbox.core.sessions import digest_of
from hookbox.errors import NotFound, NotPermitted, UnusableAnswer
from hookbox.protocol.disconnects import BY_API, REVOKED
from hookbox.webhooks.gate import Allow

FEATURES = ["ack", "recover", "close", "resume"]
COOKIES = "sessionid=abc"
NO_SESSION = "a=1; b=2"
SESSION = digest_of("abc")
UNKNOWN = UnusableAnswer("Invalid callback response, status=401", "status 401", 401)


def tabs(house, count, channel="lobby", *, name="ann", cookies=COOKIES):
    """Tabs of one browser, subscribed; what they got is forgotten."""
    clients = [house.client(cookies) for _ in range(count)]
    for client in clients:
        client.connect(name, features=FEATURES)
        client.send("SUBSCRIBE", channel_name=channel)
    for client in clients:
        client.ticket = client.frames[0].args.get("resume")
        client.frames.clear()
    return clients


def test_A10_disconnect_by_session_ends_its_connections_and_no_other(house):
    (other,) = tabs(house, 1, name="ann", cookies="sessionid=phone")
    mine = tabs(house, 3)
    assert administer.disconnect_session(house.site, SESSION) == 3
    other.publish("lobby", "after")
    assert [client.ended for client in mine] == [BY_API] * 3
    assert [client.names() for client in mine] == [["CLOSE"]] * 3
    assert other.ended is None
    assert "PUBLISH" in other.names()
    assert house.hub.sessions.of(SESSION) == []


def test_a_session_without_connections_ends_without_an_error(house):
    assert administer.disconnect_session(house.site, SESSION) == 0
    assert administer.disconnect_session(house.site, "") == 0


def test_connections_without_a_session_belong_to_nobody(house):
    (stranger,) = tabs(house, 1, cookies="csrftoken=1")
    assert stranger.connection.session == ""
    administer.disconnect_session(house.site, "")
    assert stranger.ended is None


def test_what_is_under_way_for_a_session_that_ended_comes_to_nothing(house):
    bob = house.subscribed("lobby", "bob")
    (asker,) = tabs(house, 1)
    going = [house.gate.think("publish"), house.gate.think("subscribe", channel_name="other")]
    waiting = [
        asker.sending("PUBLISH", channel_name="lobby", payload='"too late"'),
        *(tab.sending("SUBSCRIBE", channel_name="other") for tab in tabs(house, 1)),
    ]
    assert administer.disconnect_session(house.site, SESSION) == 2
    for go in going:
        go.set()
    gevent.joinall(waiting)
    house.settle()
    assert bob.take() == []
    assert "other" not in (house.hub.channels["other"].subscribers if "other" in house.hub.channels else {})
    assert asker.names() == ["CLOSE"]


def test_a_subscribe_asked_by_a_session_that_ended_does_not_begin_for_the_users_other_browser(house):
    (phone,) = tabs(house, 1, cookies="sessionid=phone")
    (desk,) = tabs(house, 1)
    go = house.gate.think("subscribe", channel_name="private")
    waiting = desk.sending("SUBSCRIBE", channel_name="private")
    administer.disconnect_session(house.site, SESSION)
    go.set()
    waiting.join()
    assert phone.take() == []
    assert "private" not in phone.connection.user.channels


def test_who_waited_with_it_is_asked_for_itself(house):
    (phone,) = tabs(house, 1, cookies="sessionid=phone")
    (desk,) = tabs(house, 1)
    go = house.gate.think("subscribe", channel_name="private")
    waiting = [client.sending("SUBSCRIBE", channel_name="private") for client in (desk, phone)]
    administer.disconnect_session(house.site, SESSION)
    go.set()
    gevent.joinall(waiting)
    asked = house.gate.questions("subscribe", channel_name="private")
    assert [question.cookies for question in asked] == [COOKIES, "sessionid=phone"]
    assert phone.names() == ["SUBSCRIBE", "ACK"]
    assert desk.names() == ["CLOSE"]


def test_A8_a_connect_under_way_comes_to_nothing_and_the_next_is_asked_anew(house):
    go = house.gate.think("connect")
    early = [house.client(COOKIES) for _ in range(3)]
    waiting = [
        gevent.spawn(client.connect, "ann", features=FEATURES) for client in early
    ]
    house.settle()
    assert administer.disconnect_session(house.site, SESSION) == 3
    late = house.client(COOKIES)
    late_waiting = gevent.spawn(late.connect, "ann", features=FEATURES)
    house.settle()
    house.gate.refuse("connect", "logged out")
    go.set()
    gevent.joinall([*waiting, late_waiting])
    assert [client.ended for client in early] == [BY_API] * 3
    assert [client.names() for client in early] == [[]] * 3
    assert house.hub.connections == {}
    assert len(house.gate.questions("connect")) == 2
    assert errors(late.take()) == ["denied"]
    assert late.ended is None


def test_A8_a_place_of_a_session_that_ended_is_not_given_back(house):
    (tab,) = tabs(house, 1)
    ticket = {"conn_id": tab.connection.id, "key": tab.ticket}
    tab.leave()
    assert administer.disconnect_session(house.site, SESSION) == 0
    house.gate.refuse("connect", "logged out")
    again = house.client(COOKIES)
    again.connect("ann", features=FEATURES, resume=ticket)
    assert errors(again.take()) == ["denied"]


@pytest.mark.parametrize("action", ["publish", "subscribe", "create_channel", "unsubscribe", "message"])
def test_a_401_to_any_webhook_revokes_the_session_and_its_client_is_told_first(house, action):
    (phone,) = tabs(house, 1, cookies="sessionid=phone")
    first, *others = tabs(house, 3)
    house.gate.answer(action, UNKNOWN)
    frame = {
        "publish": ("PUBLISH", {"channel_name": "lobby", "payload": "1"}),
        "subscribe": ("SUBSCRIBE", {"channel_name": "new"}),
        "create_channel": ("SUBSCRIBE", {"channel_name": "new"}),
        "unsubscribe": ("UNSUBSCRIBE", {"channel_name": "lobby"}),
        "message": ("MESSAGE", {"name": "ann", "payload": "1"}),
    }[action]
    first.send(frame[0], **frame[1])
    assert [tab.ended for tab in (first, *others)] == [REVOKED] * 3
    error, close = first.take()
    assert (error.name, error.args["code"]) == ("ERROR", "app_unavailable")
    assert (close.name, close.args["code"]) == ("CLOSE", 4502)
    assert [tab.names() for tab in others] == [["CLOSE"]] * 2
    assert phone.ended is None
    assert house.hub.sessions.of(SESSION) == []


def test_a_401_drops_the_cookies_that_wait_for_its_client(house):
    client = house.client(COOKIES)
    client.connect("ann", features=["cookies"])
    house.gate.allow("create_channel", "sessionid=new; HttpOnly")
    house.gate.answer("subscribe", UNKNOWN)
    client.send("SUBSCRIBE", channel_name="lobby")
    assert client.ended == REVOKED
    assert len(house.site.pickups) == 0


def test_F5_to_a_visitor_without_any_cookie_401_is_a_no_like_any_other(house):
    house.subscribed("lobby", "bob")
    (visitor,) = tabs(house, 1, cookies="")
    house.gate.answer("publish", UNKNOWN)
    visitor.publish("lobby", 1)
    assert (visitor.ended, visitor.names()) == (None, ["ERROR"])


def test_a_401_without_a_session_ends_that_connection_only(house):
    bob = house.subscribed("lobby", "bob")
    first, other = tabs(house, 2, cookies=NO_SESSION)
    house.gate.answer("publish", UNKNOWN)
    first.publish("lobby", 1)
    assert (first.ended, other.ended, bob.ended) == (REVOKED, None, None)
    assert first.names() == ["ERROR", "CLOSE"]


def test_a_401_to_what_an_answer_leads_to_revokes_as_well(house):
    (tab,) = tabs(house, 1)
    house.gate.allow("publish", auto_subscribe=["led"])
    house.gate.answer("subscribe", UNKNOWN)
    tab.publish("lobby", "never seen")
    assert tab.ended == REVOKED
    assert tab.names() == ["CLOSE"]
    assert house.site.broker.position("lobby").offset == 0


def test_a_401_to_connect_leaves_its_client_and_ends_the_others_of_the_session(house):
    first, second = tabs(house, 2)
    house.gate.answer("connect", UNKNOWN)
    new = [house.client(COOKIES) for _ in range(2)]
    gevent.joinall([gevent.spawn(client.connect, "ann", features=FEATURES) for client in new])
    assert (first.ended, second.ended) == (REVOKED, REVOKED)
    for client in new:
        assert errors(client.take()) == ["app_unavailable"]
        assert client.ended is None
    house.gate.allow("connect", name="ann")
    new[0].connect("ann")
    assert "CONNECTED" in new[0].names()


def test_nothing_is_revoked_by_other_statuses_or_by_what_is_told(house):
    (tab, other) = tabs(house, 2)
    for status in (400, 403, 404, 500, 503):
        house.gate.answer("publish", UnusableAnswer(f"status {status}", "", status))
        tab.publish("lobby", 1)
    assert (tab.ended, other.ended) == (None, None)
    for action in ("unsubscribe", "disconnect", "destroy_channel"):
        house.gate.answer(action, UNKNOWN)
    (gone,) = tabs(house, 1, name="bob")
    gone.leave()
    house.advance(60)
    assert house.gate.questions("disconnect")
    assert (tab.ended, other.ended) == (None, None)


def test_a_session_that_an_answer_renews_is_renewed_for_all_its_tabs(house):
    first, second = tabs(house, 2)
    (cut,) = tabs(house, 1)
    ticket = {"conn_id": cut.connection.id, "key": cut.ticket}
    cut.leave()
    guest = let_in(house.site, COOKIES, "192.0.2.1", ["lobby"])
    house.gate.allow("publish", "sessionid=new; HttpOnly", "csrftoken=fresh", "theme=dark")
    first.publish("lobby", 1)
    house.gate.allow("publish")
    second.publish("lobby", 2)
    fresh = "sessionid=new; csrftoken=fresh; theme=dark"
    assert house.gate.asked[-1].cookies == fresh
    assert guest.speaker.cookies == fresh
    again = house.client(COOKIES)
    again.connect("ann", features=FEATURES, resume=ticket)
    assert again.frames[0].args["resumed"] is True
    again.publish("lobby", 3)
    assert house.gate.asked[-1].cookies == fresh
    members = [first.connection, second.connection, guest.speaker, again.connection]
    assert house.hub.sessions.of(digest_of("new")) == members
    leave(house.site, guest)


def test_other_cookies_stay_with_the_connection_that_caused_them(house):
    first, second = tabs(house, 2)
    house.gate.allow("publish", "theme=dark")
    first.publish("lobby", 1)
    assert first.connection.cookies == f"{COOKIES}; theme=dark"
    assert second.connection.cookies == COOKIES


def test_a_401_to_a_cookie_that_was_replaced_meanwhile_ends_nothing(house):
    first, second = tabs(house, 2)
    go = house.gate.think("publish", payload='"old"')
    house.gate.answer(
        "publish",
        lambda question: UNKNOWN if question.fields["payload"] == '"old"' else Allow({}, ("sessionid=new",)),
    )
    waiting = first.sending("PUBLISH", channel_name="lobby", payload='"old"')
    second.publish("lobby", "renews")
    go.set()
    waiting.join()
    assert (first.ended, second.ended) == (None, None)
    assert errors(first.take()) == ["app_unavailable"]


def test_the_session_cookie_can_be_named():
    house = House(session_cookie=("auth", "token"))
    (tab,) = tabs(house, 1, cookies="sessionid=1; token=2")
    assert tab.connection.session == digest_of("2")
    house = House(cookie_identifier="auth")
    (tab,) = tabs(house, 1, cookies="sessionid=1; auth=2")
    assert (tab.connection.session, tab.connection.cookies) == (digest_of("2"), "auth=2")


# streams


def test_guests_belong_to_their_session_and_end_with_it(house):
    guest = let_in(house.site, COOKIES, "192.0.2.1", ["lobby"])
    assert house.hub.sessions.of(SESSION) == [guest.speaker]
    assert administer.disconnect_session(house.site, SESSION) == 1
    assert not guest.speaker.open
    leave(house.site, guest)
    assert house.hub.guests == {}


def test_guests_end_with_their_user(house):
    guests = [let_in(house.site, "", "192.0.2.1", ["lobby"]) for _ in range(2)]
    assert house.hub.users == {}
    (name,) = {guest.speaker.user.name for guest in guests[:1]}
    assert administer.disconnect_user(house.site, name) == 1
    assert [guest.speaker.open for guest in guests] == [False, True]
    with pytest.raises(NotFound):
        administer.disconnect_user(house.site, name)


@pytest.mark.parametrize("action", ["connect", "subscribe"])
def test_a_guest_about_whom_is_being_asked_is_not_let_in(house, action):
    go = house.gate.think(action)
    entering = gevent.spawn(let_in, house.site, COOKIES, "192.0.2.1", ["lobby"])
    house.settle()
    assert administer.disconnect_session(house.site, SESSION) == 1
    go.set()
    entering.join()
    assert isinstance(entering.exception, NotPermitted)
    assert house.hub.sessions.of(SESSION) == []


def test_a_guest_gone_belongs_to_no_session(house):
    leave(house.site, let_in(house.site, COOKIES, "192.0.2.1", ["lobby"]))
    assert len(house.hub.sessions) == 0


def test_a_401_about_a_guest_ends_the_pages_too(house):
    (tab,) = tabs(house, 1)
    house.gate.answer("subscribe", UNKNOWN)
    with pytest.raises(UnusableAnswer):
        let_in(house.site, COOKIES, "192.0.2.1", ["lobby"])
    assert tab.ended == REVOKED


def test_a_connect_payload_is_remembered_for_asking_again_unless_it_is_long():
    house = House()
    assert _payload(house, "ann") == '"ann"'
    assert _payload(house, "x" * 2000) == ""
    house = House(recheck_interval=60)
    assert _payload(house, "x" * 2000) == json.dumps("x" * 2000)


def _payload(house, payload):
    house.gate.allow("connect", name="ann")
    client = house.client(COOKIES)
    client.connect(payload)
    return client.connection.connect_payload


# several at once


def test_a_session_that_an_answer_renews_after_its_client_was_cut_off_is_renewed_for_the_other_tabs(house):
    first, second = tabs(house, 2)
    house.gate.allow("publish", "sessionid=new; HttpOnly")
    go = house.gate.think("publish", payload="1")
    waiting = first.sending("PUBLISH", channel_name="lobby", payload="1")
    first.leave()
    go.set()
    waiting.join()
    house.gate.allow("publish")
    second.publish("lobby", 2)
    assert house.gate.asked[-1].cookies == "sessionid=new"
    assert house.hub.sessions.of(digest_of("new")) == [second.connection]


@pytest.mark.parametrize("action", ["create_channel", "subscribe"])
def test_a_401_to_one_session_is_no_answer_for_another_that_waited_with_it(house, action):
    (phone,) = tabs(house, 1, cookies="sessionid=phone")
    (desk,) = tabs(house, 1)
    house.gate.answer(action, lambda question: UNKNOWN if question.cookies == COOKIES else Allow({}))
    go = house.gate.think(action, channel_name="private")
    waiting = [client.sending("SUBSCRIBE", channel_name="private") for client in (desk, phone)]
    go.set()
    gevent.joinall(waiting)
    assert desk.ended == REVOKED
    assert phone.names() == ["SUBSCRIBE", "ACK"]


def test_a_401_after_the_return_without_a_session_ends_who_has_the_place_now(house):
    (tab,) = tabs(house, 1, cookies=NO_SESSION)
    ticket = {"conn_id": tab.connection.id, "key": tab.ticket}
    go = house.gate.think("publish", payload="1")
    house.gate.answer("publish", UNKNOWN)
    waiting = tab.sending("PUBLISH", channel_name="lobby", payload="1")
    tab.leave()
    again = house.client(NO_SESSION)
    again.connect("ann", features=FEATURES, resume=ticket)
    assert again.take()[0].args["resumed"] is True
    go.set()
    waiting.join()
    assert again.ended == REVOKED
    assert house.hub.connections == {}


def test_a_401_after_a_cut_without_a_session_gives_its_place_up(house):
    (tab,) = tabs(house, 1, cookies=NO_SESSION)
    ticket = {"conn_id": tab.connection.id, "key": tab.ticket}
    go = house.gate.think("publish", payload="1")
    house.gate.answer("publish", UNKNOWN)
    waiting = tab.sending("PUBLISH", channel_name="lobby", payload="1")
    tab.leave()
    go.set()
    waiting.join()
    house.gate.refuse("connect", "logged out")
    again = house.client(NO_SESSION)
    again.connect("ann", features=FEATURES, resume=ticket)
    assert errors(again.take()) == ["denied"]


def test_what_is_read_of_a_client_after_its_end_comes_to_nothing(house):
    bob = house.subscribed("lobby", "bob")
    (tab,) = tabs(house, 1)
    early = house.client(COOKIES)
    early.leave()
    administer.disconnect_session(house.site, SESSION)
    tab.publish("lobby", "too late")
    early.connect("ann", features=FEATURES)
    house.settle()
    assert bob.names() == []
    assert house.gate.questions("publish") == []
    assert [connection.id for connection in house.hub.connections.values()] == [bob.connection.id]
