"""What a topic may be called: by its URL here, by a channel's name, or by the URL of somebody else's page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from hookbox.core.names import channel_name_fault
from hookbox.delivery.egress import DEFAULT_PORTS, BadURL, read_url
from hookbox.errors import BadRequest

FOLDER: Final = "/topic/"

_escape = re.compile(r"%([0-9A-Fa-f]{2})")
_unreserved = re.compile(r"[A-Za-z0-9._~-]").fullmatch


@dataclass(frozen=True, slots=True)
class Topic:
    """Something to subscribe to.

    Args:
        name: as the rest of the server knows it: a channel's name, or the URL of an external topic.
        own: whether its messages come from this server.
    """

    name: str
    own: bool

    @property
    def host(self) -> str:
        """Whose page it is; empty for an own topic."""
        return "" if self.own else urlsplit(self.name).hostname or ""


class Topics:
    """Reads and writes the names of topics.

    Args:
        public_url: how the world reaches this server.
    """

    def __init__(self, public_url: str) -> None:
        self.public_url = public_url.rstrip("/")
        self._prefix = normalized(self.public_url + FOLDER)

    @property
    def hub_url(self) -> str:
        """Where subscribers and publishers find the hub."""
        return f"{self.public_url}/hub"

    def url(self, topic: str) -> str:
        """Where the newest message of a topic can be got: of an own one here."""
        return topic if is_url(topic) else f"{self.public_url}{FOLDER}{quote(topic, safe='')}"

    def read(self, text: str) -> Topic:
        """Understand what a subscriber or publisher calls a topic.

        Raises:
            BadRequest: 400, and why.
        """
        if "#" in text:
            raise BadRequest(400, "a topic has no fragment (#)")
        if ":" not in text:
            return self._own(text)
        try:
            found = read_url(text)
        except BadURL as error:
            raise BadRequest(400, f"the topic is not a URL that can be used: {error}") from None
        if found.userinfo:
            raise BadRequest(400, "a topic has no name and password in it, as all subscribers see it")
        url = normalized(text)
        if not url.startswith(self._prefix):
            return Topic(url, own=False)
        rest = url[len(self._prefix) :]
        if "?" in rest:
            raise BadRequest(400, "a topic of this server has no query")
        try:
            return self._own(unquote(rest, errors="strict"))
        except UnicodeDecodeError:
            raise BadRequest(400, "the topic's name is not UTF-8") from None

    def _own(self, name: str) -> Topic:
        fault = channel_name_fault(name)
        if fault:
            raise BadRequest(400, fault.replace("channel_name", "topic"))
        return Topic(name, own=True)


@lru_cache(maxsize=8)
def topics_at(public_url: str) -> Topics:
    """The topics of a server that the world reaches at a URL."""
    return Topics(public_url)


def is_url(topic: str) -> bool:
    """Whether a topic is somebody else's page, by its name."""
    return topic.startswith(("http://", "https://"))


def normalized(url: str) -> str:
    """A URL as it is compared: what cannot matter is written in one way, and nothing else is changed.

    Scheme and host are in lower case, the scheme's own port is left out, an empty path is `/`, and letters,
    digits and `-._~` are not percent-encoded.
    """
    parts = urlsplit(url)
    userinfo, at, place = parts.netloc.rpartition("@")
    usual = f":{DEFAULT_PORTS.get(parts.scheme, '')}"
    place = place.lower().removesuffix(usual).removesuffix(":")
    _, question, query = url.partition("?")
    path = _plain(parts.path or "/")
    return f"{parts.scheme}://{userinfo}{at}{place}{path}{question}{_plain(query)}"


def _plain(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        decoded = chr(int(found[1], 16))
        return decoded if _unreserved(decoded) else found[0]

    return _escape.sub(letter, text)


def may_be_subscribed(topic: Topic, hub: str, hosts: Iterable[str]) -> bool:
    """Whether this hub is one for a topic.

    Args:
        hub: the setting: `own` or `any`.
        hosts: of external topics that are allowed nevertheless.
    """
    return topic.own or hub == "any" or topic.host in {host.lower() for host in hosts}
