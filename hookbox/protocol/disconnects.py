"""Why a connection ends: code, reason, and by the code's range whether the client should come back.

Sources: RFC 6455 section 7.4 and the IANA registry for 1000-2999; 4000-4499 and 4500-4999 are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

REASON_LIMIT = 123
"""Bytes a close frame's reason may have: a control frame carries 125, two of them the code."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """One reason to end a connection.

    Args:
        code: WebSocket close code.
        reason: short text, at most 123 bytes of UTF-8.
        retry_ms: when the client may come back, milliseconds; None leaves it to the client.
    """

    code: int
    reason: str
    retry_ms: int | None = None

    @property
    def client_may_return(self) -> bool:
        """Whether the code's range invites the client to reconnect."""
        return self.code in (1001, 1011, 1012, 1013) or 4000 <= self.code < 4500

    def after(self, retry_ms: int) -> Disconnect:
        """The same, asking the client to wait that many milliseconds."""
        return replace(self, retry_ms=retry_ms)


NORMAL = Disconnect(1000, "bye")
RESUMED_ELSEWHERE = Disconnect(1000, "resumed by a newer connection")
PROTOCOL_ERROR = Disconnect(1002, "protocol error")
BAD_TEXT = Disconnect(1007, "text is not UTF-8")
POLICY = Disconnect(1008, "policy")
TOO_SLOW_MESSAGE = Disconnect(1008, "message took too long")
TOO_MANY_FRAGMENTS = Disconnect(1008, "too many fragments")
TOO_MANY_PINGS = Disconnect(1008, "too many pings")
TOO_MANY_MESSAGES = Disconnect(1008, "too many messages")
MESSAGE_TOO_BIG = Disconnect(1009, "message too big")
INTERNAL = Disconnect(1011, "internal error")
RESTART = Disconnect(1012, "server restarts")
OVERLOAD = Disconnect(1013, "server is overloaded")
NO_PONG = Disconnect(4000, "no answer to ping")
SLOW_CONSUMER = Disconnect(4001, "reads too slowly")
RESYNC = Disconnect(4002, "position lost")
SESSION_EXPIRED = Disconnect(4003, "session expired")
BAD_FRAME = Disconnect(4500, "bad application frame")
NEVER_CONNECTED = Disconnect(4501, "no CONNECT in time")
REVOKED = Disconnect(4502, "revoked by the application")
TOO_MANY_CONNECTIONS = Disconnect(4503, "too many connections")
BY_API = Disconnect(4504, "disconnected by the application")
TOO_MANY_ERRORS = Disconnect(4505, "too many errors")
