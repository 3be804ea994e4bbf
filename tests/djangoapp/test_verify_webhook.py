"""Views that take webhooks."""

import asyncio
import time
import uuid

import django
import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, RequestFactory
from django.urls import path
from sending_house import OLD_SECRET, SECRET

from hookbox.contrib.django.decorators import verify_webhook
from hookbox.webhooks.signing import Secret, sign

BODY = '{"name": "Jöe"}'.encode()


@pytest.fixture(autouse=True)
def clean():
    cache.clear()


def signed(*secrets, body=BODY, sent=None, at=None, id=None, factory=RequestFactory):
    id, at = id or f"msg_{uuid.uuid4().hex}", int(time.time() if at is None else at)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(map(Secret.read, secrets), id, at, body),
    }
    sent = body if sent is None else sent
    names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    if factory is AsyncRequestFactory:
        return factory().post("/hook", sent, content_type="application/json", headers=headers)
    return factory(enforce_csrf_checks=True).post("/hook", sent, content_type="application/json", **names)


def view_of(secret, answers=(200,)):
    seen, answers = [], list(answers)

    @verify_webhook(secret)
    def view(request):
        seen.append(request.webhook_id)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return HttpResponse("thanks", status=answer)

    return view, seen


def test_a_good_one_gets_in_with_its_id():
    view, seen = view_of(SECRET)
    assert view(signed(SECRET, id="msg_1")).content == b"thanks"
    assert seen == ["msg_1"]


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        (lambda: signed(SECRET, sent=BODY + b" "), 401),
        (lambda: signed(OLD_SECRET), 401),
        (lambda: signed(SECRET, at=time.time() - 301), 401),
        (lambda: signed(SECRET, at=time.time() + 330), 401),
        (lambda: RequestFactory().post("/hook", BODY, content_type="application/json"), 400),
        (lambda: RequestFactory().get("/hook"), 400),
    ],
    ids=["tampered", "other-secret", "old", "future", "unsigned", "get"],
)
def test_others_do_not(request_of, status, caplog):
    view, seen = view_of(SECRET)
    assert view(request_of()).status_code == status
    assert seen == []
    assert "refused" in caplog.text


def test_who_is_refused_writes_no_lines_of_the_log(caplog):
    view, _ = view_of(SECRET)
    view(RequestFactory().post("/hook%0Aforged", BODY, content_type="application/json"))
    assert "/hook\\nforged" in caplog.text


def test_a_rotated_secret_is_good_beside_the_new_one(settings):
    view, seen = view_of([SECRET, OLD_SECRET])
    assert view(signed(OLD_SECRET)).status_code == 200
    assert view(signed(SECRET, OLD_SECRET)).status_code == 200

    settings.SHOP_SECRET = SECRET
    view, seen = view_of("SHOP_SECRET")
    assert view(signed(OLD_SECRET, SECRET)).status_code == 200, "the sender has both"
    assert view(signed(OLD_SECRET)).status_code == 401
    settings.SHOP_SECRET = [SECRET, OLD_SECRET]
    assert view(signed(OLD_SECRET)).status_code == 200
    assert len(seen) == 2


@pytest.mark.parametrize("value", [None, "", "whsec_short"])
def test_a_setting_that_holds_no_secret_lets_nobody_in(settings, value):
    settings.SHOP_SECRET = value
    view, seen = view_of("SHOP_SECRET")
    with pytest.raises(ImproperlyConfigured):
        view(signed(SECRET))
    assert seen == []


def test_the_same_one_gets_in_once():
    view, seen = view_of(SECRET)
    for _ in range(3):
        assert view(signed(SECRET, id="msg_1")).status_code == 200
    assert view(signed(SECRET, id="msg_2")).status_code == 200
    assert seen == ["msg_1", "msg_2"]


@pytest.mark.parametrize("failure", [500, 404, ValueError("no")], ids=["500", "404", "raise"])
def test_one_that_failed_gets_in_again(failure):
    view, seen = view_of(SECRET, [failure, 200])
    try:
        assert view(signed(SECRET, id="msg_1")).status_code == failure
    except ValueError:
        pass
    assert view(signed(SECRET, id="msg_1")).status_code == 200
    assert seen == ["msg_1", "msg_1"]


def test_a_message_from_a_clock_that_is_ahead_gets_in_once_as_long_as_it_is_good(monkeypatch):
    view, seen = view_of(SECRET)
    now = time.time()
    early = {"at": now + 290, "id": "msg_1"}
    assert view(signed(SECRET, **early)).content == b"thanks"
    monkeypatch.setattr(time, "time", lambda: now + 580)
    assert view(signed(SECRET, **early)).content == b"this message has come before"
    assert seen == ["msg_1"]


def test_one_that_is_being_worked_on_is_to_come_again():
    answers = []

    @verify_webhook(SECRET)
    def view(request):
        if not answers:
            answers.append(None)
            answers.append(view(signed(SECRET, id="msg_1")).status_code)
        return HttpResponse("thanks")

    assert view(signed(SECRET, id="msg_1")).status_code == 200
    assert answers == [None, 409]


def test_a_cache_that_remembers_nothing_for_sure_lets_the_sender_come_again(monkeypatch):
    view, seen = view_of(SECRET)
    monkeypatch.setattr(LocMemCache, "add", lambda *args, **options: False)  # nor has get() anything
    assert view(signed(SECRET)).status_code == 409
    assert seen == []


def test_two_views_do_not_share_what_they_have_seen():
    @verify_webhook(SECRET)
    def other(request):
        return HttpResponse("other")

    view, _ = view_of(SECRET)
    assert view(signed(SECRET, id="msg_1")).content == b"thanks"
    assert other(signed(SECRET, id="msg_1")).content == b"other"


@verify_webhook(SECRET)
async def async_view(request):
    return HttpResponse(request.webhook_id)


@verify_webhook(SECRET)
def sync_view(request):
    return HttpResponse(request.webhook_id)


urlpatterns = [path("async", async_view), path("sync", sync_view)]


@pytest.mark.parametrize("where", ["async", "sync"])
def test_neither_login_nor_csrf_token_is_asked_for(settings, where):
    settings.ROOT_URLCONF = __name__
    if django.VERSION >= (5, 1):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    request = signed(SECRET, id="msg_1")
    headers = {name: value for name, value in request.headers.items() if name.startswith("Webhook-")}

    async def ask():
        client = AsyncClient(enforce_csrf_checks=True)
        return await client.post(f"/{where}", BODY, content_type="application/json", headers=headers)

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.content) == (200, b"msg_1")


def test_an_async_view():
    seen = []

    @verify_webhook(SECRET)
    async def view(request):
        seen.append(request.webhook_id)
        return HttpResponse("thanks", status=500 if len(seen) == 1 else 200)

    async def all_of_it():
        statuses = []
        for secret in (OLD_SECRET, SECRET, SECRET, SECRET):
            request = signed(secret, id="msg_1", factory=AsyncRequestFactory)
            statuses.append((await view(request)).status_code)
        return statuses

    assert asyncio.run(all_of_it()) == [401, 500, 200, 200]
    assert seen == ["msg_1", "msg_1"]
