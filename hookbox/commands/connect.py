"""A connection gets a user, and a user comes and goes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from hookbox import __version__
from hookbox.commands import subscribe
from hookbox.commands.asking import channel_fields, consult, follow, question_for
from hookbox.commands.channels import emptied, tell_online
from hookbox.commands.cookies import FEATURE as COOKIES
from hookbox.commands.cookies import announce_again
from hookbox.commands.resume import Ticket, keep_place, key_for, take_place
from hookbox.commands.sessions import refresh_cookies
from hookbox.commands.site import Cause, Site
from hookbox.commands.tellings import Event, event_of
from hookbox.core.channel import Channel
from hookbox.core.connection import NO_FEATURES, NO_PAYLOAD, Connection
from hookbox.core.names import ANONYMOUS, user_name_fault
from hookbox.core.options import USER_OPTION_NAMES, UserOptions, read_user_options
from hookbox.core.places import Place
from hookbox.core.user import User
from hookbox.core.values import JSON, ChannelName, ConnectionId, JSONObject, UserName
from hookbox.engine.base import Position
from hookbox.errors import CommandRefused, ProtocolError, UnusableAnswer, WebhookError
from hookbox.protocol.disconnects import TOO_MANY_CONNECTIONS, Disconnect
from hookbox.protocol.json_text import dump
from hookbox.protocol.rtjp import EncodedFrame, frame
from hookbox.webhooks.gate import Allow, Refuse

logger = logging.getLogger(__name__)

FEATURES = frozenset({"ack", "recover", "ping", "close", "resume", COOKIES})
_SHARED_SETS = {NO_FEATURES: NO_FEATURES}  # at most one of each combination, not one per connection
HOLD_SECONDS = 1.0
"""How long a returning client may take to say where it left off."""

SHORT_PAYLOAD = 1024
"""Characters of a connect payload that is remembered in any case."""

MOST_WAITS = 10
"""How often a user's leave is put off because clients queue at the door."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client says of itself in CONNECT.

    Args:
        cookie_string: the cookies that script could read.
        payload: the connect payload.
        payload_text: the same, as the client wrote it.
        features: extensions the client wants; None if it knows of none.
        since: the last positions it saw, by channel name; None if it did not say.
        ticket: to a place it had before; None if it has none.
    """

    cookie_string: str = field(repr=False)
    payload: JSON = None
    payload_text: str = "null"
    features: frozenset[str] | None = None
    since: Mapping[str, Position] | None = None
    ticket: Ticket | None = None


def connect(site: Site, connection: Connection, greeting: Greeting) -> Disconnect | None:
    """Ask the application who a connection is, and give it to that user.

    A client that was cut off shortly before, and can prove it, takes its place again: nobody is asked.

    Returns:
        why the connection has to end, or None.

    Raises:
        CommandRefused: the application said no; the connection stays.
        WebhookError: the application gave no usable answer.
        ConnectionGone: the client left while the application decided.
    """
    connection.script_cookies = greeting.cookie_string
    refresh_cookies(site, connection)
    payload = dump(greeting.payload)
    connection.connect_payload = remembered(site, payload)
    if greeting.ticket is not None:
        before = connection.id
        place = take_place(site, connection, greeting.ticket)
        if place is not None:
            return _resume(site, connection, greeting, place, before)
        site.counters.recoveries["not_resumed"] += 1
        greeting = replace(greeting, since=None)  # without its place it has to ask channel by channel
    cause = Cause(site.app, connection)
    known = greeting.features or NO_FEATURES
    answer = consult(site, cause, lambda: introduce(site, cause, connection, payload), known)
    cause.require_open()
    name = read_name(site, answer.get("name"))
    present = site.hub.users.get(name)
    options = _read_options(answer, present)
    if present is not None and _is_full(site, present):
        return TOO_MANY_CONNECTIONS
    if "override_payload" in answer:
        connection.welcome = (answer["override_payload"],)
    user = _let_in(site, connection, greeting, name)
    site.journal.note("connected", connection, features=sorted(connection.features))
    user.options = options
    _show_channels(site, connection, user, greeting.since)
    if present is None:
        tell_online(site, user, True)
    follow(site, cause, user, answer)
    return None


def introduce(site: Site, cause: Cause, connection: Connection, payload: str) -> Allow | Refuse:
    """Ask who a connection is; once, where one browser opens several connections in the same moment.

    Args:
        payload: as JSON text.

    Raises:
        WebhookError: the application gave no usable answer.
    """
    question = question_for(cause, "connect", {"payload": payload})
    if not connection.cookies or site.settings.connect_each:
        return cause.gate.ask(question)
    # who comes after the end of a session must not get an answer from before it
    browser = (connection.cookies, payload, connection.client_ip, site.counters.sessions_ended)
    return site.introductions.do(browser, lambda: cause.gate.ask(question))


def remembered(site: Site, payload: str) -> str:
    """What is kept of a connect payload for asking again: mostly the same text for all, and none too long."""
    if payload == NO_PAYLOAD:
        return NO_PAYLOAD
    return payload if site.settings.recheck_interval or len(payload) <= SHORT_PAYLOAD else ""


def _resume(
    site: Site, connection: Connection, greeting: Greeting, place: Place, before: ConnectionId
) -> Disconnect | None:
    """Take a place again; `before` is the id that the connection had until then."""
    user = place.user
    if _is_full(site, user):
        return TOO_MANY_CONNECTIONS
    connection.welcome = place.welcome
    mine = [name for name in user.channels if place.own_channels is None or name in place.own_channels]
    _let_in(site, connection, greeting, user.name, resumed=True, channels=[*mine])
    site.counters.resumed += 1
    site.counters.recoveries["resumed"] += 1
    site.journal.note("resumed", connection, before=before, channels=len(mine))
    if place.own_channels is not None:
        connection.own_channels = set(mine)
    _show_channels(site, connection, user, greeting.since, mine)
    announce_again(site, connection)
    return None


def _is_full(site: Site, user: User) -> bool:
    most = site.settings.connections_per_user
    return bool(most) and len(user.connections) >= most


def _let_in(site: Site, connection: Connection, greeting: Greeting, name: UserName, **more: JSON) -> User:
    user = site.hub.attach(connection, name)
    connection.features = _granted(greeting.features, site.settings.leave_grace)
    connection.outbox.put(_connected(site, connection, user, greeting, more))
    site.counters.connections += 1
    logger.info("connection resumed" if "resumed" in more else "connection opened")
    return user


def _connected(
    site: Site, connection: Connection, user: User, greeting: Greeting, more: JSONObject
) -> EncodedFrame:
    payload = connection.welcome[0] if connection.welcome else greeting.payload_text
    args: JSONObject = {"name": user.name, "payload": payload}
    if greeting.features is not None:
        args["features"] = [*sorted(connection.features)]
        args["conn_id"] = connection.id
        args["version"] = __version__
        args["ping_interval"] = site.settings.ping_interval
        if "resume" in connection.features:
            args["resume"] = key_for(site, connection)
        args.update(more)
    return frame("CONNECTED", args)


def _granted(wanted: frozenset[str] | None, grace: float) -> frozenset[str]:
    granted = (wanted or NO_FEATURES) & (FEATURES if grace else FEATURES - {"resume"})
    return _SHARED_SETS.setdefault(granted, granted)


def read_cookie_string(text: JSON) -> str:
    """The cookies that script could read, as a client gave them.

    Raises:
        ProtocolError: missing, or it could not be put into a header.
    """
    if text is None:
        raise ProtocolError("bad_frame", "Missing cookie_string")
    if not isinstance(text, str):
        raise ProtocolError("bad_frame", "cookie_string must be a string")
    if any((ord(c) < 32 and c != "\t") or c == "\x7f" for c in text):
        raise ProtocolError("bad_frame", "Invalid cookie_string: control characters")
    return text


def _read_options(answer: JSONObject, present: User | None) -> UserOptions:
    given = {key: answer[key] for key in USER_OPTION_NAMES if key in answer}
    try:
        return read_user_options(given, present.options if present else UserOptions())
    except CommandRefused as error:
        raise _unusable(str(error)) from error


def read_name(site: Site, value: JSON) -> UserName:
    """The name that the application gives a user, one of our own if it gives none.

    Raises:
        UnusableAnswer: it cannot be a name.
    """
    match value:
        case None:
            return _anonymous(site)
        case bool() | list() | dict():
            raise _unusable("name is not a string")
    name = str(value)
    if fault := user_name_fault(name):
        raise _unusable(fault)
    return UserName(name)


def _unusable(detail: str) -> WebhookError:
    logger.warning("connect: the application's answer is wrong: %s", detail)
    return UnusableAnswer("Invalid callback response", detail)


def _anonymous(site: Site) -> UserName:
    while True:
        name = UserName(ANONYMOUS + secrets.token_hex(8))
        if name not in site.hub.users:
            return name


def _show_channels(
    site: Site,
    connection: Connection,
    user: User,
    since: Mapping[str, Position] | None,
    mine: Collection[ChannelName] | None = None,
) -> None:
    """Tell a connection of the channels its user is in already.

    Args:
        mine: those it had before and goes on listening to; None for one that is new.
    """
    held = False
    for channel in [c for c in user.channels.values() if mine is None or c.name in mine]:
        position = site.broker.position(channel.name)
        subscribe.show(site, connection, user, channel, position, (since or {}).get(channel.name))
        if user.options.per_connection_subscriptions and mine is None:
            channel.silence(connection)  # until it subscribes itself
        elif since is None and "recover" in connection.features:
            channel.silence(connection)
            subscribe.hold(site, connection, channel)
            held = True
    if held:
        site.later.spawn_later(HOLD_SECONDS, subscribe.release_all, site, connection)


def gone(site: Site, connection: Connection, grace: float | None = None) -> None:
    """A connection has ended: nothing more reaches it. Its user is told of when it does not come back.

    Args:
        grace: seconds the user may take to come back; None for the setting `leave_grace`.
    """
    seconds = site.settings.leave_grace if grace is None else grace
    comes_back = keep_place(site, connection, seconds)
    user = site.hub.detach(connection, keep_turn=comes_back and site.settings.recheck_interval > 0)
    if user is None or user.connections:
        return
    if seconds and site.draining:
        return  # all clients have to go now, and come back to the next process: nobody leaves
    if seconds:
        until = site.grace_time() + seconds
        site.later.spawn_later(seconds, _leave_in_time, site, user, user.absences, until)
    else:
        site.later.spawn(leave, site, user, user.absences)


def _leave_in_time(site: Site, user: User, absence: int, until: float, waited: int = 0) -> None:
    """Let a user leave, but not before the grace is over; it stands still while clients queue at the door."""
    left = until - site.grace_time()
    if left > 0.001 and waited < MOST_WAITS and user.absences == absence and not user.connections:
        site.later.spawn_later(left, _leave_in_time, site, user, absence, until, waited + 1)
    else:
        leave(site, user, absence)


def leave_absent(site: Site) -> None:
    """Tell of the users that are away already, without giving them more time: there will be none."""
    for user in [user for user in site.hub.users.values() if not user.connections]:
        leave(site, user, user.absences)


def leave(site: Site, user: User, absence: int) -> None:
    """Unsubscribe a user that has not come back everywhere, and have the application told of it.

    Args:
        absence: which absence this is about; a user that came back meanwhile stays.
    """
    site.places.forget_old(site.grace_time())
    if user.connections or user.absences != absence or site.hub.users.get(user.name) is not user:
        return
    del site.hub.users[user.name]
    channels = list(user.channels.values())
    for channel in channels:
        subscribe.end(site, user, channel)
    tell_online(site, user, False)
    site.tellings.tell(user.name, _leaving(site, user, channels))


def _leaving(site: Site, user: User, channels: list[Channel]) -> list[Event]:
    """What there is to tell of a user that has gone, in order."""
    speaker = user.last_connection
    events: list[Event] = []
    for channel in channels:
        if channel.options.asks("unsubscribe"):
            events.append(event_of(speaker, "unsubscribe", channel_fields(channel.name, user=user.name)))
        events += emptied(site, channel, speaker)
    names = dump([channel.name for channel in channels])
    events.append(event_of(speaker, "disconnect", {"name": user.name, "channels": names}))
    return events


def disconnect(site: Site, connection: Connection, why: Disconnect, *, at_once: bool = False) -> None:
    """End one connection for the application: it gets nothing published from now on, and keeps no place.

    Args:
        at_once: drop also what was published before and has not left.
    """
    connection.revoked = True
    site.pickups.forget(connection.id)
    gone(site, connection, 0)
    if at_once:
        connection.transport.drop()
    else:
        connection.transport.flush()
    connection.transport.close(why)
