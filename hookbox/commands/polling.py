"""Channels for which Hookbox itself fetches what it publishes."""

from __future__ import annotations

from hookbox.commands.site import Site
from hookbox.core.channel import Channel


def restart(site: Site, channel: Channel) -> None:
    """Begin, change or end a channel's fetching as its options now say."""
    if channel.options.polling.mode:
        raise NotImplementedError
