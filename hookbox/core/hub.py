"""The registries: who is connected, which channels exist."""

from __future__ import annotations

from hookbox.core.channel import Channel
from hookbox.core.connection import Connection
from hookbox.core.history import Budget
from hookbox.core.sessions import Sessions
from hookbox.core.user import User
from hookbox.core.values import ChannelName, ConnectionId, UserName


class Hub:
    """Everything that lives on this node.

    Args:
        history_budget: what histories may keep.
    """

    def __init__(self, history_budget: Budget) -> None:
        self.channels: dict[ChannelName, Channel] = {}
        self.users: dict[UserName, User] = {}
        self.connections: dict[ConnectionId, Connection] = {}
        self.sessions = Sessions()
        self.guests: dict[UserName, list[Connection]] = {}
        """Those who only read streams, by the names that the application gave them; nobody sees them."""
        self.history_budget = history_budget
        self.watchers: dict[str, set[Channel]] = {}
        """By user name, the channels whose state tells whether that user is online."""

    def watch(self, channel: Channel, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Note that a channel watches other users than before."""
        for name in before:
            channels = self.watchers.get(name, set())
            channels.discard(channel)
            if not channels:
                self.watchers.pop(name, None)
        for name in after:
            self.watchers.setdefault(name, set()).add(channel)

    def attach(self, connection: Connection, name: UserName) -> User:
        """Give a connection to the user of that name, who begins to exist if need be."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User(name)
        connection.user = user
        user.connections.append(connection)
        user.last_connection = None
        self.connections[connection.id] = connection
        return user

    def attach_guest(self, connection: Connection, name: UserName) -> None:
        """Note that somebody reads streams under that name; no user begins to exist."""
        connection.user = User(name)
        self.guests.setdefault(name, []).append(connection)

    def detach_guest(self, connection: Connection) -> None:
        """A guest goes. Safe to repeat."""
        connection.open = False
        self.sessions.leave(connection)
        name = connection.user.name if connection.user else UserName("")
        guests = self.guests.get(name, [])
        if connection in guests:
            guests.remove(connection)
        if not guests:
            self.guests.pop(name, None)

    def detach(self, connection: Connection, *, keep_turn: bool = False) -> User | None:
        """Take a connection from its user and all channels; None if it had no user. Safe to repeat.

        Args:
            keep_turn: see `Sessions.leave`.
        """
        connection.open = False
        self.sessions.leave(connection, keep_turn=keep_turn)
        if self.connections.get(connection.id) is connection:  # else another has its place by now
            del self.connections[connection.id]
        user = connection.user
        if user is None or connection not in user.connections:
            return None
        user.connections.remove(connection)
        for channel in user.channels.values():
            channel.silence(connection)
        if not user.connections:
            user.last_connection = connection
            user.absences += 1
        return user
