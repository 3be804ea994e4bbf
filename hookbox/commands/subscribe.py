"""Users join channels and leave them."""

from __future__ import annotations

from hookbox.commands import frames
from hookbox.commands.asking import UNAUTHORIZED, ask, channel_fields, follow
from hookbox.commands.channels import ATTEMPTS, destroy_if_empty, ensure, no_longer_pending
from hookbox.commands.site import Cause, Site
from hookbox.core.channel import Channel
from hookbox.core.connection import Connection, Held
from hookbox.core.names import read_channel_name
from hookbox.core.user import User
from hookbox.core.values import JSON
from hookbox.engine.base import Position
from hookbox.errors import CommandRefused, ConnectionGone, LimitReached, UnusableAnswer


def subscribe(site: Site, cause: Cause, user: User, name: JSON, since: Position | None = None) -> None:
    """Subscribe a user to a channel, creating it if need be; nothing happens if it is subscribed already.

    Args:
        since: the last position the causing connection saw; it then gets what it missed, even when
            it is subscribed already.

    Raises:
        ProtocolError, CommandRefused: a bad name, a limit, or the application said no.
        WebhookError: the application gave no usable answer.
        ConnectionGone: the client left while the application decided.
    """
    channel_name = read_channel_name(name)
    cause.require_open()  # it may be gone when an answer's chain gets here
    for _ in range(ATTEMPTS):
        if channel := user.channels.get(channel_name):
            _again(site, cause.connection, user, channel, since)
            return
        _require_room(site, user)
        made = channel_name not in site.hub.channels
        try:
            channel = ensure(site, cause, channel_name)
            if channel_name in user.channels:  # by another connection, while the channel was created
                continue
            if _decide_once(site, cause, user, channel, since):
                return
        finally:
            if made:
                _tidy(site, user, site.hub.channels.get(channel_name))
    raise CommandRefused("channel went away, try again", "unavailable")


def _tidy(site: Site, user: User, channel: Channel | None) -> None:
    """A channel that came into being for a subscription that did not begin goes again."""
    if channel is not None and not channel.subscribers:
        site.errands.add(destroy_if_empty, site, Cause(site.app, speaker=user.speaker), channel)


def _require_room(site: Site, user: User) -> None:
    if len(user.channels) >= site.settings.subscriptions:
        raise LimitReached(f"no more than {site.settings.subscriptions} subscriptions")


def _decide_once(site: Site, cause: Cause, user: User, channel: Channel, since: Position | None) -> bool:
    """Begin a subscription if it is allowed, asking once however many of the user's connections want it.

    Returns:
        False if the channel went meanwhile and everything has to be looked at again.
    """
    if not channel.options.asks("subscribe"):
        if _lives(site, user, channel):
            _begin(site, cause.connection, user, channel, since, None)
        return True
    flight = (user.name, channel.name)
    if cause.following and flight in site.subscriptions:
        return True  # under way already; two chains that wait for each other would never end
    decided = False

    def decide() -> None:
        nonlocal decided
        decided = True
        _decide(site, cause, user, channel, since)

    channel.pending += 1
    try:
        site.subscriptions.do(flight, decide)
    except (ConnectionGone, UnusableAnswer) as error:
        if decided or (isinstance(error, UnusableAnswer) and error.status != UNAUTHORIZED):
            raise
        cause.require_open()
        return False  # it was asked for a session that has ended: that says nothing about the others
    finally:
        no_longer_pending(site, channel, user)
    cause.require_open()
    if user.channels.get(channel.name) is not channel:
        return False
    if not decided:
        _again(site, cause.connection, user, channel, since)
    return True


def _decide(site: Site, cause: Cause, user: User, channel: Channel, since: Position | None) -> None:
    answer = ask(site, cause, "subscribe", channel_fields(channel.name, user=user.name))
    if cause.connection is not None and cause.connection.revoked:
        raise ConnectionGone("session ended while the application decided")
    cause.first_time("auto_subscribe", channel.name)
    try:
        follow(site, cause, user, answer)
    except ConnectionGone:
        pass  # the chain ends with its client; others of the user may wait for this subscription
    if _lives(site, user, channel) and channel.name not in user.channels:
        _begin(site, cause.connection, user, channel, since, answer.get("initial_data"))


def _lives(site: Site, user: User, channel: Channel) -> bool:
    """Whether both are still there, after a wait."""
    return site.hub.channels.get(channel.name) is channel and site.hub.users.get(user.name) is user


def _begin(
    site: Site,
    asker: Connection | None,
    user: User,
    channel: Channel,
    since: Position | None,
    initial_data: JSON,
) -> None:
    """Begin a subscription: nothing here waits, so no publication can fall into a gap."""
    _require_room(site, user)  # others may have begun while the application decided
    now = site.timestamp()
    others = tuple(channel.listeners) if channel.options.presenceful else ()
    channel.add(user)
    if user.options.per_connection_subscriptions:
        for connection in [asker] if asker is not None else user.connections:
            _own(connection, channel)
    if channel.options.presenceful:
        site.fan_out(frames.came(channel, user, now), others)
    position = site.broker.position(channel.name)
    for connection in user.listeners(channel.name):
        mine = connection is asker
        show(
            site, connection, user, channel, position, since if mine else None, initial_data if mine else None
        )
    if not channel.options.history_publish_only:
        channel.remember(frames.presence_entry("SUBSCRIBE", user, now, site.clock.monotonic()))


def show(
    site: Site,
    connection: Connection,
    user: User,
    channel: Channel,
    position: Position,
    since: Position | None = None,
    initial_data: JSON = None,
) -> None:
    """Send a connection its own SUBSCRIBE and, from there on, the channel's traffic."""
    recovery = None
    now = site.clock.monotonic()
    site.journal.note("subscribed", connection, channel=channel.name)
    channel.forget_old(now)
    if since is not None:
        missed = site.broker.since(channel.name, since, channel.keep, now)
        recovery = (missed is not None, missed or [])
        site.counters.recoveries["lost" if missed is None else "recovered"] += 1
        site.journal.note(
            "recovered", connection, channel=channel.name, whole=recovery[0], missed=len(recovery[1])
        )
    connection.outbox.put(
        frames.own_subscribe(channel, user, position, initial_data=initial_data, recovery=recovery)
    )
    channel.listen(connection)


def _own(connection: Connection, channel: Channel) -> None:
    if connection.own_channels is None:
        connection.own_channels = set()
    connection.own_channels.add(channel.name)


def _again(
    site: Site, connection: Connection | None, user: User, channel: Channel, since: Position | None
) -> None:
    """The user is subscribed already: answer only what this connection still lacks."""
    if connection is None:
        return
    if user.options.per_connection_subscriptions:
        _own(connection, channel)
    if since is not None:
        show(site, connection, user, channel, site.broker.position(channel.name), since)
    elif connection.held and channel.name in connection.held:
        release(site, connection, channel)
    else:
        channel.listen(connection)


def hold(site: Site, connection: Connection, channel: Channel) -> None:
    """Keep a channel's traffic back until the client has said where it left off.

    A client that comes back is shown its user's channels at once; what it missed must still come
    before anything newer.
    """
    if connection.held is None:
        connection.held = {}
    position = site.broker.position(channel.name)
    connection.held[channel.name] = Held(position.epoch, position.offset, channel.changes)


def release(site: Site, connection: Connection, channel: Channel) -> None:
    """Send what was kept back, and from there on the channel's traffic."""
    held = (connection.held or {}).pop(channel.name)
    user = connection.user
    if user is None:
        return
    since = Position(held.epoch, held.offset)
    missed = site.broker.since(channel.name, since, channel.keep, site.clock.monotonic())
    if missed is None or channel.changes != held.changes:
        show(site, connection, user, channel, site.broker.position(channel.name), since)
        return
    for publication in missed:
        connection.outbox.put(frames.publish(channel, publication))
    channel.listen(connection)


def release_all(site: Site, connection: Connection) -> None:
    """Release every channel still held, for a client that never asked."""
    if not connection.open:
        return
    for name in list(connection.held or ()):
        channel = site.hub.channels.get(name)
        if channel is not None and connection.user and name in connection.user.channels:
            release(site, connection, channel)
        elif connection.held:
            connection.held.pop(name, None)


def unsubscribe(site: Site, cause: Cause, user: User, name: JSON) -> None:
    """End a user's subscription; nothing happens if there is none.

    Raises:
        ProtocolError, CommandRefused: a bad name, or the application said no.
        WebhookError: the application gave no usable answer.
        ConnectionGone: the client left while the application decided.
    """
    channel = user.channels.get(read_channel_name(name))
    if channel is None:
        return
    connection = cause.connection
    if connection is not None and _ends_here_only(user, connection, channel):
        channel.silence(connection)
        connection.outbox.put(frames.left(channel, user, site.timestamp()))
        site.journal.note("unsubscribed", connection, channel=channel.name)
        return
    if channel.options.asks("unsubscribe"):
        answer = ask(site, cause, "unsubscribe", channel_fields(channel.name, user=user.name))
        cause.first_time("auto_unsubscribe", channel.name)
        follow(site, cause, user, answer)
        cause.require_open()
    if user.channels.get(channel.name) is channel:
        end(site, user, channel)
    # not here and now: an application with a single thread may be the one that called us
    site.errands.add(destroy_if_empty, site, Cause(site.app, speaker=user.speaker), channel)


def _ends_here_only(user: User, connection: Connection, channel: Channel) -> bool:
    """Whether one connection stops listening while the user's others go on."""
    options = user.options
    if not options.per_connection_subscriptions or options.global_unsubscriptions:
        return False
    return any(other is not connection for other in user.listeners(channel.name))


def end(site: Site, user: User, channel: Channel) -> None:
    """End a subscription at once: others are told first, then the user, then nothing follows."""
    now = site.timestamp()
    own = user.listeners(channel.name)
    channel.remove(user)
    frame = frames.left(channel, user, now)
    if channel.options.presenceful:
        site.fan_out(frame, tuple(channel.listeners))
    for connection in own:
        connection.outbox.put(frame)
        site.journal.note("unsubscribed", connection, channel=channel.name)
    if not channel.options.history_publish_only:
        channel.remember(frames.presence_entry("UNSUBSCRIBE", user, now, site.clock.monotonic()))
