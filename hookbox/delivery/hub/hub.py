"""The hub as others see it: takes requests, and does what follows from them in its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hookbox.clock import Clock
from hookbox.core.limits import Bucket
from hookbox.delivery.attempts import Sends
from hookbox.delivery.content import Content
from hookbox.delivery.hub.distribution import Distribution
from hookbox.delivery.hub.fetch import Fetcher
from hookbox.delivery.hub.request import Dialect, Mode, Wanted
from hookbox.delivery.hub.rota import Rota
from hookbox.delivery.hub.subscribers import Subscribers
from hookbox.delivery.hub.topics import Topic, may_be_subscribed, topics_at
from hookbox.delivery.hub.values import HubRules, Outcome, Verification
from hookbox.delivery.hub.verify import Ask, Verifier
from hookbox.delivery.ledger import Wait, wait_on
from hookbox.delivery.models import EndpointId
from hookbox.delivery.notices import Notice
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.store.base import Entry
from hookbox.delivery.store.hub import HubRecords
from hookbox.delivery.store.rows import host_of
from hookbox.delivery.store.sqlite import SqliteStore
from hookbox.delivery.worker import Worker
from hookbox.errors import BadRequest

REQUESTS_A_MINUTE: Final = 60
"""Of one callback host."""
UNFINISHED: Final = 20
"""Verifications under way for one callback host ..."""
MOST_UNFINISHED: Final = 10_000
"""... and for all."""
MOST_OF_TOPIC: Final = 1000
MOST_OF_HOST: Final = 1000
SYNC_SECONDS: Final = 10.0
SOON: Final = (("Retry-After", "30"),)


class Hub:
    """Subscriptions and other people's pages.

    Args:
        worker: delivers to subscriptions, which are endpoints to it.
        rules: in force now.
        distribution: makes the headers of what the worker delivers.
        ask: asks the application whether a subscription is allowed.
        publish: makes content a message of a topic; blocks until that is certain.
        followed: whether anybody else than subscriptions listens to a topic.
        wait: waits until something happens, or for so many seconds on the clock.
    """

    def __init__(
        self,
        store: SqliteStore,
        worker: Worker,
        sender: Sends,
        clock: Clock,
        numbers: Numbers,
        rules: Callable[[], HubRules],
        distribution: Distribution,
        ask: Ask,
        publish: Callable[[str, Content], object],
        followed: Callable[[str], bool] = lambda topic: False,
        wait: Wait = wait_on,
    ) -> None:
        self.rota = Rota(clock, wait)
        self._records = HubRecords(store)
        self._worker = worker
        self._clock = clock
        self._numbers = numbers
        self._rules = rules
        self._followed = followed
        self._buckets: dict[str, Bucket] = {}
        self._subscribers = Subscribers(
            self._records,
            worker,
            clock,
            self.rota,
            rules,
            lambda verification: self.verifier.submit(verification),
        )
        self.verifier = Verifier(
            self._records, self._subscribers, sender, clock, self.rota, rules, ask, self._tell, self._told
        )
        self._fetcher = Fetcher(
            self._records, sender, clock, self.rota, rules, distribution, publish, self._readers, self._tell,
            self._told,
        )  # fmt: skip

    def start(self) -> None:
        """End what ended meanwhile, and go on with what an earlier start left. Blocks until that is known.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        self._subscribers.look()
        self._fetcher.resume()
        self.verifier.resume()
        self.rota.start()

    def stop(self, grace_seconds: float) -> None:
        """End. What is under way is taken up at the next start. Blocks."""
        self.rota.stop(grace_seconds)

    def check(self, topics: Iterable[Topic]) -> None:
        """Look whether this hub is one for these topics.

        Raises:
            BadRequest: 403, and why.
        """
        rules = self._rules()
        for topic in topics:
            if not may_be_subscribed(topic, rules.topics, rules.topic_hosts):
                raise BadRequest(
                    403, f"this hub is for topics below {topics_at(rules.public_url).url('')} only"
                )

    def subscribe(self, wanted: Wanted) -> Outcome:
        """Take a request to subscribe or unsubscribe. Blocks until it is kept; up to 10 s for who waits.

        Raises:
            BadRequest: 403, 429 or 503, and why.
            DeliveryStoreError: nothing was changed.
        """
        self.check([wanted.topic])
        self._check_rate(wanted.callback)
        self._check_numbers(wanted)
        subscribes = wanted.mode is Mode.SUBSCRIBE
        verification = self.verifier.submit(
            Verification(
                0, wanted.mode.value, wanted.topic.name, wanted.text, wanted.callback, self._now_ms(),
                self._rules().lease(wanted.lease) if subscribes else 0, wanted.secret, wanted.dialect.value,
                wanted.token,
                renews=subscribes and wanted.dialect is Dialect.OLD and wanted.lease is None,
                allowed=not subscribes or not wanted.topic.own,
            )
        )  # fmt: skip
        return self.verifier.outcome(verification, SYNC_SECONDS) if wanted.waits else Outcome.ACCEPTED

    def ping(self, topics: Iterable[Topic]) -> None:
        """Topics are said to have changed; own ones are told of when they change. Blocks until it is kept.

        Raises:
            BadRequest: 403, and why; nothing is done then.
            DeliveryStoreError: nothing was changed.
        """
        topics = list(topics)
        self.check(topics)
        for topic in topics:
            if not topic.own:
                self._fetcher.ping(topic.name)

    def end(self, endpoint: EndpointId, reason: str = "") -> bool:
        """End a subscription on behalf of an operator; its callback is told. Blocks shortly.

        Returns:
            whether there was one.

        Raises:
            DeliveryStoreError: nothing was changed.
        """
        found = self._worker.endpoint(endpoint)
        if found is None or not found.is_subscription:
            return False
        self._worker.endpoint_dropped(endpoint)
        name = ("denied", endpoint)
        self.rota.put(
            name, self._clock.monotonic(), lambda: self.verifier.deny(found.url, found.topic_text, reason)
        )
        return True

    def _check_rate(self, callback: str) -> None:
        now = self._clock.monotonic()
        if len(self._buckets) > MOST_UNFINISHED:
            self._buckets.clear()
        bucket = self._buckets.setdefault(host_of(callback), Bucket(REQUESTS_A_MINUTE, now))
        if not bucket.take(now, REQUESTS_A_MINUTE / 60, REQUESTS_A_MINUTE):
            raise BadRequest(
                429, f"more than {REQUESTS_A_MINUTE} requests a minute for one callback host", SOON
            )

    def _check_numbers(self, wanted: Wanted) -> None:
        numbers = self._records.numbers(wanted.topic.name, wanted.callback)
        if numbers.unfinished >= UNFINISHED:
            raise BadRequest(429, f"{UNFINISHED} verifications of this callback host are under way", SOON)
        if len(self.verifier) >= MOST_UNFINISHED:
            raise BadRequest(503, "too many verifications are under way", SOON)
        if numbers.known or wanted.mode is not Mode.SUBSCRIBE:
            return
        if numbers.all >= self._rules().most:
            raise BadRequest(503, f"{numbers.all} subscriptions are too many (max_subscriptions)", SOON)
        if numbers.of_topic >= MOST_OF_TOPIC or numbers.of_host >= MOST_OF_HOST:
            what = "of this topic" if numbers.of_topic >= MOST_OF_TOPIC else "of this callback host"
            raise BadRequest(429, f"there are {MOST_OF_TOPIC} subscriptions {what} already", SOON)

    def _readers(self, topic: str) -> tuple[int, bool]:
        return self._records.subscribers(topic), self._followed(topic)

    def _tell(self, told: Sequence[Notice]) -> tuple[Entry, ...]:
        return tuple(notice.entry(self._numbers.next(), self._now_ms()) for notice in told)

    def _told(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for delivery in entry.deliveries:
                self._worker.wake(delivery)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
