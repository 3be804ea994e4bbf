"""Deliveries over real sockets, from a store on disk."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import gevent
import pytest
from receivers import Receiver

from hookbox.clock import SystemClock
from hookbox.delivery.egress import Mode, Policy
from hookbox.delivery.ids import ulid
from hookbox.delivery.models import Delivery, DeliveryId, Message, MessageId, Source, State, Wishes
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.sender import Sender
from hookbox.delivery.store.base import Entry, Search
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.delivery.terms import WorkerRules
from hookbox.delivery.worker import Worker
from hookbox.testing import DEADLINE
from hookbox.webhooks import signing
from hookbox.webhooks.resolve import Resolver

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Office:
    """A worker with everything it needs."""

    def __init__(self, path, **rules):
        self.clock = SystemClock()
        self.store = SqliteStore(str(path))
        self.numbers = Numbers(self.store)
        self.sender = Sender(lambda: Policy(Mode.INTERNAL), Resolver(self.clock), self.clock)
        rules = WorkerRules(**{"schedule": (0.2, 0.4, 0.8), **rules})
        self.worker = Worker(self.store, self.sender, self.clock, rules, self.numbers)
        self.worker.start()

    def close(self, grace=0.0):
        self.worker.stop(grace)
        self.sender.close()
        self.store.close()

    def accept(self, *urls, body=b"hello", **wishes):
        now = int(self.clock.now() * 1000)
        message = Message(
            self.numbers.next(), MessageId(f"msg_{ulid(now)}"), now, Source.DISPATCH, "text/plain", body, "1"
        )
        owed = tuple(
            Delivery(
                DeliveryId(f"dlv_{ulid(now)}"), message.seq, url, Wishes(**wishes), State.SCHEDULED, now, now
            )
            for url in urls
        )
        self.store.accept(Entry(message, owed))
        for delivery in owed:
            self.worker.wake(delivery)
        return [delivery.id for delivery in owed]

    def until(self, check, seconds=DEADLINE):
        end = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < end, [
                (d.url, d.state, d.reason, [a.outcome for a in self.store.attempts(d.id)])
                for d in self.store.search(Search(limit=10))
            ]
            gevent.sleep(0.01)
        return found

    def done(self, *names, state=State.SUCCEEDED):
        self.until(lambda: all(self.store.delivery(name).state is state for name in names))

    def outcomes(self, name):
        return [attempt.outcome for attempt in self.store.attempts(name)]


@pytest.fixture
def start(tmp_path):
    offices = []

    def start(**rules):
        offices.append(Office(tmp_path / "hookbox.db", **rules))
        return offices[-1]

    yield start
    for office in offices:
        office.close()


def test_R01_every_attempt_is_signed_so_that_receivers_can_check_it(start):
    office = start()
    with Receiver(500, 500, 200) as receiver:
        body = bytes(range(256))
        (name,) = office.accept(receiver.url, body=body, secrets=(SECRET,))
        office.done(name)
        assert office.outcomes(name) == ["http_500", "http_500", "ok"]
        assert [headers["hookbox-attempt"] for headers, _ in receiver.got] == ["1", "2", "3"]
        for headers, got in receiver.got:
            assert got == body
            signing.verify(got, headers, SECRET)


def test_R10_a_connection_that_went_stale_costs_no_attempt(start):
    office = start()
    with Receiver(keep=False) as receiver:
        for n in range(3):
            (name,) = office.accept(receiver.url)
            office.done(name)
            assert office.outcomes(name) == ["ok"], n
        assert receiver.connections == 3


def test_R12_no_receiver_gets_more_than_four_at_once(start):
    office = start()
    with Receiver(seconds=0.05) as receiver:
        office.done(*office.accept(*[f"{receiver.url}/{n}" for n in range(20)]))
        assert receiver.most_busy == 4
        assert receiver.connections == 4, "and connections are used again"


def test_R11_one_that_never_answers_holds_nobody_up(start):
    office = start(timeout=60.0)
    with Receiver(seconds=600) as slow, Receiver() as fast:
        names = office.accept(slow.url, *[f"{fast.url}/{n}" for n in range(30)])
        office.done(*names[1:])
        assert office.store.delivery(names[0]).state is State.IN_FLIGHT
        assert len(slow.got) == 1


def test_R05_nothing_comes_before_the_receiver_wants_it(start):
    office = start()
    busy = b"HTTP/1.1 429 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
    times = []

    def first_busy(headers):
        times.append(time.monotonic())
        return busy if len(times) == 1 else 200

    with Receiver(first_busy) as receiver:
        office.accept(receiver.url)
        office.until(lambda: times)
        office.until(lambda: office.worker.counts().attempts)
        (second,) = office.accept(receiver.url)
        office.done(second)
        assert times[1] - times[0] >= 2


def test_E01_an_errback_is_signed(start):
    with Receiver(410) as receiver, Receiver() as back:
        office = start(errback_url=back.url, errback_secret=SECRET)
        (name,) = office.accept(receiver.url)
        office.done(name, state=State.DEAD)
        office.until(lambda: back.got)
        ((headers, body),) = back.got
        signing.verify(body, headers, SECRET)
        assert b'"reason":"gone"' in body.replace(b" ", b"")


def test_P07_an_orderly_end_waits_for_answers_and_a_restart_takes_up_the_rest(start):
    office = start()
    with Receiver(seconds=0.3) as quick, Receiver(seconds=600) as slow:
        (answered,), (cut,) = office.accept(quick.url), office.accept(slow.url)
        office.until(lambda: quick.got and slow.got)
        office.close(grace=1.0)
        slow.seconds = 0
        office = start()
        office.done(answered, cut)
        assert office.outcomes(answered) == ["ok"]
        assert office.outcomes(cut) == ["interrupted", "ok"]


CRASHING = """
import sys, gevent, test_delivery
office = test_delivery.Office(sys.argv[1])
finish = office.store.finish
def answered(finished):
    print("answered", flush=True)
    gevent.sleep(600)
office.store.finish = answered
office.accept(sys.argv[2])
gevent.sleep(600)
"""


def test_P02_killed_between_answer_and_commit_it_is_sent_once_more(start, tmp_path):
    here = Path(__file__).parent
    with Receiver() as receiver:
        crashing = subprocess.Popen(
            [sys.executable, "-c", CRASHING, str(tmp_path / "hookbox.db"), receiver.url],
            cwd=here,
            env={"PYTHONPATH": f"{here}:{here.parents[1]}"},
            stdout=subprocess.PIPE,
        )
        try:
            until = time.monotonic() + 3 * DEADLINE
            while not receiver.got and time.monotonic() < until:
                gevent.sleep(0.01)
            assert gevent.get_hub().threadpool.apply(crashing.stdout.readline) == b"answered\n"
        finally:
            crashing.kill()
            crashing.wait()
            crashing.stdout.close()
        office = start()
        (owed,) = office.store.search(Search())
        office.done(owed.id)
        assert office.outcomes(owed.id) == ["interrupted", "ok"]
        first, second = (headers for headers, _ in receiver.got)
        assert first["webhook-id"] == second["webhook-id"]
        assert [first["hookbox-attempt"], second["hookbox-attempt"]] == ["1", "2"]


def test_a_slow_schedule_is_kept_on_the_real_clock(start):
    office = start(schedule=(0.3,))
    with Receiver(500, 200) as receiver:
        (name,) = office.accept(receiver.url)
        office.done(name)
        first, second = office.store.attempts(name)
        assert second.start_ms - first.start_ms >= 240
        assert replace(second, n=1).status == 200
