"""A session of the application ends: by its API, by a 401 to a webhook, or when it is asked again."""

from __future__ import annotations

import logging
from typing import Final

from hookbox.commands.connect import disconnect, gone
from hookbox.commands.site import Cause, Site
from hookbox.core.connection import Connection
from hookbox.protocol.disconnects import REVOKED, Disconnect

logger = logging.getLogger(__name__)

SHOWN: Final = 8
"""Digits of a session in the log: enough to find it, too few to act on it."""


def end_session(
    site: Site, session: str, why: Disconnect, spare: Connection | None = None, *, let_in_only: bool = False
) -> int:
    """End all connections of a session, on every transport. Does not block.

    Nothing reaches them any more but the reason: what is queued for them is dropped, places that could be
    taken again are given up, and what the application is just being asked for them comes to nothing.

    Args:
        session: a digest; an empty one ends nothing.
        spare: this one stays.
        let_in_only: leave those alone whom the application has not let in.

    Returns:
        how many connections have ended.
    """
    if not session:
        return 0
    site.counters.sessions_ended += 1
    for gone_before in site.places.forget_session(session):
        site.pickups.forget(gone_before)
    ended = 0
    for connection in site.hub.sessions.of(session):
        if connection is spare or (let_in_only and connection.user is None):
            continue
        disconnect(site, connection, why, at_once=True)
        ended += 1
    if ended:
        logger.info("session %s ended (%s), connections: %d", session[:SHOWN], why.reason, ended)
    return ended


def revoke(site: Site, cause: Cause, session: str) -> None:
    """The application does not know the session of whoever caused a webhook: it answered 401.

    The one that caused it loses everything at once, but may still be told what was wrong; whoever handles its
    frames closes it then. One that is not let in yet has lost nothing: it may try again. Where no session is
    known, the connection ends alone, with the one that has taken its place. Who came without any cookie has
    no login that could have ended: to such a visitor 401 is a no like any other.

    Args:
        session: that of the webhook's cookies.
    """
    speaker = cause.connection or cause.speaker
    if speaker is None or speaker.session != session or not speaker.cookies:
        return  # it has another cookie by now, or never had one
    end_session(site, session, REVOKED, cause.connection, let_in_only=speaker.user is None)
    if cause.connection is None or speaker.user is None:
        return
    site.places.take(speaker.id, site.grace_time())
    heir = site.hub.connections.get(speaker.id)
    if heir is not None and heir is not speaker and heir.session == session:
        disconnect(site, heir, REVOKED, at_once=True)
    speaker.revoked = True
    site.pickups.forget(speaker.id)
    gone(site, speaker, 0)
    speaker.transport.drop()
