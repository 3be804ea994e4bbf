"""A client that was cut off takes its place again: nobody is asked, nobody notices."""

from __future__ import annotations

from dataclasses import dataclass, field

from hookbox.commands.sessions import refresh_cookies
from hookbox.commands.site import Site
from hookbox.core.connection import Connection
from hookbox.core.places import Place
from hookbox.core.values import ConnectionId
from hookbox.protocol.disconnects import RESUMED_ELSEWHERE


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client shows to get its place back: both parts are from its last CONNECTED."""

    connection: ConnectionId
    key: str = field(repr=False)


def key_for(site: Site, connection: Connection) -> str:
    """The key with which this connection's place can be taken again, should it be cut off."""
    return site.places.key(connection.id, connection.cookies)


def keep_place(site: Site, connection: Connection, grace: float) -> bool:
    """Keep the place of a connection that is about to go; call before it is taken from its user.

    Args:
        grace: seconds to keep it.

    Returns:
        whether it may come back unasked.
    """
    user = connection.user
    if user is None or not grace or "resume" not in connection.features or site.draining:
        return False
    now = site.grace_time()
    site.places.keep(connection.id, _place(connection, now + grace), now)
    return True


def take_place(site: Site, connection: Connection, ticket: Ticket) -> Place | None:
    """Give a new connection the id, cookies and place of an earlier one; None if the ticket is not good.

    If the server has not noticed yet that the earlier one is gone, that one ends. The new one still has to be
    given to its user.
    """
    if not site.places.fits(ticket.key, ticket.connection, connection.cookies):
        return None
    now = site.grace_time()
    before = site.hub.connections.get(ticket.connection)
    if before is not None:
        place: Place | None = _place(before, now)
        site.hub.detach(before)
        before.transport.close(RESUMED_ELSEWHERE)
    else:
        place = site.places.take(ticket.connection, now)
    if place is None or site.hub.users.get(place.user.name) is not place.user:
        return None
    connection.id = ticket.connection
    connection.keep_cookies(place.kept_cookies or {}, site.settings.cookie_identifier or None)
    refresh_cookies(site, connection)
    return place


def _place(connection: Connection, until: float) -> Place:
    assert connection.user is not None
    own = connection.own_channels
    return Place(
        connection.user,
        connection.kept_cookies,
        frozenset(own) if own is not None else None,
        connection.welcome,
        connection.session,
        until,
    )
