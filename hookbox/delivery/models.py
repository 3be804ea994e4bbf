"""What is delivered, to whom, and what became of it. Times are milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

from hookbox.core.values import JSONObject

MessageId = NewType("MessageId", str)
"""`msg_` and a ULID."""

DeliveryId = NewType("DeliveryId", str)
"""`dlv_` and a ULID."""

EndpointId = NewType("EndpointId", str)
"""`ep_` and a ULID."""


TELLING: Final = "application/vnd.hookbox.webhook+json"
"""Content type of what the application is told; the body has cookies in it, the payload has not."""


class Source(StrEnum):
    """The door a message came in by."""

    BROWSER = "browser"
    REST = "rest"
    DISPATCH = "dispatch"
    HUB = "hub"
    FETCH = "fetch"
    RESEND = "resend"
    SYSTEM = "system"


class State(StrEnum):
    """How a delivery stands."""

    SCHEDULED = "scheduled"
    IN_FLIGHT = "in_flight"
    WAITING = "waiting"
    """Behind another delivery of an ordered endpoint, or of the same `order`."""
    HELD = "held"
    """Its endpoint is paused or disabled."""
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (State.SUCCEEDED, State.DEAD, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Message:
    """One accepted message, in both of its forms.

    Args:
        seq: its number on this server, never given twice.
        id: the `webhook-id` of every delivery.
        time_ms: when it was accepted.
        source: the door it came in by.
        content_type: of `body`.
        body: the bytes that callbacks get; signed and sent as they are.
        payload: the JSON text that browsers and streams get.
        topic: channel name or URL; empty for a message to URLs only.
        offset: its number on the topic, 0 without one.
        epoch: the life of the topic's numbers, empty without one.
        originator: user name, empty for none.
        type: event type, sent as `hookbox-type`; empty for none.
        hops: how often it has been through servers like this one.
        whole: whether everything before it in its epoch is kept too.
    """

    seq: int
    id: MessageId
    time_ms: int
    source: Source
    content_type: str
    body: bytes = field(repr=False)
    payload: str = field(repr=False)
    topic: str = ""
    offset: int = 0
    epoch: str = ""
    originator: str = ""
    type: str = ""
    hops: int = 0
    whole: bool = False

    @property
    def telling(self) -> bool:
        """Whether it is for the application: a webhook, made anew from the settings each time."""
        return self.source is Source.SYSTEM and self.content_type == TELLING


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked for, for one destination; what is absent is up to the endpoint, then to settings.

    Args:
        secrets: signing secrets as text, newest first; empty sends no signature.
        headers: names and values to send along.
        retry: seconds after each failure, () for no retry; None for the default schedule.
        timeout: seconds for a whole attempt.
        expires_ms: when to give up.
        errback: URL told of failures, empty for none.
        callback: URL told of the answer, empty for none.
        tag: for searching; never sent.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    retry: tuple[float, ...] | None = None
    timeout: float | None = None
    expires_ms: int | None = None
    errback: str = ""
    callback: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message owed to one URL.

    Args:
        id: sent as `hookbox-delivery`.
        seq: of its message.
        url: where it goes.
        wishes: how.
        state: how it stands.
        due_ms: when the next attempt is due.
        created_ms: when it was accepted.
        endpoint: whose delivery it is, even after that was deleted; None for a plain URL.
        attempts: made so far.
        failures: of those that used up an entry of the schedule.
        reason: why it is dead, cancelled or held; empty otherwise.
        last_status: HTTP status of the last answer, 0 for none.
        done_ms: when it ended, 0 while it has not.
        failing_ms: when it first failed, 0 if it has not.
        order: tellings only: those that have it in common go one after the other, by `seq`; empty for none.
    """

    id: DeliveryId
    seq: int
    url: str
    wishes: Wishes
    state: State
    due_ms: int
    created_ms: int
    endpoint: EndpointId | None = None
    attempts: int = 0
    failures: int = 0
    reason: str = ""
    last_status: int = 0
    done_ms: int = 0
    order: str = ""
    failing_ms: int = 0


class Trigger(StrEnum):
    """Why an attempt was made."""

    SCHEDULE = "schedule"
    PROBE = "probe"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP try of a delivery.

    Args:
        n: 1 for the first.
        trigger: why it was made.
        start_ms: when it began.
        took_ms: how long it took.
        outcome: `ok`, or the class of what went wrong, e.g. `http_503`, `timeout`, `dns`.
        status: HTTP status, 0 without an answer.
        address: where the connection went, empty without one.
        request: the headers that were sent.
        response: the headers of the answer.
        body: the first 16 KiB of the answer.
        detail: one sentence for the operator.
    """

    n: int
    trigger: Trigger
    start_ms: int
    took_ms: int
    outcome: str
    status: int = 0
    address: str = ""
    request: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    response: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    detail: str = ""


class Kind(StrEnum):
    """Who made an endpoint."""

    REGISTERED = "registered"
    """The operator, or the application."""
    WEBSUB = "websub"
    """Whoever answers at its URL, by subscribing at the hub."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A destination that outlives one message.

    Args:
        url: where deliveries go.
        topics: patterns of the topics it wants; of a subscription its one topic, which is no pattern.
        filter: what of their payloads it wants; None for all.
        secrets: newest first; each old one with the time until which it is valid, 0 for the newest.
        ordered: one delivery at a time, by `seq`.
        block_max: seconds after its first failure from which a delivery does not hold up the others any more;
            None for not before its end. Ordered endpoints only.
        rate: starts and seconds, (0, 0) for any.
        retry, timeout, errback: as in `Wishes`, for all its deliveries.
        state: `enabled`, `paused` or `disabled`.
        state_reason: why it is not enabled; empty otherwise.
        changed_ms: when `state` became what it is; 0 for never.
        paused_until_ms: when it may be tried again, as it asked itself.
        first_failure_ms: since when every delivery fails, 0 while they succeed.
        first_failed: the delivery that failed then.
        failures: attempts that failed since then.
        overflow_ms: when somebody was last told that more was held for it than may be; 0 for never.
        kind: a `websub` one is a subscription; what follows is for those only.
        topic_text: the topic as the subscriber called it.
        lease_until_ms: when it ends.
        renew_ms: when it is asked by itself whether it wants to go on; 0 for never.
        hub_secret: signs what it gets, empty for none.
        dialect: `websub` or `0.3`.
        verify_token: said when it is asked again, empty for none.
    """

    id: EndpointId
    url: str
    topics: tuple[str, ...]
    created_ms: int
    filter: JSONObject | None = None
    secrets: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ordered: bool = False
    rate: tuple[int, float] = (0, 0)
    retry: tuple[float, ...] | None = None
    timeout: float | None = None
    errback: str = ""
    description: str = ""
    tag: str = ""
    redirects_succeed: bool = False
    state: str = "enabled"
    state_reason: str = ""
    changed_ms: int = 0
    paused_until_ms: int = 0
    first_failure_ms: int = 0
    first_failed: str = ""
    failures: int = 0
    overflow_ms: int = 0
    block_max: float | None = None
    kind: Kind = Kind.REGISTERED
    topic_text: str = ""
    lease_until_ms: int = 0
    renew_ms: int = 0
    hub_secret: str = field(default="", repr=False)
    dialect: str = ""
    verify_token: str = field(default="", repr=False)

    @property
    def is_subscription(self) -> bool:
        """Whether it was made by the hub's handshake."""
        return self.kind is Kind.WEBSUB

    @property
    def enabled(self) -> bool:
        """Whether anything is sent to it."""
        return self.state == "enabled"
