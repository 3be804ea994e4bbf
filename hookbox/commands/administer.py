"""What only the application does, by the HTTP API: look at things, and change them without asking itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hookbox.commands import subscribe
from hookbox.commands.asking import ask, channel_fields
from hookbox.commands.channels import find, tell_state
from hookbox.commands.connect import disconnect, leave
from hookbox.commands.end_session import end_session
from hookbox.commands.publish import publish, publish_from_app
from hookbox.commands.site import Cause, Site
from hookbox.core.channel import Channel
from hookbox.core.options import read_user_options
from hookbox.core.publication import Publication
from hookbox.core.sessions import sessions_of
from hookbox.core.user import User
from hookbox.core.values import JSON, ChannelName, ConnectionId, JSONObject, UserName
from hookbox.engine.base import Position
from hookbox.errors import NotFound
from hookbox.protocol.disconnects import BY_API
from hookbox.protocol.json_text import dump, load

MOST_PUBLICATIONS = 1000


def find_user(site: Site, name: str) -> User:
    """The connected user of that name, or one that went so shortly ago that it may come back.

    Raises:
        NotFound: there is none.
    """
    user = site.hub.users.get(UserName(name))
    if user is None:
        raise NotFound(f"user {name} is not connected")
    return user


def publish_asking(
    site: Site, name: ChannelName, payload: str, originator: str | None, key: str = ""
) -> Position | None:
    """Publish for the application, but ask it first as if a browser had published, where the channel says so.

    Args:
        payload: JSON text.
        originator: the user who is said to publish; its cookies go along if it is connected.
        key: as in `publish_from_app`.

    Returns:
        where the publication stands; None for one that went to its sender only.

    Raises:
        CommandRefused: no such channel, or the application said no.
        WebhookError: the application gave no usable answer.
    """
    channel = find(site, name)
    user = site.hub.users.get(UserName(originator)) if originator is not None else None
    cause = Cause(site.app, speaker=user.speaker if user else None)
    if user is not None:
        return publish(site, cause, user, name, load(payload))
    if channel.options.asks("publish"):
        form = channel_fields(name, payload=payload)
        if originator is not None and not channel.options.anonymous:
            form["originator"] = originator
        answer = ask(site, cause, "publish", form)
        channel = find(site, name)
        payload = dump(answer["override_payload"]) if "override_payload" in answer else payload
        if answer.get("only_to_sender") is True:
            return None
    return publish_from_app(site, channel, payload, originator, key)


def channel_info(site: Site, channel: Channel) -> str:
    """Everything about a channel, as JSON text."""
    options = channel.options
    channel.history.prune(options.history_size, options.history_duration, site.clock.monotonic())
    position = site.broker.position(channel.name)
    about: JSONObject = {
        "name": channel.name,
        "channel_name": channel.name,
        "reflective": options.reflective,
        "history_size": options.history_size,
        "options": options.as_json(),
        "subscribers": list(channel.subscribers),
        "state": channel.state,
        "offset": position.offset,
        "epoch": position.epoch,
    }
    entries = ", ".join(entry.text for entry in channel.history)
    return f'{dump(about)[:-1]}, "history": [{entries}]}}'


def publications(site: Site, channel: Channel, since: int | None, epoch: str | None, limit: int) -> str:
    """Publications of a channel, oldest first, with the channel's position, as JSON text.

    Args:
        since: the first ones after this offset; None for the last ones that are kept.
        epoch: the life of the numbering that `since` belongs to; None for the present one.
        limit: how many at most.
    """
    now = site.clock.monotonic()
    end = site.broker.position(channel.name)

    def after(offset: int) -> list[Publication] | None:
        return site.broker.since(channel.name, Position(epoch or end.epoch, offset), channel.keep, now)

    if since is not None:
        found = after(since)
        shown = (found or [])[:limit]
    else:
        found = shown = _last(after, end.offset, limit)
    texts = ", ".join(publication.args() for publication in shown)
    return (
        f'{{"publications": [{texts}], "offset": {end.offset}, "epoch": "{end.epoch}", '
        f'"recovered": {dump(found is not None)}}}'
    )


def _last(after: Callable[[int], list[Publication] | None], offset: int, limit: int) -> list[Publication]:
    """As many of the last publications as the broker can give completely."""
    known, unknown = 0, min(limit, offset) + 1
    while unknown - known > 1:
        middle = (known + unknown) // 2
        if after(offset - middle) is None:
            unknown = middle
        else:
            known = middle
    return after(offset - known) or []


def change_state(site: Site, channel: Channel, updates: JSONObject, deletes: tuple[str, ...] = ()) -> None:
    """Set and delete keys of a channel's state; the subscribers are told what changed."""
    tell_state(site, channel, channel.change_state(updates, deletes))


def user_info(user: User) -> JSONObject:
    """Everything about a user."""
    return {
        "name": user.name,
        "options": user.options.as_json(),
        "channels": list(user.channels),
        "connections": [connection.id for connection in user.connections],
        "sessions": [*sessions_of(user.connections)],
    }


def change_user(site: Site, user: User, given: Mapping[str, JSON]) -> None:
    """Change a user's options, all of them or none.

    Raises:
        BadOption: naming the option.
    """
    before, user.options = user.options, read_user_options(given, user.options)
    if user.options.per_connection_subscriptions == before.per_connection_subscriptions:
        return
    for connection in user.connections:
        listening = [c for c in user.channels.values() if connection.outbox in c.listeners]
        if user.options.per_connection_subscriptions:
            connection.own_channels = {*(c.name for c in listening), *(connection.held or ())}
            continue
        connection.own_channels = None
        for channel in user.channels.values():
            if channel not in listening and channel.name not in (connection.held or ()):
                subscribe.show(site, connection, user, channel, site.broker.position(channel.name))


def disconnect_connection(site: Site, identifier: str) -> int:
    """End one connection; its client is told not to come back, and gets nothing any more.

    Returns:
        how many connections that were: none, if it was cut off and can now not be taken up again.

    Raises:
        NotFound: no such connection.
    """
    connection = site.hub.connections.get(ConnectionId(identifier))
    if connection is None:
        if site.places.take(ConnectionId(identifier), site.grace_time()) is not None:
            site.pickups.forget(ConnectionId(identifier))
            return 0
        raise NotFound(f"connection {identifier} does not exist")
    disconnect(site, connection, BY_API)
    return 1


def disconnect_user(site: Site, name: str) -> int:
    """End all connections and streams of a user, who is unsubscribed everywhere without any grace.

    Returns:
        how many connections and streams that were.

    Raises:
        NotFound: nobody of that name is there.
    """
    guests = [guest for guest in site.hub.guests.get(UserName(name), ()) if guest.open]
    user = site.hub.users.get(UserName(name)) if guests else find_user(site, name)
    connections = list(user.connections) if user else []
    if user is not None:
        for gone_before in site.places.forget_user(user):
            site.pickups.forget(gone_before)
    for connection in [*connections, *guests]:
        disconnect(site, connection, BY_API)
    if user is not None and not connections:
        site.later.spawn(leave, site, user, user.absences)
    return len(connections) + len(guests)


def disconnect_session(site: Site, session: str) -> int:
    """End whatever belongs to one login of the application: connections, streams, tickets, places.

    Nothing that was published reaches it any more once this has returned, and nothing of what it is doing
    happens.

    Args:
        session: a digest, see `hookbox.core.sessions`.

    Returns:
        how many connections and streams that were; none is no error, as few logins have a page open.
    """
    return end_session(site, session, BY_API)
