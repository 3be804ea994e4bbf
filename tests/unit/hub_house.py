"""A hub without sockets: a real store in memory, subscribers that answer as told, a clock turned by hand."""

from urllib.parse import parse_qsl

from post_office import PostOffice, answer
from store_values import delivery, message

from hookbox.delivery.content import Content
from hookbox.delivery.egress import Mode, Policy
from hookbox.delivery.hub.distribution import Distribution
from hookbox.delivery.hub.hub import Hub
from hookbox.delivery.hub.request import Reader
from hookbox.delivery.hub.topics import Topics
from hookbox.delivery.hub.values import HubRules, Permit
from hookbox.delivery.notices import Told
from hookbox.delivery.store.base import Entry
from hookbox.delivery.terms import WorkerRules
from hookbox.delivery.worker import Worker

PUBLIC = "http://hub.example"
CALLBACK = "http://reader.example/cb"
ERRBACK = "http://ops.example/"


def asked(outgoing):
    """What a callback is asked."""
    return dict(parse_qsl(outgoing.query, keep_blank_values=True))


def confirm(outgoing):
    """A subscriber that means what it asked for."""
    return answer(200, body=asked(outgoing).get("hub.challenge", "").encode())


def status(code):
    """A subscriber that answers something else."""
    return lambda outgoing: answer(code)


class Answers:
    """Lets receivers be functions of what they are sent."""

    def __init__(self, receivers):
        self._receivers = receivers
        self.functions = {}

    def send(self, outgoing):
        said = self._receivers.send(outgoing)
        function = self.functions.get((outgoing.method, outgoing.url))
        return function(outgoing) if function else said


class HubHouse(PostOffice):
    """Everything between a request to the hub and what subscribers get."""

    def __init__(self, **hub):
        self.hub_rules = {"public_url": PUBLIC, "topics": "any", "told": Told(ERRBACK), **hub}
        self.verdict = Permit()
        self.questions = []
        super().__init__()

    def start(self):
        from post_office import Turning

        self.turning = Turning(self.clock)
        before = getattr(self, "answers", None)
        self.answers = Answers(self.receivers)
        if before:
            self.answers.functions = before.functions
        rules = HubRules(**self.hub_rules)
        self.distribution = Distribution(lambda: rules)
        self.worker = Worker(
            self.store, self.answers, self.clock, WorkerRules(**self.rules), self.numbers,
            lambda: self.chance, self.turning.wait, websub=self.distribution.headers,
        )  # fmt: skip
        self.worker.start()
        self.published = []
        self.hub = Hub(
            self.store, self.worker, self.answers, self.clock, self.numbers, lambda: rules,
            self.distribution, self.ask, self.publish, wait=self.turning.wait,
        )  # fmt: skip
        self.hub.start()
        self.others = [self.hub.rota]
        self.settle()
        return self

    def close(self):
        if self.worker is not None:
            self.hub.stop(0)
        super().close()

    def crash(self):
        """End without a word, and start again."""
        self.hub.rota._group.kill()
        with self.restarted():
            pass

    def ask(self, topic, callback, lease):
        self.questions.append((topic, callback, lease))
        return self.verdict

    def publish(self, topic, content):
        """As the rest of the server does: what is published goes to those who subscribed."""
        self.published.append((topic, content))
        seq, now = self.numbers.next(), self.now_ms
        told = message(
            seq,
            topic,
            time_ms=now,
            body=content.body,
            content_type=content.content_type,
            payload=content.payload,
        )
        owed = tuple(
            delivery(seq, now, url=each.url, created_ms=now, endpoint=each.id)
            for each in self.worker._terms.endpoints.values()
            if each.topics == (topic,) and each.lease_until_ms > now
        )
        self.store.accept(Entry(told, owed))
        for each in owed:
            self.worker.wake(each)
        return [each.id for each in owed]

    def news(self, topic="news", body=b"hello"):
        made = self.publish(topic, Content("text/plain", body, '"hello"'))
        self.settle()
        return made

    def request(self, **parameters):
        from urllib.parse import urlencode

        given = {"hub_mode": "subscribe", "hub_topic": "news", "hub_callback": CALLBACK, **parameters}
        pairs = [
            (name.replace("hub_", "hub.", 1), value) for name, value in given.items() if value is not None
        ]
        reader = Reader(Topics(self.hub_rules["public_url"]), Policy(Mode.PUBLIC).check)
        return reader.read("", urlencode(pairs).encode(), b"")

    def subscribe(self, answers=confirm, settle=True, **parameters):
        """Ask for a subscription, and let the callback answer."""
        wanted = self.request(**parameters)
        if answers is not None:
            self.answers.functions["GET", wanted.callback] = answers
        outcome = self.hub.subscribe(wanted)
        if settle:
            self.settle()
        return outcome

    @property
    def subscriptions(self):
        return [each for each in self.store.endpoints() if each.is_subscription]

    def posts(self, url=CALLBACK):
        return [each for each in self.receivers.to(url) if each.method == "POST"]

    def gets(self, url=CALLBACK):
        return [each for each in self.receivers.to(url) if each.method == "GET"]

    def told(self):
        """Types of what the operator was told."""
        import json

        return [json.loads(each.body)["type"] for each in self.posts(ERRBACK)]
