"""Each session is asked about again now and then, for an application that does not tell of a logout."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from hookbox.commands.asking import UNAUTHORIZED, question_for
from hookbox.commands.connect import read_name
from hookbox.commands.cookies import take_cookies
from hookbox.commands.end_session import end_session
from hookbox.commands.site import Cause, Errands, Site
from hookbox.core.connection import Connection
from hookbox.core.names import is_nobody
from hookbox.errors import UnusableAnswer, WebhookError
from hookbox.protocol.disconnects import REVOKED, SESSION_EXPIRED
from hookbox.webhooks.gate import Question, Refuse

logger = logging.getLogger(__name__)

EARLY: Final = 0.9
"""Share of the interval after which a session's turn comes, so that it is over when the interval is."""
MOST_WAITING: Final = 64
"""Questions that may wait for an application that is slow; above that nobody's turn comes."""


class Recheck:
    """Asks `connect` once for each session in every `recheck_interval` seconds, however many tabs it has.

    The sessions queue: whose turn it was goes to the end. So the questions are spread over the interval by
    themselves, and one that has just connected is asked about last.

    Args:
        site: whose sessions these are.
        chance: a draw from [0, 1).
    """

    def __init__(self, site: Site, chance: Callable[[], float]) -> None:
        self._site = site
        self._chance = chance
        self._errands = Errands(site.later)
        self._looked_at: float | None = None
        self._owed = 0.0
        """How many questions should have been put by now and were not; a part of one, mostly."""

    def check(self, now: float) -> None:
        """Put the questions that have become due; called about once a second, does not block.

        Args:
            now: monotonic seconds.
        """
        site, before = self._site, self._looked_at
        interval = site.settings.recheck_interval
        self._looked_at = now
        if not interval or site.draining:
            site.hub.sessions.forget_absent()
            self._owed, self._looked_at = 0.0, None
            return
        if before is None:
            return
        sessions = site.hub.sessions
        site.places.forget_old(site.grace_time())
        sessions.forget_absent(site.places.has)
        due = len(sessions) * (now - before) / (EARLY * interval)
        # what a slow application has missed is made up for bit by bit, not all at once when it is well again
        self._owed = min(self._owed + due, due + MOST_WAITING, len(sessions))
        if len(self._errands) > MOST_WAITING:
            return
        turn = sessions.next_in_turn(int(self._owed))
        self._owed -= len(turn)
        for session in turn:
            site.later.spawn_later(self._chance() * (now - before), self._errands.add, self.ask, session)

    def ask(self, session: str) -> None:
        """Ask about a session with what one of its connections has said, and act on the answer. Blocks."""
        site = self._site
        connection = next((c for c in reversed(site.hub.sessions.of(session)) if _can_be_asked(c)), None)
        if connection is None or site.draining or not site.settings.recheck_interval:
            return
        assert connection.user is not None
        name = connection.user.name
        try:
            verdict = site.app.ask(_question(site, connection))
            answered = read_name(site, verdict.options.get("name"))
        except WebhookError as error:
            if isinstance(error, UnusableAnswer) and error.status == UNAUTHORIZED:
                end_session(site, session, REVOKED)
            return  # whatever is wrong there, nobody has said that anybody has logged out
        if isinstance(verdict, Refuse):
            end_session(site, session, REVOKED)
            return
        heir = connection if connection.open else next(iter(site.hub.sessions.of(session)), None)
        if heir is not None:
            take_cookies(site, heir, verdict.set_cookies)
            session = heir.session
        if answered != name and not (is_nobody(answered) and is_nobody(name)):
            end_session(site, session, SESSION_EXPIRED)


def _question(site: Site, connection: Connection) -> Question:
    is_guest = connection.id == ""
    cause = Cause(site.app, None if is_guest else connection, connection)
    return question_for(cause, "connect", {"payload": connection.connect_payload})


def _can_be_asked(connection: Connection) -> bool:
    """Whether the application has let it in, and what it said then is still known."""
    return connection.user is not None and bool(connection.connect_payload)
