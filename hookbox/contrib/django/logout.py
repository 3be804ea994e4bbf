"""Whoever logs out is logged out in all tabs: the live connections of the session end with it."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends import signed_cookies
from django.http import HttpRequest

from hookbox.contrib.django import api, conf
from hookbox.contrib.django.committed import after_commit
from hookbox.contrib.django.errors import HookboxError

logger = logging.getLogger("hookbox.django")


def register() -> None:
    """Have the connections of a session end when Django's `logout` ends it."""
    user_logged_out.connect(end_connections, dispatch_uid="hookbox.logout")


def end_connections(request: HttpRequest | None = None, **_: Any) -> None:
    """A receiver: after the commit, end what belongs to the request's session.

    The session goes first, from where it is kept, or a page could come back with it at once: Django sends the
    signal before it removes it. Who is at the signal later still finds what was in it.
    """
    session = getattr(request, "session", None)
    key = getattr(session, "session_key", None)
    if session is None or not key or not conf.disconnect_on_logout() or not conf.api_token():
        return
    if not isinstance(session, signed_cookies.SessionStore):  # which is kept in the browser only
        session.delete(key)
    name = api.session_name(session)
    after_commit(lambda: _disconnect(name), "disconnect", None)


def _disconnect(session: str) -> None:
    try:
        api.call("disconnect", {"session": session}, None, None)
    except HookboxError as error:
        logger.info("the connections of a session that has ended stay, as Hookbox cannot be told: %s", error)
