"""Sending by Celery: eager, and by a real worker with a broker in memory."""

import logging

import pytest
from django.db import InterfaceError, OperationalError
from sending_house import SECRET, job_for, listening, send

from hookbox.contrib.django import tasks
from hookbox.contrib.django.models import Listener, OutboxEntry
from hookbox.contrib.django.signals import listener_disabled
from hookbox.testing import DEADLINE, Receiver, Reply
from hookbox.webhooks import verify

pytest.importorskip("celery")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def app():
    from celery import Celery

    app = Celery("tests", broker="memory://", set_as_current=True)
    app.conf.update(broker_connection_retry_on_startup=False, worker_hijack_root_logger=False)
    app.set_default()
    yield app
    app.close()


@pytest.fixture(autouse=True)
def celery(app, settings):
    settings.HOOKBOX_HOOK_BACKEND = "celery"
    settings.HOOKBOX_EGRESS = "internal"


@pytest.fixture
def eager(app):
    app.conf.task_always_eager = True
    yield app
    app.conf.task_always_eager = False


@pytest.fixture
def worker(app):
    from celery.contrib.testing.worker import start_worker

    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=DEADLINE) as worker:
        yield worker
    root.setLevel(level)  # a worker takes logging over
    root.handlers[:] = handlers


def test_the_task_is_what_it_is_meant_to_be(app):
    task = app.tasks["hookbox.webhook_signal"]
    assert task.name == "hookbox.webhook_signal"
    assert (task.acks_late, task.ignore_result, task.serializer) == (True, True, "json")


def test_each_listener_gets_it_signed(eager, receiver):
    listeners = [listening(f"{receiver.hook}/{number}", secret=SECRET) for number in range(2)]
    job = job_for(*listeners)
    results = send(job, *listeners)
    assert [(result.status, result.message_id) for result in results] == [("queued", job.id)] * 2
    for request in receiver.wait_for(2):
        verify(request.body, request.headers, SECRET)
        assert request.headers["webhook-id"] == job.id
        assert request.headers["hookbox-type"] == "person.saved"
    assert not OutboxEntry.objects.exists()


@pytest.mark.parametrize("failure", [500, Reply.hang_up()], ids=["500", "reset"])
def test_what_fails_is_tried_again(eager, receiver, failure):
    receiver.answer(failure, failure, 200)
    listener = listening(receiver.hook)
    send(job_for(listener, retry=True), listener)
    assert [request.headers["hookbox-attempt"] for request in receiver.got] == ["1", "2", "3"]
    listener.refresh_from_db()
    assert (listener.failures, listener.last_status) == (0, "200")


def test_it_is_given_up_after_as_many_retries_as_wanted(eager, receiver, caplog):
    receiver.answer(500)
    listener = listening(receiver.hook)
    send(job_for(listener, retry=True, max_retries=2), listener)
    assert len(receiver.got) == 3
    assert "given up" in caplog.text
    listener.refresh_from_db()
    assert (listener.failures, listener.last_status) == (3, "500")


def test_a_hook_may_want_more_retries_than_celery_usually_makes(eager, receiver):
    receiver.answer(*[500] * 5, 200)
    listener = listening(receiver.hook)
    send(job_for(listener, retry=True, max_retries=5), listener)
    assert len(receiver.got) == 6
    listener.refresh_from_db()
    assert (listener.failures, listener.last_status) == (0, "200")


def test_a_database_that_is_away_for_a_moment_loses_nothing(eager, receiver, monkeypatch):
    usual = tasks.with_secrets
    failures = [OperationalError("it restarts"), InterfaceError("the connection is closed")]

    def with_secrets(job):
        if failures:
            raise failures.pop()
        return usual(job)

    monkeypatch.setattr(tasks, "with_secrets", with_secrets)
    listener = listening(receiver.hook)
    send(job_for(listener), listener)
    assert len(receiver.got) == 1


def test_a_database_that_stays_away_is_an_error_in_the_end(eager, receiver, monkeypatch):
    def with_secrets(job):
        raise OperationalError("it is gone")

    monkeypatch.setattr(tasks, "with_secrets", with_secrets)
    listener = listening(receiver.hook)
    job = job_for(listener)
    result = tasks.webhook_signal.apply((job.to_json(),))
    assert isinstance(result.result, OperationalError)
    assert receiver.got == []


def test_without_retry_it_is_tried_once(eager, receiver):
    receiver.answer(500)
    listener = listening(receiver.hook)
    send(job_for(listener), listener)
    assert len(receiver.got) == 1


def test_gone_disables_the_listener(eager, receiver):
    told = []

    def note(listener, **_):
        told.append(listener.uuid)

    listener_disabled.connect(note)
    receiver.answer(410)
    listener = listening(receiver.hook)
    send(job_for(listener, retry=True), listener)
    listener_disabled.disconnect(note)
    assert len(receiver.got) == 1
    assert Listener.objects.get().disabled_reason == "410"
    assert told == [listener.uuid]


def test_the_time_between_attempts(receiver):
    listener = listening(receiver.hook)
    job = job_for(listener, retry=True, max_retries=12)
    receiver.answer(500)
    for retries, usual in ((0, 5), (1, 300), (2, 1800), (11, 86400)):
        assert usual * 0.8 <= tasks.post_once(job, retries) <= usual * 1.2
    assert tasks.post_once(job, 12) is None
    receiver.answer(Reply(status=429, headers=(("Retry-After", "7200"),)))
    assert 7200 <= tasks.post_once(job, 0) <= 7200 * 1.1


def test_connection_errors_are_tried_again(receiver):
    listener = listening(receiver.hook)
    receiver.down()
    assert tasks.post_once(job_for(listener, retry=True), 0) > 0
    assert tasks.post_once(job_for(listener, retry=False), 0) is None


def test_a_deleted_listener_gets_nothing(receiver):
    listener = listening(receiver.hook)
    job = job_for(listener, retry=True)
    listener.delete()
    assert tasks.post_once(job, 0) is None
    assert receiver.got == []


def test_a_worker_does_it_and_comes_back(worker, receiver, monkeypatch):
    waits = []

    def soon(*args):
        waits.append(args[1])
        return 0.01

    monkeypatch.setattr(tasks, "next_wait", soon)
    receiver.answer(500, 200)
    listener = listening(receiver.hook)
    job = job_for(listener, retry=True)
    send(job, listener)
    first, second = receiver.wait_for(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == job.id
    assert second.headers["hookbox-attempt"] == "2"
    assert waits == [1]


def test_a_broker_that_is_away_leaves_it_in_the_outbox(receiver, monkeypatch):
    from kombu.exceptions import OperationalError

    def fail(*args, **options):
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.webhook_signal, "apply_async", fail)
    listener = listening(receiver.hook)
    (result,) = send(job_for(listener), listener)
    assert result.status == "queued"
    assert "no broker" in OutboxEntry.objects.get().last_error


def test_topics_go_to_the_server(eager, receiver, settings):
    with Receiver(Reply(status=202, body=b"{}")) as server:
        settings.HOOKBOX_URL = server.url
        listener = listening(receiver.hook)
        send(job_for(listener, topic="people"), listener)
        assert [request.json["topic"] for request in server.got] == ["people"]
    assert len(receiver.got) == 1
