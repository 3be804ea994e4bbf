"""Channels: listed, one in full, and what changes among them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final

from hookbox.admin.asked import Page, Problem, Request, Told
from hookbox.admin.feed import CHANNELS
from hookbox.admin.option_help import ABOUT_OPTIONS
from hookbox.commands.channels import find
from hookbox.core.channel import Channel
from hookbox.core.options import ChannelOptions, Polling
from hookbox.core.publication import Publication
from hookbox.core.values import JSON, ChannelName, JSONObject
from hookbox.errors import EngineError
from hookbox.protocol.json_text import dump
from hookbox.web.handlers import breathing
from hookbox.webhooks.masking import MASKED, STARS, mask_url

if TYPE_CHECKING:
    from hookbox.admin.console import Console
    from hookbox.commands.site import Site

RECENT: Final = 50
"""Publications kept for recovery that are shown of a channel."""
LOOK_SECONDS: Final = 2.0
SECRET: Final = ("url", "form")
"""Of `polling`: what may hold passwords and tokens."""


def listed(console: Console, request: Request) -> Told:
    """Channels by name."""
    site, page = console.server.site, request.page()
    names, following = part(site.hub.channels, page)
    found = [site.hub.channels.get(name) for name in names]  # type: ignore[call-overload]
    return {
        "items": [item(site, channel) for channel in found if channel is not None],
        "total": len(site.hub.channels),
        "next": following,
    }


def part(names: Iterable[str], page: Page) -> tuple[list[str], str | None]:
    """The names that are asked for, in order, and where the next part begins; None at the end."""
    wanted = [
        name
        for name in breathing(list(names))
        if name > page.after and (not page.q or page.q in name.lower())
    ]
    first = nsmallest(page.limit + 1, wanted)
    more = len(first) > page.limit
    return first[: page.limit], first[page.limit - 1] if more else None


def item(site: Site, channel: Channel) -> JSONObject:
    """A channel in a list."""
    options = channel.options
    return {
        "name": channel.name,
        "subscribers": len(channel.subscribers),
        "connections": len(channel.listeners),
        "offset": _position(site, channel)[0],
        "history": len(channel.history),
        "moderated": options.moderated,
        "presenceful": options.presenceful,
        "durable": options.durable,
        "anonymous": options.anonymous,
    }


def show(console: Console, request: Request) -> Told:
    """One channel; payloads are masked."""
    site = console.server.site
    channel = find(site, request.need("name"))
    options, now = channel.options, site.clock.monotonic()
    channel.forget_old(now)
    offset, epoch = _position(site, channel)
    users = list(channel.subscribers.values())
    return {
        **item(site, channel),
        "options": masked_options(options),
        "option_about": option_about(),
        "subscribers": [
            {"name": user.name, "connections": len(user.listeners(channel.name))} for user in users[:1000]
        ],
        "subscriber_count": len(users),
        "state": dict.fromkeys(channel.state, MASKED),
        "offset": offset,
        "epoch": epoch,
        "history": [entry_item(entry.text, _epoch_time(site, entry.at)) for entry in channel.history],
        "recent": [publication_item(site, each) for each in recent(site, channel)],
    }


def masked_options(options: ChannelOptions) -> JSONObject:
    """Options, without what the URL and the form of `polling` hold of passwords and tokens."""
    return {**options.as_json(), "polling": _masked_polling(options.polling)}


def _masked_polling(polling: Polling) -> JSONObject:
    form: JSONObject = dict.fromkeys(dict(polling.form), STARS)
    return {**polling.as_json(), "url": mask_url(polling.url), "form": form}


def unmasked(site: Site, given: JSONObject) -> JSONObject:
    """Options of a channel that are to be set, without those sent back as they were shown: masked.

    Raises:
        Problem: something masked was edited.
    """
    options = given.get("options", given)
    polling = options.get("polling") if isinstance(options, dict) else None
    channel = site.hub.channels.get(ChannelName(str(given.get("channel_name"))))
    if not isinstance(polling, dict) or channel is None:
        return given
    masked = _masked_polling(channel.options.polling)
    parts = {name: value for name, value in polling.items() if not (name in SECRET and value == masked[name])}
    if any(STARS in dump(parts.get(name)) for name in SECRET):
        raise Problem(400, "masked", f"polling: {STARS} stands for what is not shown; give all of it")
    changed = {**options, "polling": parts}  # type: ignore[dict-item]  # it is a dict, as looked at above
    return {**given, "options": changed} if options is not given else changed


def _position(site: Site, channel: Channel) -> tuple[int, str]:
    try:
        position = site.broker.position(channel.name)
    except EngineError:
        return 0, ""
    return position.offset, position.epoch


def _epoch_time(site: Site, at: float) -> float:
    """Seconds since the epoch, of a time on the steady clock."""
    return round(site.clock.now() - (site.clock.monotonic() - at), 3)


def recent(site: Site, channel: Channel) -> list[Publication]:
    """The last publications that are still known, oldest first."""
    return list(site.broker.kept(channel.name))[-RECENT:]


def entry_item(text: str, at: float) -> JSONObject:
    """An entry of a history without its payload."""
    kind, args = json.loads(text)
    payload = args.get("payload")
    return {
        "offset": args.get("offset"),
        "at": at,
        "kind": kind,
        "user": args.get("user"),
        "size": len(json.dumps(payload)) if "payload" in args else 0,
        "payload": MASKED if payload is not None else None,
    }


def publication_item(site: Site, publication: Publication) -> JSONObject:
    """A publication without its payload."""
    return {
        "offset": publication.offset,
        "at": _epoch_time(site, publication.at),
        "kind": "PUBLISH",
        "user": json.loads(publication.user) if publication.user else None,
        "size": len(publication.payload),
        "payload": MASKED if publication.payload != "null" else None,
    }


def option_about() -> list[JSON]:
    """What each option of a channel is."""
    defaults = ChannelOptions().as_json()
    return [
        {
            "name": option.name,
            "type": _kind(option.type),
            "default": defaults[option.name],
            "help": ABOUT_OPTIONS[option.name],
        }
        for option in fields(ChannelOptions)
    ]


def _kind(annotation: Any) -> str:
    """The type of an option, in words that a form goes by."""
    words = {
        "bool": "flag", "bool | None": "flag", "int": "count", "float": "seconds",
        "tuple[str, ...]": "names", "Polling": "object",
    }  # fmt: skip
    return words[str(annotation)]


class Changes:
    """What has changed among the channels since somebody looked; looked at only while somebody listens."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] | None = None
        self._at = 0.0
        self._looking = False

    def tell(self, console: Console, now: float) -> None:
        """Publish what has changed, every few seconds, in a greenlet of its own; must not block."""
        if not console.feed.wants(CHANNELS):
            self._known = None
        elif now - self._at >= LOOK_SECONDS and not self._looking:
            self._at = now
            self._looking = True
            console.server.greenlets.spawn(self._look, console)

    def _look(self, console: Console) -> None:
        try:
            site, before = console.server.site, self._known
            stands: dict[str, tuple[int, int]] = {}
            for channel in breathing(list(site.hub.channels.values())):
                stands[channel.name] = len(channel.subscribers), _position(site, channel)[0]
            self._known = stands
            if before is not None:
                self._compare(console, before, stands)
        finally:
            self._looking = False

    def _compare(
        self, console: Console, before: dict[str, tuple[int, int]], stands: dict[str, tuple[int, int]]
    ) -> None:
        site = console.server.site
        for name, numbers in breathing(stands.items()):
            channel = site.hub.channels.get(ChannelName(name))
            if before.get(name) != numbers and channel is not None:
                self._say(console, "changed" if name in before else "created", item(site, channel))
        for name in before.keys() - stands.keys():
            self._say(console, "destroyed", {"name": name})

    @staticmethod
    def _say(console: Console, kind: str, about: JSONObject) -> None:
        said: JSONObject = {"kind": kind, "item": about}
        console.feed.tell(CHANNELS, lambda: said)
