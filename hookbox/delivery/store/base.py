"""Where accepted messages and what is owed are kept: the interface that stores implement.

Every call blocks the calling greenlet until it is done, in the order in which calls were made; calls may
share a transaction. A call that changes something returns only after its commit is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from hookbox.delivery.models import (
    Attempt,
    Delivery,
    DeliveryId,
    Endpoint,
    EndpointId,
    Message,
    MessageId,
    State,
    Wishes,
)

PAGE = 200
"""Rows that one call reads at most."""

DAY_MS = 24 * 3600 * 1000
DELETED = "endpoint deleted"
"""Why deliveries are cancelled whose endpoint was deleted."""

Place = tuple[int, str]
"""Where a delivery stands in the order of `Store.due`: its `due_ms` and `id`."""

LAST = "\U0010ffff"
"""Behind every id."""

FIRST: Place = (-1, "")
"""Before every delivery."""

NO_WISHES: Final = Wishes()


@dataclass(frozen=True, slots=True)
class Remembered:
    """The answer given to an idempotency key.

    Args:
        fingerprint: of the request that it answered.
        answer: JSON text.
        time_ms: when it was given.
    """

    key: str
    fingerprint: str
    answer: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What one acceptance writes: all of it or nothing.

    Args:
        deliveries: rows that belong to the same commit.
        rest_after: after whom the rest is written later, page by page (see `Exits`); None for none.
        rest_wishes: for the rest.
        remembered: for an idempotency key; None without one.
    """

    message: Message
    deliveries: tuple[Delivery, ...] = ()
    rest_after: str | None = None
    rest_wishes: Wishes = NO_WISHES
    remembered: Remembered | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that may be made.

    Args:
        delivery: as it stands, in flight.
        message: what is sent.
    """

    delivery: Delivery
    message: Message


@dataclass(frozen=True, slots=True)
class Finished:
    """What the end of an attempt writes: all of it or nothing.

    Args:
        delivery: as it stands now.
        attempt: the one that ended; None for an end without one (`expired`, cancelled by an operator).
        notices: errbacks and response callbacks.
        endpoint: as it stands now, None if unchanged.
        forget: whether nothing of the delivery is to be kept, nor of its message if that has no other.
        dropped: an endpoint that is deleted, None for none.
    """

    delivery: Delivery
    attempt: Attempt | None = None
    notices: tuple[Entry, ...] = ()
    endpoint: Endpoint | None = None
    forget: bool = False
    dropped: EndpointId | None = None


@dataclass(frozen=True, slots=True)
class Fanout:
    """A message of which deliveries are still to be written: those after a place (see `Exits`)."""

    message: Message
    after: str
    wishes: Wishes = NO_WISHES


@dataclass(frozen=True, slots=True)
class Search:
    """Which deliveries to list; empty and None fields do not matter.

    Args:
        states: any of these.
        text: contained in URL or tag.
        before: continue a listing: the `id` of its last row.
    """

    states: tuple[State, ...] = ()
    reason: str = ""
    endpoint: EndpointId | None = None
    topic: str = ""
    tag: str = ""
    message: MessageId | None = None
    text: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    before: str = ""
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Standing:
    """How the store stands.

    Args:
        states: deliveries in each state.
        oldest_due_ms: of those scheduled; None if there is none.
        bytes: of the file that hold something.
        wal_bytes: size of the write-ahead log.
    """

    states: dict[State, int] = field(default_factory=dict)
    oldest_due_ms: int | None = None
    bytes: int = 0
    wal_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Some messages of a topic in the store.

    Args:
        epoch: of the offsets.
        first, last: the smallest offset and the largest.
        consecutive: whether all between are there, in that one epoch.
    """

    epoch: str
    first: int
    last: int
    consecutive: bool


class Store(Protocol):
    """Keeps messages, deliveries, attempts and endpoints.

    Raises, from every call:
        DeliveryStoreError: nothing was changed; the text says why, for the operator.
    """

    epoch: str
    """Eight characters, new when the store was created: positions of another store mean nothing here."""

    boot: int
    """Number of this start, from 1."""

    @property
    def fault(self) -> str:
        """Why nothing is accepted now, as far as is known; empty if it is. Does not block."""

    def probe(self) -> None:
        """Find out whether something could be accepted now.

        Raises:
            QueueFull: there is no space.
        """

    # accepting

    def reserve(self, count: int) -> int:
        """Reserve sequence numbers that are never given again; returns the first."""

    def accept(self, entry: Entry) -> None:
        """Keep a message and what is owed for it.

        Raises:
            QueueFull: there are too many unfinished deliveries, or there is no space.
        """

    def begin_accept(self, entry: Entry, done: Callable[[BaseException | None], object]) -> None:
        """The same without waiting.

        Args:
            done: called in the hub, in the order in which entries were given, with None once it is on disk,
                or with what `accept` would raise. It must not block or raise.

        Raises:
            DeliveryStoreError: the store is closed; `done` is not called.
        """

    def tell(self, entries: Sequence[Entry]) -> list[Delivery]:
        """Keep what is owed in any case, however much is owed already: all of it or nothing.

        Returns:
            the deliveries that may begin; of each `order`, the others wait for the one before.
        """

    def recall(self, key: str, since_ms: int) -> Remembered | None:
        """The answer given to an idempotency key since then."""

    # delivering

    def due(self, until_ms: int, limit: int, after: Place = FIRST) -> list[Delivery]:
        """Scheduled deliveries due until then, earliest first, behind a place."""

    def owed(self, endpoint: EndpointId, limit: int, after: Place = FIRST) -> list[Delivery]:
        """Scheduled and waiting deliveries of an endpoint by `seq`, behind that `seq` and `id`."""

    def begin(self, delivery: DeliveryId, due_ms: int) -> Begun | None:
        """Note that an attempt begins, by this boot.

        Returns:
            what to send; None if there is no such delivery any more, scheduled or waiting and due then.
        """

    def finish(self, finished: Finished) -> list[Delivery]:
        """Note how an attempt ended. An endpoint in it is kept as `keep_endpoint` does.

        Returns:
            what may begin now, as it is next in its `order`.
        """

    def interrupted(self, now_ms: int) -> int:
        """Schedule again what an earlier boot left in flight (attempt `interrupted`); says how many."""

    def fanouts(self) -> list[Fanout]:
        """The oldest messages of which deliveries are still to be written."""

    def fan_out(self, seq: int, page: Sequence[Delivery], after: str | None) -> list[Delivery]:
        """Write further deliveries of a message; an endpoint that is gone, or has one already, gets none.

        Args:
            after: the place after this page; None if it is the last page.

        Returns:
            those that were written.
        """

    # looking

    def message(self, message: MessageId) -> Message | None:
        """One message."""

    def messages(
        self, topic: str, after_seq: int, limit: int = PAGE, until_seq: int | None = None
    ) -> list[Message]:
        """Kept messages of a topic after a number, oldest first."""

    def ends(self, limit: int) -> list[Message]:
        """The last kept message of each topic, the newest first; its body and payload are left out."""

    def broken(self, topic: str, epoch: str) -> None:
        """Note, without waiting for it, that more was published in an epoch than is kept."""

    def repeat(self) -> None:
        """Try again, without waiting for it, what was to be noted and could not be."""

    def newest(self, topic: str, limit: int, before_seq: int | None = None) -> list[Message]:
        """The last messages below a number, newest first; of all topics if `topic` is empty."""

    def newest_numbers(self, topic: str, limit: int, until_seq: int | None = None) -> list[int]:
        """The `seq` of a topic's last messages, up to that one, newest first."""

    def stretch(self, topic: str, after_seq: int, until_seq: int) -> Run | None:
        """What is kept of a topic after a number and up to another; None if that is nothing."""

    def delivery(self, delivery: DeliveryId) -> Delivery | None:
        """One delivery."""

    def attempts(self, delivery: DeliveryId) -> list[Attempt]:
        """Its attempts, oldest first."""

    def search(self, search: Search) -> list[Delivery]:
        """Deliveries, newest first."""

    def standing(self) -> Standing:
        """How things stand."""

    # endpoints

    def endpoints(self) -> list[Endpoint]:
        """All endpoints."""

    def keep_endpoint(self, endpoint: Endpoint, notices: Sequence[Entry] = ()) -> None:
        """Create an endpoint, or replace the one of that id.

        What is owed to it becomes held if it is not enabled, and is released if it is.
        """

    def drop_endpoint(
        self, endpoint: EndpointId, now_ms: int, reason: str = DELETED, notices: Sequence[Entry] = ()
    ) -> None:
        """Forget an endpoint; its unfinished deliveries are cancelled for that reason."""

    def change(self, deliveries: Sequence[Delivery]) -> None:
        """Replace how some deliveries stand: held ones released, cancelled by an operator."""

    # keeping order

    def crowded(self) -> bool:
        """Whether space is short: what has ended goes early."""

    def tidy(self, now_ms: int, keep_succeeded_ms: int, keep_dead_ms: int, keep_keys_ms: int = DAY_MS) -> int:
        """Remove some of what ended long ago and, when space is short, of what ended first.

        Returns:
            how many rows went; 0 if there is nothing more to remove.
        """

    def overflow(self, most: int, before_ms: int, now_ms: int) -> dict[EndpointId, int]:
        """Cancel some of the oldest held deliveries where an endpoint has too many, or they are too old.

        Args:
            most: that may be held for one endpoint.
            before_ms: what was accepted before that is too old.

        Returns:
            how many, by endpoint; empty if there is nothing more to cancel.
        """

    def close(self) -> None:
        """Finish what was called, and close the file."""
