"""What the hub has under way, and the rules it goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hookbox.delivery.notices import Told

MOST_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Verification:
    """A subscriber that has yet to say that it meant what was asked for in its name.

    Args:
        id: 0 before it is kept; rises.
        mode: `subscribe` or `unsubscribe`.
        topic: its name.
        text: the topic as the subscriber called it.
        lease: seconds that it gets, 0 where it unsubscribes.
        secret: to sign what it gets, empty for none.
        dialect: `websub` or `0.3`.
        token: said again, empty for none.
        renews: whether the lease is to be renewed by itself before it ends.
        renewal: whether this is such a renewal.
        allowed: whether the application has been asked, if it has a say.
        tries: so far.
        due_ms: when the next one is due.
    """

    id: int
    mode: str
    topic: str
    text: str
    callback: str
    due_ms: int
    lease: int = 0
    secret: str = field(default="", repr=False)
    dialect: str = ""
    token: str = field(default="", repr=False)
    renews: bool = False
    renewal: bool = False
    allowed: bool = False
    tries: int = 0

    @property
    def pair(self) -> tuple[str, str]:
        """Topic and callback: what there is one subscription of."""
        return self.topic, self.callback


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of somebody else's page that is a topic.

    Args:
        topic: its URL.
        due_ms: when it is to be fetched; None for not until it is said to have changed.
        tries: made in vain.
        etag, last_modified: that it had the last time, empty for none.
        sha256: of its content then, empty for none.
        self_url: what it calls itself; empty for nothing.
    """

    topic: str
    due_ms: int | None = None
    tries: int = 0
    etag: str = ""
    last_modified: str = ""
    sha256: str = ""
    self_url: str = ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many there are already.

    Args:
        all: subscriptions altogether ...
        of_topic: ... of one topic ...
        of_host: ... and of the callbacks of one host.
        unfinished: verifications of that host.
        known: whether this pair of topic and callback is subscribed already.
    """

    all: int
    of_topic: int
    of_host: int
    unfinished: int
    known: bool


class Outcome(Enum):
    """What became of a request, as far as that is known when it is answered."""

    ACCEPTED = "accepted"
    VERIFIED = "verified"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class HubRules:
    """What the operator chose.

    Args:
        public_url: how the world reaches this server.
        topics: `own` or `any`.
        topic_hosts: of external topics that are allowed nevertheless.
        lease_default, lease_min, lease_max: seconds.
        most: subscriptions altogether.
        signature: algorithm of `X-Hub-Signature`.
        told: who is told of trouble.
    """

    public_url: str
    topics: str = "own"
    topic_hosts: tuple[str, ...] = ()
    lease_default: int = 864_000
    lease_min: int = 60
    lease_max: int = 2_592_000
    most: int = 100_000
    signature: str = "sha256"
    told: Told = Told()  # noqa: RUF009  # frozen

    def lease(self, wanted: int | None) -> int:
        """Seconds that a subscriber gets who wants so many; None for any."""
        return min(max(wanted or self.lease_default, self.lease_min), self.lease_max)


@dataclass(frozen=True, slots=True)
class Permit:
    """The application allows a subscription; `lease` is how many seconds it allows, None for any."""

    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """The application does not allow it."""

    reason: str
