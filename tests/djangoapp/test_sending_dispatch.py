"""Handing jobs over to the server: what it is told, and what it may refuse."""

import json

import pytest
from django.urls import path
from sending_house import ERRBACK_SECRET, SECRET, accepted, job_for, listening, said, send

from hookbox.contrib.django import HookboxError, errback
from hookbox.contrib.django.models import Listener, OutboxEntry
from hookbox.contrib.django.sending.attempt import shown
from hookbox.contrib.django.sending.backends import backend, give
from hookbox.contrib.django.sending.dispatch import hand_over
from hookbox.testing import Receiver, Reply

pytestmark = pytest.mark.django_db

urlpatterns = [path("hookbox/errback", errback.errback, name="hookbox_errback")]
URL = "https://shop{}.example/hook"


def some(count, **values):
    return [listening(URL.format(number), **values) for number in range(count)]


def urls(request):
    return [target["url"] for target in request.json.get("to", [])]


def test_one_request_has_everything_for_everybody(stand_in, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = "token"
    one = listening(URL.format(1), secret=SECRET, config={"headers": {"X-A": "1"}})
    two = listening(URL.format(2))
    job = job_for(one, two, retry=True, max_retries=3, timeout=7, topic="people")
    handed = hand_over(job)

    (request,) = stand_in.got
    assert request.target == "/dispatch"
    assert request.headers["content-type"] == "application/vnd.hookbox.dispatch+json"
    assert request.headers["authorization"] == "Bearer token"
    assert request.headers["idempotency-key"] == job.id
    assert request.json == {
        "type": "person.saved",
        "body": '{"name": "Jöe"}',
        "content_type": "application/json",
        "topic": "people",
        "to": [
            {
                "url": one.url,
                "timeout": 7,
                "retry": 3,
                "headers": {"X-A": "1"},
                "tag": f"listener:{one.uuid}",
                "secret": SECRET,
            },
            {"url": two.url, "timeout": 7, "retry": 3, "tag": f"listener:{two.uuid}"},
        ],
    }
    assert handed.taken == {str(one.uuid): "msg_1", str(two.uuid): "msg_1"}
    assert handed.left is None


def test_without_retry_the_server_does_not_retry_either(stand_in):
    hand_over(job_for(*some(1), timeout=0.2))
    assert stand_in.got[0].json["to"][0]["retry"] == "none"
    assert stand_in.got[0].json["to"][0]["timeout"] == 1  # the least that the server takes


def test_it_is_told_where_to_tell_of_trouble(stand_in, settings):
    settings.HOOKBOX_ERRBACK_SECRET = ERRBACK_SECRET
    settings.HOOKBOX_CBPORT = 8123
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    hand_over(job_for(*some(1)))
    assert "errback" not in stand_in.got[0].json, "there is no such view"
    settings.ROOT_URLCONF = __name__
    hand_over(job_for(*some(1)))
    assert stand_in.got[1].json["errback"] == "http://localhost:8123/hookbox/errback"


def test_an_errback_that_the_server_refuses_holds_up_nothing(stand_in, settings):
    settings.HOOKBOX_ERRBACK_SECRET, settings.ROOT_URLCONF = ERRBACK_SECRET, __name__
    stand_in.answer(said(403, "_errback: blocked: 127.0.0.1 is loopback"), accepted())
    assert hand_over(job_for(*some(2))).left is None
    assert ["errback" in request.json for request in stand_in.got] == [True, False]


@pytest.mark.parametrize(
    "refusal",
    [
        said(
            403, "destination 2 of 3: blocked: 10.0.0.1 is private; see the settings egress and egress_allow"
        ),
        said(400, "destination 2 of 3: it has a space, a control character or a backslash"),
        said(400, "to[1].secret: whsec_ has to be followed by base64 of 24 to 64 bytes"),
    ],
    ids=["policy", "url", "secret"],
)
def test_one_that_is_refused_does_not_stop_the_others(stand_in, refusal, django_capture_on_commit_callbacks):
    listeners = some(3)
    stand_in.answer(refusal, accepted())
    with django_capture_on_commit_callbacks(execute=True):
        handed = hand_over(job_for(*listeners))
    assert [urls(request) for request in stand_in.got] == [
        [URL.format(0), URL.format(1), URL.format(2)],
        [URL.format(0), URL.format(2)],
    ]
    bad = listeners[1]
    bad.refresh_from_db()
    assert (bad.last_status, bad.failures, bad.active) == ("refused", 1, True)
    assert list(handed.refused) == [str(bad.uuid)]
    assert handed.left is None


def test_if_the_last_one_is_refused_nothing_is_left(stand_in):
    (listener,) = some(1)
    stand_in.answer(said(403, "destination: blocked: 10.0.0.1 is private"))
    handed = hand_over(job_for(listener))
    assert handed.left is None
    assert list(handed.refused) == [str(listener.uuid)]


def test_headers_that_cannot_be_sent_are_found_without_asking(stand_in):
    good, bad = listening(URL.format(1)), listening(URL.format(2), config={"headers": {"Host": "evil"}})
    handed = hand_over(job_for(good, bad))
    assert urls(stand_in.got[0]) == [good.url]
    assert handed.refused == {str(bad.uuid): "header Host cannot be set"}


def test_where_the_server_does_not_say_who_it_is_they_are_handed_over_one_by_one(stand_in):
    listeners = some(3)

    def answer(request):
        return said(400, "something is wrong") if URL.format(1) in urls(request) else accepted()

    stand_in.answer(answer)
    handed = hand_over(job_for(*listeners, topic="people"))
    assert [urls(request) for request in stand_in.got[1:]] == [
        [],
        *([listener.url] for listener in listeners),
    ]
    assert len({request.headers["idempotency-key"] for request in stand_in.got}) == 5
    assert list(handed.refused) == [str(listeners[1].uuid)]
    assert handed.left is None


def test_what_is_wrong_with_all_of_them_is_no_listeners_fault(stand_in):
    stand_in.answer(said(400, "a type is up to 128 letters, digits, dots, dashes and underscores"))
    handed = hand_over(job_for(*some(2)))
    assert handed.refused == {}
    assert len(handed.left.targets) == 2
    assert handed.error.code == 400


def test_what_was_handed_over_before_the_server_went_is_not_handed_over_again(stand_in):
    listeners = some(3)
    stand_in.answer(said(400, "?"), accepted(), Reply.hang_up())
    handed = hand_over(job_for(*listeners))
    assert list(handed.taken) == [str(listeners[0].uuid)]
    assert [target.url for target in handed.left.targets] == [URL.format(1), URL.format(2)]


@pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 500, 503, 200])
def test_any_other_answer_leaves_everything_for_later(stand_in, status):
    stand_in.answer(said(status, "no", ("Retry-After", "7")))
    handed = hand_over(job_for(*some(2)))
    assert len(handed.left.targets) == 2
    assert handed.error.code == status
    assert handed.again_after == 7
    assert len(stand_in.got) == 1


def test_a_key_that_was_used_for_other_bytes_was_taken_then(stand_in):
    stand_in.answer(said(422, "the idempotency key was used for another request"))
    assert hand_over(job_for(*some(1))).left is None


def test_a_listener_that_is_deleted_meanwhile_gets_nothing(stand_in):
    kept, gone = some(2)
    job = job_for(kept, gone)
    gone.delete()
    hand_over(job)
    assert urls(stand_in.got[0]) == [kept.url]
    Listener.objects.all().delete()
    assert hand_over(job).left is None
    assert len(stand_in.got) == 1


def test_at_once_the_server_has_it_or_the_caller_hears(stand_in, settings):
    listeners = some(2)
    results = send(job_for(*listeners), *listeners, on_commit=False)
    assert [(result.status, result.message_id) for result in results] == [("accepted", "msg_1")] * 2

    settings.HOOKBOX_OUTBOX = False
    stand_in.down()
    with pytest.raises(HookboxError, match="cannot be reached"):
        send(job_for(*listeners), *listeners, on_commit=False)
    results = send(job_for(*listeners), *listeners, on_commit=False, fail_silently=True)
    assert [result.status for result in results] == ["failed"] * 2
    assert isinstance(results[0].error, HookboxError)


def test_at_once_the_outbox_has_what_the_server_has_not(stand_in):
    (listener,) = some(1)
    job = job_for(listener)
    stand_in.answer(Reply.hang_up(), accepted())
    (result,) = send(job, listener, on_commit=False)
    assert result.status == "queued"
    (entry,) = OutboxEntry.objects.all()
    assert str(entry.uuid) == job.id == stand_in.got[0].headers["idempotency-key"]


def test_refused_is_told_in_the_result(stand_in):
    (listener,) = some(1)
    stand_in.answer(said(403, "destination: blocked: 10.0.0.1 is private"))
    (result,) = send(job_for(listener), listener, on_commit=False)
    assert result.status == "failed"
    assert "10.0.0.1 is private" in str(result.error)


def test_a_result_shows_no_password(stand_in):
    listener = listening("https://joe:hush@shop.example/")
    stand_in.answer(said(403, "destination: blocked: 10.0.0.1 is private"))
    (result,) = send(job_for(listener), listener, on_commit=False)
    assert "hush" not in repr(result.error)
    assert "shop.example" in str(result.error)


def test_what_is_no_url_at_all_does_not_stop_the_others(stand_in):
    bad, good = listening("http://joe:hush@[bad/"), listening("https://shop.example/")
    stand_in.answer(
        lambda r: said(400, "destination 1 of 2: malformed") if b"[bad" in r.body else accepted()
    )
    first, second = send(job_for(bad, good), bad, good, on_commit=False)
    assert (first.status, second.status) == ("failed", "accepted")
    assert "hush" not in str(first.error)


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://joe:hush@shop.example/", "https://shop.example/"),
        ("https://a@b@shop.example?x=y@z", "https://shop.example?x=y@z"),
        ("https://shop.example/@joe", "https://shop.example/@joe"),
        ("http://joe:hush@[bad", "http://[bad"),
        ("mailto:joe@shop.example", "mailto:joe@shop.example"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url, known):
    assert shown(url) == known


SENT = []


class Own:
    def send(self, jobs):
        if "broken" in jobs[0].hook:
            raise OSError("no way")
        SENT.extend(jobs)


def test_a_project_may_have_a_backend_of_its_own(stand_in, settings):
    settings.HOOKBOX_HOOK_BACKEND = f"{__name__}.Own"
    SENT.clear()
    (listener,) = some(1)
    job = job_for(listener, topic="people")
    (result,) = send(job, listener, on_commit=False)
    assert isinstance(backend(), Own)
    assert result.status == "queued"
    assert [(sent.id, sent.topic) for sent in SENT] == [(job.id, "")]
    assert [request.json["topic"] for request in stand_in.got] == ["people"]  # that is for the server


def test_a_backend_that_raises_is_asked_again(stand_in, settings):
    from dataclasses import replace

    settings.HOOKBOX_HOOK_BACKEND = f"{__name__}.Own"
    handed = give(replace(job_for(*some(1)), hook="broken"))
    assert handed.left.targets
    assert str(handed.error) == "no way"


def test_jobs_survive_json():
    from hookbox.contrib.django.sending.jobs import Job

    job = job_for(*some(2), topic="people", retry=True)
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_recording_sends_nothing():
    from hookbox.contrib.django import outbox
    from hookbox.contrib.django.sending import road

    (listener,) = some(1)
    with Receiver(500), road.recording() as jobs:
        send(job_for(listener), listener)
        outbox.publish_later("people", "1")
    assert [(job.hook, job.topic) for job in jobs] == [("person.saved", ""), ("", "people")]
    assert not OutboxEntry.objects.exists()
