"""Tickets to streams: who may not send a token or cookies shows one instead, once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hookbox.clock import Clock
from hookbox.commands.stream import Guest
from hookbox.errors import LimitReached, NotPermitted
from hookbox.protocol.disconnects import Disconnect
from hookbox.transports.stream import Wanted

LIFE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket is good for.

    Args:
        wanted: the stream that was asked for.
        origin: of the page that it is for, empty for none but the server's own.
        guest: whom the application let in; None for a holder of the API token.
        until: monotonic seconds.
    """

    wanted: Wanted
    origin: str
    guest: Guest | None
    until: float


class Unused:
    """What stands for the stream of a guest that has only a ticket so far."""

    def __init__(self, tickets: Tickets, key: str) -> None:
        self._tickets = tickets
        self._key = key

    def drop(self) -> None:
        """Nothing is queued."""

    flush = drop

    def close(self, why: Disconnect) -> None:
        """The ticket is good for nothing any more; safe to repeat."""
        self._tickets.forget(self._key)


class Tickets:
    """The tickets that may still be used. They are forgotten with the process.

    Args:
        clock: for their end.
        most: how many there may be at once.
        unused: called with each guest whose ticket ended unused; must not block.
    """

    def __init__(self, clock: Clock, most: Callable[[], int], unused: Callable[[Guest], None]) -> None:
        self._clock = clock
        self._most = most
        self._unused = unused
        self._tickets: dict[str, Ticket] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def require_room(self) -> None:
        """Look whether one more may be issued.

        Raises:
            LimitReached: there are too many.
        """
        if len(self._tickets) >= self._most():
            raise LimitReached("too many unused tickets")

    def issue(self, wanted: Wanted, origin: str, guest: Guest | None) -> str:
        """A new ticket."""
        key = secrets.token_urlsafe(32)
        self._tickets[key] = Ticket(wanted, origin, guest, self._clock.monotonic() + LIFE_SECONDS)
        if guest is not None:
            guest.speaker.transport = Unused(self, key)
        return key

    def forget(self, key: str) -> None:
        """A ticket is good for nothing any more. Safe to repeat."""
        ticket = self._tickets.pop(key, None)
        if ticket is not None and ticket.guest is not None:
            self._unused(ticket.guest)

    def take(self, key: str, origin: str) -> Ticket:
        """Use a ticket; from any other origin it is refused, and still good for its own.

        Raises:
            NotPermitted: it is not good here, or not any more.
        """
        self.check(self._clock.monotonic())
        ticket = self._tickets.get(key)
        if ticket is None or ticket.origin != origin:
            raise NotPermitted("the ticket is used, too old or for another origin: get a new one")
        del self._tickets[key]
        return ticket

    def check(self, now: float) -> None:
        """Forget what is too old; called about once a second."""
        for key, ticket in list(self._tickets.items()):  # the oldest comes first
            if ticket.until > now:
                return
            self.forget(key)
