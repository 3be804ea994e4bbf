"""Django gives a session another key while it answers a webhook: the browser stays logged in."""

from urllib.parse import urlsplit

import pytest
from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from hookbox.contrib.django import whcallback
from hookbox.contrib.django.callbacks import isolated_callbacks
from hookbox.testing import DEADLINE, HookboxProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

PAGE = """<!doctype html><p id="who">%s</p><script src="%s/static/hookbox.js"></script><script>
const seen = [document.cookie];
const begin = transport => new Promise((done, fail) => {
  conn = hookbox.connect('%s', null, undefined, { transport });
  conn.on('open', done);
  conn.on('error', fail);
  setTimeout(() => fail(conn.state), %d);
  conn.on('cookies', () => seen.push(document.cookie));
});
</script>"""


def who(request):
    hookbox = who.hookbox
    return HttpResponse(PAGE % (request.user.username or "nobody", hookbox, hookbox, DEADLINE * 1000))


urlpatterns = [path("", who), path("hookbox/", include("hookbox.contrib.django.urls"))]


@pytest.fixture(scope="module")
def server(live_server):
    with HookboxProcess(cbport=urlsplit(live_server.url).port, leave_grace=0) as process:
        who.hookbox = process.url.replace("127.0.0.1", "localhost")  # where the pages are
        yield process


@pytest.fixture
def callbacks(server):
    """Registers what a channel's publish does to the session."""
    with isolated_callbacks():
        whcallback("create")(lambda op, user, channel: {})
        yield whcallback("publish")


@pytest.fixture
def page(live_server, browser, server, callbacks):
    """Somebody who is logged in."""
    client = Client()
    client.force_login(User.objects.get_or_create(username="ann")[0])
    context = browser.new_context()
    context.set_default_timeout(DEADLINE * 1000)
    first = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": first, "url": live_server.url, "httpOnly": True}])
    page = context.new_page()
    page.first = first
    page.goto(live_server.url)
    yield page
    context.close()
    server.settle()


def session(page):
    return next((each for each in page.context.cookies() if each["name"] == "sessionid"), None)


def is_logged_in_as(page):
    page.reload()
    return page.text_content("#who")


def publish(page):
    """Publish, then say whether script has seen anything of the session."""
    seen = page.evaluate("() => conn.publish('room', 1).catch(error => error.msg).then(() => seen)")
    assert not any("sessionid" in cookies for cookies in [*seen, page.evaluate("document.cookie")])


@pytest.mark.parametrize("transport", ["websocket", "comet"])
def test_A5_a_session_key_that_changes_in_a_webhook_is_the_browsers_at_once(page, callbacks, transport):
    names = []

    @callbacks
    def rotate(op, user, channel, payload, *, request):
        names.append(user.username)
        request.session.cycle_key()

    assert page.text_content("#who") == "ann"
    keys = [page.first]
    for _ in range(2):  # the second load begins with a cookie that came from Hookbox
        page.evaluate("transport => begin(transport)", transport)
        for _ in range(2):  # the second question carries what the first one set
            publish(page)
            cookie = session(page)
            assert cookie["value"] not in keys
            assert cookie["httpOnly"] is True
            keys.append(cookie["value"])
        assert is_logged_in_as(page) == "ann"
    assert names == ["ann"] * 4


def test_another_tab_of_the_session_stays_logged_in_too(page, callbacks, live_server):
    names = []

    @callbacks
    def rotate(op, user, channel, payload, *, request):
        names.append(user.username)
        if len(names) == 1:
            request.session.cycle_key()

    other = page.context.new_page()
    other.goto(live_server.url)
    for tab in (page, other):
        tab.evaluate("begin('')")
    publish(page)
    publish(other)
    assert names == ["ann", "ann"]
    assert is_logged_in_as(other) == "ann"


def test_who_logs_in_or_out_in_a_webhook_has_done_so_in_the_browser(page, callbacks):
    bob = User.objects.get_or_create(username="bob")[0]
    act = {}

    @callbacks
    def change(op, user, channel, payload, *, request):
        act["now"](request)

    page.evaluate("begin('')")
    act["now"] = lambda request: login(request, bob, "django.contrib.auth.backends.ModelBackend")
    publish(page)
    assert is_logged_in_as(page) == "bob"
    page.evaluate("begin('')")
    act["now"] = logout
    publish(page)
    assert session(page) is None  # Django takes it away without saying HttpOnly: script could not have
    assert is_logged_in_as(page) == "nobody"
