"""Requests to the hub: what must hold of any form that somebody sends there."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_plus, urlencode

from mutate import damage

from hookbox.delivery.egress import Mode, Policy, read_url
from hookbox.delivery.hub.request import LONGEST_SECRET, MOST_TOPICS, FatPing, Ping, Reader, Wanted
from hookbox.delivery.hub.topics import Topic, Topics
from hookbox.errors import BadRequest

TOPICS = Topics("http://hub.example")
READER = Reader(TOPICS, Policy(Mode.PUBLIC).check)
KINDS = ["", "application/x-www-form-urlencoded", "application/x-www-form-urlencoded", "text/plain", "multipart/x", "a/b; c"]
NAMES = ["topic", "callback", "mode", "url", "lease_seconds", "secret", "verify", "verify_token", "foo", "challenge"]
URLS = [
    "http://reader.invalid/cb", "http://reader.invalid?x", "https://reader.invalid:8443/a?b=c&hub.mode=x", "http://127.0.0.1/",
    "http://[::1]:80/", "http://a:b@reader.invalid/", "http://xn--nxasmq6b/", "http://\u00e9.invalid/", "http://2130706433/", "ftp://x/",
]  # fmt: skip
TOPIC_NAMES = ["news", "http://hub.example/topic/news", "http://hub.example/topic/%C3%A9%2F", "http://there.invalid/feed", "room:1", "$s", "\u00e9"]


class HubTarget:
    """What is asked for in a request is understood, or refused in words; and what is understood can be done."""

    name = "hub"
    tokens = (
        b"&", b"=", b"%", b"%00", b"%0a", b"%ff", b"%25", b"+", b"?", b"#", b"hub.", b"hub.mode=publish", b"hub.url=",
        b"%2F", b"%2f", b":", b"://", b"@", b"..", b"*", b"\xc3\xa9", b"%C3", b"hub.verify=sync,async", b";",
    )  # fmt: skip

    def make(self, chance):
        return damage(chance, self.valid(chance), lambda: self.valid(chance), self.tokens)

    def valid(self, chance):
        """Parameters, and behind a question mark those of the query; or a body, and all of them in the query."""
        if chance.random() < 0.1:
            return [b"body", b"?", b"hub.mode=publish&", b"hub.topic=" + quote_plus(chance.choice(TOPIC_NAMES)).encode()]
        values = {
            "mode": lambda: chance.choice(["subscribe", "subscribe", "unsubscribe", "publish"]),
            "topic": lambda: chance.choice(TOPIC_NAMES),
            "url": lambda: chance.choice(TOPIC_NAMES),
            "callback": lambda: chance.choice(URLS[: chance.choice((3, len(URLS)))]),
            "lease_seconds": lambda: chance.choice(["", "60", "864000", "0", "-1", "9" * 20]),
            "secret": lambda: chance.choice(["", "s", "x" * 199, "x" * 200]),
            "verify": lambda: chance.choice(["sync", "async", "foo"]),
        }
        names = ["mode", "topic", "callback", *chance.sample(NAMES, chance.randrange(4))]
        pieces = [
            f"hub.{name}={quote_plus(values.get(name, lambda: 'v')())}&".encode() for name in names
        ]  # fmt: skip
        if chance.random() < 0.3:
            pieces.insert(chance.randrange(len(pieces)), b"?")
        return pieces

    def check(self, data, chance):
        body, _, query = data.partition(b"?")
        try:
            kind = chance.choice(KINDS) if chance.random() < 0.3 or body == b"body" else ""
            found = READER.read(kind, body, query)
        except BadRequest as error:
            assert error.status in (400, 403, 415)
            assert error.reason
            assert error.reason.isprintable()
            return f"refused, {error.status}"
        if isinstance(found, Wanted):
            self._check_wanted(found)
            return found.mode.value
        topics = (found.topic,) if isinstance(found, FatPing) else found.topics
        assert 1 <= len(topics) <= MOST_TOPICS
        for topic in topics:
            self._check_topic(topic)
        if isinstance(found, Ping):
            return "ping"
        assert found.body == body
        return "fat ping"

    def _check_wanted(self, wanted):
        self._check_topic(wanted.topic)
        assert wanted.lease is None or wanted.lease >= 1
        assert len(wanted.secret.encode()) <= LONGEST_SECRET
        callback = read_url(wanted.callback)
        assert not callback.userinfo
        asked = [("hub.mode", wanted.mode.value), ("hub.topic", wanted.text), ("hub.verify_token", wanted.token)]
        target = callback.with_query(urlencode(asked)).target
        assert target.isascii()
        assert target.isprintable()
        assert " " not in target
        assert target.startswith(callback.target)
        assert parse_qsl(target.partition("?")[2], keep_blank_values=True)[-3:] == asked

    @staticmethod
    def _check_topic(topic):
        again = TOPICS.read(TOPICS.url(topic.name))
        assert again == topic, f"{topic} is read as {again} the second time"
        assert isinstance(topic, Topic)
        assert topic.name
        assert topic.own or read_url(topic.name)
