"""Everything that delivers, as one part: the store, the numbers, the worker, and what is owed to whom."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from gevent.event import Event

from hookbox.clock import Clock
from hookbox.delivery.egress import ANYWHERE, Address, BadURL, Mode, Policy, Rule, read_url
from hookbox.delivery.exits import Exits
from hookbox.delivery.notices import Told
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.proxy import Proxy, proxy_of
from hookbox.delivery.schedule import DEFAULT, read_schedule
from hookbox.delivery.sender import Sender
from hookbox.delivery.store.sqlite import Limits, SqliteStore
from hookbox.delivery.tellings import Application, StoredTellings
from hookbox.delivery.terms import WorkerRules
from hookbox.delivery.worker import Worker
from hookbox.errors import DeliveryStoreError
from hookbox.settings import Settings
from hookbox.webhooks.resolve import Resolver

if TYPE_CHECKING:
    from hookbox.delivery.hub.distribution import Distribution
    from hookbox.delivery.hub.values import HubRules
    from hookbox.delivery.jobs import Jobs
    from hookbox.delivery.store.backlog import Backlog

logger = logging.getLogger(__name__)

MEMORY: Final = ":memory:"
FAILURES_BEFORE_PROBING: Final = 10
LAST_TELLINGS: Final = 1.0
"""Seconds for writing down what has just happened, if the store refuses."""


class Deliveries:
    """Delivers what is owed.

    Args:
        settings: those in force now.
        own: addresses and ports that this server listens on.
        application: who is told what has happened; None for nobody.
        url: how this server is reached, if the settings do not say.

    Raises:
        DeliveryStoreError: the store cannot be used; the text says why.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        clock: Clock,
        resolver: Resolver,
        own: Callable[[], frozenset[tuple[str, int]]] = frozenset,
        application: Application | None = None,
        url: Callable[[], str] = lambda: "http://localhost",
    ) -> None:
        self._settings = settings
        self._url = url
        self._hub_rules: tuple[object, HubRules] | None = None
        self._own = own
        self._policy: tuple[object, object, Policy] | None = None
        self.blocked: Counter[str] = Counter()
        """How often a destination was against the policy, by rule."""
        chosen = settings()
        self.clock = clock
        self.store = SqliteStore(chosen.store, _limits(chosen))
        _warn(chosen)
        self.numbers = Numbers(self.store)
        self.sender = Sender(self.policy, resolver, clock, self.proxy)
        self.tellings: StoredTellings | None = None
        if application is not None:
            self.tellings = StoredTellings(self.store, self.numbers, clock, application)
        self.worker = Worker(
            self.store,
            self.sender,
            clock,
            rules_from(chosen),
            self.numbers,
            teller=self.tellings,
            websub=lambda *about: self.distribution.headers(*about),
        )
        if self.tellings is not None:
            self.tellings.wake = self.worker.wake
        self.exits = Exits(self.store, self.worker)
        self.worker.write_rest(self.exits.owed_after)
        self.under_way: dict[str, Event] = {}
        """Idempotency keys whose requests are being answered."""

    def start(self) -> None:
        """Take up what an earlier start left, and deliver from now on. Blocks.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        self.worker.start()

    def warm_up(self) -> None:
        """Go on with what can wait until the server has started. Blocks; safe to repeat."""
        self.jobs.start()

    # what is loaded late

    @cached_property
    def distribution(self) -> Distribution:
        """What is special about deliveries to subscribers."""
        from hookbox.delivery.hub.distribution import Distribution

        return Distribution(self.hub_rules)

    @cached_property
    def backlog(self) -> Backlog:
        """What operators look into."""
        from hookbox.delivery.store.backlog import Backlog

        return Backlog(self.store)

    @cached_property
    def jobs(self) -> Jobs:
        """Replays and retries of many."""
        from hookbox.delivery.jobs import Jobs

        return Jobs(self.backlog, self.worker, self.clock)

    def stop(self, grace_seconds: float) -> None:
        """End: attempts under way get their time, then everything is on disk. Blocks; safe to repeat."""
        late: dict[str, Any] = vars(self)
        if "jobs" in late:
            self.jobs.stop()
        if self.tellings is not None:
            self.tellings.stop(LAST_TELLINGS)
        self.worker.stop(grace_seconds)
        self.numbers.stop()
        self.sender.close()
        try:
            self.store.close()
        except DeliveryStoreError as error:
            logger.error("the store was not closed in good order: %s", error)
            self.store.close()  # which has no more to write, but lets go of the file

    def reconfigure(self) -> None:
        """Go by the settings as they are now. Does not block."""
        settings = self._settings()
        self.worker.change(rules_from(settings))
        self.store.limits = _limits(settings)

    def policy(self) -> Policy:
        """Where deliveries may go now."""
        settings, own = self._settings(), self._own()
        if self._policy is None or self._policy[0] is not settings or self._policy[1] != own:
            policy = replace(policy_from(settings, own), blocked=self.blocked)
            self._policy = settings, own, policy
        return self._policy[2]

    def proxy(self) -> Proxy | None:
        """What deliveries go through now."""
        return proxy_of(self._settings().egress_proxy)

    def hub_rules(self) -> HubRules:
        """How the hub goes now."""
        settings = self._settings()
        if self._hub_rules is None or self._hub_rules[0] is not settings:
            self._hub_rules = settings, hub_rules_from(settings, settings.public_url or self._url())
        return self._hub_rules[1]


def _limits(settings: Settings) -> Limits:
    full_sync = settings.store_sync == "full"
    return Limits(queue=settings.max_queue, bytes=settings.max_store, full_sync=full_sync)


def _warn(settings: Settings) -> None:
    if settings.store == MEMORY:
        logger.warning("store is :memory: - what is owed and subscribed is forgotten when this process ends")
    elif settings.store_sync != "full":
        logger.warning("store_sync is normal - a loss of power can lose the newest acknowledged messages")
    if settings.dispatch_auth == "open":
        logger.warning("dispatch_auth is open - everybody who reaches the port can have requests sent")


def rules_from(settings: Settings) -> WorkerRules:
    """How deliveries are made, as the settings say."""
    return WorkerRules(
        max_in_flight=settings.max_in_flight,
        per_origin=settings.per_origin,
        schedule=read_schedule(settings.retry_schedule) if settings.retry_schedule else DEFAULT,
        timeout=settings.attempt_timeout,
        connect_timeout=settings.connect_timeout,
        max_age=settings.max_age,
        disable_after=settings.disable_after,
        breaker=FAILURES_BEFORE_PROBING if settings.breaker == "on" else 0,
        errback_url=settings.errback_url,
        errback_secret=settings.errback_secret,
        default_secret=settings.default_signing_secret,
        max_held=settings.max_held,
        keep_succeeded=settings.retain_succeeded,
        keep_dead=settings.retain_dead,
        keep_keys=settings.idempotency_ttl,
    )


def hub_rules_from(settings: Settings, public_url: str) -> HubRules:
    """How the hub goes, as the settings say."""
    from hookbox.delivery.hub.values import HubRules

    secret = settings.errback_secret
    return HubRules(
        public_url,
        settings.hub,
        settings.hub_topic_hosts,
        settings.hub_lease_default,
        settings.hub_lease_min,
        settings.hub_lease_max,
        settings.max_subscriptions,
        settings.hub_signature,
        Told(settings.errback_url, secrets=(secret,) if secret else ()),
    )


def policy_from(settings: Settings, own: frozenset[tuple[str, int]]) -> Policy:
    """Where deliveries may go, as the settings say."""
    return Policy(
        Mode(settings.egress),
        tuple(map(Rule.read, settings.egress_allow)),
        tuple(map(Rule.read, settings.egress_deny)),
        frozenset(map(int, settings.egress_ports)),
        settings.https_only,
        own,
        _application(settings),
        is_here,
    )


def _application(settings: Settings) -> tuple[str, int] | None:
    """The application's host and port, as URLs have them."""
    if not settings.cb_single_url:
        return settings.cbhost.strip("[]").lower(), settings.cbport
    try:
        found = read_url(settings.cb_single_url)
    except BadURL:
        return None
    return found.host, found.port


def addresses_of(listeners: Iterable[socket.socket]) -> frozenset[tuple[str, int]]:
    """The addresses and ports under which listening sockets can be reached, as `Policy.own` has them."""
    found: set[tuple[str, int]] = set()
    for listener in listeners:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            host, port = listener.getsockname()[:2]
            found.add((ANYWHERE if host in ("0.0.0.0", "::") else host, port))
    return frozenset(found)


def is_here(address: Address) -> bool:
    """Whether an address is one of this machine's now: nobody can bind to another one. Does not block."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return address.is_loopback
    return True
