"""Logging out ends the live connections of the session, in all its tabs and after the commit."""

import hashlib
import logging
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils.module_loading import import_string

from hookbox.testing import Receiver, Reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def _standin():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def standin(_standin, settings):
    """Stands for Hookbox, and says yes."""
    settings.HOOKBOX_URL = _standin.url
    settings.HOOKBOX_API_SECURITY_TOKEN = "token"
    _standin.forget()
    _standin.answer(Reply([True, {"connections": 2}]))
    return _standin


def logged_in(backend="db"):
    """A request of somebody who is logged in."""
    request = RequestFactory().post("/")
    request.user = User.objects.get_or_create(username="ann")[0]
    request.session = import_string(f"django.contrib.sessions.backends.{backend}.SessionStore")()
    request.session["cart"] = ["book"]
    request.session.save()
    return request


def told(standin):
    """What Hookbox was told: methods and sessions."""
    return [(each.target, dict(parse_qsl(each.body.decode()))["session"]) for each in standin.got]


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()[:32]


@pytest.mark.parametrize("backend", ["db", "cached_db", "cache", "signed_cookies"])
def test_the_sessions_connections_are_ended(standin, backend):
    request = logged_in(backend)
    key = request.session.session_key
    logout(request)
    assert told(standin) == [("/web/disconnect", digest(key))]
    assert key not in str(standin.got)


def test_by_the_view_too(standin):
    ann = User.objects.create_superuser("root")
    browser = Client()
    browser.force_login(ann)
    key = browser.cookies["sessionid"].value
    assert browser.post("/admin/logout/").status_code == 200
    assert told(standin) == [("/web/disconnect", digest(key))]


def test_it_happens_when_the_session_is_gone_and_others_still_see_what_was_in_it(standin):
    request = logged_in()
    key, seen = request.session.session_key, []

    def look(request, **_):
        seen.append((request.session["cart"], request.session.exists(key), len(standin.got)))

    user_logged_out.connect(look)
    try:
        logout(request)
    finally:
        user_logged_out.disconnect(look)
    assert seen == [(["book"], False, 1)]


def test_after_the_commit_and_never_after_a_rollback(standin):
    with transaction.atomic():
        logout(logged_in())
        assert standin.got == []
    assert len(standin.got) == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        logout(logged_in())
        raise ZeroDivisionError
    assert len(standin.got) == 1


def test_it_can_be_switched_off(standin, settings):
    settings.HOOKBOX_DISCONNECT_ON_LOGOUT = False
    request = logged_in()
    logout(request)
    assert standin.got == []


def test_without_a_token_nobody_is_called(standin, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = None
    logout(logged_in())
    assert standin.got == []


@pytest.mark.parametrize("request_of", [HttpRequest, lambda: None], ids=["no session", "no request"])
def test_what_has_no_session_ends_nothing(standin, request_of):
    user_logged_out.send(sender=User, request=request_of(), user=AnonymousUser())
    assert standin.got == []


def test_a_session_that_was_never_saved_ends_nothing(standin):
    request = logged_in()
    request.session = type(request.session)()
    logout(request)
    assert standin.got == []


@pytest.mark.parametrize(
    "answer",
    [Reply([False, {"error": "no"}]), Reply(status=500, body=b""), Reply.hang_up()],
    ids=["refused", "broken", "hangs up"],
)
def test_a_logout_succeeds_whatever_hookbox_says(standin, caplog, answer):
    standin.answer(answer)
    request = logged_in()
    with caplog.at_level(logging.INFO, "hookbox.django"):
        logout(request)
    assert "the connections of a session that has ended stay" in caplog.text
    assert [record.levelname for record in caplog.records if record.name == "hookbox.django"] == ["INFO"]
    assert request.user == AnonymousUser()


def test_and_while_it_is_down(settings):
    settings.HOOKBOX_URL = "http://127.0.0.1:1"
    settings.HOOKBOX_API_SECURITY_TOKEN = "token"
    request = logged_in()
    logout(request)
    assert request.user == AnonymousUser()
