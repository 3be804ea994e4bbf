"""The debug listener: takes what comes, and shows it to staff."""

import json
import time

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from hookbox.contrib.django import debugging
from hookbox.contrib.django.debugging import KEPT, MASK, SLOWEST, caught
from hookbox.contrib.django.models import Listener
from hookbox.webhooks.signing import Secret, sign

URL = "/durian/debug/"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _on(settings):
    settings.HOOKBOX_DEBUG_VIEW = True
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def staff(django_user_model):
    client = Client()
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    return client


def post(content=b'{"a": 1}', url=URL, content_type="application/json", **headers):
    return Client(enforce_csrf_checks=True).post(url, content, content_type=content_type, headers=headers)


def test_it_is_where_it_was():
    assert reverse("durian:debug") == URL


def test_whatever_comes_is_thanked_for_and_kept():
    answer = post(hookbox_type="person")
    assert (answer.status_code, answer.content) == (200, b"Thanks!")
    (one,) = caught()
    assert one.body == '{"a": 1}'
    assert json.loads(one.parsed) == {"a": 1}
    assert one.path == URL


def test_forms_and_what_is_no_text_are_shown_too():
    post("a=1&a=2&b=3", content_type="application/x-www-form-urlencoded")
    post(b"\xff\xfe", content_type="application/octet-stream")
    binary, form = caught()
    assert json.loads(form.parsed) == {"a": ["1", "2"], "b": ["3"]}
    assert (binary.body, binary.parsed, binary.size) == ("\\xff\\xfe", "", 2)


def test_secrets_in_headers_are_neither_shown_nor_logged(caplog, staff):
    caplog.set_level("DEBUG", "hookbox.django")
    hidden = {
        "Authorization": "Bearer hush",
        "Cookie": "session=hush",
        "X-Api-Key": "hush",
        "X-Shop-Token": "hush",
    }
    post(**hidden, url=f"{URL}?token=hush")
    (one,) = caught()
    kept = dict(one.headers)
    assert [kept[name] for name in hidden] == [MASK] * 4
    assert "hush" not in str(one)
    assert "hush" not in caplog.text
    assert URL in caplog.text
    assert "hush" not in staff.get(URL).content.decode()


def test_the_last_fifty_are_kept_newest_first():
    for n in range(KEPT + 3):
        post(str(n))
    assert [one.body for one in caught()] == [str(n) for n in range(KEPT + 2, 2, -1)]


def test_long_bodies_are_cut():
    post(b"x" * (debugging.LONGEST + 1), content_type="text/plain")
    (one,) = caught()
    assert len(one.body) == debugging.LONGEST
    assert one.size == debugging.LONGEST + 1


@pytest.mark.parametrize(
    "content", [b"[" * 900 + b"]" * 900, b"[" * 60_000, b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b"9" * 5000]
)
def test_json_that_cannot_be_shown_is_kept_as_it_came(staff, content):
    assert post(content).status_code == 200
    assert caught()[0].body == content.decode()
    assert staff.get(URL).status_code == 200


def test_it_fails_when_told_to():
    assert post(url=f"{URL}?status=500").status_code == 500
    assert post(url=f"{URL}?status=410").status_code == 410
    assert [one.status for one in caught()] == [410, 500]


def test_it_takes_its_time_when_told_to_but_not_for_ever(monkeypatch):
    waits = []
    monkeypatch.setattr(debugging, "sleep", waits.append)
    post(url=f"{URL}?delay=0.5")
    post(url=f"{URL}?delay=1e9")
    assert waits == [0.5, SLOWEST]


@pytest.mark.parametrize(
    "query", ["status=99", "status=600", "status=x", "delay=-1", "delay=nan", "delay=inf", "delay=x"]
)
def test_what_it_cannot_do_is_refused(query):
    answer = post(url=f"{URL}?{query}")
    assert answer.status_code == 400
    assert "status has to be" in answer.content.decode()
    assert not caught()


def signed(body, secret, at=None):
    stamp = int(time.time() if at is None else at)
    signature = sign([Secret.read(secret)], "msg_1", stamp, body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(stamp), "webhook-signature": signature}


@pytest.mark.parametrize(
    ("signer", "at", "verdict"),
    [
        ("its own", None, "fits"),
        ("another", None, "unknown"),
        ("its own", 1000, "unknown"),
        ("", None, "unsigned"),
    ],
)
def test_it_looks_whether_the_signature_fits(staff, signer, at, verdict):
    secrets = {"its own": str(Secret.new()), "another": str(Secret.new())}
    Listener.objects.create(hook="person", url=f"http://testserver{URL}", secret=secrets["its own"])
    Listener.objects.create(hook="elsewhere", url="http://testserver/else/", secret=secrets["another"])
    post(b"{}", **(signed(b"{}", secrets[signer], at) if signer else {}))
    (one,) = caught()
    assert one.verdict == verdict
    said = {"fits": "Signature fits", "unknown": "Signature unknown", "unsigned": "Not signed"}
    assert said[verdict] in staff.get(URL).content.decode()
    if verdict == "fits":
        assert "person" in one.why


def test_only_staff_sees_it(client, django_user_model, staff):
    post()
    answer = client.get(URL)
    assert answer.status_code == 302
    assert answer["Location"] == f"/accounts/login/?next={URL}"
    client.force_login(django_user_model.objects.create_user("ann"))
    assert client.get(URL).status_code == 403
    text = staff.get(URL).content.decode()
    assert "&quot;a&quot;: 1" in text
    assert client.put(URL).status_code == 405


def test_what_comes_is_only_text(staff):
    post(b"</pre><script>alert(1)</script>", url=f"{URL}?<script>=<script>", **{"X-Evil": "<script>"})
    assert "<script" not in staff.get(URL).content.decode().lower()


@pytest.mark.parametrize("method", ["get", "post"])
def test_it_is_not_there_when_it_is_switched_off(settings, staff, method):
    settings.HOOKBOX_DEBUG_VIEW = False
    assert getattr(staff, method)(URL).status_code == 404


def test_it_is_there_in_development_only(settings, staff):
    del settings.HOOKBOX_DEBUG_VIEW
    settings.DEBUG = False
    assert post().status_code == 404
    settings.DEBUG = True
    assert post().status_code == 200


def test_senders_get_past_the_login_middleware(settings):
    import django

    if django.VERSION < (5, 1):
        pytest.skip("NOT TESTED: Django before 5.1 has no LoginRequiredMiddleware")
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert post().status_code == 200
