"""Committed means sent, rolled back means not, whatever dies in between.

test_sending_postgres.py runs all of this on PostgreSQL, too.
"""

import json
import os
import signal
import threading
from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.utils import timezone
from project.library.models import Person
from sending_house import Place, accepted, job_for, listening, said, send

from hookbox.contrib.django import outbox, publish
from hookbox.contrib.django.models import Listener, OutboxEntry
from hookbox.contrib.django.sending import backends
from hookbox.testing import DEADLINE, FaultProxy, Receiver, Reply, Way

pytestmark = pytest.mark.django_db(transaction=True)
in_both = pytest.mark.django_db(transaction=True, databases=["default", "other"])
Flushed = outbox.Flushed

on_postgres = pytest.mark.skipif(
    not os.environ.get("HOOKBOX_TEST_POSTGRES"), reason="test_sending_postgres.py runs this"
)


class Rollback(Exception):
    pass


def flush(**options):
    return outbox.flush(using="default", **options)


def save_and_send(listener, **options):
    Person.objects.create(name="Joe")
    return send(job_for(listener), listener, **options)


# 20: when it is sent


def test_nothing_is_sent_before_the_commit(stand_in):
    listener = listening("https://shop.example/")
    with transaction.atomic():
        (result,) = save_and_send(listener)
        assert result.status == "queued"
        assert OutboxEntry.objects.count() == 1
        assert stand_in.got == []
    assert len(stand_in.got) == 1
    assert not OutboxEntry.objects.exists()


@pytest.mark.parametrize("outbox_on", [True, False], ids=["outbox", "plain"])
def test_what_is_rolled_back_is_never_sent(stand_in, settings, outbox_on):
    settings.HOOKBOX_OUTBOX = outbox_on
    listener = listening("https://shop.example/")
    with pytest.raises(Rollback), transaction.atomic():
        save_and_send(listener)
        raise Rollback
    assert flush() == Flushed()
    assert stand_in.got == []


@pytest.mark.parametrize("outbox_on", [True, False], ids=["outbox", "plain"])
def test_a_savepoint_that_is_rolled_back_takes_only_its_own_along(stand_in, settings, outbox_on):
    settings.HOOKBOX_OUTBOX = outbox_on
    kept, lost = listening("https://kept.example/"), listening("https://lost.example/")
    with transaction.atomic():
        save_and_send(kept)
        with pytest.raises(Rollback), transaction.atomic():
            save_and_send(lost)
            raise Rollback
    (request,) = stand_in.got
    assert request.json["to"][0]["url"] == kept.url
    assert not OutboxEntry.objects.exists()


@pytest.mark.parametrize("outbox_on", [True, False], ids=["outbox", "plain"])
def test_without_a_transaction_it_is_sent_at_once(stand_in, settings, outbox_on):
    settings.HOOKBOX_OUTBOX = outbox_on
    listener = listening("https://shop.example/")
    (result,) = save_and_send(listener)
    assert (result.status, result.message_id) == ("accepted", "msg_1")
    assert len(stand_in.got) == 1


def test_sending_while_the_sender_waits_waits_for_the_commit_too(receiver, settings):
    settings.HOOKBOX_EGRESS = "internal"
    listener = listening(receiver.hook)
    with transaction.atomic():
        (result,) = save_and_send(listener, async_=False)
        assert result.status == "queued"
        assert receiver.got == []
    assert len(receiver.got) == 1
    with pytest.raises(Rollback), transaction.atomic():
        save_and_send(listener, async_=False)
        raise Rollback
    assert len(receiver.got) == 1


@in_both
def test_each_database_has_its_own_transaction_and_outbox(stand_in):
    listener = listening("https://shop.example/", using="other")
    with pytest.raises(Rollback), transaction.atomic(using="default"):
        with transaction.atomic(using="other"):
            send(job_for(listener, using="other"), listener)
            assert OutboxEntry.objects.using("other").count() == 1
            assert OutboxEntry.objects.using("default").count() == 0
            assert stand_in.got == []
        assert len(stand_in.got) == 1  # it does not depend on the outer one
        raise Rollback


class NotInOther:
    def allow_migrate(self, db, app_label, **hints):
        return not (db == "other" and app_label == "hookbox")


@in_both
@pytest.mark.parametrize("how", ["router", "table"])
def test_a_database_without_an_outbox_sends_after_the_commit_and_says_so(stand_in, settings, caplog, how):
    listener = listening("https://shop.example/", using="other")
    if how == "router":
        settings.DATABASE_ROUTERS = [NotInOther()]
    else:
        with connections["other"].schema_editor() as editor:
            editor.delete_model(OutboxEntry)
    try:
        with transaction.atomic(using="other"):
            send(job_for(listener, using="other"), listener)
            Listener.objects.using("other").update(hook="changed")  # the transaction is fit for use
            assert stand_in.got == []
        assert len(stand_in.got) == 1
        assert "not kept in the outbox of database 'other'" in caplog.text
        assert Listener.objects.using("other").get().hook == "changed"
        assert outbox.flush() == Flushed()
    finally:
        if how == "table":
            with connections["other"].schema_editor() as editor:
                editor.create_model(OutboxEntry)


def test_the_same_id_twice_in_one_transaction_is_one_message(stand_in):
    listener = listening("https://shop.example/")
    job = job_for(listener)
    with transaction.atomic():
        send(job, listener)
        send(job, listener)
    assert len(stand_in.got) == 1


@pytest.mark.parametrize("payload", ["\ud800", 2**64, json.loads("[" * 70 + "]" * 70)])
def test_a_publication_that_the_server_would_never_take_is_an_error_at_once(payload):
    with pytest.raises(ValueError, match="Hookbox does not take it"):
        publish("news", payload, on_commit=True, outbox=True)
    assert not OutboxEntry.objects.exists()


def test_a_publication_takes_the_same_road(live):
    (ann,) = live.subscribed("people", "ann")
    with pytest.raises(Rollback), transaction.atomic():
        outbox.publish_later("people", '"rolled back"')
        raise Rollback
    with transaction.atomic():
        outbox.publish_later("people", '{"name": "Jöe"}', using="default")
        assert OutboxEntry.objects.count() == 1
    assert ann.next_publication()["payload"] == {"name": "Jöe"}
    assert not OutboxEntry.objects.exists()
    live.settle()


# 21: the server is away


def test_a_failing_hand_over_breaks_neither_the_request_nor_what_comes_after_it(live, receiver, settings):
    settings.HOOKBOX_TIMEOUT = 1
    listener = listening(receiver.hook)
    ran = []
    with FaultProxy(live.port) as network:
        settings.HOOKBOX_URL = network.url
        network.limit(1, Way.TO_CLIENT)  # the server takes it, but its answer gets lost
        with transaction.atomic():
            (result,) = save_and_send(listener)
            transaction.on_commit(lambda: ran.append("later"))
        assert result.status == "queued"
        assert ran == ["later"]
        assert Person.objects.count() == 1
        (entry,) = OutboxEntry.objects.all()
        assert entry.attempts == 1
        assert "cannot be reached" in entry.last_error
        assert 5 <= (entry.next_at - timezone.now()).total_seconds() + 1 <= 8

        network.down()
        assert flush(now=True) == Flushed(failed=1, left=1)
        network.up()
        network.limit(None)
        assert flush() == Flushed(left=1), "it waits"
        assert flush(now=True) == Flushed(handed=1)
        send(job_for(listener), listener)  # a marker: what came once too often would be there before it
        got = receiver.wait_for(2)
    assert len({request.headers["webhook-id"] for request in got}) == len(got) == 2


def test_a_broken_backend_breaks_nothing_either(stand_in, settings):
    settings.HOOKBOX_HOOK_BACKEND = "nowhere.Backend"
    ran = []
    with transaction.atomic():
        save_and_send(listening("https://shop.example/"))
        transaction.on_commit(lambda: ran.append("later"))
    assert ran == ["later"]
    assert "nowhere" in OutboxEntry.objects.get().last_error


def test_a_fault_of_our_own_after_the_commit_breaks_nothing_either(monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(outbox, "after_commit", fail)
    ran = []
    with transaction.atomic():
        save_and_send(listening("https://shop.example/"))
        transaction.on_commit(lambda: ran.append("later"))
    assert ran == ["later"]
    assert OutboxEntry.objects.count() == Person.objects.count() == 1
    assert "a fault of our own" in caplog.text


def test_without_an_outbox_what_fails_is_logged(stand_in, settings, caplog):
    settings.HOOKBOX_OUTBOX = False
    stand_in.down()
    (result,) = save_and_send(listening("https://shop.example/"))
    assert result.status == "failed"
    assert "nothing keeps it" in caplog.text


def test_while_the_server_is_away_commits_ask_once_a_second_and_later_ones_catch_up(stand_in, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now[0])
    listener = listening("https://shop.example/")
    stand_in.answer(said(503, "the server restarts, try again"))
    for _ in range(5):
        save_and_send(listener)
    assert len(stand_in.got) == 1
    now[0] += 1.01
    save_and_send(listener)
    assert len(stand_in.got) == 2
    assert OutboxEntry.objects.count() == 6

    stand_in.answer(accepted())
    now[0] += 1.01
    save_and_send(listener)
    assert not OutboxEntry.objects.exists(), "it is back, so nothing waits any longer"
    assert len({request.headers["idempotency-key"] for request in stand_in.got}) == 7


def test_one_entry_that_the_server_refuses_holds_up_no_other(stand_in):
    listener = listening("https://shop.example/")
    bad, good = job_for(listener), job_for(listener)
    stand_in.answer(
        lambda r: said(413, "too large") if r.headers["idempotency-key"] == bad.id else accepted()
    )
    outbox.put(bad)
    OutboxEntry.objects.create(job={"from": "another version"})
    outbox.put(good)
    assert flush() == Flushed(handed=1, failed=2, left=2)
    assert ["too large" in entry.last_error for entry in OutboxEntry.objects.order_by("pk")] == [True, False]


@pytest.mark.parametrize(
    ("attempts", "ahead"), [(0, timedelta(minutes=2)), (3, timedelta(days=30))], ids=["new", "tried"]
)
def test_a_clock_that_was_put_back_strands_nothing(stand_in, attempts, ahead):
    outbox.put(job_for(listening("https://shop.example/")))
    OutboxEntry.objects.update(attempts=attempts, next_at=timezone.now() + ahead)
    assert flush().handed == 1


def test_a_commit_helps_others_for_a_moment_only(stand_in, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now[0])
    listener = listening("https://shop.example/")
    for _ in range(8):
        outbox.put(job_for(listener))

    def slowly(request):
        now[0] += 0.7
        return accepted()

    stand_in.answer(slowly)
    save_and_send(listener)
    assert len(stand_in.got) == 3, "its own, and two in the second after it"
    assert OutboxEntry.objects.count() == 6


def test_one_entry_over_which_we_stumble_holds_up_no_other(stand_in, monkeypatch):
    listener = listening("https://shop.example/")
    bad, good = job_for(listener), job_for(listener)
    usual = backends.hand_over

    def stumble(job):
        if job.id == bad.id:
            raise ZeroDivisionError
        return usual(job)

    monkeypatch.setattr(backends, "hand_over", stumble)
    outbox.put(bad)
    outbox.put(good)
    assert flush() == Flushed(handed=1, failed=1, left=1)
    assert "ZeroDivisionError" in OutboxEntry.objects.get().last_error


def test_backoff_grows_from_five_seconds_to_a_quarter_of_an_hour():
    assert [outbox.delay_after(attempts, 0) for attempts in (1, 2, 3, 8, 9, 99)] == [5, 10, 20, 640, 900, 900]
    assert outbox.delay_after(1, 0.999) < 6.25


def test_a_server_that_says_when_is_not_asked_before(stand_in):
    stand_in.answer(said(503, "no space", ("Retry-After", "300")))
    outbox.put(job_for(listening("https://shop.example/")))
    flush()
    assert (OutboxEntry.objects.get().next_at - timezone.now()).total_seconds() > 290


# 22: the process is killed


def test_killed_between_commit_and_hand_over_it_is_sent_nevertheless(live, receiver, tmp_path):
    place = Place(tmp_path / "db", live.url)
    killed = place.run("die", receiver.hook)
    assert killed.returncode == -signal.SIGKILL, killed.errors
    assert receiver.got == []
    assert "1 handed over, 0 failed, 0 in the outbox" in place.run("hookbox_outbox").output
    assert receiver.wait_for(1)[0].json == {"name": "Jöe"}


# 23: many listeners


@pytest.mark.parametrize(("listeners", "batches"), [(100, 1), (250, 3)])
def test_a_hundred_listeners_are_one_batch(live, receiver, listeners, batches):
    rows = [Listener(hook="person.saved", url=f"{receiver.hook}/{number}") for number in range(listeners)]
    Listener.objects.bulk_create(rows)
    results = send(job_for(*rows), *rows)
    assert {result.status for result in results} == {"accepted"}
    got = receiver.wait_for(listeners)
    assert {request.target for request in got} == {f"/hook/{number}" for number in range(listeners)}
    ids = {request.headers["webhook-id"] for request in got}
    assert len(ids) == batches
    assert ids == {result.message_id for result in results}


@pytest.mark.parametrize("bad", ["http://169.254.169.254/", "http://bad host/"])
def test_one_bad_url_does_not_stop_the_others(live, receiver, bad):
    rows = [listening(url) for url in (f"{receiver.hook}/1", bad, f"{receiver.hook}/2")]
    results = send(job_for(*rows), *rows)
    assert [result.status for result in results] == ["accepted", "failed", "accepted"]
    assert {request.target for request in receiver.wait_for(2)} == {"/hook/1", "/hook/2"}
    rows[1].refresh_from_db()
    assert (rows[1].failures, rows[1].last_status) == (1, "refused")
    assert not OutboxEntry.objects.exists()


def test_what_arrives_is_signed_and_as_the_hook_said_it(live, receiver):
    from sending_house import SECRET

    from hookbox.webhooks import verify

    listener = listening(receiver.hook, secret=SECRET, config={"headers": {"X-Tenant": "7"}})
    job = job_for(listener)
    send(job, listener)
    (got,) = receiver.wait_for(1)
    verify(got.body, got.headers, SECRET)
    assert got.body == job.body.encode()
    assert got.headers["hookbox-type"] == "person.saved"
    assert got.headers["x-tenant"] == "7"
    assert got.headers["content-type"] == "application/json"


# 24: several at work


def test_what_is_being_handed_over_is_nobody_elses(stand_in):
    listener = listening("https://shop.example/")
    outbox.put(job_for(listener))
    others = []

    def answer(request):  # in the stand-in's thread, while the hand-over waits for it
        others.extend([flush(), flush(now=True)])
        connections.close_all()
        return accepted()

    stand_in.answer(answer)
    assert flush() == Flushed(handed=1)
    assert others == [Flushed(left=1)] * 2
    assert len(stand_in.got) == 1


def test_two_flushers_at_once_hand_nothing_over_twice(tmp_path):
    both = threading.Event()
    first = Reply(status=202, body=b"{}", wait_for=both)
    with Receiver(first, lambda request: both.set() or accepted()) as server:
        place = Place(tmp_path / "db", server.url)
        flushers = [place.start("fill 30 https://shop.example/ + hookbox_outbox")]
        server.wait_for(1)  # it is at it, and waits for the other one
        flushers.append(place.start("hookbox_outbox"))
        outputs = [flusher.communicate(timeout=3 * DEADLINE) for flusher in flushers]
        assert [flusher.returncode for flusher in flushers] == [0, 0], outputs
        keys = [request.headers["idempotency-key"] for request in server.got]
    assert server.most_at_once == 2
    assert len(keys) == len(set(keys)) == 30
    assert not any(output.startswith("0 ") for output, _ in outputs), "both have done something"


def test_a_hand_over_that_happens_twice_nevertheless_is_one_message(live, receiver):
    listener = listening(receiver.hook)
    job = job_for(listener)
    outbox.put(job)
    OutboxEntry.objects.update(created_at=timezone.now())
    rows = list(OutboxEntry.objects.values())
    assert flush().handed == 1
    OutboxEntry.objects.bulk_create([OutboxEntry(**row) for row in rows])  # as if its deletion were lost
    Listener.objects.update(config={}, secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    assert flush().handed == 1
    send(job_for(listener), listener)
    got = receiver.wait_for(2)
    assert len({request.headers["webhook-id"] for request in got}) == 2


@on_postgres
def test_an_entry_that_somebody_has_locked_is_passed_over(stand_in):
    listener = listening("https://shop.example/")
    first, second = job_for(listener), job_for(listener)
    outbox.put(first)
    outbox.put(second)
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT pk FROM (SELECT id AS pk, uuid FROM hookbox_outboxentry) AS e")
            cursor.execute("SELECT id FROM hookbox_outboxentry WHERE uuid = %s FOR UPDATE", [first.id])
        assert flush() == Flushed(handed=1, left=1)
        assert [request.headers["idempotency-key"] for request in stand_in.got] == [second.id]
    finally:
        other.rollback()
        other.close()
    assert flush() == Flushed(handed=1)


@on_postgres
def test_no_transaction_is_open_while_the_server_is_asked(stand_in):
    outbox.put(job_for(listening("https://shop.example/")))
    seen = []

    def answer(request):
        with connection.cursor() as cursor:  # a second one, as this is another thread
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
            )
            seen.append(cursor.fetchone()[0])
            cursor.execute("SELECT id FROM hookbox_outboxentry FOR UPDATE NOWAIT")
            seen.append(len(cursor.fetchall()))
        connections.close_all()
        return accepted()

    stand_in.answer(answer)
    assert flush().handed == 1
    assert seen == [0, 1]


def test_it_runs_on_the_database_it_is_meant_to():
    assert connection.vendor == ("postgresql" if os.environ.get("HOOKBOX_TEST_POSTGRES") else "sqlite")


@in_both
def test_all_databases_are_flushed_if_none_is_named(stand_in):
    for using in ("default", "other"):
        outbox.put(job_for(listening("https://shop.example/", using=using), using=using))
    assert outbox.flush() == Flushed(handed=2)


def test_what_a_replica_shows_is_left_to_its_own_database(stand_in):
    outbox.put(job_for(listening("https://shop.example/")))
    OutboxEntry.objects.update(using="primary")  # as if this were its replica
    assert flush() == Flushed()
    assert stand_in.got == []


@in_both
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_cannot_be_read_holds_up_no_other(stand_in, monkeypatch, error):
    real = outbox._flush

    def flush_one(using, limit, **options):
        if using == "default":
            raise error("the disk is gone")
        return real(using, limit, **options)

    monkeypatch.setattr(outbox, "_flush", flush_one)
    outbox.put(job_for(listening("https://shop.example/", using="other"), using="other"))
    with pytest.raises(error, match="the disk is gone"):
        outbox.flush()
    assert len(stand_in.got) == 1
