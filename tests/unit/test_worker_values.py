"""The small parts of delivering, by themselves."""

import gevent
import pytest
from store_values import NOW, attempt, delivery, endpoint, message

from hookbox.delivery.health import APART_MS, after_failure, after_success
from hookbox.delivery.models import DeliveryId, Source, State
from hookbox.delivery.notices import Told, iso, masked, of_delivery
from hookbox.delivery.numbers import BLOCK, Numbers
from hookbox.delivery.outcome import End, Judgement, after, judge, over
from hookbox.delivery.sender import Sent
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.delivery.terms import Terms, WorkerRules


def test_P08_numbers_are_given_once_however_many_ask():
    store = SqliteStore(":memory:")
    numbers = Numbers(store)
    given = []

    def ask():
        for _ in range(BLOCK // 4):
            given.append(numbers.next())

    gevent.joinall([gevent.spawn(ask) for _ in range(9)], raise_error=True)
    assert sorted(given) == list(range(1, 9 * (BLOCK // 4) + 1))
    assert Numbers(store).next() > max(given)
    store.close()


@pytest.mark.parametrize(
    ("status", "outcome", "end"),
    [
        (204, "ok", End.DONE),
        (302, "http_3xx", End.FAILED),
        (404, "http_404", End.FAILED),
        (410, "gone", End.DEAD),
        (429, "http_429", End.FAILED),
        (599, "http_599", End.FAILED),
    ],
)
def test_every_status_has_its_class(status, outcome, end):
    judged = judge(Sent("ok", status), NOW / 1000)
    assert (judged.outcome, judged.end) == (outcome, end)


def test_only_429_and_503_pause_everything():
    said = (("Retry-After", "5"),)
    paused = {s: judge(Sent("ok", s, said), NOW / 1000).pauses for s in (200, 404, 429, 500, 503)}
    assert paused == {200: False, 404: False, 429: True, 500: False, 503: True}


def test_a_cut_off_attempt_is_due_at_once_and_never_expires_by_that():
    owed = delivery(1)
    again = after(owed, Judgement("interrupted", End.CUT), (), now_ms=NOW + 9, expires_ms=NOW, chance=0.0)
    assert (again.state, again.due_ms, again.attempts, again.failures) == (State.SCHEDULED, NOW + 9, 1, 0)


def test_an_endpoint_is_disabled_by_two_deliveries_far_apart_not_by_one():
    one, other = DeliveryId("dlv_1"), DeliveryId("dlv_2")
    failing = after_failure(endpoint(), one, NOW, 1000)
    assert after_failure(failing, one, NOW + 2 * APART_MS, 1000).enabled
    assert after_failure(failing, other, NOW + APART_MS - 1, 1000).enabled
    assert not after_failure(failing, other, NOW + APART_MS, 1000).enabled
    assert after_success(failing) == endpoint()


def test_E04_nothing_is_told_about_what_tells_something():
    owed = delivery(1)
    dead = over(owed, State.DEAD, "exhausted", NOW)
    told = Told("http://back.example/")
    assert of_delivery(owed, dead, message(1, source=Source.SYSTEM), told, attempt()) == []
    assert len(of_delivery(owed, dead, message(1), told, attempt())) == 1
    assert of_delivery(owed, dead, message(1), Told(), attempt()) == []


def test_what_notices_show():
    assert iso(NOW + 7) == "2024-11-20T12:00:00.007Z"
    assert masked("https://ann:s@crt@a.example/?u=x@y") == "https://***@a.example/?u=x@y"
    assert masked("https://a.example/@") == "https://a.example/@"


def test_what_shares_a_limit():
    terms = Terms(WorkerRules())
    lanes = {
        terms.lane(delivery(1, url=url)) for url in ("http://A.example:80/x", "http://u:p@a.example/y?z")
    }
    assert lanes == {"http://a.example"}
    assert terms.lane(delivery(1, endpoint="ep_1")) == "ep_1"
    assert terms.lane(delivery(1, url="nonsense")) == "nonsense"
