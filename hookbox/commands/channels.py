"""Channels come into being, change and go."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from hookbox.commands import frames
from hookbox.commands.asking import UNAUTHORIZED, ask, channel_fields
from hookbox.commands.site import Cause, Site
from hookbox.commands.tellings import Event, event_of
from hookbox.core.channel import Channel, Remembered, StateChange
from hookbox.core.connection import Connection
from hookbox.core.names import read_channel_name
from hookbox.core.options import ChannelChange, ChannelOptions, HistoryEntry, read_channel_options
from hookbox.core.user import User
from hookbox.core.values import JSON, ChannelName, JSONObject
from hookbox.errors import CommandRefused, HookboxError, LimitReached, NotFound, UnusableAnswer
from hookbox.protocol.json_text import dump
from hookbox.webhooks.gate import AllowAll

logger = logging.getLogger(__name__)

DEFAULTS = ChannelOptions()
ATTEMPTS = 3
"""How often a command starts again because its channel went while the application decided."""


def find(site: Site, name: JSON) -> Channel:
    """The channel of that name.

    Raises:
        NotFound: there is none.
    """
    channel = site.hub.channels.get(read_channel_name(name))
    if channel is None:
        raise NotFound(f"channel {name} does not exist")
    return channel


def ensure(site: Site, cause: Cause, name: ChannelName) -> Channel:
    """The channel of that name, created if the application allows it. However many ask, it is asked once.

    Raises:
        CommandRefused, WebhookError: it was not created.
    """
    for _ in range(ATTEMPTS):
        if channel := site.hub.channels.get(name):
            return channel
        _create_once(site, cause, name)
        cause.require_open()
    raise CommandRefused("channel went away, try again", "unavailable")


def _create_once(site: Site, cause: Cause, name: ChannelName) -> None:
    """Have a channel created, unless that is under way already for somebody else."""
    mine = False

    def create() -> Channel:
        nonlocal mine
        mine = True
        return _ask_and_create(site, cause, name)

    try:
        site.creations.do(name, create)
    except UnusableAnswer as error:
        if mine or error.status != UNAUTHORIZED:
            raise
        # it was asked for a session that has ended: that says nothing about the others who waited


def create(site: Site, cause: Cause, name: ChannelName, given: Mapping[str, JSON]) -> Channel:
    """Create a channel for the application's API.

    Raises:
        CommandRefused: it exists, an option is wrong, or the application said no.
        WebhookError: the application gave no usable answer.
    """
    _require_absent(site, name)
    change = _read_options(site, given)
    if isinstance(cause.gate, AllowAll):
        return _open(site, name, change)
    return site.creations.do(name, lambda: _ask_and_create(site, cause, name, given))


def _ask_and_create(
    site: Site, cause: Cause, name: ChannelName, given: Mapping[str, JSON] | None = None
) -> Channel:
    _require_absent(site, name)
    _require_room(site)
    answer = ask(site, cause, "create_channel", channel_fields(name))
    existing = site.hub.channels.get(name)  # created by the application's API meanwhile
    if existing is not None:
        return existing
    try:
        change = _read_options(site, {**(given or {}), **answer})
    except CommandRefused as error:
        logger.warning("create_channel for %s: the application's answer is wrong: %s", name, error)
        raise UnusableAnswer("Invalid callback response", str(error)) from error
    return _open(site, name, change)


def _read_options(site: Site, given: Mapping[str, JSON], base: ChannelOptions = DEFAULTS) -> ChannelChange:
    return read_channel_options(given, base, site.settings.history_messages)


def _require_absent(site: Site, name: ChannelName) -> None:
    if name in site.hub.channels:
        raise CommandRefused(f"channel {name} already exists", "exists")


def _require_room(site: Site) -> None:
    if len(site.hub.channels) >= site.settings.channels:
        raise LimitReached(f"no more than {site.settings.channels} channels")


def _open(site: Site, name: ChannelName, change: ChannelChange) -> Channel:
    _require_absent(site, name)
    _require_room(site)
    site.broker.open(name)
    channel = Channel(name, dump(name), DEFAULTS, site.hub.history_budget)
    site.hub.channels[name] = channel
    _apply(site, channel, change)
    return channel


def set_options(site: Site, channel: Channel, given: Mapping[str, JSON]) -> None:
    """Change a channel's options, all of them or none.

    Raises:
        BadOption: naming the option.
    """
    tell_state(site, channel, _apply(site, channel, _read_options(site, given, channel.options)))


def _apply(site: Site, channel: Channel, change: ChannelChange) -> StateChange:
    now = site.clock.monotonic()
    history = None
    if change.history is not None:
        history = [Remembered(dump([entry.kind, _stamped(site, entry)]), now) for entry in change.history]
    polling_before = channel.options.polling
    watched_before = watched(channel)
    changed = channel.apply(change, history, now)
    site.hub.watch(channel, watched_before, watched(channel))
    if channel.options.polling != polling_before:
        from hookbox.commands.polling import restart

        restart(site, channel)
    online: JSONObject = {name: name in site.hub.users for name in watched(channel)}
    told = channel.change_state(online) if online else StateChange({}, [])
    return StateChange({**changed.updates, **told.updates}, changed.deletes)


def _stamped(site: Site, entry: HistoryEntry) -> JSONObject:
    return entry.args if "datetime" in entry.args else {**entry.args, "datetime": site.timestamp()}


def watched(channel: Channel) -> tuple[str, ...]:
    """The users whose being online is part of the channel's state."""
    return channel.options.server_user_presence if channel.options.server_presenceful else ()


def tell_online(site: Site, user: User, online: bool) -> None:
    """Note in the state of every channel that watches the user whether it is online."""
    for channel in tuple(site.hub.watchers.get(user.name, ())):
        tell_state(site, channel, channel.change_state({user.name: online}))


def tell_state(site: Site, channel: Channel, change: StateChange) -> None:
    """Tell the subscribers of a changed state."""
    if change:
        site.fan_out(frames.state_update(channel, change), tuple(channel.listeners))


def destroy(site: Site, cause: Cause, channel: Channel) -> None:
    """End a channel, with all its subscriptions; each subscriber gets its own UNSUBSCRIBE.

    Raises:
        NotPermitted, WebhookError: the application wants to keep it.
    """
    ask(site, cause, "destroy_channel", channel_fields(channel.name))
    close(site, channel)


def destroy_if_empty(site: Site, cause: Cause, channel: Channel) -> None:
    """End a channel that nobody is subscribed to, unless the application wants to keep it.

    Where somebody is about to come, it is looked at again after that (`no_longer_pending`).
    """
    if channel.asking_destroy or not _is_unused(site, channel):
        channel.destroy_due = bool(channel.pending)
        return
    channel.asking_destroy = True
    try:
        ask(site, cause, "destroy_channel", channel_fields(channel.name))
    except HookboxError as error:
        logger.info("empty channel %s stays: %s", channel.name, error)
        return
    finally:
        channel.asking_destroy = False
    _close_if_empty(site, channel)


def _close_if_empty(site: Site, channel: Channel) -> None:
    """Close it, unless somebody has come while the application decided, or is about to."""
    if _is_unused(site, channel):
        close(site, channel)
    else:
        channel.destroy_due = bool(channel.pending)


@dataclass(frozen=True, slots=True)
class Emptied:
    """What follows when the application is told of a channel that a lost connection left without anybody."""

    site: Site
    channel: Channel

    def begin(self) -> bool:
        """Whether nobody uses it still."""
        if not _is_unused(self.site, self.channel):
            self.channel.destroy_due = bool(self.channel.pending)
            return False
        self.channel.asking_destroy = True
        return True

    def end(self, agreed: bool | None) -> None:
        """It goes, unless the application wants to keep it or somebody has come."""
        self.channel.asking_destroy = False
        if agreed:
            _close_if_empty(self.site, self.channel)


def emptied(site: Site, channel: Channel, speaker: Connection | None) -> list[Event]:
    """What to tell after users have gone from a channel; nothing while somebody uses it.

    Where somebody is about to come, it is looked at again after that (`no_longer_pending`).
    """
    if not _is_unused(site, channel):
        channel.destroy_due = channel.destroy_due or bool(channel.pending)
        return []
    fields = channel_fields(channel.name)
    return [event_of(speaker, "destroy_channel", fields, Emptied(site, channel))]


def is_still_so(site: Site, event: Event) -> bool:
    """Whether an event of an earlier start may be told: a channel of that name is another one."""
    return event.action != "destroy_channel" or event.fields["channel_name"] not in site.hub.channels


def no_longer_pending(site: Site, channel: Channel, user: User) -> None:
    """The application has decided about a user; a channel left empty meanwhile may have to go."""
    channel.pending -= 1
    if channel.destroy_due and not channel.pending:
        channel.destroy_due = False
        site.errands.add(destroy_if_empty, site, Cause(site.app, speaker=user.speaker), channel)


def _is_unused(site: Site, channel: Channel) -> bool:
    lives = site.hub.channels.get(channel.name) is channel
    return lives and not channel.subscribers and not channel.pending


def close(site: Site, channel: Channel) -> None:
    """Take a channel out of the world at once."""
    if site.hub.channels.get(channel.name) is not channel:
        return
    del site.hub.channels[channel.name]
    site.broker.close(channel.name)
    site.hub.watch(channel, watched(channel), ())
    channel.options = DEFAULTS
    from hookbox.commands.polling import restart

    restart(site, channel)
    channel.history.clear()
    now = site.timestamp()
    for user in list(channel.subscribers.values()):
        listeners = user.listeners(channel.name)
        channel.remove(user)
        for connection in listeners:
            connection.outbox.put(frames.left(channel, user, now))
