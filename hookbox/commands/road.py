"""The road from a client's bytes to commands and back: one per connection, its frames one at a time."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping

from hookbox.commands import connect as connecting
from hookbox.commands.message import message
from hookbox.commands.publish import publish
from hookbox.commands.resume import Ticket
from hookbox.commands.site import Cause, Site
from hookbox.commands.subscribe import subscribe, unsubscribe
from hookbox.core.connection import Connection
from hookbox.core.limits import Bucket
from hookbox.core.names import read_channel_name
from hookbox.core.user import User
from hookbox.core.values import JSON, ConnectionId, JSONObject
from hookbox.engine.base import Position
from hookbox.errors import CommandRefused, ConnectionGone, HookboxError, ProtocolError, WebhookError
from hookbox.protocol.disconnects import (
    BAD_FRAME,
    REVOKED,
    SLOW_CONSUMER,
    TOO_MANY_ERRORS,
    TOO_MANY_MESSAGES,
    Disconnect,
)
from hookbox.protocol.json_text import BadJSON, load
from hookbox.protocol.rtjp import ClientFrame, LineBuffer, error_frame, frame, read_frame

logger = logging.getLogger(__name__)

Reply = JSONObject | Disconnect | None
OVER_RATE_SECONDS = 10.0
PAUSE_SECONDS = 1.0
"""How long no message may have been refused for a client to count as having slowed down."""
CLIENT_FAULTS = frozenset(
    {
        "bad_json",
        "bad_frame",
        "unknown_frame",
        "bad_channel",
        "not_connected",
        "already_connected",
        "too_large",
    }
)
"""Error words of which a connection may earn `protocol_errors` a minute."""


class ClientRoad:
    """Handles what one client sends; a `Road`.

    Args:
        site: what commands work on.
        connection: whose frames these are.
    """

    __slots__ = ("_errors", "_handled", "_lines", "_messages", "_refused_at", "_refused_since", "_site",
                 "connection")  # fmt: skip

    def __init__(self, site: Site, connection: Connection) -> None:
        self._site = site
        self.connection = connection
        self._lines = LineBuffer()
        self._messages: Bucket | None = None
        self._errors: Bucket | None = None
        self._refused_since = self._refused_at = 0.0
        self._handled = 0  # id of the last frame that was looked at

    @property
    def connected(self) -> bool:
        """Whether a CONNECT has been accepted."""
        return self.connection.user is not None

    def farewell(self, why: Disconnect) -> None:
        """Tell the client why the server ends the connection, if it understands that; then it is gone."""
        if "close" in self.connection.features:
            args: JSONObject = {"code": why.code, "reason": why.reason}
            if why.client_may_return:
                args["handled"] = self._handled
                args["retry_ms"] = random.randint(500, 3000) if why.retry_ms is None else why.retry_ms
            self.connection.outbox.put(frame("CLOSE", args))
        if why.code == SLOW_CONSUMER.code:
            self._site.counters.slow_consumers += 1
        self._site.journal.note("closed", self.connection, code=why.code, reason=why.reason, by="server")
        if self.connection.open:
            connecting.gone(self._site, self.connection)

    def gone(self) -> None:
        """The client is gone; safe to repeat, never blocks."""
        if self.connection.open:
            self._site.journal.note("closed", self.connection, by="client")
            connecting.gone(self._site, self.connection)

    def feed(self, data: bytes) -> Disconnect | None:
        """Handle the frames completed by `data`, one after the other; blocks while webhooks are asked.

        Returns:
            why the connection has to end, or None to go on.
        """
        if not self.connection.open:  # it ended while this waited to be read
            return REVOKED if self.connection.revoked else None
        try:
            for line in self._lines.feed(data, self._site.settings.max_message):
                why = TOO_MANY_MESSAGES if self._floods else self._handle(line)
                if why is not None or not self.connection.open:
                    return REVOKED if self.connection.revoked else why
        except ProtocolError as error:  # a line too long; `_handle` raises none
            self._refuse(None, error)
            return BAD_FRAME
        return None

    def _handle(self, line: bytes) -> Disconnect | None:
        frame_id: int | None = None
        try:
            in_time = self._in_time()
            self._site.counters.received += 1
            received = read_frame(line, self._site.settings.json_depth)
            frame_id = self._handled = received.id
            if not in_time:
                raise CommandRefused("Too many messages, slow down", "rate")
            reply = self._run(received)
        except ConnectionGone:
            return None
        except ProtocolError as error:
            return self._refuse(error.frame_id if frame_id is None else frame_id, error)
        except HookboxError as error:
            return self._refuse(frame_id, error)
        except Exception:
            logger.exception("a frame's handler failed")
            self.connection.outbox.put(error_frame(frame_id, "Internal error", "internal"))
            self._site.counters.errors["internal"] += 1
            return Disconnect(1011, "internal error")
        if isinstance(reply, Disconnect):
            return reply
        if reply is not None and "ack" in self.connection.features:
            self.connection.outbox.put(frame("ACK", {"id": frame_id, **reply}))
        return None

    def _run(self, received: ClientFrame) -> Reply:
        command = COMMANDS.get(received.name)
        if command is None:
            raise ProtocolError("unknown_frame", "Unknown frame", received.id)
        if command is _connect:
            return _connect(self._site, self.connection, received.args)
        user = self.connection.user
        if user is None:
            raise CommandRefused("Not connected", "not_connected")
        return command(self._site, self.connection, user, received)

    def _refuse(self, frame_id: int | None, error: HookboxError) -> Disconnect | None:
        retry = error.retry_seconds if isinstance(error, WebhookError) else None
        self.connection.outbox.put(error_frame(frame_id, str(error), error.code, retry))
        self._site.counters.errors[error.code] += 1
        self._site.journal.note("refused", self.connection, frame=frame_id, code=error.code, why=str(error))
        if error.code not in CLIENT_FAULTS:
            return None
        per_minute, now = self._site.settings.protocol_errors, self._site.clock.monotonic()
        if self._errors is None:
            self._errors = Bucket(per_minute, now)
        return None if self._errors.take(now, per_minute / 60, per_minute) else TOO_MANY_ERRORS

    def _in_time(self) -> bool:
        """Whether the client may send a message now."""
        settings, now = self._site.settings, self._site.clock.monotonic()
        if self._messages is None:
            self._messages = Bucket(settings.client_burst, now)
        if self._messages.take(now, settings.client_rate, settings.client_burst):
            return True
        if now - self._refused_at > PAUSE_SECONDS:
            self._refused_since = now
        self._refused_at = now
        return False

    @property
    def _floods(self) -> bool:
        """Whether messages have been refused, without a pause, for too long."""
        return self._refused_at - self._refused_since > OVER_RATE_SECONDS


def _connect(site: Site, connection: Connection, args: JSONObject) -> Reply:
    if connection.user is not None:
        raise CommandRefused("Already logged in", "already_connected")
    cookie_string = connecting.read_cookie_string(args.get("cookie_string"))
    payload = read_payload(site, args)
    greeting = connecting.Greeting(
        cookie_string,
        payload,
        str(args.get("payload", "null")),
        _read_features(args.get("features")),
        _read_positions(args.get("since")),
        _read_ticket(args.get("resume")),
    )
    return connecting.connect(site, connection, greeting)


def _read_features(value: JSON) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ProtocolError("bad_frame", "features must be a list of strings")
    return frozenset(item for item in value if isinstance(item, str))


def _read_positions(value: JSON) -> Mapping[str, Position] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ProtocolError("bad_frame", "since must be an object of positions by channel name")
    return {name: position for name, item in value.items() if (position := read_position(item))}


def _read_ticket(value: JSON) -> Ticket | None:
    match value:
        case None:
            return None
        case {"conn_id": str() as name, "key": str() as key}:
            return Ticket(ConnectionId(name), key)
    raise ProtocolError("bad_frame", "resume must be an object with conn_id and key")


def _subscribe(site: Site, connection: Connection, user: User, received: ClientFrame) -> Reply:
    args = received.args
    since = read_position(args.get("since")) if "recover" in connection.features else None
    subscribe(site, Cause(site.app, connection), user, args.get("channel_name"), since)
    return {}


def _unsubscribe(site: Site, connection: Connection, user: User, received: ClientFrame) -> Reply:
    unsubscribe(site, Cause(site.app, connection), user, received.args.get("channel_name"))
    return {}


def _publish(site: Site, connection: Connection, user: User, received: ClientFrame) -> Reply:
    args = received.args
    name = read_channel_name(args.get("channel_name"))
    payload = read_payload(site, args)
    position = publish(site, Cause(site.app, connection), user, name, payload)
    if site.journal:
        site.journal.note("published", connection, channel=name, offset=position.offset if position else None)
    return {"offset": position.offset, "epoch": position.epoch} if position else {}


def _message(site: Site, connection: Connection, user: User, received: ClientFrame) -> Reply:
    args = received.args
    if args.get("name") is None:
        raise ProtocolError("bad_frame", "name required")
    message(site, Cause(site.app, connection), user, args["name"], read_payload(site, args))
    site.journal.note("messaged", connection, to=str(args["name"])[:128])
    return {}


def _ping(site: Site, connection: Connection, user: User, received: ClientFrame) -> Reply:
    connection.outbox.put(frame("PONG", {"id": received.id}))
    return None


def read_payload(site: Site, args: JSONObject) -> JSON:
    """The payload of a client's frame: a string that holds JSON text, `null` when absent.

    Raises:
        ProtocolError: it is not.
        CommandRefused: it is too large.
    """
    text = args.get("payload", "null")
    if not isinstance(text, str):
        raise ProtocolError("bad_json", "Invalid json for payload")
    size = len(text) if text.isascii() else len(text.encode())
    if size > site.settings.client_payload:
        raise CommandRefused(f"payload of {size} bytes, limit {site.settings.client_payload}", "too_large")
    try:
        return load(text, site.settings.json_depth)
    except BadJSON:
        raise ProtocolError("bad_json", "Invalid json for payload") from None


def read_position(value: JSON) -> Position | None:
    """A position a client claims to have seen, None if it claims none.

    Raises:
        ProtocolError: of a wrong type. A wrong value is no error: it just cannot be recovered.
    """
    match value:
        case None:
            return None
        case {"epoch": str() as epoch, "offset": int() as offset} if not isinstance(offset, bool):
            return Position(epoch, offset)
    raise ProtocolError("bad_frame", "since must be an object with epoch and offset")


COMMANDS: dict[str, Callable[..., Reply]] = {
    "CONNECT": _connect,
    "SUBSCRIBE": _subscribe,
    "UNSUBSCRIBE": _unsubscribe,
    "PUBLISH": _publish,
    "MESSAGE": _message,
    "PING": _ping,
}
