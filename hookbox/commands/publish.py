"""A message is published on a channel: ask, look again, number it, hand it to everyone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

from gevent.event import AsyncResult

from hookbox.commands import frames
from hookbox.commands.asking import ask, channel_fields, follow
from hookbox.commands.channels import ATTEMPTS, ensure
from hookbox.commands.site import Cause, Site
from hookbox.core.channel import Channel
from hookbox.core.channel import Remembered as HistoryEntry
from hookbox.core.connection import Outbox
from hookbox.core.publication import Publication
from hookbox.core.user import User
from hookbox.core.values import JSON, ChannelName, JSONObject
from hookbox.delivery.exits import Parcel, Remember, new_message_id, nothing_to_remember
from hookbox.delivery.models import Source
from hookbox.delivery.store.base import Entry, Remembered
from hookbox.engine.base import Draft, Position
from hookbox.errors import CommandRefused, NotFound
from hookbox.protocol.json_text import dump


def publish(
    site: Site, cause: Cause, user: User, channel_name: ChannelName, payload: JSON
) -> Position | None:
    """Publish for a user, if the application allows it; creates the channel if need be.

    Returns:
        where the publication stands; None for one that went to its sender only.

    Raises:
        CommandRefused: a limit, or the application said no.
        WebhookError: the application gave no usable answer.
        ConnectionGone: the client left while the application decided.
    """
    for _ in range(ATTEMPTS):
        channel = ensure(site, cause, channel_name)
        answer: JSONObject = {}
        if channel.options.asks("publish"):
            answer = _ask(site, cause, user, channel, payload)
            if site.hub.channels.get(channel_name) is not channel:
                continue
        text = dump(answer.get("override_payload", payload))
        draft = _draft(site, channel, text, dump(user.name))
        if answer.get("only_to_sender") is True:
            _to_sender(site, cause, user, channel, draft)
            return None
        return accept(site, channel, draft, cause.connection.outbox if cause.connection else None)
    raise CommandRefused("channel went away, try again", "unavailable")


def _ask(site: Site, cause: Cause, user: User, channel: Channel, payload: JSON) -> JSONObject:
    form = channel_fields(channel.name, payload=dump(payload))
    if not channel.options.anonymous:
        form["originator"] = user.name
    answer = ask(site, cause, "publish", form)
    follow(site, cause, user, answer)
    cause.require_open()
    return answer


def publish_from_app(
    site: Site, channel: Channel, payload_text: str, originator: str | None, key: str = ""
) -> Position:
    """Publish for the application; an originator of None shows as null.

    Args:
        payload_text: checked JSON text, as `dump` writes it.
        key: what was published with it before is not published again; kept only where publications are.

    Raises:
        NotFound: the channel went while its store was asked.
        DeliveryStoreError: it could not be put on disk; nobody has seen it.
    """
    remember: Remember = nothing_to_remember
    if key and site.exits.keeps(channel.name, channel.options.durable):
        key = f"publish {channel.name}\n{key}"  # a dispatch's key has no blank in it
        since_ms = int((site.clock.now() - site.settings.idempotency_ttl) * 1000)
        known = site.exits.recall(key, since_ms)
        if known is not None:
            return Position(*json.loads(known.answer))
        if site.hub.channels.get(channel.name) is not channel:
            raise NotFound(f"channel {channel.name} does not exist")
        remember = partial(_receipt, key)
    draft = _draft(site, channel, payload_text, dump(originator))
    return accept(site, channel, draft, None, Source.REST, remember)


def _receipt(key: str, entry: Entry, callbacks: int) -> Remembered:
    message = entry.message
    return Remembered(key, "", json.dumps([message.epoch, message.offset]), message.time_ms)


def _draft(site: Site, channel: Channel, payload: str, user: str) -> Draft:
    shown = "" if channel.options.anonymous else user
    now_ms = int(site.clock.now() * 1000)
    return Draft(channel.name_text, payload, site.timestamp(), shown, site.clock.monotonic(), now_ms)


def accept(
    site: Site,
    channel: Channel,
    draft: Draft,
    publisher: Outbox | None,
    source: Source = Source.BROWSER,
    remember: Remember = nothing_to_remember,
) -> Position:
    """Number and keep a draft, and queue it for the subscribers: encoded once, nothing here waits.

    But where it has to be on disk first (the channel is `durable`, or somebody is owed it), or what came
    before it has to be, this blocks until that is done.

    Args:
        publisher: outbox of the connection that published, left out where the channel is not reflective.
        source: the door it came in by.
        remember: what else is kept with it, where it is kept.

    Raises:
        DeliveryStoreError: it could not be put on disk; nobody has seen it.
    """
    writing = None
    if site.exits.keeps(channel.name, channel.options.durable):
        draft = draft._replace(message_id=new_message_id(draft.time_ms))
        parcel = Parcel(source, originator=_name(draft.user), remember=remember)
        writing = site.exits.writing(channel.name, parcel)
    showing = Showing(site, channel.name, publisher)
    site.broker.publish(channel.name, draft, channel.keep, showing, writing)
    site.counters.publications += 1
    if writing is not None:
        writing.wait()
    return showing.position or showing.wait()


class Showing:
    """Shows one publication when its turn comes, and knows then where it stands.

    Args:
        publisher: as for `show`.
    """

    __slots__ = ("_name", "_publisher", "_site", "_waits", "position")

    def __init__(self, site: Site, name: ChannelName, publisher: Outbox | None) -> None:
        self.position: Position | None = None
        """Where it stands; None until it is shown."""
        self._site = site
        self._name = name
        self._publisher = publisher
        self._waits: AsyncResult[Position] | None = None

    def __call__(self, publication: Publication) -> None:
        """Show it; does not block or raise."""
        epoch = self._site.broker.position(self._name).epoch
        self.position = position = Position(epoch, publication.offset)
        show(self._site, self._name, self._publisher, publication)
        if self._waits is not None:
            self._waits.set(position)

    def wait(self) -> Position:
        """Wait until it is shown, behind what has to be on disk first. Blocks."""
        self._waits = AsyncResult()
        position = self._waits.get()
        assert position is not None
        return position


def show(site: Site, name: ChannelName, publisher: Outbox | None, publication: Publication) -> None:
    """Queue a publication for who is subscribed to its channel now; does not block or raise."""
    channel = site.hub.channels.get(name)
    if channel is None:
        return
    outboxes: Iterable[Outbox] = channel.audience
    if publisher is not None and not channel.options.reflective:
        outboxes = [outbox for outbox in outboxes if outbox is not publisher]
    site.fan_out(frames.publish(channel, publication), outboxes)
    if channel.options.history_size:
        channel.remember(HistoryEntry(publication.entry(), publication.at))


def _name(user_text: str) -> str:
    """A user's name from its JSON text; empty for nobody."""
    return str(json.loads(user_text) or "") if user_text else ""


def _to_sender(site: Site, cause: Cause, user: User, channel: Channel, draft: Draft) -> None:
    publication = Publication(0, 0, *draft)
    frame = frames.publish(channel, publication)
    for connection in user.connections:
        mine = connection is cause.connection
        if connection.outbox in channel.listeners and (channel.options.reflective or not mine):
            connection.outbox.put(frame)
