"""What a request to the hub asks for.

Sources: W3C WebSub sections 5.1 and 6 (subscribing, publishing); PubSubHubbub Core 0.3 sections 6.1 and 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from hookbox.delivery.egress import BadURL, Blocked, Destination
from hookbox.delivery.forms import URL_ENCODED, Field, media_type, read_url_encoded
from hookbox.delivery.hub.topics import Topic, Topics
from hookbox.delivery.intake_values import LONGEST_VALUE
from hookbox.errors import BadRequest

MODE: Final = "hub.mode"
LONGEST_SECRET: Final = 199
"""Bytes."""
MOST_TOPICS: Final = 100

_control = re.compile(r"[\x00-\x1f\x7f]").search
_lease = re.compile(r"[0-9]+").fullmatch


class Mode(StrEnum):
    """What is asked for."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PUBLISH = "publish"


class Dialect(StrEnum):
    """Which generation of the protocol a subscriber speaks."""

    WEBSUB = "websub"
    OLD = "0.3"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request to subscribe or unsubscribe.

    Args:
        text: the topic as the subscriber calls it.
        lease: seconds that it asks for, None for none.
        secret: to sign what it gets, empty for none.
        token: said again when it is asked whether it meant it; 0.3 only, empty for none.
        waits: whether it wants to know at once how that went; 0.3 only.
    """

    mode: Mode
    topic: Topic
    text: str
    callback: str
    lease: int | None = None
    secret: str = field(default="", repr=False)
    dialect: Dialect = Dialect.WEBSUB
    token: str = field(default="", repr=False)
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """News that topics have changed, without what."""

    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True)
class FatPing:
    """A topic's newest content."""

    topic: Topic
    content_type: str
    body: bytes = field(repr=False)


class Parameters:
    """The parameters of a request: those of the body, then those of the query string."""

    def __init__(self, body: Sequence[Field], query: Sequence[Field]) -> None:
        self._fields = [*body, *query]
        for item in self._fields:
            assert isinstance(item.value, str)
            if item.name.startswith("hub.") and len(item.value.encode("utf-8", "replace")) > LONGEST_VALUE:
                raise BadRequest(400, f"a parameter of the hub has more than {LONGEST_VALUE} bytes")

    def all(self, *names: str) -> list[str]:
        """The values of these names, in order, each once.

        Raises:
            BadRequest: 400, one has control characters or is not UTF-8.
        """
        return list(dict.fromkeys(_text(item) for item in self._fields if item.name in names))

    def one(self, name: str) -> str | None:
        """The first value of a name; None for none."""
        return next(iter(self.all(name)), None)

    def text(self, name: str) -> str:
        """The same, empty for none."""
        return self.one(name) or ""


def _text(item: Field) -> str:
    value = item.value
    assert isinstance(value, str)
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRequest(400, f"{item.name} is not UTF-8")
    if _control(value):
        raise BadRequest(400, f"{item.name} has control characters")
    return value


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads requests to the hub.

    Args:
        topics: understands what topics are called.
        check: judges a callback as far as it tells by itself, as `Policy.check` does.
        old_dialect: whether 0.3 is understood.
    """

    topics: Topics
    check: Callable[[str], Destination]
    old_dialect: bool = True

    def read(self, content_type: str, body: bytes, query: bytes) -> Wanted | Ping | FatPing:
        """Read a request.

        Args:
            content_type: the header's value, empty for none.
            query: the query string.

        Raises:
            BadRequest: 400, 403 or 415, with a sentence for whoever wrote the program that asks.
        """
        in_query = read_url_encoded(query)
        if media_type(content_type)[0] not in ("", URL_ENCODED):
            return self._other(content_type, body, Parameters((), in_query))
        given = Parameters(read_url_encoded(body), in_query)
        mode = read_mode(given.all(MODE))
        return self._ping(given) if mode is Mode.PUBLISH else self._wanted(mode, given)

    def _other(self, content_type: str, body: bytes, given: Parameters) -> Ping | FatPing:
        """A body that is not a form is what is published."""
        modes = given.all(MODE)
        multipart = media_type(content_type)[0].startswith("multipart/")
        if multipart or not modes or read_mode(modes) is not Mode.PUBLISH:
            raise BadRequest(
                415, f"send a form ({URL_ENCODED}); another body only to publish, with hub.mode in the query"
            )
        ping = self._ping(given)
        if not body:
            return ping
        if len(ping.topics) != 1:
            raise BadRequest(400, "a body is published on one topic, named once in the query")
        return FatPing(ping.topics[0], content_type, body)

    def _ping(self, given: Parameters) -> Ping:
        named = given.all("hub.url", "hub.topic")
        if not named:
            raise BadRequest(400, "hub.url or hub.topic has to say what has changed")
        if len(named) > MOST_TOPICS:
            raise BadRequest(400, f"more than {MOST_TOPICS} topics")
        return Ping(tuple(dict.fromkeys(map(self.topics.read, named))))

    def _wanted(self, mode: Mode, given: Parameters) -> Wanted:
        callback, text = given.text("hub.callback"), given.text("hub.topic")
        if not callback:
            raise BadRequest(400, "hub.callback is missing: the URL to be told")
        if not text:
            raise BadRequest(400, "hub.topic is missing: what to subscribe to")
        check_callback(callback, self.check)
        topic = self.topics.read(text)
        lease = read_lease(given.text("hub.lease_seconds")) if mode is Mode.SUBSCRIBE else None
        wanted = Wanted(mode, topic, text, callback, lease, read_secret(given.text("hub.secret")))
        verify = given.all("hub.verify")
        if not self.old_dialect or not verify:
            return wanted
        return Wanted(
            mode, topic, text, callback, lease, wanted.secret, Dialect.OLD, given.text("hub.verify_token"),
            waits=first_known(verify) == "sync",
        )  # fmt: skip


def read_mode(given: Sequence[str]) -> Mode:
    """What is asked for.

    Raises:
        BadRequest: 400, it does not say, or says several things.
    """
    if not given:
        raise BadRequest(400, "hub.mode is missing: subscribe, unsubscribe or publish")
    if len(given) > 1:
        raise BadRequest(400, "hub.mode says two different things")
    try:
        return Mode(given[0])
    except ValueError:
        raise BadRequest(400, "hub.mode has to be subscribe, unsubscribe or publish") from None


def read_lease(text: str) -> int | None:
    """Seconds of a lease; None if nothing is said.

    Raises:
        BadRequest: 400, it is not a number above 0.
    """
    if not text:
        return None
    if not (text.isascii() and _lease(text)) or not int(text[:4000]):
        raise BadRequest(400, "hub.lease_seconds has to be a number of seconds, 1 or more")
    return int(text) if len(text) < 16 else 10**15


def read_secret(text: str) -> str:
    """A secret; empty for none.

    Raises:
        BadRequest: 400, it is too long.
    """
    size = len(text.encode())
    if size > LONGEST_SECRET:
        raise BadRequest(400, f"hub.secret has {size} bytes, {LONGEST_SECRET} may be")
    return text


def first_known(given: Iterable[str]) -> str:
    """How a subscriber of the 0.3 dialect likes to be asked best: `sync` or `async`.

    Raises:
        BadRequest: 400, in no way that is known.
    """
    for value in given:
        for word in value.split(","):
            if word.strip() in ("sync", "async"):
                return word.strip()
    raise BadRequest(400, "hub.verify has to be sync or async")


def check_callback(url: str, check: Callable[[str], Destination]) -> None:
    """Judge a callback.

    Raises:
        BadRequest: 400 if it cannot be one, 403 if this server does not send there.
    """
    if "#" in url:
        raise BadRequest(400, "hub.callback has no fragment (#)")
    try:
        found = check(url)
    except BadURL as error:
        raise BadRequest(400, f"hub.callback is not a URL that can be used: {error}") from None
    except Blocked as error:
        raise BadRequest(403, f"hub.callback cannot be used: {error}") from None
    if found.userinfo:
        raise BadRequest(400, "hub.callback must not have a name and password in it")
