"""The headers of a delivery."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from hookbox import __version__
from hookbox.delivery.models import Delivery, Endpoint, Message
from hookbox.webhooks.signing import Secret, sign

USER_AGENT = f"hookbox/{__version__}"
Headers = tuple[tuple[str, str], ...]


def headers_of(
    delivery: Delivery, message: Message, endpoint: Endpoint | None, secrets: Iterable[str], now_ms: int
) -> Headers:
    """What is sent along with a message, but for Host and Content-Length.

    Args:
        endpoint: whose delivery it is, None for a plain URL.
        secrets: that sign it, newest first; without any there is no signature.

    Raises:
        ValueError: a secret cannot be one.
    """
    own = {
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": message.content_type,
        "webhook-id": message.id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": sign(map(Secret.read, secrets), message.id, now_ms // 1000, message.body),
        "hookbox-delivery": delivery.id,
        "hookbox-attempt": str(delivery.attempts + 1),
        "hookbox-hops": str(message.hops),
        "hookbox-topic": quote(message.topic, safe=""),
        "hookbox-type": message.type,
    }
    given = _callers(delivery.wishes.headers, endpoint.headers if endpoint else ())
    taken = {name.lower() for name, _ in given}
    return (*((name, value) for name, value in own.items() if value and name.lower() not in taken), *given)


def secrets_of(delivery: Delivery, endpoint: Endpoint | None, default: str, now_ms: int) -> tuple[str, ...]:
    """The secrets that sign a delivery: an endpoint's own that are still valid, or those of the dispatch.

    Args:
        default: for a plain URL without any; empty for none.
    """
    if endpoint is not None:
        return tuple(text for text, until_ms in endpoint.secrets if until_ms == 0 or until_ms > now_ms)
    return delivery.wishes.secrets or ((default,) if default else ())


def _callers(wished: Headers, usual: Headers) -> Headers:
    """What the dispatch wants sent, and what the endpoint always wants and the dispatch does not replace."""
    names = {name.lower() for name, _ in wished}
    return (*wished, *(pair for pair in usual if pair[0].lower() not in names))
