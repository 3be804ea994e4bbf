"""What the calls work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hookbox.clock import Clock
from hookbox.core.values import JSONObject
from hookbox.delivery.egress import BadURL, Blocked, Policy
from hookbox.delivery.intake_values import as_text
from hookbox.delivery.jobs import Jobs
from hookbox.delivery.models import Delivery, DeliveryId, Endpoint, EndpointId
from hookbox.delivery.numbers import Numbers
from hookbox.delivery.store.backlog import Backlog
from hookbox.delivery.store.base import Store
from hookbox.delivery.store.looking import Listed
from hookbox.delivery.worker import Worker
from hookbox.errors import CommandRefused, NotFound
from hookbox.web.backlog.asked import bad


class Forbidden(CommandRefused):
    """Somewhere that deliveries may not go; the text says which rule."""

    code = "blocked"


class Reply(NamedTuple):
    """An answer that is not just 200.

    Args:
        location: path of what was made, empty for nothing.
    """

    status: int
    value: JSONObject
    location: str = ""


@dataclass(frozen=True, slots=True)
class Office:
    """The parts.

    Args:
        policy: where deliveries may go now.
        unsubscribe: ends a subscription by WebSub and tells its callback; None without a hub.
    """

    store: Store
    backlog: Backlog
    worker: Worker
    numbers: Numbers
    jobs: Jobs
    clock: Clock
    policy: Callable[[], Policy]
    unsubscribe: Callable[[Endpoint], object] | None = None

    def now_ms(self) -> int:
        """Now."""
        return int(self.clock.now() * 1000)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that id.

        Raises:
            NotFound: there is none.
        """
        found = self.worker.endpoint(EndpointId(name))
        if found is None:
            raise NotFound(f"there is no endpoint {name[:80]}")
        return found

    def listed(self, name: str) -> Listed:
        """The delivery of that id.

        Raises:
            NotFound: there is none.
        """
        found = self.backlog.listed(DeliveryId(name))
        if found is None:
            raise NotFound(f"there is no delivery {name[:80]}")
        return found

    def allowed(self, name: str, url: str) -> str:
        """A URL that deliveries may go to, as far as it tells by itself.

        Raises:
            Unreadable: it is none.
            Forbidden: it is against the policy.
        """
        try:
            self.policy().check(as_text(name, url), errback=name == "errback")
        except BadURL as error:
            raise bad(f"{name}: {error}") from None
        except Blocked as error:
            raise Forbidden(f"{name}: {error}; see the settings egress and egress_allow") from None
        return url

    def wake(self, deliveries: list[Delivery]) -> None:
        """Tell the worker what was kept."""
        for delivery in deliveries:
            self.worker.wake(delivery)
