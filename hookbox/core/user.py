"""A name given by the application, with the connections that bear it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookbox.core.connection import Connection
from hookbox.core.options import UserOptions
from hookbox.core.values import ChannelName, UserName

if TYPE_CHECKING:
    from hookbox.core.channel import Channel

DEFAULT_OPTIONS = UserOptions()


class User:
    """Somebody connected, or gone so shortly that the absence is not announced yet."""

    __slots__ = ("absences", "channels", "connections", "last_connection", "name", "options")

    def __init__(self, name: UserName) -> None:
        self.name = name
        self.options = DEFAULT_OPTIONS
        self.connections: list[Connection] = []
        self.channels: dict[ChannelName, Channel] = {}
        self.absences = 0
        """How often the last connection went: tells a grace period from a later one."""
        self.last_connection: Connection | None = None
        """Whose cookies speak for the user when no connection causes a webhook."""

    @property
    def speaker(self) -> Connection | None:
        """The connection whose cookies speak for the user."""
        return self.connections[-1] if self.connections else self.last_connection

    def listeners(self, channel: ChannelName) -> list[Connection]:
        """The connections that get a channel's frames."""
        if self.options.per_connection_subscriptions:
            return [c for c in self.connections if c.own_channels and channel in c.own_channels]
        return list(self.connections)
