"""The orderly end: nobody new, a goodbye to everybody, and what is under way is finished."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import gevent

from hookbox.commands.connect import leave_absent
from hookbox.protocol.disconnects import RESTART
from hookbox.transports.comet import CometSession
from hookbox.transports.stream import Consumer
from hookbox.transports.websocket import WebSocket

if TYPE_CHECKING:
    from hookbox.server import Server

logger = logging.getLogger(__name__)

Member = WebSocket | CometSession | Consumer

SPREAD_SECONDS: Final = 5.0
"""Over which the goodbyes, and the times at which clients may come back, are spread."""
FEWEST: Final = 50
"""Connections that the spread is meant for: fewer are told in less time, at the same pace."""
JITTER_SECONDS: Final = 0.5
"""Over which those who are told one after the other come back, where somebody is there for them."""
DECISION_SECONDS: Final = 5.0
"""How long after the last goodbye one waits for the decision that its client waits for."""
GOODBYE_SECONDS: Final = 3.0
"""How long connections may take to close after the last goodbye; comet clients fetch theirs."""
UNHEARD_SECONDS: Final = 1.0
"""How long is waited for the first request of a connection that came just before the end."""
LOOK_SECONDS: Final = 0.05


class Drain:
    """Ends a server's work, once.

    Args:
        server: whose connections are ended.
        succeeded: whether another process accepts on its listeners already.
    """

    def __init__(self, server: Server, *, succeeded: bool) -> None:
        self._server = server
        self._succeeded = succeeded
        self._now = server.clock.monotonic
        self._began = self._now()
        self._deadline = self._began + server.settings.drain_grace
        self._spread = SPREAD_SECONDS

    def stop_accepting(self) -> None:
        """Let nobody new in from now on; does not wait."""
        self._server.site.draining = True
        for door in self._server.doors:
            door.shared = door.shared or self._succeeded
            door.begin_draining()
            if self._succeeded:
                door.hang_up_idle()

    def finish(self) -> None:
        """Say goodbye and let what is in flight finish; takes up to `drain_grace` seconds."""
        leave_absent(self._server.site)
        self._say_goodbye()
        self._wait(GOODBYE_SECONDS, lambda: all(map(_is_settled, self._server.checked)))
        self._wait(UNHEARD_SECONDS, lambda: not any(door.awaited for door in self._server.doors))
        self._wait(DECISION_SECONDS, self._nothing_is_under_way)
        self._server.webhooks.stop(max(0.0, min(DECISION_SECONDS, self._deadline - self._now())))

    def _say_goodbye(self) -> None:
        """Sessions of comet go first: their next request finds nobody here who knows them.

        Who waits for a decision is told after it, so that its outcome is known.
        """
        members = [member for member in self._server.checked if isinstance(member, Member)]
        random.shuffle(members)
        members.sort(key=lambda member: not isinstance(member, CometSession))
        pause = SPREAD_SECONDS / max(FEWEST, len(members))
        if self._succeeded:
            self._spread = pause * len(members)
        waiting: deque[Member] = deque()
        for number, member in enumerate(members):
            if not isinstance(member, CometSession):
                gevent.sleep(max(1e-6, self._began + number * pause - self._now()))
            if self._now() > self._deadline:
                break
            waiting.append(member)
            self._dismiss_first(waiting)
        until = min(self._deadline, self._now() + DECISION_SECONDS)
        while waiting and self._now() < until:
            gevent.sleep(LOOK_SECONDS / len(waiting))
            self._dismiss_first(waiting)
        for member in members:  # who has been told already is not told again
            self._dismiss(member)

    def _dismiss_first(self, waiting: deque[Member]) -> None:
        """Tell those in front who wait for no decision; the first who does goes to the end."""
        while waiting:
            if waiting[0].busy:
                waiting.rotate(-1)
                return
            self._dismiss(waiting.popleft())

    def _dismiss(self, member: Member) -> None:
        """Tell one to come back some time, so that they do not all come together."""
        longest = SPREAD_SECONDS
        if self._succeeded:  # else who came back at once would find nobody
            told_together = isinstance(member, CometSession)
            longest = self._spread if told_together else min(self._spread, JITTER_SECONDS)
        member.close(RESTART.after(random.randint(0, int(longest * 1000))))

    def _nothing_is_under_way(self) -> bool:
        server = self._server
        answering = any(handler.answering for door in server.doors for handler in door.awaited)
        site = server.site
        return not (answering or len(site.errands) or site.tellings.untold())

    def _wait(self, seconds: float, done: Callable[[], bool]) -> None:
        until = min(self._deadline, self._now() + seconds)
        while not done() and self._now() < until:
            gevent.sleep(LOOK_SECONDS)


def _is_settled(member: object) -> bool:
    """Whether nothing of what is looked after has to be waited for any more."""
    if isinstance(member, CometSession):
        return member.settled
    return not isinstance(member, Member)
