"""Whom and what a greenlet is at work for, so that every line that is logged in it says so."""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Final, Protocol

from gevent import getcurrent

from hookbox.core.connection import Connection

if TYPE_CHECKING:
    from hookbox.webhooks.asked import Asked

SESSION_DIGITS: Final = 8
"""As many of a session's digest are enough to find it, and too few to be one."""


class HasRequestId(Protocol):
    """An HTTP exchange."""

    @property
    def request_id(self) -> str:
        """What the client is told of it when it fails: `X-Request-ID`."""


SERVED: Final[ContextVar[Connection | None]] = ContextVar("served", default=None)
"""The connection whose frames are handled, where the greenlet was not made for it; see `served`."""
ASKED: Final[ContextVar[Asked | None]] = ContextVar("asked", default=None)
"""The webhook that is under way."""
REQUEST: Final[ContextVar[HasRequestId | None]] = ContextVar("request", default=None)
"""The HTTP request that is answered."""
DELIVERY: Final[ContextVar[str]] = ContextVar("delivery", default="")
"""The delivery that is attempted."""


def known() -> dict[str, str]:
    """What is known now, by name: `connection`, `session`, `webhook`, `request`, `delivery`."""
    found = about(served())
    asked = ASKED.get()
    if asked is not None:
        found |= _about(asked.question.connection, asked.question.session)
        found["webhook"] = asked.id
    request = REQUEST.get()
    if request is not None:
        found["request"] = request.request_id
    delivery = DELIVERY.get()
    if delivery:
        found["delivery"] = delivery
    return found


def served() -> Connection | None:
    """The connection whose frames are handled.

    A greenlet that was made for one has it among its arguments: thousands of them need no context for that.
    """
    for found in getattr(getcurrent(), "args", ()):
        if isinstance(found, Connection):
            return found
    return SERVED.get()


def inherited() -> Context:
    """A context for another greenlet that goes on with this one's work."""
    context = copy_context()
    context.run(SERVED.set, served())
    return context


def about(connection: Connection | None) -> dict[str, str]:
    """What a line says of a connection."""
    return {} if connection is None else _about(connection.id, connection.session)


def _about(connection: str, session: str) -> dict[str, str]:
    found = {"connection": connection, "session": session[:SESSION_DIGITS]}
    return {name: value for name, value in found.items() if value}
