"""What the server tells of deliveries, and what a listener's row says then."""

import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import path
from sending_house import ERRBACK_SECRET, OLD_SECRET, job_for, listening, send

from hookbox.contrib.django import errback
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.signals import listener_disabled
from hookbox.testing import DEADLINE, HookboxProcess
from hookbox.webhooks.signing import Secret, sign

pytestmark = pytest.mark.django_db

urlpatterns = [path("hookbox/errback", errback.errback, name="hookbox_errback")]
AT = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def configured(settings):
    settings.ROOT_URLCONF = __name__
    settings.HOOKBOX_ERRBACK_SECRET = ERRBACK_SECRET


@pytest.fixture
def disabled():
    told = []

    def note(sender, listener, **_):
        told.append((sender, listener.uuid, listener.active))

    listener_disabled.connect(note)
    yield told
    listener_disabled.disconnect(note)


def tell(listener, type, *, reason="", status=500, at=AT, tag=None, secret=ERRBACK_SECRET, query="", id=None, url=""):
    last = {
        "class": f"http_{status}" if status else "timeout",
        "status": status,
        "body": "",
        "at": at.isoformat(),
    }
    about = {
        "tag": f"listener:{listener.uuid}" if tag is None else tag,
        "attempts": 4,
        "reason": reason,
        "last": last,
    } | ({"url": url} if url else {})
    body = json.dumps({"type": type, "timestamp": AT.isoformat(), "data": about}).encode()
    return post(body, secret, query, id)


def post(body, secret=ERRBACK_SECRET, query="", id=None):
    id, now = id or f"msg_{uuid.uuid4().hex}", int(time.time())
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([Secret.read(secret)], id, now, body),
    }
    client = Client(enforce_csrf_checks=True)
    return client.post(f"/hookbox/errback{query}", body, content_type="application/json", headers=headers)


def state(listener):
    listener.refresh_from_db()
    return listener.failures, listener.last_status, listener.active


def test_trouble_and_recovery_are_noted(disabled):
    listener = listening("https://shop.example/")
    assert tell(listener, "delivery.failing", status=503).status_code == 200
    assert state(listener) == (1, "503", True)
    assert listener.last_failure_at == AT
    tell(listener, "delivery.dead", reason="exhausted", status=0)
    assert state(listener) == (2, "timeout", True)
    later = AT + timedelta(minutes=1)
    tell(listener, "delivery.recovered", status=200, at=later)
    assert state(listener) == (0, "200", True)
    assert listener.last_success_at == later
    assert disabled == []


def test_what_comes_late_does_not_undo_the_recovery():
    listener = listening("https://shop.example/", last_success_at=AT)
    tell(listener, "delivery.failing", at=AT - timedelta(minutes=1))
    assert state(listener) == (0, "", True)


def test_without_time_zones(settings):
    settings.USE_TZ = False
    listener = listening("https://shop.example/")
    tell(listener, "delivery.recovered", status=200)
    tell(listener, "delivery.failing", at=AT + timedelta(minutes=1))
    assert state(listener) == (1, "500", True)


def test_gone_disables_the_listener_once(disabled):
    listener = listening("https://shop.example/")
    tell(listener, "delivery.dead", reason="gone", status=410)
    tell(listener, "delivery.dead", reason="gone", status=410)
    assert state(listener) == (2, "410", False)
    assert listener.disabled_reason == "410"
    assert disabled == [(Listener, listener.uuid, False)]


@pytest.mark.parametrize("type", ["delivery.failing", "delivery.dead", "delivery.recovered"])
def test_what_is_about_an_address_that_it_no_longer_has_changes_nothing(disabled, type):
    listener = listening("https://new.example/", failures=1, last_status="503")
    tell(listener, type, reason="gone", status=410, url="https://old.example/")
    assert state(listener) == (1, "503", True)
    assert disabled == []


def test_an_address_is_known_without_its_password():
    listener = listening("https://joe:hush@shop.example/")
    tell(listener, "delivery.dead", reason="gone", status=410, url="https://***@shop.example/")
    assert state(listener) == (1, "410", False)


def test_a_receiver_of_the_signal_that_fails_breaks_nothing(caplog):
    def fail(**_):
        raise OSError("mail is down")

    listener_disabled.connect(fail)
    listener = listening("https://shop.example/")
    assert tell(listener, "delivery.dead", reason="gone", status=410).status_code == 200
    listener_disabled.disconnect(fail)
    assert state(listener)[2] is False
    assert "mail is down" in caplog.text


def test_what_the_operator_cancels_is_no_failure():
    listener = listening("https://shop.example/")
    tell(listener, "delivery.dead", reason="cancelled")
    assert state(listener) == (0, "", True)


def test_the_same_notice_counts_once():
    listener = listening("https://shop.example/")
    for _ in range(2):
        assert tell(listener, "delivery.failing", id="msg_same").status_code == 200
    assert state(listener)[0] == 1


@pytest.mark.django_db(databases=["default", "other"])
def test_a_listener_of_another_database():
    listener = listening("https://shop.example/", using="other")
    tell(listener, "delivery.failing", query="?using=other")
    assert state(listener)[0] == 1


@pytest.mark.parametrize("tag", ["", "mine", "listener:no-uuid", "listener:3f2b0c4e-5d1a-4b8e-9a55-6f0e2d7c1b90"])
def test_notices_of_others_are_taken_and_change_nothing(tag):
    listener = listening("https://shop.example/")
    assert tell(listener, "delivery.dead", tag=tag).status_code in (200, 400)
    assert tell(listener, "endpoint.disabled", tag="").status_code == 200
    assert tell(listener, "delivery.dead", query="?using=nowhere").status_code == 200
    assert state(listener)[0] == 0


def test_who_cannot_sign_is_not_believed(settings, caplog):
    listener = listening("https://shop.example/")
    assert tell(listener, "delivery.dead", reason="gone", secret=OLD_SECRET).status_code == 401
    assert Client().post("/hookbox/errback", b"{}", content_type="application/json").status_code == 400
    assert Client().get("/hookbox/errback").status_code == 405
    settings.HOOKBOX_ERRBACK_SECRET = None
    assert tell(listener, "delivery.dead", reason="gone").status_code == 403
    assert state(listener) == (0, "", True)
    assert "refused" in caplog.text


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'{"type": "x"}', b'{"type": "x", "data": []}', b"\xff"])
def test_any_signed_body_is_answered(body):
    assert post(body).status_code in (200, 400)


def test_no_login_is_asked_for(settings):
    pytest.importorskip("django", minversion="5.1", reason="there is no login middleware before Django 5.1")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    listener = listening("https://shop.example/")
    assert tell(listener, "delivery.failing").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_gone_at_the_receiver_disables_the_listener_here(live_server, settings, receiver):
    import threading
    from urllib.parse import urlsplit

    told = threading.Event()

    def note(**_):
        told.set()

    listener_disabled.connect(note)
    receiver.answer(410)
    port = urlsplit(live_server.url).port
    settings.HOOKBOX_CBHOST, settings.HOOKBOX_CBPORT = "localhost", port
    flags = {"cbport": port, "cbhost": "localhost", "errback_secret": ERRBACK_SECRET}
    with HookboxProcess(egress="internal", **flags) as server:
        settings.HOOKBOX_URL, settings.HOOKBOX_API_SECURITY_TOKEN = server.url, server.TOKEN
        listener = listening(receiver.hook)
        send(job_for(listener), listener)
        assert told.wait(DEADLINE), server.log
    listener_disabled.disconnect(note)
    assert state(listener)[1:] == ("410", False)
