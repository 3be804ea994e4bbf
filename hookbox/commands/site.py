"""What commands work on: the registries, the broker, and who may be asked."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from hookbox.clock import Clock
from hookbox.commands.tellings import AtOnce, Tellings
from hookbox.core.channel import Channel
from hookbox.core.connection import Connection
from hookbox.core.hub import Hub
from hookbox.core.pickups import Pickups
from hookbox.core.places import Places
from hookbox.core.values import ChannelName, UserName
from hookbox.core.watchers import Journal
from hookbox.delivery.exits import Exits, MemoryOnly
from hookbox.engine.base import Broker
from hookbox.errors import ConnectionGone
from hookbox.protocol.rtjp import EncodedFrame
from hookbox.settings import Settings
from hookbox.webhooks.gate import Allow, Gate, Refuse
from hookbox.webhooks.resolve import Resolver
from hookbox.webhooks.singleflight import SingleFlight

logger = logging.getLogger(__name__)


class Later(Protocol):
    """Runs functions in greenlets of their own, and looks at their deaths."""

    def spawn(self, function: Callable[..., object], *args: Any) -> object:
        """Run it as soon as the caller waits."""

    def spawn_later(self, seconds: float, function: Callable[..., object], *args: Any) -> object:
        """Run it after some seconds."""


class Errands:
    """What the application is asked while nobody waits for it: a few at a time, in order of arrival.

    When many channels are left at once, those who decide about others must not wait behind them.

    Args:
        later: runs the workers.
        width: how many are under way at once.
    """

    def __init__(self, later: Later, width: int = 4) -> None:
        self._later = later
        self._width = width
        self._workers = 0
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + self._workers

    def add(self, function: Callable[..., object], *args: Any) -> None:
        """Run a function when its turn comes; it may block."""
        self._waiting.append((function, args))
        if self._workers < self._width:
            self._workers += 1
            self._later.spawn(self._work)

    def _work(self) -> None:
        try:
            while self._waiting:
                function, args = self._waiting.popleft()
                function(*args)
        finally:
            self._workers -= 1


@dataclass(slots=True)
class Counters:
    """What has happened since the start."""

    connections: int = 0
    resumed: int = 0
    publications: int = 0
    messages: int = 0
    refused: int = 0
    slow_consumers: int = 0
    received: int = 0
    """Frames of clients."""
    sent: int = 0
    """Frames to connections that are gone."""
    errors: Counter[str] = field(default_factory=Counter)
    """Frames that were answered with ERROR, by its word."""
    ended: Counter[int] = field(default_factory=Counter)
    """WebSockets and streams that are gone, by close code; comet counts its own."""
    recoveries: Counter[str] = field(default_factory=Counter)
    """Clients that came back: `resumed`, `not_resumed`; each of their channels: `recovered`, `lost`."""
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls of the API, by method and `ok` or the word of the refusal."""
    sessions_ended: int = 0


@dataclass(slots=True)
class Site:
    """The parts that commands share.

    Args:
        settings: in force now; replaced as a whole on a reload.
        app: asks the application.
        fan_out: queues one frame for many outboxes; never blocks.
    """

    settings: Settings
    clock: Clock
    hub: Hub
    broker: Broker
    app: Gate
    fan_out: Callable[[EncodedFrame, Iterable[Any]], None]
    later: Later
    creations: SingleFlight[ChannelName, Channel] = field(default_factory=SingleFlight)
    subscriptions: SingleFlight[tuple[UserName, ChannelName], None] = field(default_factory=SingleFlight)
    introductions: SingleFlight[tuple[str, str, str, int], Allow | Refuse] = field(
        default_factory=SingleFlight
    )
    """Questions about who a browser is: by its cookies, connect payload, address, and how many sessions had
    ended when it was put."""
    places: Places = field(default_factory=Places)
    pickups: Pickups = field(default_factory=Pickups)
    """Cookies that wait for browsers to fetch them."""
    counters: Counters = field(default_factory=Counters)
    exits: Exits | MemoryOnly = field(default_factory=MemoryOnly)
    """Who is owed what is published, and what has to be on disk for it."""
    draining: bool = False
    queued_seconds: float = 0.0
    """How long, altogether, clients have waited at the door because the server had no time for them."""
    resolver: Resolver | None = None
    """Looks names up for polling; shared, because its threads are few."""
    journal: Journal = field(default_factory=lambda: Journal(watcher_failed))
    """What happens to connections, shown to those who look on."""
    errands: Errands = field(init=False)
    tellings: Tellings = field(init=False)
    """What has happened reaches the application by these; where nothing is kept, as an errand."""

    def __post_init__(self) -> None:
        self.errands = Errands(self.later)
        self.tell_at_once()

    def tell_at_once(self) -> None:
        """Keep nothing from now on of what is told: there is no store."""
        self.tellings = AtOnce(self.app, self.errands.add)

    def grace_time(self) -> float:
        """Monotonic seconds, less those in which clients waited at the door.

        Who was cut off together with thousands of others comes back through a queue; the time in it is not
        part of anybody's grace.
        """
        return self.clock.monotonic() - self.queued_seconds

    def timestamp(self) -> str:
        """Now as `YYYY-MM-DDTHH:MM:SS`, server-local time unless `datetime_utc` is set."""
        return _timestamp(int(self.clock.now()), self.settings.datetime_utc)


def watcher_failed(error: Exception) -> None:
    """Log what somebody raised who only looks on."""
    logger.error("somebody who looks on failed", exc_info=error)


@lru_cache(2)
def _timestamp(now: int, utc: bool) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now) if utc else time.localtime(now))


@dataclass(slots=True)
class Cause:
    """What started a chain of webhooks.

    Args:
        gate: who is asked; one that always allows for the application's own calls.
        connection: whose browser it is, None where the application or the server acts.
        speaker: whose cookies the webhooks carry; the connection unless there is none.
        channels: channels already dealt with in this chain, so that answers can never loop.
        for_browser: Set-Cookie values, where the answer to the browser's own request can carry them.
        following: whether an answer's `auto_subscribe` or `auto_unsubscribe` is being followed.
    """

    gate: Gate
    connection: Connection | None = None
    speaker: Connection | None = None
    channels: set[tuple[str, str]] = field(default_factory=set)
    for_browser: list[str] | None = field(default=None, repr=False)
    following: bool = False

    def require_open(self) -> None:
        """Look again after a wait.

        Raises:
            ConnectionGone: the client that caused this left meanwhile.
        """
        if self.connection is not None and not self.connection.open:
            raise ConnectionGone("connection closed while the application decided")

    def first_time(self, action: str, channel: str) -> bool:
        """Whether this chain has not yet done that to that channel; remembers it."""
        if (action, channel) in self.channels:
            return False
        self.channels.add((action, channel))
        return True
