"""Cookies that the application sets in its answers: into the browser, and into what is asked later.

Source: RFC 6265 section 5.3; `docs/protocol.md` for the frames.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from hookbox.commands.resume import key_for
from hookbox.commands.sessions import connection_cookies_changed, refresh_cookies, session_cookies
from hookbox.commands.site import Site
from hookbox.core.connection import Connection
from hookbox.core.cookies import SetCookie, from_wsgi, read_set_cookie
from hookbox.core.sessions import session_of
from hookbox.core.values import JSONObject
from hookbox.errors import ProtocolError
from hookbox.protocol.rtjp import frame

logger = logging.getLogger(__name__)

FEATURE = "cookies"


def take_cookies(
    site: Site,
    connection: Connection,
    set_cookies: tuple[str, ...],
    features: frozenset[str] | None = None,
) -> None:
    """Hand a webhook's cookies to the browser whose connection caused it, and use them in its later webhooks.

    One that script may read goes out as a SET_COOKIE frame. An HttpOnly one never does: the browser fetches
    it, if its client knows how to. So does it with one that is taken away, since script could not remove it
    if it was HttpOnly.

    Args:
        features: what the client knows; None for what it was granted at CONNECT.
    """
    if connection.revoked:
        return
    if not connection.open:  # cut off while the application decided; perhaps it has its place again
        connection = site.hub.connections.get(connection.id, connection)
    known = connection.features if features is None else features
    cookies = list(_read(site, set_cookies))
    _keep(site, connection, cookies)
    to_fetch = []
    for cookie in cookies:
        if not cookie.http_only:
            connection.outbox.put(frame("SET_COOKIE", {"cookie": cookie.raw}))
        script_can = not cookie.http_only and not cookie.expired and connection.open
        if not script_can or site.pickups.waits(connection.id, cookie):
            to_fetch.append(cookie)
    if to_fetch and FEATURE in known:
        dropped = site.pickups.dropped
        now, grace = site.clock.monotonic(), site.settings.leave_grace
        seen_by_us = {c.name: connection.replaced(c.name) for c in to_fetch if c.path in ("", "/")}
        key = site.pickups.put(connection.id, to_fetch, now, grace, seen_by_us)
        if site.pickups.dropped > dropped:
            logger.warning("too many cookies wait for browsers to fetch them, the oldest are dropped")
        _announce(site, connection, key)


def announce_again(site: Site, connection: Connection) -> None:
    """Tell a client that has its place again of cookies which it had not fetched when it was cut off."""
    if FEATURE in connection.features:
        key = site.pickups.again(connection.id, site.clock.monotonic(), site.settings.leave_grace)
        _announce(site, connection, key)


def take_guest_cookies(site: Site, speaker: Connection, set_cookies: tuple[str, ...]) -> list[str]:
    """Use a webhook's cookies in later webhooks of somebody who gets no frames.

    Returns:
        what the answer to the browser's own request has to carry as Set-Cookie headers.
    """
    cookies = list(_read(site, set_cookies))
    _keep(site, speaker, cookies)
    return [cookie.for_browser for cookie in cookies]


def take_request_cookies(site: Site, connection: Connection, header: str) -> None:
    """A later request of a connection has other cookies than those before.

    Args:
        header: its Cookie header, as WSGI gives it.
    """
    connection.request_has(from_wsgi(header), site.clock.monotonic())
    refresh_cookies(site, connection)


def _read(site: Site, set_cookies: tuple[str, ...]) -> Iterator[SetCookie]:
    for raw in set_cookies:
        try:
            yield read_set_cookie(raw, site.clock.now())
        except (ValueError, ProtocolError):
            logger.warning("the application sent a malformed Set-Cookie, it is ignored")


def _keep(site: Site, connection: Connection, cookies: list[SetCookie]) -> None:
    changes = {cookie.name: None if cookie.expired else cookie.value for cookie in cookies}
    connection_cookies_changed(site, connection, changes)
    if not connection.open:
        session = session_of(connection.cookies, session_cookies(site.settings))
        site.places.add_cookies(connection.id, changes, session)


def _announce(site: Site, connection: Connection, key: str) -> None:
    if not key:
        return
    args: JSONObject = {"path": f"cookie/{key}"}
    if "resume" in connection.features:  # the place is good with the same cookies only, and these are new
        args["resume"] = key_for(site, connection)
    connection.outbox.put(frame("COOKIE", args))
