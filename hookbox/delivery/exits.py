"""What is owed for a message, and putting both on disk before anybody sees it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from gevent.event import AsyncResult

from hookbox.core.publication import Publication
from hookbox.core.values import JSON
from hookbox.delivery.content import JSON_TYPE, Content
from hookbox.delivery.ids import message_id, ulid
from hookbox.delivery.match import matches
from hookbox.delivery.models import (
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    Message,
    MessageId,
    Source,
    State,
    Wishes,
)
from hookbox.delivery.store.base import Entry, Remembered, Store
from hookbox.delivery.wanting import Wanting
from hookbox.delivery.worker import Worker
from hookbox.engine.base import Settle
from hookbox.errors import DeliveryStoreError, HookboxError

logger = logging.getLogger(__name__)

FIRST_PAGE: Final = 500
"""Deliveries of one publication that are rows of its own commit; the others follow page by page."""

NOTHING: Final = Wishes()

Remember = Callable[[Entry, int], Remembered | None]
"""Makes the answer to keep for an idempotency key; is told how many of the topic's endpoints get it."""


def _no_targets(message: Message) -> tuple[Delivery, ...]:
    return ()


def nothing_to_remember(entry: Entry, callbacks: int) -> Remembered | None:
    """What is kept for no idempotency key."""
    return None


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is kept of a message besides what everybody sees of it.

    Args:
        source: the door it came in by.
        content: what callbacks get; None for the payload as JSON.
        originator: user name, empty for none.
        hops: how often it has been through servers like this one.
        wishes: for what is owed to endpoints.
        targets: what is owed to others than the topic's endpoints.
        remember: the answer to keep for an idempotency key; is told how many of the topic's endpoints get it.
    """

    source: Source
    content: Content | None = field(default=None, repr=False)
    originator: str = ""
    hops: int = 0
    wishes: Wishes = NOTHING
    targets: Callable[[Message], tuple[Delivery, ...]] = _no_targets
    remember: Remember = nothing_to_remember


class Exits:
    """Knows who is owed what, and keeps it.

    Args:
        store: where it is kept.
        worker: delivers it; knows the endpoints.
    """

    def __init__(self, store: Store, worker: Worker) -> None:
        self.wanting = Wanting()
        self._store = store
        self._worker = worker
        worker.tell_changes(self.wanting.change)

    def keeps(self, topic: str, durable: bool) -> bool:
        """Whether what is published on a topic has to be on disk before anybody sees it."""
        return durable or bool(self.wanting.of(topic))

    def writing(self, topic: str, parcel: Parcel) -> Writing:
        """What puts one publication of a topic on disk."""
        return Writing(self, topic, parcel)

    def owed(self, message: Message, wishes: Wishes = NOTHING) -> tuple[list[Delivery], str | None, int]:
        """What is owed to the endpoints that want a message: the first page of it.

        Returns:
            the deliveries; after whom the next page goes on, None if there is none; and how many there are.
        """
        takers = self._takers(message)
        first = takers[:FIRST_PAGE]
        rest_after = _cursor(first[-1]) if len(takers) > FIRST_PAGE else None
        return [self._delivery(message, endpoint, wishes) for endpoint in first], rest_after, len(takers)

    def owed_after(
        self, message: Message, after: str, wishes: Wishes = NOTHING, most: int = FIRST_PAGE
    ) -> tuple[list[Delivery], str | None]:
        """The next page, for endpoints that were there before the message.

        Args:
            after: what `owed` or this returned.

        Returns:
            the deliveries, and after whom the next page goes on; None if there is none.
        """
        later = (
            endpoint
            for endpoint in self._takers(message)
            if _cursor(endpoint) > after and endpoint.created_ms <= message.time_ms
        )
        page = list(islice(later, most + 1))
        rest_after = _cursor(page[most - 1]) if len(page) > most else None
        return [self._delivery(message, endpoint, wishes) for endpoint in page[:most]], rest_after

    def _takers(self, message: Message) -> list[Endpoint]:
        """The endpoints that want a message, ordered ones first, then by id."""
        if not message.topic:
            return []
        known = self._worker.endpoints
        takers = [known[name] for name in self.wanting.of(message.topic) if name in known]
        takers = [e for e in takers if not e.is_subscription or e.lease_until_ms > message.time_ms]
        if any(endpoint.filter is not None for endpoint in takers):
            payload: JSON = json.loads(message.payload)
            takers = [e for e in takers if e.filter is None or matches(e.filter, payload)]
        return sorted(takers, key=_cursor)

    def _delivery(self, message: Message, endpoint: Endpoint, wishes: Wishes) -> Delivery:
        state = State.WAITING if endpoint.ordered else State.SCHEDULED
        tag = wishes.tag or endpoint.tag
        return Delivery(
            new_delivery_id(message.time_ms),
            message.seq,
            endpoint.url,
            replace(wishes, tag=tag) if tag else wishes,
            state if endpoint.enabled else State.HELD,
            message.time_ms,
            message.time_ms,
            endpoint.id,
        )

    def to_endpoint(self, message: Message, name: EndpointId, wishes: Wishes = NOTHING) -> Delivery | None:
        """What is owed to one endpoint, whatever it wants; None if there is no such endpoint."""
        endpoint = self._worker.endpoint(name)
        return None if endpoint is None else self._delivery(message, endpoint, wishes)

    def recall(self, key: str, since_ms: int) -> Remembered | None:
        """What was answered to an idempotency key since then. Blocks.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        return self._store.recall(key, since_ms)

    def keep(self, entry: Entry, done: Callable[[BaseException | None], object]) -> None:
        """Put a message and what is owed for it on disk, then have it delivered. Does not block.

        Raises:
            DeliveryStoreError: the store is closed; `done` is not called.
        """

        def tell(error: BaseException | None) -> None:
            if error is None:
                for delivery in entry.deliveries:
                    self._worker.wake(delivery)
                if entry.rest_after is not None:
                    self._worker.fan_out()
            done(error)

        self._store.begin_accept(entry, tell)


class MemoryOnly:
    """What a site without a store has: nothing is kept, and nobody is owed anything."""

    def keeps(self, topic: str, durable: bool) -> bool:
        """Nothing is."""
        return False

    def recall(self, key: str, since_ms: int) -> Remembered | None:
        """Nothing was."""
        return None

    def writing(self, topic: str, parcel: Parcel) -> Writing:
        """Nothing can be.

        Raises:
            DeliveryStoreError: always.
        """
        raise DeliveryStoreError("there is no store")


class Writing:
    """A `Keeper` for one publication, and whoever waits for it.

    Args:
        topic: its name as it is, not as JSON text.
    """

    def __init__(self, exits: Exits, topic: str, parcel: Parcel) -> None:
        self.entry: Entry | None = None
        """What is written, once it has begun."""
        self.callbacks = 0
        """How many of the topic's endpoints get it."""
        self._exits = exits
        self._topic = topic
        self._parcel = parcel
        self._outcome: AsyncResult[None] = AsyncResult()

    def begin(self, publication: Publication, epoch: str, whole: bool, settle: Settle) -> None:
        """Begin to write it; does not block.

        Raises:
            DeliveryStoreError: the store is closed.
        """
        parcel = self._parcel
        content = parcel.content or Content(JSON_TYPE, publication.payload.encode(), publication.payload)
        message = Message(
            publication.seq,
            MessageId(message_id(publication)),
            publication.time_ms,
            parcel.source,
            content.content_type,
            content.body,
            content.payload,
            self._topic,
            publication.offset,
            epoch,
            parcel.originator,
            publication.type,
            parcel.hops,
            whole,
        )
        owed, rest_after, self.callbacks = self._exits.owed(message, parcel.wishes)
        entry = Entry(message, (*parcel.targets(message), *owed), rest_after, parcel.wishes)
        remembered = parcel.remember(entry, self.callbacks)
        self.entry = entry if remembered is None else replace(entry, remembered=remembered)

        def done(error: BaseException | None) -> None:
            failed = as_known(error)
            try:
                settle(failed)
            except Exception:  # or nobody who waits for the store would hear from it any more
                logger.exception("showing a publication failed by our own fault")
            if failed is None:
                self._outcome.set(None)
            else:
                self._outcome.set_exception(failed)

        self._exits.keep(self.entry, done)

    def wait(self) -> None:
        """Wait until it is on disk and was shown. Blocks.

        Raises:
            DeliveryStoreError: it is not, and was not.
        """
        self._outcome.get()


def as_known(error: BaseException | None) -> HookboxError | None:
    """An error of the store's as one of ours."""
    if error is None or isinstance(error, HookboxError):
        return error
    return DeliveryStoreError(f"the store failed: {error}")


def new_delivery_id(now_ms: int) -> DeliveryId:
    """A name for a delivery."""
    return DeliveryId(f"dlv_{ulid(now_ms)}")


def new_message_id(now_ms: int) -> MessageId:
    """A name for a message."""
    return MessageId(f"msg_{ulid(now_ms)}")


def _cursor(endpoint: Endpoint) -> str:
    """Where an endpoint stands in the order of fan-out: ordered ones first, then by id."""
    return f"{0 if endpoint.ordered else 1}:{endpoint.id}"
