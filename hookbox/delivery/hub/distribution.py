"""What a subscriber gets along with a message: where it comes from, and that it is genuine.

Source: W3C WebSub sections 7 (content distribution) and 7.1 (authenticated content distribution).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import quote

from hookbox.delivery.headers import Headers
from hookbox.delivery.hub.request import Dialect
from hookbox.delivery.hub.topics import topics_at
from hookbox.delivery.hub.values import HubRules
from hookbox.delivery.models import Endpoint, Message

_IN_LINK = "!#$%&'()*+,-./:;=?@[]_~"


class Distribution:
    """Makes the headers.

    Args:
        rules: in force now.
    """

    def __init__(self, rules: Callable[[], HubRules]) -> None:
        self._rules = rules
        self.self_urls: dict[str, str] = {}
        """What other people's pages call themselves."""

    def link(self, topic: str) -> str:
        """The value of a `Link` header: where the hub is, and what the topic's URL is."""
        topics = topics_at(self._rules().public_url)
        here = self.self_urls.get(topic) or topics.url(topic)
        return f'<{_in_link(topics.hub_url)}>; rel="hub", <{_in_link(here)}>; rel="self"'

    def headers(self, endpoint: Endpoint, message: Message) -> Headers:
        """What is sent besides to a subscription."""
        link = ("Link", self.link(message.topic))
        if not endpoint.hub_secret:
            return (link,)
        algorithm = "sha1" if endpoint.dialect == Dialect.OLD else self._rules().signature
        return (
            link,
            ("X-Hub-Signature", signature(algorithm, endpoint.hub_secret, message.body)),
            ("X-Hub-Signature-256", signature("sha256", endpoint.hub_secret, message.body)),
        )


def signature(algorithm: str, secret: str, body: bytes) -> str:
    """A signature as subscribers check it."""
    return f"{algorithm}={hmac.digest(secret.encode(), body, algorithm).hex()}"


def _in_link(url: str) -> str:
    return quote(url, safe=_IN_LINK)
