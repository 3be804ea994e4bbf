"""Delivering once more what was delivered before: to an endpoint, or to a URL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hookbox.core.values import JSONObject
from hookbox.delivery.ids import ulid
from hookbox.delivery.models import Delivery, DeliveryId, Endpoint, EndpointId, State, Wishes
from hookbox.delivery.store.rows import read_wishes, wishes_text


@dataclass(frozen=True, slots=True)
class Goal:
    """Where something is delivered again.

    Args:
        url: of an endpoint it is looked up anew.
        endpoint: None for a plain URL.
        wishes: how.
    """

    url: str
    endpoint: EndpointId | None = None
    wishes: Wishes = field(default_factory=Wishes)

    @classmethod
    def of(cls, delivery: Delivery) -> Goal:
        """Where a delivery went; that it was to expire is forgotten."""
        return cls(delivery.url, delivery.endpoint, replace(delivery.wishes, expires_ms=None))

    def as_json(self) -> JSONObject:
        """To be kept with a job."""
        return {"url": self.url, "endpoint": self.endpoint, "wishes": wishes_text(self.wishes)}

    @classmethod
    def from_json(cls, about: JSONObject) -> Goal:
        """The inverse of `as_json`."""
        endpoint = about["endpoint"]
        return cls(
            str(about["url"]),
            None if endpoint is None else EndpointId(str(endpoint)),
            read_wishes(str(about["wishes"])),
        )


def deliveries(
    seqs: Sequence[int], goals: Sequence[tuple[Goal, Endpoint | None]], now_ms: int
) -> list[Delivery]:
    """New deliveries of some messages to some goals, in that order, due now.

    Args:
        goals: each with its endpoint as it stands; None for a plain URL.
    """
    names = sorted(ulid(now_ms) for _ in range(len(seqs) * len(goals)))  # listed in the order they are owed
    owed = [(seq, goal, endpoint) for seq in seqs for goal, endpoint in goals]
    return [
        Delivery(
            DeliveryId(f"dlv_{name}"),
            seq,
            endpoint.url if endpoint else goal.url,
            goal.wishes,
            first_state(endpoint),
            now_ms,
            now_ms,
            endpoint.id if endpoint else None,
        )
        for name, (seq, goal, endpoint) in zip(names, owed, strict=True)
    ]


def first_state(endpoint: Endpoint | None) -> State:
    """How a new delivery stands."""
    if endpoint is None:
        return State.SCHEDULED
    if not endpoint.enabled:
        return State.HELD
    return State.WAITING if endpoint.ordered else State.SCHEDULED
