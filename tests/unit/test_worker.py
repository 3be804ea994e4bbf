"""Deliveries from their acceptance to their end, by the clock."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import gevent
import pytest
from post_office import URL, PostOffice, answer
from store_values import NOW, message

from hookbox.delivery.models import DeliveryId, Source
from hookbox.delivery.schedule import DEFAULT
from hookbox.delivery.sender import Sent
from hookbox.delivery.store.base import Entry
from hookbox.errors import CommandRefused, DeliveryStoreError, NotFound
from hookbox.webhooks.signing import verify

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BACK = "http://back.example/"
SHORT = (0.2, 0.4, 0.8)


@pytest.fixture
def open_office():
    opened = []

    def open_office(**about):
        opened.append(PostOffice(**about).start())
        return opened[-1]

    yield open_office
    for office in opened:
        office.close()


@pytest.fixture
def office(open_office):
    return open_office(schedule=SHORT)


def headers(outgoing):
    return {name.lower(): value for name, value in outgoing.headers}


def told(office, url=BACK):
    """What was told to a URL: type and data of each."""
    return [(said["type"], said["data"]) for said in (json.loads(o.body) for o in office.receivers.to(url))]


def types(office, url=BACK):
    return [type for type, _ in told(office, url)]


# attempts


def test_what_is_accepted_is_sent_at_once(office):
    name = office.accepted(
        about={"topic": "news/ä", "type": "made", "hops": 2}, headers=(("X-A", "1"), ("accept", "text/plain"))
    )
    assert office.state(name) == "succeeded"
    (sent,) = office.receivers.sent
    assert (sent.url, sent.body, sent.timeout) == (URL, b"hello", 20.0)
    assert sent.headers[-1] == ("accept", "text/plain")
    assert headers(sent) == {
        "user-agent": "hookbox/1.0.0.dev0",
        "accept": "text/plain",
        "accept-encoding": "identity",
        "content-type": "text/plain",
        "webhook-id": office.store.newest("", 1)[0].id,
        "webhook-timestamp": str(NOW // 1000),
        "hookbox-delivery": name,
        "hookbox-attempt": "1",
        "hookbox-hops": "2",
        "hookbox-topic": "news%2F%C3%A4",
        "hookbox-type": "made",
        "x-a": "1",
    }


def test_R01_a_failure_is_tried_again_later_and_later_with_a_new_signature(open_office):
    office = open_office(schedule=SHORT, chance=0.25)
    office.receivers.answers(URL, 500, 500, 200)
    name = office.accepted(secrets=(SECRET,))
    waits = [office.until_due(name), office.until_due(name)]
    assert office.state(name) == "succeeded"
    assert waits == pytest.approx([0.2 * 0.9, 0.4 * 0.9], abs=0.002)
    assert office.attempts(name) == ["http_500", "http_500", "ok"]
    assert len({headers(sent)["webhook-id"] for sent in office.receivers.sent}) == 1
    assert [headers(sent)["hookbox-attempt"] for sent in office.receivers.sent] == ["1", "2", "3"]
    for sent in office.receivers.sent:
        verify(sent.body, headers(sent), SECRET, now=office.clock.now())


def test_R01_the_time_in_the_signature_is_that_of_the_attempt(open_office):
    office = open_office(schedule=(300,))
    office.receivers.answers(URL, 500, 200)
    office.until_due(office.accepted(secrets=(SECRET,)))
    first, second = (int(headers(sent)["webhook-timestamp"]) for sent in office.receivers.sent)
    assert second - first == 300


def test_R02_the_default_schedule_makes_ten_attempts_in_three_days(open_office):
    office = open_office(breaker=0)
    office.receivers.answers(URL, 500)
    name = office.accepted(errback=BACK)
    waits = []
    while office.state(name) == "scheduled":
        waits.append(office.until_due(name))
    assert tuple(waits) == pytest.approx(DEFAULT, abs=0.01)
    assert office.state(name) == ("dead", "exhausted")
    assert len(office.attempts(name)) == 10
    assert types(office) == ["delivery.failing", "delivery.dead"]


def test_R02_E01_what_is_exhausted_is_dead_and_its_errback_told_once(office):
    office.receivers.answers(URL, answer(500, body=b"\xffno"))
    name = office.accepted(errback=BACK, secrets=(SECRET,), tag="t", about={"topic": "news"})
    for _ in range(3):
        office.until_due(name)
    assert office.state(name) == ("dead", "exhausted")
    office.advance(1000)
    assert len(office.receivers.to(URL)) == 4
    ((type, data),) = told(office)
    assert (type, data["delivery_id"], data["reason"]) == ("delivery.dead", name, "exhausted")
    assert (data["topic"], data["tag"], data["attempts"]) == ("news", "t", 4)
    assert (data["last"]["class"], data["last"]["status"]) == ("http_500", 500)
    (sent,) = office.receivers.to(BACK)
    verify(sent.body, headers(sent), SECRET, now=office.clock.now() - 1000)
    assert headers(sent)["hookbox-type"] == "delivery.dead"
    assert json.loads(sent.body)["timestamp"].startswith("2024-11-20T12:00:01.")


def test_E01_an_errback_has_its_own_secret_and_shows_no_password(open_office):
    other = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
    office = open_office(errback_url=BACK, errback_secret=other)
    url = "http://ann:secret@a.example/"
    office.receivers.answers(url, 410)
    office.accepted(url, secrets=(SECRET,))
    (sent,) = office.receivers.to(BACK)
    verify(sent.body, headers(sent), other, now=office.clock.now())
    assert told(office)[0][1]["url"] == "http://***@a.example/"


def test_E02_failing_is_told_once_and_so_is_the_recovery(open_office):
    office = open_office(schedule=(1,) * 9, breaker=0)
    office.receivers.answers(URL, *[500] * 6, 200)
    name = office.accepted(errback=BACK)
    for _ in range(6):
        assert len(types(office)) == (len(office.receivers.to(URL)) >= 4)
        office.until_due(name)
    assert office.state(name) == "succeeded"
    assert types(office) == ["delivery.failing", "delivery.recovered"]


def test_E03_a_callback_is_told_the_answer(office):
    office.receivers.answers(URL, answer(201, ("X-A", "1"), ("Set-Cookie", "a=b"), body=b"made"))
    name = office.accepted(callback=BACK, errback="http://other.example/")
    ((type, data),) = told(office)
    assert (type, data["delivery_id"]) == ("delivery.succeeded", name)
    assert data["response"] == {"status": 201, "headers": [["X-A", "1"]], "body": "made", "truncated": False}
    assert office.receivers.to("http://other.example/") == []


def test_E03_an_answer_that_is_not_text_is_told_in_base64(office):
    office.receivers.answers(URL, answer(200, body=b"\xff"))
    office.accepted(callback=BACK)
    assert told(office)[0][1]["response"]["body_base64"] == "/w=="


def test_E04_there_is_no_errback_of_an_errback(open_office, complaints):
    office = open_office(schedule=(), errback_url=BACK)
    office.receivers.answers(URL, 500)
    office.receivers.answers(BACK, 500)
    office.accepted()
    assert types(office) == ["delivery.dead"]
    assert len(complaints()) == 2, "both are logged"
    dead = [owed for owed in office.everything() if owed.state.value == "dead"]
    assert {owed.url for owed in dead} == {URL, BACK}
    system = [m.source for m in office.store.newest("", 10)]
    assert system == [Source.SYSTEM, Source.DISPATCH]


def test_R03_a_redirect_is_a_failure_unless_the_endpoint_says_otherwise(office):
    office.receivers.answers(URL, 302, 302, 200)
    name = office.accepted()
    office.until_due(name)
    office.until_due(name)
    assert office.attempts(name) == ["http_3xx", "http_3xx", "ok"]
    office.receivers.answers(URL, 303)
    name = office.accepted(to=office.endpoint(redirects_succeed=True))
    assert office.state(name) == "succeeded"


def test_R04_gone_is_dead_at_once_and_ends_the_endpoint(office):
    ours = office.endpoint(errback=BACK)
    office.receivers.answers(URL, 410)
    later = office.accepted(to=ours, delay=100)
    name = office.accepted(to=ours)
    assert office.state(name) == ("dead", "gone")
    assert office.worker.endpoint(ours.id).state == "disabled"
    assert office.store.endpoints()[0].state_reason == "gone"
    assert office.state(later) == "held"
    held = office.accepted(to=ours)
    office.advance(1000)
    assert office.state(held) == "held"
    assert len(office.receivers.to(URL)) == 1
    assert types(office) == ["delivery.dead", "endpoint.disabled"]


def test_R04_gone_for_a_plain_url_is_the_end_of_that_delivery_only(office):
    office.receivers.answers(URL, 410, 200)
    assert office.state(office.accepted()) == ("dead", "gone")
    assert office.state(office.accepted()) == "succeeded"


@pytest.mark.parametrize("status", [429, 503])
def test_R05_retry_after_is_for_everything_to_that_receiver(open_office, status):
    office = open_office(schedule=(1,), chance=0.0)
    office.receivers.answers(URL, answer(status, ("Retry-After", "100")), 200)
    first, second = office.accepted(), office.accepted()
    other = office.accepted("http://b.example/")
    assert office.state(other) == "succeeded"
    assert office.wait(first) >= 100
    office.pass_(99.9)
    assert len(office.receivers.to(URL)) == 1
    office.pass_(0.2)
    assert (office.state(first), office.state(second)) == ("succeeded", "succeeded")


def test_R05_a_date_works_too_and_nonsense_is_ignored(open_office):
    date = datetime.fromtimestamp(NOW / 1000 + 500, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for text, wait in [(date, 500), ("soon", 60), ("-5", 60), ("1000000000", 86_400)]:
        office = open_office(schedule=(1,), chance=0.5)
        office.receivers.answers(URL, answer(503, ("retry-after", text)))
        assert office.wait(office.accepted()) == pytest.approx(wait * (1.05 if wait != 60 else 1))


def test_R05_the_pause_of_an_endpoint_outlives_a_restart(office):
    ours = office.endpoint()
    office.receivers.answers(URL, answer(503, ("Retry-After", "300")), 200)
    office.accepted(to=ours)
    with office.restarted():
        pass
    second = office.accepted(to=ours)
    office.pass_(290)
    assert len(office.receivers.sent) == 1
    office.pass_(11)
    assert office.state(second) == "succeeded"


def test_R06_a_receiver_can_abort_a_message_and_only_with_a_failure(office):
    abort = ("webhook-delivery", "Abort-Message")
    office.receivers.answers(URL, answer(200, abort), answer(422, abort))
    assert office.state(office.accepted()) == "succeeded"
    name = office.accepted(errback=BACK)
    assert office.state(name) == ("dead", "aborted")
    assert told(office)[0][1]["reason"] == "aborted"


@pytest.mark.parametrize("status", [200, 500])
def test_R07_a_receiver_can_disable_itself(office, status):
    ours = office.endpoint()
    office.receivers.answers(URL, answer(status, ("Webhook-Delivery", "disable")))
    name = office.accepted(to=ours)
    assert office.worker.endpoint(ours.id).state == "disabled"
    assert office.state(name) == ("succeeded" if status == 200 else "held")
    plain = office.accepted()
    assert office.state(plain) in ("succeeded", "scheduled"), "a plain URL has nothing to disable"


@pytest.mark.parametrize("outcome", ["dns", "refused", "reset", "unreachable", "tls", "protocol", "timeout"])
def test_R08_what_went_wrong_on_the_way_is_tried_again(office, outcome):
    office.receivers.answers(URL, Sent(outcome, detail="why"), 200)
    name = office.accepted()
    assert office.wait(name) == pytest.approx(60 if outcome == "timeout" else 0.2)
    office.until_due(name)
    assert office.attempts(name) == [outcome, "ok"]
    assert office.store.attempts(name)[0].detail == "why"


def test_G01_what_is_blocked_is_dead_at_once(office):
    office.receivers.answers(URL, Sent("blocked", detail="blocked: 127.0.0.1 is loopback"))
    name = office.accepted(errback=BACK)
    assert office.state(name) == ("dead", "blocked")
    assert types(office) == ["delivery.dead"]


def test_our_own_fault_uses_nothing_up(office, complaints):
    office.receivers.answers(URL, ValueError("oops"), 200)
    name = office.accepted(retry=())
    assert office.state(name) == "scheduled"
    assert office.until_due(name) == pytest.approx(5)
    assert office.state(name) == "succeeded"
    assert office.attempts(name) == ["internal", "ok"]
    assert "our own fault" in complaints()[0]


def test_a_secret_that_cannot_be_one_is_our_own_fault(office, complaints):
    name = office.accepted(secrets=("short",))
    assert office.attempts(name) == ["internal"]
    assert office.receivers.sent == []


def test_what_is_kept_of_an_attempt_is_short_and_without_secrets(office):
    long = "x" * 5000
    office.receivers.answers(URL, answer(500, ("X-Long", long), ("Set-Cookie", "a=b"), body=b"y" * 65536))
    name = office.accepted(headers=(("Authorization", "Bearer x"),))
    (kept,) = office.store.attempts(name)
    assert kept.response == (("X-Long", long[:1024]),)
    assert len(kept.body) == 16 * 1024
    assert ("Authorization", "***") in kept.request
    assert (kept.status, kept.address, kept.trigger.value) == (500, "192.0.2.1", "schedule")


# how often, and until when


def test_R09_the_caller_says_how_often(office):
    office.receivers.answers(URL, 500)
    never, twice = office.accepted(retry=()), office.accepted(retry=(7.0, 9.0))
    assert office.state(never) == ("dead", "exhausted")
    assert [office.until_due(twice), office.until_due(twice)] == pytest.approx([7, 9])
    assert office.state(twice) == ("dead", "exhausted")


def test_R09_the_endpoint_says_it_if_the_caller_does_not(office):
    ours = office.endpoint(retry=(33.0,), timeout=3.0)
    office.receivers.answers(URL, 500)
    assert office.wait(office.accepted(to=ours)) == pytest.approx(33)
    assert office.wait(office.accepted(to=ours, retry=(5.0,), timeout=4.0)) == pytest.approx(5)
    assert [sent.timeout for sent in office.receivers.sent] == [3.0, 4.0]
    assert [sent.connect_timeout for sent in office.receivers.sent] == [3.0, 4.0]


def test_R09_it_ends_when_the_caller_does_not_want_it_any_more(office):
    office.receivers.answers(URL, 500)
    name = office.accepted(retry=(5.0, 50.0), expires_ms=NOW + 10_000, errback=BACK)
    office.until_due(name)
    assert office.state(name) == ("dead", "expired")
    assert told(office)[0][1]["reason"] == "expired"


def test_R09_a_delay_is_kept_across_a_restart(office):
    name = office.accepted(delay=100)
    office.advance(60)
    with office.restarted():
        pass
    office.advance(39.9)
    assert office.receivers.sent == []
    office.advance(0.2)
    assert office.state(name) == "succeeded"


def test_R09_a_delay_of_days_is_kept(office):
    name = office.accepted(delay=30 * 86_400)
    office.advance(30 * 86_400 - 20)
    assert office.receivers.sent == []
    office.advance(20.1)
    assert office.state(name) == ("dead", "expired"), "it was older than anything may be"


def test_what_expires_while_it_waits_is_told_in_time(office):
    office.receivers.answers(URL, answer(503, ("Retry-After", "1000")), 200)
    office.accepted()
    name = office.accepted(expires_ms=office.now_ms + 200_000, errback=BACK)
    office.pass_(199)
    assert office.state(name) == "scheduled"
    office.pass_(2)
    assert office.state(name) == ("dead", "expired")
    assert office.attempts(name) == []
    assert told(office)[0][1]["last"] is None


def test_F29_what_is_accepted_after_the_wall_clock_was_stepped_forward_is_begun_at_once(office):
    office.clock.step_wall(86_400)
    name = office.accepted()
    office.settle()
    assert office.state(name) == "succeeded"


def test_a_step_of_the_wall_clock_changes_nothing_that_is_due_soon(office):
    office.receivers.answers(URL, 500, 200)
    name = office.accepted(retry=(20.0,))
    office.clock.step_wall(-3600)
    office.advance(20.1)
    assert office.state(name) == "succeeded"


# caps and lanes


def test_R11_nobody_waits_for_a_slow_one(office):
    slow = office.receivers.think("http://slow.example/")
    urls = ["http://slow.example/", *(f"http://h{n}.example/" for n in range(99))]
    names = office.accept(*urls)
    office.settle()
    assert [office.state(name) for name in names] == ["in_flight"] + ["succeeded"] * 99
    slow.set()
    office.settle()
    assert office.state(names[0]) == "succeeded"


def test_R11_one_slow_receiver_with_a_long_queue_holds_nobody_up(office):
    office.receivers.think("http://slow.example/")
    for _ in range(50):
        office.accept("http://slow.example/")
    assert office.state(office.accepted("http://fast.example/")) == "succeeded"
    assert office.receivers.most == 4


def test_R12_four_at_once_for_one_receiver_whatever_the_path(office):
    urls = [f"http://a.example/{n}" for n in range(9)]
    doors = [office.receivers.think(url) for url in urls]
    office.accept(*urls)
    office.settle()
    assert office.receivers.thinking == 4
    for door in doors:
        door.set()
    office.settle()
    assert office.receivers.most == 4
    assert len(office.receivers.sent) == 9


def test_there_is_a_cap_on_everything(open_office):
    office = open_office(max_in_flight=3)
    urls = [f"http://h{n}.example/" for n in range(5)]
    doors = [office.receivers.think(url) for url in urls]
    names = office.accept(*urls)
    office.settle()
    assert office.receivers.thinking == 3
    assert office.worker.counts().in_flight == 3
    for door in doors:
        door.set()
    office.settle()
    assert {office.state(name) for name in names} == {"succeeded"}


def test_what_was_due_first_starts_first(office):
    ours = office.endpoint()
    office.worker.endpoint_changed(replace(ours, state="paused"))
    for n, delay in enumerate([3, 1, 2]):
        office.accepted(to=ours, delay=delay, body=b"%d" % n)
    office.advance(10)
    office.worker.endpoint_changed(ours)
    office.settle()
    assert office.receivers.bodies == [b"1", b"2", b"0"]


def test_a_rate_is_kept(office):
    ours = office.endpoint(rate=(2, 10.0))
    for _ in range(5):
        office.accept(to=ours)
    office.settle()
    office.pass_(30)
    began = office.receivers.times[0]
    assert [round(at - began, 2) for at in office.receivers.times] == [0, 0, 5, 10, 15]


def test_R13_ordered_means_strictly_in_order(office):
    ours = office.endpoint(ordered=True)
    office.receivers.answers(URL, 200, 200, 500, 500, 200)
    names = [office.accept(to=ours, body=b"%d" % n) for n in range(1, 21)]
    office.settle()
    assert office.receivers.bodies == [b"1", b"2", b"3"]
    assert [office.state(name) for name in names[2:5]] == ["scheduled", "waiting", "waiting"]
    office.pass_(10)
    assert [int(body) for body in office.receivers.bodies] == [1, 2, 3, 3, *range(3, 21)]
    assert {office.state(name) for name in names} == {"succeeded"}


def test_R13_what_is_cancelled_or_dead_releases_the_next(office):
    ours = office.endpoint(ordered=True)
    office.receivers.answers(URL, 500, 200, 410, 200)
    names = [office.accepted(to=ours, body=b"%d" % n, errback=BACK) for n in range(3)]
    assert office.worker.cancel(names[0])
    office.settle()
    assert office.state(names[0]) == ("cancelled", "operator")
    assert office.state(names[1]) == "succeeded"
    assert told(office)[0][1]["reason"] == "cancelled"
    assert not office.worker.cancel(names[0]), "it is over"
    assert office.state(names[2]) == ("dead", "gone")


def test_R13_the_order_outlives_a_restart_and_hundreds_of_messages(office):
    ours = office.endpoint(ordered=True, retry=(300.0,))
    office.receivers.answers(URL, 500, 200)
    for n in range(450):
        office.accept(to=ours, body=b"%d" % n)
    office.settle()
    assert office.receivers.bodies == [b"0"]
    with office.restarted():
        assert office.receivers.bodies == [b"0"]
    office.accepted(to=ours, body=b"450")
    assert office.receivers.bodies == [b"0"]
    office.pass_(301)
    office.accepted(to=ours, body=b"451")
    assert [int(body) for body in office.receivers.bodies] == [0, *range(452)]


@pytest.mark.parametrize("restart", [False, True])
def test_R13_what_blocks_for_too_long_is_passed_by_and_tried_on_its_own(open_office, restart):
    office = open_office(schedule=(30.0, 100.0, 100.0), breaker=0)
    ordered = office.endpoint(ordered=True, block_max=60)
    office.receivers.answers(URL, 500, 500, 200)
    first = office.accepted(to=ordered, body=b"first")
    others = [office.accepted(to=ordered, body=b"%d" % n) for n in range(450)]
    office.pass_(59)
    assert office.receivers.bodies == [b"first"] * 2, "its second attempt is its second failure"
    if restart:
        with office.restarted():
            pass
    office.pass_(3)
    assert office.receivers.bodies[2:] == [b"%d" % n for n in range(450)]
    assert office.state(first) == "scheduled"
    late = office.accepted(to=ordered, body=b"late")
    assert office.state(late) == "succeeded"
    office.pass_(100)
    assert office.receivers.bodies[-1] == b"first"
    assert {office.state(name) for name in (first, *others)} == {"succeeded"}


def test_R13_hundreds_that_were_passed_by_do_not_hide_the_next(open_office):
    office = open_office(schedule=(10_000.0,), breaker=0)
    ordered = office.endpoint(ordered=True, block_max=0)
    office.receivers.answers(URL, *[500] * 250, 200)
    names = [office.accept(to=ordered) for _ in range(300)]
    with office.restarted():
        pass
    office.pass_(30)
    assert [office.state(name) for name in names] == ["scheduled"] * 250 + ["succeeded"] * 50
    with office.restarted():
        pass
    last = office.accept(to=ordered)
    office.pass_(30)
    assert office.state(last) == "succeeded"
    office.pass_(15_000)
    assert {office.state(name) for name in names} == {"succeeded"}


def test_R14_the_breaker_opens_after_ten_probes_and_closes(open_office):
    office = open_office(schedule=(7200.0,))
    office.receivers.answers(URL, 500)
    for _ in range(10):
        office.accepted()
    waiting = [office.accepted() for _ in range(8)]
    assert len(office.receivers.sent) == 10
    assert office.worker.counts().stopped == 1
    office.pass_(700)
    gaps = [b - a for a, b in zip(office.receivers.times[9:], office.receivers.times[10:], strict=False)]
    assert gaps == pytest.approx([5, 10, 20, 40, 80, 160, 320], abs=0.01)
    assert [office.store.attempts(name)[0].trigger.value for name in waiting[:7]] == ["probe"] * 7
    assert office.attempts(waiting[7]) == [], "waiting uses nothing up"
    office.receivers.answers(URL, 200)
    office.pass_(700)
    assert office.worker.counts().stopped == 0
    assert office.state(waiting[7]) == "succeeded"
    office.accepted()
    assert office.state(office.accepted()) == "succeeded"


def test_R14_one_probe_at_a_time(open_office):
    office = open_office(schedule=(7200.0,))
    office.receivers.answers(URL, 500)
    for _ in range(10):
        office.accepted()
    for _ in range(5):
        office.accept()
    door = office.receivers.think(URL)
    office.pass_(2000)
    assert office.receivers.thinking == 1
    office.receivers.answers(URL, 200)
    door.set()
    office.settle()
    assert len(office.receivers.sent) == 15


def test_R14_what_waits_behind_a_breaker_ends_with_its_age(open_office):
    office = open_office(schedule=(7200.0,), max_age=3600.0)
    office.receivers.answers(URL, 500)
    for _ in range(10):
        office.accepted()
    waiting = [office.accepted() for _ in range(20)]
    office.pass_(3700)
    tried = [name for name in waiting if office.attempts(name)]
    assert 0 < len(tried) < 20
    assert {office.state(name) for name in waiting} == {("dead", "expired")}


# endpoints


def test_R15_what_is_held_goes_out_in_order_when_the_endpoint_is_enabled(office):
    ours = office.endpoint(errback=BACK)
    office.worker.endpoint_changed(replace(ours, state="disabled"))
    names = [office.accepted(to=ours, body=b"%d" % n) for n in range(300)]
    assert {office.state(name) for name in names} == {"held"}
    office.advance(200 * 3600)
    office.worker.endpoint_changed(ours)
    office.settle()
    assert [int(sent.body) for sent in office.receivers.to(URL)] == list(range(300))
    assert types(office) == ["endpoint.disabled", "endpoint.enabled"]


def test_R15_what_is_held_stays_so_across_a_restart(office):
    ours = office.endpoint()
    office.worker.endpoint_changed(replace(ours, state="paused"))
    name = office.accepted(to=ours)
    with office.restarted():
        pass
    assert office.state(name) == "held"
    office.worker.endpoint_changed(ours)
    office.settle()
    assert office.state(name) == "succeeded"


def test_an_endpoint_that_fails_for_days_is_disabled(open_office):
    office = open_office(schedule=(), breaker=0)
    ours = office.endpoint(errback=BACK)
    office.receivers.answers(URL, 500)
    for _ in range(6):
        office.accepted(to=ours)
        office.advance(23 * 3600)
    assert office.worker.endpoint(ours.id).enabled, "115 hours"
    office.advance(6 * 3600)
    office.accepted(to=ours)
    assert office.store.endpoints()[0].state == "disabled"
    assert types(office)[-1] == "endpoint.disabled"
    assert told(office)[-1][1]["reason"] == "failing"


def test_one_success_and_the_endpoint_is_well_again(open_office):
    office = open_office(schedule=(), breaker=0)
    ours = office.endpoint()
    for status in (500, 500, 200, 500):
        office.receivers.answers(URL, status)
        office.accepted(to=ours)
        office.advance(100 * 3600)
    office.accepted(to=ours)
    stands = office.store.endpoints()[0]
    assert (stands.state, stands.failures) == ("enabled", 2)


def test_a_deleted_endpoint_gets_nothing_more(office):
    ours = office.endpoint()
    door = office.receivers.think(URL)
    office.receivers.answers(URL, 500)
    busy = office.accepted(to=ours)
    later = office.accepted(to=ours, delay=1)
    office.worker.endpoint_dropped(ours.id)
    door.set()
    office.advance(100)
    assert office.state(busy) == ("cancelled", "endpoint deleted")
    assert office.state(later) == ("cancelled", "endpoint deleted")
    assert len(office.receivers.sent) == 1


def test_an_endpoint_signs_with_all_its_valid_secrets(office):
    old, gone = "whsec_" + "b" * 32, "whsec_" + "c" * 32
    ours = office.endpoint(secrets=((SECRET, 0), (old, NOW + 1000), (gone, NOW - 1)), headers=(("X-E", "1"),))
    office.accepted(to=ours, secrets=("nobody asked for this",), headers=(("x-e", "2"),))
    (sent,) = office.receivers.sent
    assert len(headers(sent)["webhook-signature"].split()) == 2
    verify(sent.body, headers(sent), old, now=office.clock.now())
    assert [value for name, value in sent.headers if name.lower() == "x-e"] == ["2"]


# operators


def test_B02_retry_now_does_not_wait_for_anything(open_office):
    office = open_office(schedule=(1000.0,))
    office.receivers.answers(URL, answer(503, ("Retry-After", "500")))
    first = office.accepted()
    second = office.accepted()
    office.receivers.answers(URL, 200)
    office.worker.retry_now(first)
    office.settle()
    assert office.state(first) == "succeeded"
    assert [kept.trigger.value for kept in office.store.attempts(first)] == ["schedule", "manual"]
    assert office.state(second) == "scheduled", "the pause is not over for others"
    with pytest.raises(NotFound):
        office.worker.retry_now(DeliveryId("dlv_none"))


def test_B02_what_is_dead_can_be_tried_again_once_or_from_the_beginning(office):
    office.receivers.answers(URL, 500)
    name = office.accepted(retry=(9.0,))
    office.until_due(name)
    assert office.state(name) == ("dead", "exhausted")
    office.worker.retry_now(name)
    office.settle()
    assert office.state(name) == ("dead", "exhausted")
    office.worker.retry_now(name, reset=True)
    office.settle()
    assert office.state(name) == "scheduled"
    office.until_due(name)
    assert office.state(name) == ("dead", "exhausted")
    assert len(office.attempts(name)) == 5


def test_an_attempt_under_way_is_not_doubled_and_can_be_the_last(office):
    door = office.receivers.think(URL)
    office.receivers.answers(URL, 500)
    name = office.accepted()
    with pytest.raises(CommandRefused):
        office.worker.retry_now(name)
    assert office.worker.cancel(name)
    door.set()
    office.settle()
    assert office.state(name) == ("cancelled", "operator")


def test_what_is_held_can_be_cancelled_or_tried(office):
    ours = office.endpoint()
    office.worker.endpoint_changed(replace(ours, state="paused"))
    one, other = office.accepted(to=ours), office.accepted(to=ours)
    assert office.worker.cancel(one)
    office.receivers.answers(URL, 500, 200)
    office.worker.retry_now(other)
    office.settle()
    assert (office.state(one), office.state(other)) == (("cancelled", "operator"), "held")
    assert len(office.receivers.sent) == 1
    office.worker.endpoint_changed(ours)
    office.advance(1)
    assert office.state(other) == "succeeded"


# restarts and trouble


def test_P02_what_a_crash_interrupted_is_sent_once_more_and_says_so(office):
    office.receivers.think(URL)
    name = office.accepted()
    assert office.state(name) == "in_flight"
    office.worker._group.kill()
    office.store.interrupted(office.now_ms)  # nothing yet: it is of this start
    office.store._store.boot += 1
    office.receivers._doors.clear()
    office.start()
    assert office.state(name) == "succeeded"
    assert office.attempts(name) == ["interrupted", "ok"]


def test_what_is_overdue_after_a_restart_begins_one_after_another(office):
    with office.restarted():
        for n in range(200):
            office.accept(f"http://h{n}.example/")
        office.clock.advance(3600)
    assert len(office.receivers.sent) < 5
    office.pass_(5)
    assert len(office.receivers.sent) == 200
    spread = office.receivers.times[-1] - office.receivers.times[0]
    assert 3.5 < spread <= 4


def test_P07_what_is_under_way_gets_its_time(office):
    door = office.receivers.think(URL)
    name = office.accepted()
    gevent.spawn_later(0.01, door.set)
    office.worker.stop(5)
    assert office.state(name) == "succeeded"


def test_P07_then_it_is_interrupted_and_nothing_is_used_up(office):
    office.receivers.think(URL)
    name = office.accepted()
    office.worker.stop(0)
    found = office.store.delivery(name)
    assert (found.state.value, found.attempts, found.failures) == ("scheduled", 1, 0)
    assert office.attempts(name) == ["interrupted"]
    assert found.due_ms <= office.now_ms


@pytest.mark.parametrize("call", ["begin", "finish", "due", "reserve"])
def test_nothing_is_lost_while_the_store_refuses(office, complaints, call):
    office.store.refuses.add(call)
    office.receivers.answers(URL, 500, 200)
    office.numbers._next = office.numbers._end - 2 if call == "reserve" else office.numbers._next
    name = office.accepted(callback=BACK, retry=(5.0,))
    later = office.accepted(delay=100)
    office.advance(30)
    office.advance(30)
    office.advance(30)
    office.store.refuses.clear()
    office.advance(1.1)
    office.advance(60)
    office.advance(60)
    assert (office.state(name), office.state(later)) == ("succeeded", "succeeded")
    assert types(office) == ["delivery.succeeded"]
    assert office.attempts(name) == ["http_500", "ok"]
    assert sum("the store refuses" in said for said in complaints()) == 1
    assert office.worker.counts().refusals > 1


def test_it_counts_what_it_did(office):
    office.receivers.answers(URL, 500, 200)
    office.until_due(office.accepted())
    counts = office.worker.counts()
    assert counts.attempts == {"http_500": 1, "ok": 1}
    assert counts.ended == {"succeeded": 1}
    assert (counts.in_flight, counts.waiting, counts.refusals) == (0, 0, 0)


def test_B02_an_operator_who_tries_the_head_of_an_ordered_endpoint_keeps_the_order(office):
    ours = office.endpoint(ordered=True, retry=(1000.0,) * 3)
    office.receivers.answers(URL, 500, 500, 200)
    names = [office.accepted(to=ours, body=b"%d" % n) for n in range(3)]
    office.worker.retry_now(names[0])
    office.settle()
    assert office.receivers.bodies == [b"0", b"0"]
    office.worker.retry_now(names[0])
    office.settle()
    assert office.receivers.bodies == [b"0", b"0", b"0", b"1", b"2"]


@pytest.mark.parametrize("call", ["change", "keep_endpoint", "drop_endpoint"])
def test_what_an_operator_wants_is_refused_if_the_store_refuses(office, call):
    ours = office.endpoint()
    name = office.accepted(to=ours, delay=30)
    office.store.refuses.add(call)
    with pytest.raises(DeliveryStoreError):
        match call:
            case "change":
                office.worker.retry_now(name)
            case "keep_endpoint":
                office.worker.endpoint_changed(replace(ours, state="paused"))
            case "drop_endpoint":
                office.worker.endpoint_dropped(ours.id)
    office.settle()
    assert office.receivers.sent == []
    office.store.refuses.clear()
    office.advance(31)
    assert office.state(name) == "succeeded"


def test_what_is_cancelled_while_the_store_refuses_is_cancelled_when_it_works(office):
    name = office.accepted(delay=30)
    office.store.refuses.add("finish")
    assert office.worker.cancel(name)
    office.store.refuses.clear()
    office.advance(1.1)
    assert office.state(name) == ("cancelled", "operator")


@pytest.mark.parametrize("answer", [500, 200])
def test_what_is_cancelled_while_it_is_written_what_came_of_it_is_not_tried_again(office, answer):
    office.receivers.answers(URL, answer)
    office.store.refuses.add("finish")
    name = office.accepted()
    assert len(office.receivers.sent) == 1
    assert office.worker.cancel(name)
    office.store.refuses.clear()
    office.advance(1.1)
    assert office.state(name) == ("succeeded" if answer == 200 else ("cancelled", "operator"))
    assert not office.worker._attempts.cancelled
    office.pass_(10_000)
    assert len(office.receivers.sent) == 1


def test_one_fault_of_our_own_does_not_end_what_looks_after_everything_else(office, monkeypatch, caplog):
    def stumble(work, *faults):
        faults = list(faults)

        def stumbling(*args):
            if faults:
                raise faults.pop()
            return work(*args)

        return stumbling

    fanouts, upkeep = office.worker._fanouts, office.worker._upkeep
    monkeypatch.setattr(fanouts, "_write_some", stumble(fanouts._write_some, KeyError("gone")))
    monkeypatch.setattr(upkeep, "_look", stumble(upkeep._look, RecursionError("deep")))
    rest = []
    office.worker.write_rest(lambda message, after, wishes: (rest.append(after), None)[1] or ([], None))
    office.pass_(60)
    assert caplog.text.count("our own fault, it is tried again") == 2
    seq = office.numbers.next()
    office.store.accept(Entry(message(seq), (), "1:ep_1"))
    office.worker.fan_out()
    office.pass_(60)
    assert rest == ["1:ep_1"]
