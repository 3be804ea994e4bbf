"""Whoever reads streams with a browser's cookies is let in by the application, like any browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hookbox.commands.asking import ask, channel_fields, consult
from hookbox.commands.channels import destroy_if_empty, ensure
from hookbox.commands.connect import introduce, read_name
from hookbox.commands.sessions import refresh_cookies
from hookbox.commands.site import Cause, Site
from hookbox.core.channel import Channel
from hookbox.core.connection import NO_PAYLOAD, Connection
from hookbox.core.values import ChannelName, ConnectionId
from hookbox.errors import NotPermitted
from hookbox.protocol.disconnects import Disconnect


class Nowhere:
    """The outbox of whoever gets no frames."""

    def put(self, frame: object) -> None:
        """Forget a frame."""

    def drop(self) -> None:
        """There is nothing queued."""

    flush = drop

    def close(self, why: Disconnect) -> None:
        """There is nothing yet that could end: whoever asks for the guest looks again afterwards."""


@dataclass(slots=True)
class Guest:
    """Somebody whom the application has let in. Nobody sees it: it is in no list of users.

    Args:
        speaker: whose cookies and address the webhooks carry.
        made: channels that came into being for it.
    """

    speaker: Connection
    made: list[Channel] = field(default_factory=list)


def let_in(
    site: Site,
    cookies: str,
    client_ip: str,
    topics: Sequence[ChannelName],
    for_browser: list[str] | None = None,
) -> Guest:
    """Ask the application who a browser is, and whether it may listen to each of some topics.

    Blocks. The guest has to `leave` in the end.

    Args:
        cookies: Cookie header of the request.
        for_browser: what the answer has to carry as Set-Cookie headers is added here, whatever becomes of it;
            None if it cannot.

    Raises:
        NotPermitted: the application said no.
        CommandRefused: a channel could not be made.
        WebhookError: the application gave no usable answer.
    """
    nowhere = Nowhere()
    speaker = Connection(ConnectionId(""), nowhere, cookies, client_ip, site.clock.monotonic())
    speaker.transport = nowhere
    guest = Guest(speaker)
    try:
        refresh_cookies(site, speaker)
        cause = Cause(site.app, speaker=speaker, for_browser=for_browser)
        answer = consult(site, cause, lambda: introduce(site, cause, speaker, NO_PAYLOAD))
        _look_again(speaker)
        name = read_name(site, answer.get("name"))
        site.hub.attach_guest(speaker, name)
        for topic in topics:
            made = topic not in site.hub.channels
            channel = ensure(site, cause, topic)
            if made:
                guest.made.append(channel)
            if channel.options.asks("subscribe"):
                ask(site, cause, "subscribe", channel_fields(topic, user=name))
            _look_again(speaker)
    except BaseException:
        leave(site, guest)
        raise
    return guest


def _look_again(speaker: Connection) -> None:
    if not speaker.open:
        raise NotPermitted("your session has ended")


def leave(site: Site, guest: Guest) -> None:
    """A guest goes, and the channels that were made for it too, if nobody else is there. Safe to repeat."""
    site.hub.detach_guest(guest.speaker)
    made, guest.made = guest.made, []
    for channel in made:
        site.errands.add(destroy_if_empty, site, Cause(site.app, speaker=guest.speaker), channel)
