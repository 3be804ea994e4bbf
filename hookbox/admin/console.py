"""The console's parts, put together: who is logged in, what is remembered, what is live."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from hookbox.admin import calls, channels, connections
from hookbox.admin.feed import CONNECTIONS, DELIVERIES, FOLLOW, OVERVIEW, WEBHOOKS, Feed
from hookbox.admin.gatekeeper import Gatekeeper
from hookbox.admin.logins import Logins
from hookbox.admin.past import Past
from hookbox.admin.samples import Samples
from hookbox.core.watchers import Note
from hookbox.delivery.store.base import Finished
from hookbox.errors import DeliveryStoreError
from hookbox.web.backlog import shown
from hookbox.webhooks.asked import Asked
from hookbox.webhooks.masking import mask_urls
from hookbox.webhooks.shown import asked_item

if TYPE_CHECKING:
    from hookbox.delivery.worker import Worker
    from hookbox.server import Server
    from hookbox.web.caller import Caller
    from hookbox.web.http import WsgiApp

logger = logging.getLogger(__name__)

LISTED: Final = frozenset({"opened", "connected", "resumed", "closed"})
"""Kinds of notes that the list of connections changes by."""


class Console:
    """The console of one server, while there is a password.

    Args:
        server: that is shown.
        caller: whoever is logged in, towards the API.
        backlog: serves `/api/v1`.
        apart: whether the API has a port of its own.
    """

    def __init__(self, server: Server, caller: Caller, backlog: WsgiApp, *, apart: bool) -> None:
        self.server = server
        self.caller = caller
        self.backlog = backlog
        self.apart = apart
        self.logins = Logins(lambda: server.settings.admin_password, server.clock)
        self.gatekeeper = Gatekeeper(self.logins)
        self.feed = Feed(server, self.logins)
        self.past = Past(server.clock.now, lambda: server.settings.secrets)
        self.samples = Samples(server)
        self.sending_again = 0
        self.standing: tuple[float, dict[str, int]] = (-1e9, {})
        """When the store was asked for its numbers, monotonic, and what it said."""
        self.started = server.clock.now() - (server.clock.monotonic() - caller.parts.started)
        self._channels = channels.Changes()
        self._worker: Worker | None = None
        server.site.journal.add(self._note)
        server.asked.add(self.show_asked)
        server.checked[self] = None

    def close(self) -> None:
        """End everything: there is no password any more."""
        self.server.site.journal.remove(self._note)
        self.server.asked.remove(self.show_asked)
        if self._worker is not None:
            self._worker.finished.remove(self._show_delivery)
        self.logins.check()
        self.feed.check()
        self.server.checked.pop(self, None)

    def check(self, now: float) -> None:
        """Look at what has to end, and take samples; called about once a second."""
        self.logins.check()
        self.feed.check()
        row = self.samples.look(now)
        if row is not None:
            self.feed.tell(OVERVIEW, lambda: row)
        self._channels.tell(self, now)
        self._watch_deliveries()

    def show_asked(self, asked: Asked) -> None:
        """Show a webhook to whoever looks on now."""
        if not asked.again:
            self.samples.note(asked)
        self.feed.tell(WEBHOOKS, lambda: asked_item(asked, self.server.settings.secrets))
        question = asked.question
        if question.connection:
            self.feed.tell(
                FOLLOW + question.connection,
                lambda: connections.asked_note(asked, self.server.settings.secrets),
            )

    def _note(self, note: Note) -> None:
        kept = self.past.keep(note)
        self.feed.tell(FOLLOW + kept.connection, kept.item)
        if note.kind in LISTED:
            self.feed.tell(CONNECTIONS, lambda: connections.change(self.server, note))

    def _watch_deliveries(self) -> None:
        """Look at what delivers now; it is another part after the store was given away in vain."""
        try:
            worker = self.server.storeroom.deliveries().worker
        except DeliveryStoreError:
            return
        if worker is not self._worker:
            self._worker = worker
            worker.finished.add(self._show_delivery)

    def _show_delivery(self, finished: Finished) -> None:
        self.feed.tell(DELIVERIES, lambda: mask_urls(shown.finished(finished), calls.URLS))
