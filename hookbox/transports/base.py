"""What a connection asks of what carries it, and what a transport asks of the road its bytes go."""

from __future__ import annotations

from typing import Protocol

from hookbox.protocol.disconnects import Disconnect
from hookbox.settings import Settings


class Configured(Protocol):
    """Who knows the settings in force: connections ask it at each use, as a reload may change them."""

    @property
    def settings(self) -> Settings:
        """Those in force now."""


class Transport(Protocol):
    """Carries encoded frames to a client."""

    def drop(self) -> None:
        """Forget what is queued and has not left; call before `close`, for who must get nothing more.

        Never blocks. A client that does not take what is being sent to it is cut off.
        """

    def flush(self) -> None:
        """Let go what is queued, as far as the client takes it, now and not at the end of the turn."""

    def close(self, why: Disconnect) -> None:
        """Begin to end the connection, after what is queued. Never blocks; a second call does nothing."""


class Road(Protocol):
    """Where the bytes a client sent go."""

    def feed(self, data: bytes) -> Disconnect | None:
        """Handle the frames completed by `data`, one after the other; blocks while webhooks are asked.

        Returns:
            why the connection has to end, or None to go on.
        """

    @property
    def connected(self) -> bool:
        """Whether a CONNECT has been accepted."""

    def farewell(self, why: Disconnect) -> None:
        """The server ends the connection: the client is told if it understands, then it is gone."""

    def gone(self) -> None:
        """The client is gone. Never blocks; a second call does nothing."""
