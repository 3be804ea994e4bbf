"""What the application is told of, rather than asked: it has happened, whatever the answer."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hookbox.core.connection import Connection
from hookbox.core.values import UserName
from hookbox.errors import WebhookError
from hookbox.webhooks.gate import Allow, Gate, Question

logger = logging.getLogger(__name__)


class Follows(Protocol):
    """What follows when the application is told; neither blocks. It does not outlive the process."""

    def begin(self) -> bool:
        """Whether it is still so; asked each time before the application is told."""

    def end(self, agreed: bool | None) -> None:
        """Do what follows from what the application said; None for nothing usable."""


class Nothing:
    """It is so for ever, and what the application says to it does not matter."""

    def begin(self) -> bool:
        """It is."""
        return True

    def end(self, agreed: bool | None) -> None:
        """Do nothing."""


NOTHING = Nothing()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened.

    Args:
        action: the webhook's.
        fields: of its form.
        cookies: of whoever caused it; empty sends none.
        client_ip: likewise.
        follows: what its telling leads to.
        connection: id of whoever caused it, for those who look on; empty if nobody did.
        session: likewise.
    """

    action: str
    fields: dict[str, str]
    cookies: str = field(default="", repr=False)
    client_ip: str = ""
    follows: Follows = NOTHING
    connection: str = ""
    session: str = ""

    def question(self, key: str) -> Question:
        """It as the webhook that tells it."""
        caused = {"connection": self.connection, "session": self.session}
        return Question(self.action, self.fields, self.cookies, self.client_ip, key, **caused)


def event_of(
    speaker: Connection | None, action: str, fields: dict[str, str], follows: Follows = NOTHING
) -> Event:
    """An event with the cookies and the address of whoever caused it."""
    if speaker is None:
        return Event(action, fields, follows=follows)
    return Event(action, fields, speaker.cookies, speaker.client_ip, follows, speaker.id, speaker.session)


class Tellings(Protocol):
    """Tells the application, at least once and in the order of events for each user."""

    def tell(self, user: UserName, events: Sequence[Event]) -> None:
        """Tell what happened to a user, in this order and after everything before. Does not block."""

    def untold(self) -> int:
        """How many of them nobody has tried to tell yet."""


class AtOnce:
    """Tells each event once; what the application does not hear then it never hears.

    Args:
        gate: the application.
        run: runs a function that blocks when its turn comes.
    """

    def __init__(self, gate: Gate, run: Callable[..., object]) -> None:
        self._gate = gate
        self._run: Callable[..., Any] = run

    def tell(self, user: UserName, events: Sequence[Event]) -> None:
        """Tell what happened to a user, in this order."""
        self._run(self._tell, events)

    def untold(self) -> int:
        """None that would not be known to whoever runs it."""
        return 0

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.follows.begin():
                self._tell_one(event)

    def _tell_one(self, event: Event) -> None:
        agreed = None
        try:
            agreed = isinstance(self._gate.ask(event.question(secrets.token_hex(16))), Allow)
        except WebhookError as error:
            logger.info("%s was not told: %s", event.action, error)
        finally:
            event.follows.end(agreed)
