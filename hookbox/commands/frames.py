"""The frames Hookbox sends, made from what happened."""

from __future__ import annotations

from hookbox.core.channel import Channel, Remembered, StateChange
from hookbox.core.publication import Publication
from hookbox.core.user import User
from hookbox.core.values import JSON
from hookbox.engine.base import Position
from hookbox.protocol.json_text import dump
from hookbox.protocol.rtjp import EncodedFrame, frame


def publish(channel: Channel, publication: Publication) -> EncodedFrame:
    """PUBLISH, with the list of users while the channel is small enough."""
    options = channel.options
    tells = options.presenceful and len(channel.subscribers) <= options.presence_in_publish
    return EncodedFrame("PUBLISH", publication.args(presence(channel) if tells else ""))


def presence(channel: Channel) -> str:
    """The subscribers' names as JSON text; made once for each change."""
    if not channel.options.presenceful:
        return "[]"
    if not channel.presence_text:
        channel.presence_text = dump(list(channel.subscribers))
    return channel.presence_text


def own_subscribe(
    channel: Channel,
    user: User,
    position: Position,
    *,
    initial_data: JSON = None,
    recovery: tuple[bool, list[Publication]] | None = None,
) -> EncodedFrame:
    """SUBSCRIBE for the subscriber itself: the channel as it stands at a position.

    Args:
        initial_data: what the application gave this subscriber; None for nothing.
        recovery: whether what was missed could be recovered, and what it was; None if nobody asked.
    """
    options = channel.options
    history = ", ".join(entry.text for entry in channel.history)
    parts = [
        f'"channel_name": {channel.name_text}, "user": {dump(user.name)}, "history": [{history}]',
        f'"history_size": {options.history_size}, "history_duration": {dump(options.history_duration)}',
        f'"state": {dump(channel.state)}, "presence": {presence(channel)}',
    ]
    if initial_data is not None:
        parts.append(f'"initial_data": {dump(initial_data)}')
    parts.append(f'"offset": {position.offset}, "epoch": "{position.epoch}"')
    if recovery is not None:
        recovered, missed = recovery
        parts.append(f'"recovered": {dump(recovered)}')
        if recovered:
            parts.append(f'"missed": [{", ".join(publication.args() for publication in missed)}]')
    return EncodedFrame("SUBSCRIBE", "{" + ", ".join(parts) + "}")


def came(channel: Channel, user: User, datetime: str) -> EncodedFrame:
    """SUBSCRIBE of another user."""
    return EncodedFrame("SUBSCRIBE", _who(channel, user, datetime))


def left(channel: Channel, user: User, datetime: str) -> EncodedFrame:
    """UNSUBSCRIBE, the same for the user itself and for others."""
    return EncodedFrame("UNSUBSCRIBE", _who(channel, user, datetime))


def _who(channel: Channel, user: User, datetime: str) -> str:
    return f'{{"channel_name": {channel.name_text}, "user": {dump(user.name)}, "datetime": "{datetime}"}}'


def presence_entry(kind: str, user: User, datetime: str, at: float) -> Remembered:
    """A SUBSCRIBE or UNSUBSCRIBE entry of the history."""
    return Remembered(dump([kind, {"user": user.name, "datetime": datetime}]), at)


def state_update(channel: Channel, change: StateChange) -> EncodedFrame:
    """STATE_UPDATE."""
    return frame(
        "STATE_UPDATE",
        {"channel_name": channel.name, "updates": change.updates, "deletes": list(change.deletes)},
    )
