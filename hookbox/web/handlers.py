"""What each method of the HTTP API does with its parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, TypeAlias, TypeVar

from gevent import sleep

from hookbox import __version__
from hookbox.commands import administer, channels, subscribe
from hookbox.commands.message import message as send_message
from hookbox.commands.publish import publish_from_app
from hookbox.commands.site import Cause
from hookbox.core.names import read_channel_name
from hookbox.core.sessions import digest_of
from hookbox.core.user import User
from hookbox.core.values import JSON, ChannelName, JSONObject
from hookbox.engine.base import Position
from hookbox.errors import HookboxError, NotFound
from hookbox.protocol.json_text import dump, load
from hookbox.web import configure
from hookbox.web.answers import PartlyFailed, failure, success
from hookbox.web.caller import Caller
from hookbox.web.params import BadParameter
from hookbox.webhooks.asked import Asked, WebhookLog
from hookbox.webhooks.gate import AllowAll

Item = TypeVar("Item")
Result: TypeAlias = JSONObject | str
"""What a method answers: an object, or the JSON text of one."""

NOTHING: Final = "{}"
ALLOW: Final = AllowAll()
BREATH_SECONDS: Final = 0.01
TURNS_TO_CUT_OFF: Final = 3
"""Turns of the loop in which the sockets go of those who took nothing: before the call is answered."""


def breathing(items: Iterable[Item]) -> Iterator[Item]:
    """The items, letting everybody else run whenever they have taken a while."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > BREATH_SECONDS:
            sleep(1e-6)  # a sleep of 0 lets others run, but does not look at sockets
            began = time.monotonic()


def look_through(log: WebhookLog, wanted: Callable[[Asked], bool], limit: int) -> list[Asked]:
    """The newest webhooks that are wanted, newest first; others run in between."""
    return list(islice(filter(wanted, breathing(reversed(list(log)))), limit))


def _cause(caller: Caller, send_hook: bool, user: User | None = None) -> Cause:
    return Cause(caller.site.app if send_hook else ALLOW, speaker=user.speaker if user else None)


def publish(
    caller: Caller,
    channel_name: ChannelName,
    payload: str,
    originator: str | None,
    send_hook: bool,
    idempotency_key: str | None,
) -> Result:
    """Publish on a channel."""
    caller.admit_publish()
    if idempotency_key is None:
        position = _publish_once(caller, channel_name, payload, originator, send_hook)
    else:
        position = caller.parts.receipts.once(
            (channel_name, idempotency_key),
            caller.site.settings.idempotency_keep,
            lambda: _publish_once(caller, channel_name, payload, originator, send_hook, idempotency_key),
        )
    if position is None:
        return NOTHING
    return f'{{"offset": {position.offset}, "epoch": "{position.epoch}"}}'


def _publish_once(
    caller: Caller,
    channel_name: ChannelName,
    payload: str,
    originator: str | None,
    send_hook: bool,
    key: str = "",
) -> Position | None:
    site = caller.site
    channel = site.hub.channels.get(channel_name)
    if channel is None:
        if site.settings.ignore_missing_channel:
            return None
        raise NotFound(f"channel {channel_name} does not exist")
    if send_hook:
        return administer.publish_asking(site, channel_name, payload, originator, key)
    return publish_from_app(site, channel, payload, originator, key)


def publish_multi(
    caller: Caller,
    channel_names: list[str],
    payload: str,
    originator: str | None,
    send_hook: bool,
    idempotency_key: str | None,
) -> Result:
    """Publish the same on several channels."""
    results: list[str] = []
    failed = 0
    names = list(dict.fromkeys(channel_names))
    for name in breathing(names):
        try:
            text = success(
                publish(caller, read_channel_name(name), payload, originator, send_hook, idempotency_key)
            )
        except HookboxError as error:
            text = failure(error)
            failed += 1
        results.append(f"{dump(name)}: {text}")
    shown = "{" + ", ".join(results) + "}"
    if failed:
        raise PartlyFailed(f"{failed} of {len(names)} channels failed", shown)
    return f'{{"results": {shown}}}'


def subscribe_user(caller: Caller, channel_name: str, name: str, send_hook: bool) -> Result:
    """Subscribe a user to a channel."""
    user = administer.find_user(caller.site, name)
    subscribe.subscribe(caller.site, _cause(caller, send_hook, user), user, channel_name)
    return NOTHING


def unsubscribe_user(caller: Caller, channel_name: str, name: str, send_hook: bool) -> Result:
    """End a user's subscription."""
    channels.find(caller.site, channel_name)
    user = administer.find_user(caller.site, name)
    subscribe.unsubscribe(caller.site, _cause(caller, send_hook, user), user, channel_name)
    return NOTHING


def message(caller: Caller, sender_name: str, recipient_name: str, payload: str, send_hook: bool) -> Result:
    """Send a message from one user to another."""
    site = caller.site
    sender = administer.find_user(site, sender_name)
    if not send_hook:
        administer.find_user(site, recipient_name)
    send_message(site, _cause(caller, send_hook, sender), sender, recipient_name, load(payload))
    return NOTHING


def create_channel(
    caller: Caller, channel_name: ChannelName, send_hook: bool, options: Mapping[str, JSON]
) -> Result:
    """Create a channel."""
    channels.create(caller.site, _cause(caller, send_hook), channel_name, options)
    return NOTHING


def destroy_channel(caller: Caller, channel_name: str, send_hook: bool) -> Result:
    """End a channel and its subscriptions."""
    channel = channels.find(caller.site, channel_name)
    channels.destroy(caller.site, _cause(caller, send_hook), channel)
    return NOTHING


def get_channel_info(caller: Caller, channel_name: str) -> Result:
    """Tell a channel's options, subscribers, history and state."""
    return administer.channel_info(caller.site, channels.find(caller.site, channel_name))


def set_channel_options(caller: Caller, channel_name: str, options: Mapping[str, JSON]) -> Result:
    """Change a channel's options, all of them or none."""
    channels.set_options(caller.site, channels.find(caller.site, channel_name), options)
    return NOTHING


def history(caller: Caller, channel_name: str, since: int | None, epoch: str | None, limit: int) -> Result:
    """Give publications after an offset, or the last ones."""
    channel = channels.find(caller.site, channel_name)
    return administer.publications(caller.site, channel, since, epoch, limit)


def state_set_key(caller: Caller, channel_name: str, key: str, val: JSON) -> Result:
    """Set a key of a channel's state."""
    return state_multi_set(caller, channel_name, {key: val})


def state_multi_set(caller: Caller, channel_name: str, state: JSONObject) -> Result:
    """Set several keys of a channel's state."""
    administer.change_state(caller.site, channels.find(caller.site, channel_name), state)
    return NOTHING


def state_delete_key(caller: Caller, channel_name: str, key: str) -> Result:
    """Delete a key of a channel's state."""
    administer.change_state(caller.site, channels.find(caller.site, channel_name), {}, (key,))
    return NOTHING


def get_user_info(caller: Caller, user_name: str) -> Result:
    """Tell a user's options, channels and connections."""
    return administer.user_info(administer.find_user(caller.site, user_name))


def set_user_options(caller: Caller, user_name: str, options: Mapping[str, JSON]) -> Result:
    """Change a user's options, all of them or none."""
    administer.change_user(caller.site, administer.find_user(caller.site, user_name), options)
    return NOTHING


def disconnect(
    caller: Caller,
    identifier: str | None,
    name: str | None,
    session: str | None,
    session_cookie: str | None,
) -> Result:
    """Close one connection, or all of a user or of a login."""
    site = caller.site
    match identifier, name, session, session_cookie:
        case str(), None, None, None:
            ended = administer.disconnect_connection(site, identifier)
        case None, str(), None, None:
            ended = administer.disconnect_user(site, name)
        case None, None, str(), None:
            ended = administer.disconnect_session(site, session)
        case None, None, None, str():
            ended = administer.disconnect_session(site, digest_of(session_cookie))
        case None, None, None, None:
            raise BadParameter("identifier required, or name, session or session_cookie")
        case _:
            raise BadParameter("one of identifier, name, session and session_cookie, not several of them")
    for _ in range(TURNS_TO_CUT_OFF):
        sleep(1e-6)
    return {"connections": ended}


def disconnect_user(caller: Caller, name: str) -> Result:
    """Close all connections of a user."""
    return {"connections": administer.disconnect_user(caller.site, name)}


def get_server_info(caller: Caller, names: bool) -> Result:
    """Tell the version, the uptime, and how many channels, users and connections there are."""
    site = caller.site
    counters = site.counters
    about: JSONObject = {
        "version": __version__,
        "uptime": round(site.clock.monotonic() - caller.parts.started, 3),
        "draining": site.draining,
        "channels": len(site.hub.channels),
        "users": len(site.hub.users),
        "connections": len(site.hub.connections),
        "counts": {
            "connections": counters.connections,
            "publications": counters.publications,
            "messages": counters.messages,
            "refused": counters.refused,
            "resumed": counters.resumed,
            "slow_consumers": counters.slow_consumers,
            **caller.parts.counts(),
        },
    }
    if names:
        about |= {"channel_names": list(site.hub.channels), "user_names": list(site.hub.users)}
    return about


def get_webhook_log(
    caller: Caller, conn_id: str | None, user: str | None, channel_name: str | None, limit: int
) -> Result:
    """Tell the last webhooks, newest first, with what is wrong and how to mend it."""
    from hookbox.webhooks.shown import asked_item, cookie_names, matches

    wanted = matches(connection=conn_id or "", user=user or "", channel=channel_name or "")
    found = look_through(caller.parts.webhook_log, wanted, limit)
    return {
        "webhooks": [
            {
                **asked_item(asked, caller.site.settings.secrets),
                "client_ip": asked.question.client_ip,
                "cookies": cookie_names(asked),
            }
            for asked in found
        ]
    }


def set_config(caller: Caller, options: Mapping[str, JSON]) -> Result:
    """Change callback settings and secrets, at once and until the next start."""
    changes = configure.read_changes(caller.site.settings, options)
    caller.parts.apply_settings(changes)
    return {"changed": list(changes)}
