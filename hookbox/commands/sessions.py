"""Which session a connection belongs to follows its cookies: the one place where both change."""

from __future__ import annotations

from collections.abc import Mapping

from hookbox.commands.site import Site
from hookbox.core.connection import Connection
from hookbox.core.sessions import session_of
from hookbox.settings import Settings


def session_cookies(settings: Settings) -> tuple[str, ...]:
    """Names of the cookies that stand for a login; none where the usual names are looked for."""
    if settings.session_cookie or not settings.cookie_identifier:
        return settings.session_cookie
    return (settings.cookie_identifier,)


def refresh_cookies(site: Site, connection: Connection) -> None:
    """Work out anew what webhooks of a connection carry, and whose session it is."""
    connection.refresh_cookies(site.settings.cookie_identifier or None)
    _follow(site, connection)


def connection_cookies_changed(site: Site, connection: Connection, changes: Mapping[str, str | None]) -> None:
    """Use cookies that an answer of the application has set in later webhooks.

    Where that gives the browser another session, the browser's other connections go along: what they would
    still show is a cookie that the application may not know any more.

    Args:
        changes: values by name; None takes a cookie away.
    """
    if not changes:
        return
    before = connection.session
    only = site.settings.cookie_identifier or None
    connection.keep_cookies(changes, only)
    session = _follow(site, connection)  # its client may have been cut off, but the cookies are the browser's
    if session == before or not before or connection.revoked:
        return
    for other in site.hub.sessions.of(before):
        other.keep_cookies(changes, only)
        _follow(site, other)
    site.places.change_session(before, session, changes)


def _follow(site: Site, connection: Connection) -> str:
    """The session that its cookies stand for. Nobody who has gone belongs to a session again."""
    session = session_of(connection.cookies, session_cookies(site.settings))
    if connection.open and session != connection.session:
        site.hub.sessions.move(connection, session)
    return session
