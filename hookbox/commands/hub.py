"""What the hub needs of the rest: the application's word on subscriptions, and publishing."""

from __future__ import annotations

import logging
from typing import Final

from hookbox.commands.asking import ask, channel_fields
from hookbox.commands.dispatch import publish_message
from hookbox.commands.site import Cause, Site
from hookbox.core.values import JSON, ChannelName
from hookbox.delivery.content import Content
from hookbox.delivery.deliveries import Deliveries
from hookbox.delivery.exits import Parcel
from hookbox.delivery.hub.fetch import as_it_is
from hookbox.delivery.hub.hub import Hub
from hookbox.delivery.hub.request import FatPing
from hookbox.delivery.hub.values import Denial, Permit
from hookbox.delivery.models import Source
from hookbox.errors import BadRequest, CommandRefused, HookboxError

logger = logging.getLogger(__name__)

LONGEST_REASON: Final = 200


def make_hub(site: Site, deliveries: Deliveries) -> Hub:
    """The hub of a site, not yet started."""

    def publish(topic: str, content: Content) -> None:
        publish_message(site, deliveries, topic, Parcel(Source.FETCH, content, hops=1), content)

    return Hub(
        deliveries.store,
        deliveries.worker,
        deliveries.sender,
        deliveries.clock,
        deliveries.numbers,
        deliveries.hub_rules,
        deliveries.distribution,
        lambda topic, callback, lease: ask_subscription(site, topic, callback, lease),
        publish,
        lambda topic: site.broker.followed(ChannelName(topic)),
    )


def ask_subscription(site: Site, topic: str, callback: str, lease: int) -> Permit | Denial:
    """Ask the application whether somebody may subscribe to a topic, if it has a say. Blocks.

    Args:
        lease: seconds.
    """
    channel = site.hub.channels.get(ChannelName(topic))
    asked = channel is None or channel.options.asks("subscribe")
    if site.settings.hub_policy != "webhook" or not asked:
        return Permit()
    form = channel_fields(topic, callback=callback, lease_seconds=str(lease))
    try:
        answer = ask(site, Cause(site.app), "hub_subscribe", form)
    except CommandRefused as error:
        return Denial(str(error)[:LONGEST_REASON])
    except HookboxError as error:
        logger.info("a subscription to %s is denied, as the application does not answer well", topic)
        return Denial(str(error)[:LONGEST_REASON])
    return Permit(_lease(answer.get("lease_seconds")))


def _lease(value: JSON) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        logger.warning("the application's lease_seconds is not a number of seconds, it is ignored")
        return None
    return int(value)


def publish_fat(site: Site, deliveries: Deliveries, ping: FatPing, hops: int) -> None:
    """Publish what somebody brings along, as it is. Blocks until it is on disk.

    Args:
        hops: how many servers like this one it has been through.

    Raises:
        BadRequest: 508, too many.
        DeliveryStoreError: it cannot be kept.
    """
    check_hops(site, hops)
    content = as_it_is(ping.content_type, ping.body)
    publish_message(site, deliveries, ping.topic.name, Parcel(Source.HUB, content, hops=hops + 1), content)


def check_hops(site: Site, hops: int) -> None:
    """Refuse what goes round in circles.

    Raises:
        BadRequest: 508.
    """
    if hops >= site.settings.max_hops:
        raise BadRequest(508, f"the message has been through {hops} servers already (max_hops)")
