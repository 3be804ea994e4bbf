"""Cookies that script must not see, handed to the browser once: `/cookie/<key>`."""

from __future__ import annotations

from hookbox.commands.site import Site
from hookbox.web.http import WsgiApp
from hookbox.web.lean import LeanBottle
from hookbox.web.pages import excuse


def make_cookie_door(site: Site) -> WsgiApp:
    """Serve the cookies that wait to be fetched."""
    return LeanBottle(excuse)
