"""The project and a real Hookbox: it calls, and is asked through its own views."""

from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

import hookbox.contrib.django as hookbox
from hookbox.contrib.django import Deny, HookboxError, register_channel_handler, whcallback
from hookbox.contrib.django.callbacks import isolated_callbacks
from hookbox.testing import HookboxProcess, Receiver

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "gehütet"


@pytest.fixture(scope="module")
def _process(live_server):
    port = urlsplit(live_server.url).port
    with HookboxProcess(cbport=port, webhook_secret=SECRET, egress="internal", leave_grace=0) as process:
        yield process


@pytest.fixture
def server(_process, settings, live_server):
    settings.HOOKBOX_URL = _process.url
    settings.HOOKBOX_API_SECURITY_TOKEN = _process.TOKEN
    settings.HOOKBOX_WEBHOOK_SECRET = SECRET
    with isolated_callbacks():
        whcallback("create")(lambda op, user, channel: {} if channel.startswith("open") else None)
        yield _process
        _process.settle()


def connected(server, name=None):
    """A browser of a user that is logged in, or of nobody."""
    headers = {}
    if name:
        django = Client()
        django.force_login(User.objects.get_or_create(username=name)[0])
        headers["Cookie"] = f"sessionid={django.cookies['sessionid'].value}"
    browser = server.client(headers=headers)
    return browser, browser.connect(None)["name"]


def refused(call):
    with pytest.raises(HookboxError) as caught:
        call()
    return caught.value


def test_a_channel_is_made_changed_looked_at_and_ended(server):
    assert hookbox.create("/made/", history_size=3, reflective=False, state={"a": 1}, polling="off") == {}
    info = hookbox.channel_info("/made/")
    assert info["options"]["history_size"] == 3
    assert info["options"]["reflective"] is False
    assert info["state"] == {"a": 1}
    hookbox.set_channel_options("/made/", {"history_size": 5})
    hookbox.set_state("/made/", "topic", {"ä": [1]})
    hookbox.delete_state("/made/", "a")
    info = hookbox.channel_info("/made/")
    assert info["options"]["history_size"] == 5
    assert info["state"] == {"topic": {"ä": [1]}}
    assert refused(lambda: hookbox.create("/made/")).result["code"] == "exists"
    hookbox.destroy("/made/")
    error = refused(lambda: hookbox.channel_info("/made/"))
    assert (error.code, error.result["code"]) == (200, "not_found")


def test_a_wrong_option_changes_nothing(server):
    error = refused(lambda: hookbox.create("open-typo", histroy_size=3))
    assert error.result["code"] == "bad_option"
    assert "histroy_size" in str(error)


def test_publications_reach_subscribers(server):
    ann, name = connected(server, "ann")
    assert name == "ann"
    ann.subscribe("open")
    assert (
        hookbox.publish("open", {"text": "ä\u2028"}, originator=User(username="bob"), id="once")["offset"]
        == 1
    )
    assert hookbox.publish("open", "again", id="once")["offset"] == 1
    hookbox.publish_multi(["open"], "second")
    first, second = ann.next_publication(), ann.next_publication()
    assert (first["payload"], first["user"]) == ({"text": "ä\u2028"}, "bob")
    assert second["payload"] == "second"
    error = refused(lambda: hookbox.publish_multi(["open", "nowhere"], 1))
    assert error.result["results"]["open"][0] is True


def test_users_are_subscribed_told_and_sent_away(server):
    ann, _ = connected(server, "ann")
    connected(server, "bob")
    hookbox.create("room")
    user = User.objects.get(username="ann")
    hookbox.subscribe("room", user)
    assert ann.skip_to("SUBSCRIBE")["channel_name"] == "room"
    assert hookbox.user_info(user)["channels"] == ["room"]
    hookbox.unsubscribe("room", "ann")
    ann.skip_to("UNSUBSCRIBE")
    hookbox.message("bob", user, {"n": 1})
    assert ann.skip_to("MESSAGE")["payload"] == {"n": 1}
    assert hookbox.server_info()["users"] == 2
    assert hookbox.disconnect(user) == {"connections": 1}
    assert ann.wait_closed()[0] >= 4000
    assert refused(lambda: hookbox.user_info(user)).result["code"] == "not_found"


def test_a_logout_ends_the_tabs_of_that_session_and_no_others(server):
    user = User.objects.create_user("ann")
    desk, phone = Client(), Client()
    tabs = {}
    for browser in (desk, desk, phone):
        browser.force_login(user)
    for browser, count in ((desk, 3), (phone, 1)):
        cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
        tabs[browser] = [server.client(headers=cookie) for _ in range(count)]
        assert [tab.connect(None)["name"] for tab in tabs[browser]] == ["ann"] * count
    assert len(hookbox.user_info(user)["sessions"]) == 2
    old = f"sessionid={desk.cookies['sessionid'].value}"
    desk.logout()
    assert [tab.wait_closed()[0] for tab in tabs[desk]] == [4504] * 3
    hookbox.message("ann", "ann", 1)
    assert tabs[phone][0].skip_to("MESSAGE")["payload"] == 1
    assert server.client(headers={"Cookie": old}).connect(None)["name"].startswith(" _")
    assert hookbox.disconnect(session_key=phone.session.session_key) == {"connections": 1}


def test_who_is_not_logged_in_is_somebody_all_the_same(server):
    _, name = connected(server)
    assert name.startswith(" _")


def test_the_project_decides(server):
    @register_channel_handler
    class Rules:
        def connect(self, user):
            return {"override_payload": {"hello": user.get_username()}}

        def subscribe(self, user, channel):
            if not user.is_staff:
                raise Deny("only for staff")

        def publish(self, user, channel, payload, data):
            return {"override_payload": {"was": data}}

    ann, _ = connected(server, "ann")
    ann.send("SUBSCRIBE", channel_name="open")
    assert ann.skip_to("ERROR")["msg"] == "only for staff"
    ann.send("SUBSCRIBE", channel_name="closed")
    assert ann.skip_to("ERROR")["msg"] == "unrecognized channel: closed"
    User.objects.filter(username="ann").update(is_staff=True)
    ann.subscribe("open")
    ann.publish("open", [1])
    assert ann.next_publication()["payload"] == {"was": [1]}


def test_the_project_can_have_itself_asked(server):
    whcallback("publish")(lambda op, user, channel, payload: "no spam")
    hookbox.create("asked")
    error = refused(lambda: hookbox.publish("asked", "spam", send_hook=True))
    assert (str(error), error.result["code"]) == ("no spam", "denied")
    assert hookbox.publish("asked", "spam")["offset"] == 1
    hookbox.destroy("asked")


def test_a_wrong_secret_lets_nobody_in(server, settings):
    settings.HOOKBOX_WEBHOOK_SECRET = "another"
    browser = server.client()
    browser.send("CONNECT", cookie_string="", payload="null")
    assert browser.expect("ERROR")["msg"] == "Unauthorized"


def test_a_dispatch_arrives(server):
    with Receiver() as receiver:
        sent = hookbox.dispatch(
            receiver.hook,
            data={"order": 7},
            headers={"X-Shop": "here"},
            id="order-7",
            retry="none",
            tag="shop",
        )
        again = hookbox.dispatch(
            receiver.hook,
            data={"order": 7},
            headers={"X-Shop": "here"},
            id="order-7",
            retry="none",
            tag="shop",
        )
        (got,) = receiver.wait_for(1)
        assert again == sent == got.headers["webhook-id"]
        assert got.json == {"order": 7}
        assert got.headers["x-shop"] == "here"
        raw = hookbox.dispatch(receiver.hook, body=b"\xff\x00", content_type="image/png")
        (_, got) = receiver.wait_for(2)
        assert (got.body, got.headers["content-type"]) == (b"\xff\x00", "image/png")
        assert got.headers["webhook-id"] == raw


def test_a_dispatch_may_be_for_a_topic(server):
    ann, _ = connected(server, "ann")
    ann.subscribe("open")
    hookbox.dispatch(topic="open", data={"n": 1})
    assert ann.next_publication()["payload"] == {"n": 1}


def test_a_wrong_token_is_an_error(server, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = "wrong"
    error = refused(hookbox.server_info)
    assert (error.code, error.result["code"]) == (200, "bad_token")
    error = refused(lambda: hookbox.dispatch(topic="open"))
    assert error.code in (401, 403)
    assert "token" in str(error)


def test_a_destination_that_is_not_allowed_is_an_error(server):
    error = refused(lambda: hookbox.dispatch("http://169.254.169.254/latest"))
    assert error.code == 403
