"""Sending while the sender waits, and in a thread of this process."""

import logging
import socket
import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from sending_house import SECRET, job_for, listening, send

from hookbox.contrib.django import DeliveryFailed
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.sending import attempt as attempts
from hookbox.contrib.django.sending.attempt import attempt
from hookbox.testing import Receiver, Reply
from hookbox.webhooks import verify

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def inside(settings):
    settings.HOOKBOX_EGRESS = "internal"


def send_now(job, *listeners, **options):
    return send(job, *listeners, async_=False, on_commit=False, **options)


def at(url, **values):
    return attempt(job_for(listening(url), **values), job_for(listening(url)).targets[0], "")


def test_it_arrives_as_the_server_would_send_it(receiver):
    listener = listening(receiver.hook, secret=SECRET, config={"headers": {"X-Tenant": "7"}})
    job = job_for(listener)
    (result,) = send_now(job, listener)

    (got,) = receiver.got
    assert got.body == '{"name": "Jöe"}'.encode()
    verify(got.body, got.headers, SECRET)
    assert got.headers["webhook-id"] == job.id == result.message_id
    assert got.headers["content-type"] == "application/json"
    assert got.headers["hookbox-type"] == "person.saved"
    assert got.headers["hookbox-attempt"] == "1"
    assert got.headers["x-tenant"] == "7"
    assert got.headers["user-agent"].startswith("hookbox/")
    assert result.status == "delivered"
    assert result.error is None


def test_without_a_secret_there_is_no_signature(receiver):
    listener = listening(receiver.hook)
    send_now(job_for(listener), listener)
    assert "webhook-signature" not in receiver.got[0].headers


def test_name_and_password_of_a_url_become_basic_authorization(receiver):
    listener = listening(receiver.hook.replace("http://", "http://joe:p%40ss@"))
    send_now(job_for(listener), listener)
    assert receiver.got[0].headers["authorization"] == "Basic am9lOnBAc3M="


def test_the_first_failure_is_raised_after_all_were_tried(receiver):
    with Receiver(500) as broken:
        bad, good = listening(broken.hook), listening(receiver.hook)
        with pytest.raises(DeliveryFailed, match="answered 500") as raised:
            send_now(job_for(bad, good), bad, good)
    assert raised.value.status == 500
    assert len(receiver.got) == 1


def test_what_is_no_url_at_all_does_not_stop_the_others(receiver):
    bad, good = listening("http://[bad/"), listening(receiver.hook)
    with pytest.raises(DeliveryFailed, match=r"http://\[bad/: not a URL"):
        send_now(job_for(bad, good), bad, good)
    assert len(receiver.got) == 1


def test_with_fail_silently_it_is_logged_and_told(receiver, caplog):
    with Receiver(500) as broken:
        bad, good = listening(broken.hook), listening(receiver.hook)
        results = send_now(job_for(bad, good), bad, good, fail_silently=True)
    assert [result.status for result in results] == ["failed", "delivered"]
    assert "answered 500" in caplog.text
    assert isinstance(results[0].error, DeliveryFailed)


def test_it_is_tried_again_at_once_as_often_as_wanted(receiver):
    receiver.answer(500, 500, 200)
    listener = listening(receiver.hook)
    (result,) = send_now(job_for(listener, retry=True, max_retries=3), listener)
    assert result.status == "delivered"
    assert [got.headers["hookbox-attempt"] for got in receiver.got] == ["1", "2", "3"]
    assert len({got.headers["hookbox-delivery"] for got in receiver.got}) == 1


def test_it_is_not_tried_more_often_than_wanted(receiver):
    receiver.answer(500)
    listener = listening(receiver.hook)
    with pytest.raises(DeliveryFailed):
        send_now(job_for(listener, retry=True, max_retries=2), listener)
    assert len(receiver.got) == 3


def test_without_retry_it_is_tried_once(receiver):
    receiver.answer(500)
    listener = listening(receiver.hook)
    with pytest.raises(DeliveryFailed):
        send_now(job_for(listener), listener)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("answer", [410, Reply(status=500, headers=(("webhook-delivery", "abort-message"),))])
def test_who_wants_no_more_is_not_tried_again(receiver, answer):
    receiver.answer(answer)
    listener = listening(receiver.hook)
    with pytest.raises(DeliveryFailed):
        send_now(job_for(listener, retry=True), listener)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "answer",
    [Reply.never(), Reply.drip(1, 0.05), Reply.drip(1, 0.05, from_body=True)],
    ids=["silent", "drip", "drip-body"],
)
def test_the_timeout_holds_for_the_whole_attempt(receiver, answer):
    receiver.answer(answer)
    assert at(receiver.hook, timeout=0.2).name == "timeout"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (Reply.hang_up(), "reset"),
        (Reply.raw(b"220 smtp.example.com\r\n"), "protocol"),
        (Reply.redirect("http://127.0.0.1:1/"), "http_3xx"),
        (Reply(status=503, headers=(("Retry-After", "7"),)), "http_503"),
        (Reply.huge(300_000), "ok"),
        (Reply(status=204, body=b""), "ok"),
    ],
    ids=["hang_up", "not_http", "redirect", "503", "huge", "204"],
)
def test_every_end_has_a_name(receiver, answer, name):
    receiver.answer(answer)
    outcome = at(receiver.hook)
    assert outcome.name == name
    assert outcome.retry_after == (7 if name == "http_503" else None)
    assert len(receiver.got) == 1


def test_a_closed_port_is_refused():
    with Receiver() as gone:
        gone.down()
        assert at(gone.hook).name == "refused"


def test_only_public_addresses_are_reached_unless_configured(receiver, settings):
    settings.HOOKBOX_EGRESS = "public"
    settings.HOOKBOX_EGRESS_PORTS = [receiver.port]
    assert "loopback" in at(receiver.hook).detail
    settings.HOOKBOX_EGRESS_ALLOW = f"10.0.0.0/8, 127.0.0.1:{receiver.port}"
    assert at(receiver.hook).ok
    settings.HOOKBOX_EGRESS_DENY = ["127.0.0.0/8"]
    assert at(receiver.hook).name == "blocked"
    assert len(receiver.got) == 1


def test_debug_reaches_this_machine_as_runhookbox_does(receiver, settings):
    del settings.HOOKBOX_EGRESS
    assert at(receiver.hook).name == "blocked"
    settings.DEBUG = True
    assert at(receiver.hook).ok


def test_the_hookbox_server_itself_is_never_reached(receiver, settings):
    settings.HOOKBOX_URL = receiver.url
    assert "this server itself" in at(receiver.hook).detail


@pytest.mark.parametrize("url", ["http://2130706433/", "http://169.254.169.254/latest", "ftp://example.com/"])
def test_what_nothing_may_reach_is_blocked(url):
    assert at(url).name == "blocked"


@pytest.mark.parametrize("name", ["HOOKBOX_EGRESS", "HOOKBOX_EGRESS_PORTS", "HOOKBOX_EGRESS_DENY"])
def test_a_policy_that_cannot_be_read_lets_nothing_out(receiver, settings, name):
    setattr(settings, name, "what?")
    with pytest.raises(ImproperlyConfigured, match="HOOKBOX_EGRESS"):
        at(receiver.hook)
    assert receiver.got == []


def test_https_only(receiver, settings):
    settings.HOOKBOX_HTTPS_ONLY = True
    assert "https" in at(receiver.hook).detail


def test_nothing_goes_around_a_proxy(receiver, settings):
    settings.HOOKBOX_EGRESS_PROXY = "http://proxy.example:3128"
    assert "HOOKBOX_EGRESS_PROXY" in at(receiver.hook).detail
    assert receiver.got == []


def test_a_name_is_looked_up_once_and_only_judged_addresses_are_connected_to(receiver, settings, monkeypatch):
    settings.HOOKBOX_EGRESS_DENY = ["127.0.0.2"]
    asked = []

    def look_up(host, port, **options):
        asked.append(host)
        second = asked[1:] and "127.0.0.2"
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (second or "127.0.0.1", port)),
        ]

    monkeypatch.setattr(attempts.socket, "getaddrinfo", look_up)
    assert at(f"http://rebound.example:{receiver.port}/hook").ok
    assert asked == ["rebound.example"]
    assert receiver.got[0].headers["host"] == f"rebound.example:{receiver.port}"
    assert at(f"http://rebound.example:{receiver.port}/hook").name == "blocked"


def test_one_good_address_of_a_name_opens_no_way_to_its_others(receiver, settings, monkeypatch):
    settings.HOOKBOX_EGRESS_DENY = ["127.0.0.1"]
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, receiver.port)) for host in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(attempts.socket, "getaddrinfo", lambda *args, **options: both)
    assert at(f"http://mixed.example:{receiver.port}/hook").name == "refused"
    assert receiver.got == []


def test_a_name_that_is_never_looked_up_holds_nobody_up(monkeypatch):
    hung = threading.Event()
    monkeypatch.setattr(attempts.socket, "getaddrinfo", lambda *args, **options: hung.wait(10) and [])
    assert at("http://slow.example/", timeout=0.1).name == "dns"
    hung.set()


def test_an_address_that_this_machine_cannot_use_is_passed_over(receiver, monkeypatch):
    usual = socket.socket

    def made(family=socket.AF_INET, *args, **options):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return usual(family, *args, **options)

    def look_up(host, port, **options):
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        return [six, four] if host == "both.example" else [six]

    monkeypatch.setattr(attempts.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(attempts.socket, "socket", made)
    assert at(f"http://both.example:{receiver.port}/").ok
    assert at(f"http://six.example:{receiver.port}/").name == "unreachable"


def test_a_host_that_can_be_no_name_is_told_at_once():
    assert at(f"http://{'a' * 64}.example/").name == "dns"


def test_tls_is_checked(receiver):
    assert at(receiver.hook.replace("http:", "https:")).name == "tls"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"config": {"headers": {"Host": "x"}}}, "Host cannot be set"),
        ({"secret": "whsec_short"}, "its secret"),
    ],
)
def test_what_cannot_be_sent_says_why(receiver, values, why):
    listener = listening(receiver.hook, **values)
    with pytest.raises(DeliveryFailed, match=why):
        send_now(job_for(listener, retry=True), listener)


@pytest.mark.django_db(transaction=True)
def test_the_listener_knows_how_it_fares(receiver):
    receiver.answer(500, 500, 200)
    listener = listening(receiver.hook)
    for failures, status in ((1, "500"), (2, "500"), (0, "200")):
        send_now(job_for(listener), listener, fail_silently=True)
        listener.refresh_from_db()
        assert (listener.failures, listener.last_status) == (failures, status)
    assert listener.last_success_at > listener.last_failure_at


@pytest.mark.django_db(transaction=True)
def test_how_it_fares_is_noted_after_the_transaction_so_that_nobody_waits_for_the_row(receiver):
    receiver.answer(500)
    listener = listening(receiver.hook)
    with transaction.atomic():
        send_now(job_for(listener), listener, fail_silently=True)
        listener.refresh_from_db()
        assert listener.failures == 0
    listener.refresh_from_db()
    assert listener.failures == 1


@pytest.mark.django_db(transaction=True)
def test_gone_says_nothing_of_the_address_that_the_listener_has_now(receiver):
    receiver.answer(410)
    listener = listening(receiver.hook)
    job = job_for(listener)
    Listener.objects.update(url="https://new.example/")
    send_now(job, listener, fail_silently=True)
    listener.refresh_from_db()
    assert (listener.active, listener.failures) == (True, 0)


@pytest.mark.django_db(transaction=True)
def test_gone_disables_the_listener_and_says_so_once(receiver):
    from hookbox.contrib.django.signals import listener_disabled

    told = []

    def note(listener, **_):
        told.append(listener)

    listener_disabled.connect(note, sender=Listener)
    receiver.answer(410)
    listener = listening(receiver.hook)
    for _ in range(2):
        send_now(job_for(listener), listener, fail_silently=True)
    listener.refresh_from_db()
    assert (listener.active, listener.disabled_reason) == (False, "410")
    assert told == [listener]
    listener_disabled.disconnect(note, sender=Listener)


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_nothing_is_raised(receiver, caplog):
    receiver.answer(500)
    listener = listening(receiver.hook)
    (result,) = send(job_for(listener), listener, async_=False)
    assert result.status == "failed"
    assert "answered 500" in caplog.text


def test_a_topic_is_published_by_the_server_besides(receiver, settings):
    with Receiver(Reply(status=202, body=b"{}")) as server:
        settings.HOOKBOX_URL = server.url
        listener = listening(receiver.hook)
        send_now(job_for(listener, topic="people"), listener)
        (published,) = server.got
    assert published.json["topic"] == "people"
    assert "to" not in published.json
    assert len(receiver.got) == 1


@pytest.mark.django_db(transaction=True)
def test_the_local_backend_sends_in_a_thread(receiver, settings, caplog):
    settings.HOOKBOX_HOOK_BACKEND = "local"
    listener = listening(receiver.hook, secret=SECRET)
    (result,) = send(job_for(listener), listener)
    assert result.status == "queued"
    (got,) = receiver.wait_for(1)
    verify(got.body, got.headers, SECRET)
    assert "for development" in caplog.text
    for thread in threading.enumerate():
        if thread.name == "hookbox-local":
            thread.join()


def test_what_old_hooks_name_as_their_task_posts_by_itself(receiver, settings):
    from hookbox.contrib.django.tasks import WebhookSignal

    WebhookSignal.apply([receiver.hook, "[1]"], {"hook": "old", "timeout": 2})
    assert receiver.got[0].json == [1]
    receiver.answer(500)
    with pytest.raises(DeliveryFailed):
        WebhookSignal.apply([receiver.hook, "[1]"])
    WebhookSignal.apply([receiver.hook, "[1]"], {"fail_silently": True})


def test_django_logs_no_password(receiver, caplog):
    receiver.answer(500)
    listener = listening(receiver.hook.replace("http://", "http://joe:secret@"))
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryFailed) as raised:
        send_now(job_for(listener), listener)
    assert "secret" not in caplog.text + str(raised.value)
