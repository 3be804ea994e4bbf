"""Whatever happens in whatever order, everything that was accepted comes to its end, and the books agree."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from post_office import PostOffice, answer

from hookbox.delivery.sender import Sent
from hookbox.delivery.store.base import Search
from hookbox.errors import CommandRefused, DeliveryStoreError

URLS = [f"http://h{n}.example/" for n in range(4)]
ANSWERS = [
    200, 200, 200, 200, 500, 500, 404, 302, 422, Sent("timeout"), Sent("dns"), ValueError("oops"),
    answer(503, ("Retry-After", "40")), answer(200, ("webhook-delivery", "disable")),
    answer(400, ("webhook-delivery", "abort-message")), 410,
]  # fmt: skip


class Storm:
    """Does things at random."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.office = PostOffice(schedule=(5, 50, 500, 5000), breaker=3, max_in_flight=6, errback_url=URLS[3])
        self.office.start()
        self.office.worker._attempts._chance = self.random.random
        self.ends = [
            self.office.endpoint("ep_1", url=URLS[0], ordered=True),
            self.office.endpoint("ep_2", url=URLS[1], rate=(3, 10.0)),
        ]
        self.names = []

    def run(self, steps):
        doings = [self.accept] * 5 + [self.answers] * 3 + [self.advance] * 4
        doings += [self.think, self.refuse, self.switch, self.restart, self.cancel, self.retry]
        for _ in range(steps):
            try:
                self.random.choice(doings)()
            except (DeliveryStoreError, CommandRefused):
                pass
            if self.random.random() < 0.7:
                self.office.settle()
            assert len(self.office.worker._in_flight) <= 6

    def accept(self):
        to = self.random.choice([None, *self.ends])
        urls = () if to else self.random.sample(URLS, 2)
        wishes = {"expires_ms": self.office.now_ms + 300_000} if self.random.random() < 0.2 else {}
        delay = self.random.choice([0, 0, 0, 20, 90])
        made = self.office.accept(*urls, to=to, delay=delay, body=b"%d" % len(self.names), **wishes)
        self.names += made if isinstance(made, list) else [made]

    def answers(self):
        self.office.receivers.answers(self.random.choice(URLS), self.random.choice(ANSWERS), 200)

    def advance(self):
        seconds = self.random.choice([0.5, 5, 30, 100, 1000])
        self.office.pass_(seconds) if seconds < 20 else self.office.advance(seconds)

    def think(self):
        url = self.random.choice(URLS)
        if url in self.office.receivers._doors:
            self.office.receivers._doors.pop(url).set()
        else:
            self.office.receivers.think(url)

    def refuse(self):
        if self.office.store.refuses:
            self.office.store.refuses.clear()
        else:
            self.office.store.refuses.add(self.random.choice(["begin", "finish", "due", "owed", "delivery"]))

    def switch(self):
        ours = self.random.choice(self.ends)
        state = self.random.choice(["enabled", "paused", "disabled"])
        self.office.worker.endpoint_changed(replace(self.office.worker.endpoint(ours.id), state=state))

    def restart(self):
        self.office.store.refuses.clear()
        with self.office.restarted():
            self.office.store.standing()  # what was asked for before the crash is done
            self.office.store._store.boot += 1
            self.office.receivers._doors.clear()
            self.office.receivers.thinking = 0
        self.office.worker._attempts._chance = self.random.random

    def cancel(self):
        if self.names:
            self.office.worker.cancel(self.random.choice(self.names[-20:]))

    def retry(self):
        if self.names:
            name = self.random.choice(self.names[-20:])
            if self.office.state(name) != "succeeded":
                self.office.worker.retry_now(name, self.random.random() < 0.5)

    def calm(self):
        office = self.office
        office.store.refuses.clear()
        for url in list(office.receivers._doors):
            office.receivers._doors.pop(url).set()
        for url in URLS:
            office.receivers.answers(url, 200)
        office.settle()
        for ours in self.ends:
            office.worker.endpoint_changed(replace(office.worker.endpoint(ours.id), state="enabled"))
        for _ in range(10):
            office.advance(3000)
            office.pass_(100)


@pytest.mark.parametrize("seed", range(12))
def test_everything_comes_to_its_end(seed):
    storm = Storm(seed)
    office = storm.office
    try:
        storm.run(120)
        storm.calm()
        left = [
            (d.id, d.state, d.reason, d.due_ms - office.now_ms, d.url, d.endpoint)
            for d in office.store.search(Search(limit=200))
            if not d.state.over
        ]
        assert left == []
        assert len(office.worker._lanes) == 0
        assert office.worker.counts().in_flight == 0
        for name in storm.names:
            kept, found = office.store.attempts(name), office.store.delivery(name)
            assert [attempt.n for attempt in kept] == list(range(1, found.attempts + 1))
            counted = Counter(a.outcome == "ok" for a in kept)
            assert counted[True] == (found.state.value == "succeeded")
    finally:
        office.close()
