"""The backlog of a running server."""

from __future__ import annotations

from collections.abc import Callable

from hookbox.delivery.deliveries import Deliveries
from hookbox.delivery.models import Endpoint
from hookbox.settings import Settings
from hookbox.web.backlog.app import make_backlog
from hookbox.web.backlog.office import Office
from hookbox.web.lean import LeanBottle
from hookbox.web.outside import Access


def backlog_of(
    deliveries: Callable[[], Deliveries],
    settings: Callable[[], Settings],
    access: Access,
    unsubscribe: Callable[[Endpoint], object] | None = None,
) -> LeanBottle:
    """The application.

    Args:
        deliveries: what delivers now; raises DeliveryStoreError while nothing does.
        settings: those in force now.
        access: knows the tokens.
        unsubscribe: see `Office`.
    """

    def office() -> Office:
        now = deliveries()
        return Office(
            now.store, now.backlog, now.worker, now.numbers, now.jobs, now.clock, now.policy, unsubscribe
        )

    return make_backlog(
        office,
        lambda environ: access.require(environ, what="the backlog API"),
        api_body=lambda: settings().api_body,
        json_depth=lambda: settings().json_depth,
    )
