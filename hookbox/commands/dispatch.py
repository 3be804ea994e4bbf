"""A message for URLs, for everybody on a topic, or for both: checked, then accepted as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gevent.event import Event

from hookbox.commands.asking import ask, channel_fields
from hookbox.commands.publish import show
from hookbox.commands.site import Cause, Site
from hookbox.core.names import read_channel_name
from hookbox.core.publication import Publication
from hookbox.core.values import ChannelName, JSONObject
from hookbox.delivery.content import Content, of_json
from hookbox.delivery.deliveries import Deliveries
from hookbox.delivery.egress import BadURL, Blocked
from hookbox.delivery.exits import Parcel, Writing, new_delivery_id, new_message_id
from hookbox.delivery.models import Delivery, EndpointId, Message, Source, State, Wishes
from hookbox.delivery.notices import masked
from hookbox.delivery.request import Dispatch, Target
from hookbox.delivery.store.base import Entry, Remembered
from hookbox.engine.base import Draft
from hookbox.errors import BadRequest, CommandRefused, ProtocolError
from hookbox.protocol.json_text import dump

NO_KEEP: Final = (0, 0.0)
"""What a topic without a channel keeps, besides what every topic does."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a dispatch is answered.

    Args:
        answer: makes JSON text with `message_id`, `seq`, `deliveries` and `topic`.
        message_id: the same as in it.
        repeated: whether an earlier request with that key was accepted, and this is its answer.
    """

    answer: Callable[[], str]
    message_id: str
    repeated: bool = False


def dispatch(site: Site, deliveries: Deliveries, wanted: Dispatch) -> Accepted:
    """Accept a dispatch: all of it, on disk, or nothing. Blocks.

    Raises:
        BadRequest: a destination, the topic or a value cannot be used; the text names it.
        CommandRefused, WebhookError: the application, which was asked, did not allow it.
        DeliveryStoreError: it cannot be kept.
    """
    if wanted.hops >= site.settings.max_hops:
        raise BadRequest(508, f"the message has been through {wanted.hops} servers already (max_hops)")
    _check(deliveries, wanted)
    if not wanted.key:
        return _accept(site, deliveries, wanted)
    with _alone(deliveries, wanted.key):
        since_ms = int((site.clock.now() - site.settings.idempotency_ttl) * 1000)
        known = deliveries.store.recall(wanted.key, since_ms)
        if known is None:
            return _accept(site, deliveries, wanted)
        if known.fingerprint != wanted.fingerprint:
            raise BadRequest(422, "the idempotency key was used for another request")
        return Accepted(lambda: known.answer, str(json.loads(known.answer)["message_id"]), repeated=True)


@contextmanager
def _alone(deliveries: Deliveries, key: str) -> Iterator[None]:
    """Be the only request with that key; blocks while there is another."""
    under_way = deliveries.under_way
    while key in under_way:
        under_way[key].wait()
    under_way[key] = Event()
    try:
        yield
    finally:
        under_way.pop(key).set()


def _check(deliveries: Deliveries, wanted: Dispatch) -> None:
    """Refuse what cannot be delivered, as far as can be told now."""
    for number, target in enumerate(wanted.targets, 1):
        where = f"destination {number} of {len(wanted.targets)}" if len(wanted.targets) > 1 else "destination"
        if target.endpoint:
            if deliveries.worker.endpoint(EndpointId(target.endpoint)) is None:
                raise BadRequest(400, f"{where}: there is no endpoint {target.endpoint}")
        else:
            check_url(deliveries, where, target.url)
    for name, url in (("_errback", wanted.errback), ("_callback", wanted.callback)):
        if url:
            check_url(deliveries, name, url, errback=name == "_errback")
    if wanted.topic:
        read_topic(wanted.topic)


def check_url(deliveries: Deliveries, where: str, url: str, *, errback: bool = False) -> None:
    """Refuse a URL that nothing could be delivered to.

    Args:
        errback: whether it is told of trouble.

    Raises:
        BadRequest: 400 for one that is none, 403 for one that the policy forbids.
    """
    try:
        deliveries.policy().check(url, errback=errback)
    except BadURL as error:
        raise BadRequest(400, f"{where}: {error}") from None
    except Blocked as error:
        raise BadRequest(403, f"{where}: {error}; see the settings egress and egress_allow") from None


def read_topic(name: str) -> ChannelName:
    """A topic's name, which follows the rules of channels.

    Raises:
        BadRequest: it cannot be one.
    """
    try:
        return read_channel_name(name)
    except (CommandRefused, ProtocolError) as error:
        raise BadRequest(400, str(error).replace("channel_name", "topic")) from None


def _accept(site: Site, deliveries: Deliveries, wanted: Dispatch) -> Accepted:
    content = wanted.content
    if wanted.moderate and wanted.topic:
        content = _moderated(site, wanted)
    now_ms = int(site.clock.now() * 1000)
    expires_ms = None if wanted.ttl is None else now_ms + round(wanted.ttl * 1000)
    general = Wishes(expires_ms=expires_ms, errback=wanted.errback, callback=wanted.callback)

    def targets(message: Message) -> tuple[Delivery, ...]:
        due_ms = now_ms + round(wanted.delay * 1000)
        return tuple(_owed(deliveries, message, target, general, due_ms) for target in wanted.targets)

    def remember(entry: Entry, callbacks: int) -> Remembered | None:
        if not wanted.key:
            return None
        answer = _answer(entry, len(wanted.targets), callbacks)
        return Remembered(wanted.key, wanted.fingerprint, answer, now_ms)

    parcel = Parcel(
        Source.DISPATCH,
        content,
        wanted.originator,
        wanted.hops + 1,
        _with(general, wanted.usual),
        targets,
        remember,
    )
    writing = publish_message(site, deliveries, wanted.topic, parcel, content, wanted.type)
    assert writing.entry is not None
    answer = partial(_answer, writing.entry, len(wanted.targets), writing.callbacks)
    return Accepted(answer, writing.entry.message.id)


def publish_message(
    site: Site, deliveries: Deliveries, topic: str, parcel: Parcel, content: Content, type: str = ""
) -> Writing:
    """Put a message on disk, then show it to everybody on its topic. Blocks.

    Args:
        topic: a checked name; empty for a message to URLs only.
        parcel: what is kept of it besides; its `content` has to be this one.

    Raises:
        DeliveryStoreError: it cannot be kept; nobody has seen it.
    """
    now = site.clock.now()
    now_ms = int(now * 1000)
    name = ChannelName(topic)
    channel = site.hub.channels.get(name)
    hidden = channel is not None and channel.options.anonymous
    user = "" if hidden else dump(parcel.originator or None)
    draft = Draft(
        dump(topic),
        content.payload,
        site.timestamp(),
        user,
        site.clock.monotonic(),
        now_ms,
        type,
        new_message_id(now_ms),
    )
    writing = deliveries.exits.writing(topic, parcel)
    if topic:
        keep = channel.keep if channel is not None else NO_KEEP
        site.broker.publish(name, draft, keep, partial(show, site, name, None), writing)
        site.counters.publications += 1
    else:
        alone = Publication(0, deliveries.numbers.take(), *draft)
        writing.begin(alone, "", False, lambda error: None)
    writing.wait()
    return writing


def _moderated(site: Site, wanted: Dispatch) -> Content:
    """Ask the application, as if a browser had published; returns what is published then."""
    form = channel_fields(wanted.topic, payload=wanted.content.payload)
    if wanted.originator:
        form["originator"] = wanted.originator
    answer: JSONObject = ask(site, Cause(site.app), "publish", form)
    if answer.get("only_to_sender") is True:
        raise CommandRefused("the application gives it to its sender only, and there is none")
    if "override_payload" in answer:
        return of_json(dump(answer["override_payload"]))
    return wanted.content


def _owed(deliveries: Deliveries, message: Message, target: Target, general: Wishes, due_ms: int) -> Delivery:
    wishes = _with(general, target)
    if target.endpoint:
        owed = deliveries.exits.to_endpoint(message, EndpointId(target.endpoint), wishes)
        if owed is None:
            raise BadRequest(400, f"there is no endpoint {target.endpoint} any more")
        return replace(owed, due_ms=due_ms)
    return Delivery(
        new_delivery_id(message.time_ms),
        message.seq,
        target.url,
        wishes,
        State.SCHEDULED,
        due_ms,
        message.time_ms,
    )


def _with(general: Wishes, target: Target) -> Wishes:
    return replace(
        general,
        secrets=target.secrets,
        headers=target.headers,
        retry=target.retry,
        timeout=target.timeout,
        tag=target.tag,
    )


def _answer(entry: Entry, targets: int, callbacks: int) -> str:
    message = entry.message
    owed = entry.deliveries[:targets]
    answer: JSONObject = {
        "message_id": message.id,
        "seq": message.seq,
        "deliveries": [{"id": delivery.id, "url": masked(delivery.url)} for delivery in owed],
    }
    if message.topic:
        answer["topic"] = {
            "name": message.topic,
            "offset": message.offset,
            "epoch": message.epoch,
            "callbacks": callbacks,
        }
    return dump(answer)
