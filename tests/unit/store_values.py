"""Messages and deliveries to put into a store."""

import re
from dataclasses import replace

from hookbox.delivery.ids import ulid
from hookbox.delivery.models import (
    Attempt,
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    Message,
    MessageId,
    Source,
    State,
    Trigger,
    Wishes,
)
from hookbox.delivery.store.base import Entry

NOW = 1_732_104_000_000


def message(seq, topic="", **about):
    return replace(
        Message(
            seq, MessageId(f"msg_{ulid(NOW)}"), NOW, Source.DISPATCH, "text/plain", b"hello", '"hello"', topic
        ),
        **about,
    )


def delivery(seq, due_ms=NOW, **about):
    return replace(
        Delivery(
            DeliveryId(f"dlv_{ulid(NOW)}"), seq, "http://a.example/", Wishes(), State.SCHEDULED, due_ms, NOW
        ),
        **about,
    )


def entry(seq, *deliveries, **about):
    return Entry(message(seq), tuple(deliveries) or (delivery(seq),), **about)


def attempt(n=1, outcome="http_500", **about):
    return replace(Attempt(n, Trigger.SCHEDULE, NOW, 12, outcome, 500), **about)


def endpoint(name="ep_1", **about):
    return replace(Endpoint(EndpointId(name), "http://a.example/", ("news",), NOW), **about)


def is_ulid(text):
    """Whether a text is a ULID as the specification has them: base 32 of 128 bits, in capitals."""
    return bool(re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", text))
