"""What the project can tell Hookbox to do.

All functions block until the server has answered, for `HOOKBOX_TIMEOUT` seconds at most, return the object
it answers with, and raise `HookboxError` when it does not do what it was told. With `on_commit=True` they
return None at once; the call is made when the transaction of the database `using` is committed, and not at
all when it is rolled back; what then goes wrong is logged. Names that no channel or user can have are a
ValueError, before anything is sent. Each function has an async twin, with `a` before its name.
"""

from __future__ import annotations

import functools
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterable, Mapping
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from hookbox.contrib.django import api
from hookbox.contrib.django.api import channel_name, session_name, to_json, user_name

P = ParamSpec("P")
T = TypeVar("T")
Result = Any
"""The object that the server answers with; None if the call waits for the commit."""


def publish(
    channel: object,
    payload: Any,
    originator: object | None = None,
    send_hook: bool = False,
    id: object | None = None,
    *,
    using: str | None = None,
    on_commit: bool | None = None,
    outbox: bool = False,
) -> Result:
    """Publish on a channel.

    Args:
        channel: its name; it has to exist.
        payload: anything that Django can write as JSON.
        originator: user, or name of one, who is shown as the publisher.
        send_hook: ask the `publish` callbacks first.
        id: a repeat with it publishes nothing; 1 to 255 visible ASCII characters.
        outbox: with `on_commit`, keep it in the database until the server has it, whether it runs or not.
            Subscribers need no channel then, and `originator`, `send_hook` and `id` cannot be given.
    """
    name = channel_name(channel)
    if outbox:
        if not on_commit:
            raise ValueError("outbox=True needs on_commit=True")
        if originator is not None or send_hook or id is not None:
            raise ValueError("outbox=True goes without originator, send_hook and id")
        import_module("hookbox.contrib.django.outbox").publish_later(name, to_json(payload), using=using)
        return None
    fields = {"channel_name": name, **_publication(payload, originator, send_hook, id)}
    return api.call("publish", fields, using, on_commit)


def publish_multi(
    channels: Iterable[object],
    payload: Any,
    originator: object | None = None,
    send_hook: bool = False,
    id: object | None = None,
    *,
    using: str | None = None,
    on_commit: bool | None = None,
) -> Result:
    """Publish the same on several channels; arguments as of `publish`."""
    names = [channel_name(channel) for channel in ([channels] if isinstance(channels, str) else channels)]
    fields = {"channel_names": to_json(names), **_publication(payload, originator, send_hook, id)}
    return api.call("publish_multi", fields, using, on_commit)


def create(
    channel: object,
    options: Mapping[str, Any] | None = None,
    *,
    send_hook: bool = False,
    using: str | None = None,
    on_commit: bool | None = None,
    **more: Any,
) -> Result:
    """Make a channel, with options by name or in an object; `send_hook` asks the `create` callbacks first."""
    fields = _options(options, more) | {"channel_name": channel_name(channel)} | _hook(send_hook)
    return api.call("create_channel", fields, using, on_commit)


def destroy(
    channel: object, send_hook: bool = False, *, using: str | None = None, on_commit: bool | None = None
) -> Result:
    """End a channel and its subscriptions; with `send_hook`, ask the `destroy` callbacks first."""
    fields = {"channel_name": channel_name(channel)} | _hook(send_hook)
    return api.call("destroy_channel", fields, using, on_commit)


def subscribe(
    channel: object, user: object, *, using: str | None = None, on_commit: bool | None = None
) -> Result:
    """Subscribe a connected user, given as such or by name."""
    fields = {"channel_name": channel_name(channel), "name": user_name(user)}
    return api.call("subscribe", fields, using, on_commit)


def unsubscribe(
    channel: object, user: object, *, using: str | None = None, on_commit: bool | None = None
) -> Result:
    """Unsubscribe a user, given as such or by name."""
    fields = {"channel_name": channel_name(channel), "name": user_name(user)}
    return api.call("unsubscribe", fields, using, on_commit)


def message(
    sender: object,
    recipient: object,
    payload: Any,
    *,
    using: str | None = None,
    on_commit: bool | None = None,
) -> Result:
    """Send a message from a connected user to another; both as such or by name."""
    fields = {
        "sender_name": user_name(sender),
        "recipient_name": user_name(recipient),
        "payload": to_json(payload),
    }
    return api.call("message", fields, using, on_commit)


def channel_info(channel: object, *, using: str | None = None, on_commit: bool | None = None) -> Result:
    """A channel's options, subscribers, history and state."""
    return api.call("get_channel_info", {"channel_name": channel_name(channel)}, using, on_commit)


def set_channel_options(
    channel: object,
    options: Mapping[str, Any] | None = None,
    *,
    using: str | None = None,
    on_commit: bool | None = None,
    **more: Any,
) -> Result:
    """Change options of a channel, given as for `create`."""
    fields = _options(options, more) | {"channel_name": channel_name(channel)}
    return api.call("set_channel_options", fields, using, on_commit)


def set_state(
    channel: object, key: str, value: Any, *, using: str | None = None, on_commit: bool | None = None
) -> Result:
    """Set a key of a channel's state, which subscribers see."""
    fields = {"channel_name": channel_name(channel), "key": str(key), "val": to_json(value)}
    return api.call("state_set_key", fields, using, on_commit)


def delete_state(
    channel: object, key: str, *, using: str | None = None, on_commit: bool | None = None
) -> Result:
    """Delete a key of a channel's state."""
    return api.call(
        "state_delete_key", {"channel_name": channel_name(channel), "key": str(key)}, using, on_commit
    )


def user_info(user: object, *, using: str | None = None, on_commit: bool | None = None) -> Result:
    """A connected user's options, channels and connections."""
    return api.call("get_user_info", {"user_name": user_name(user)}, using, on_commit)


def server_info(*, using: str | None = None, on_commit: bool | None = None) -> Result:
    """The server's version, uptime, and how much there is of everything."""
    return api.call("get_server_info", {}, using, on_commit)


def disconnect(
    user: object | None = None,
    *,
    session: object | None = None,
    session_key: str | None = None,
    using: str | None = None,
    on_commit: bool | None = None,
) -> Result:
    """Close all connections of a user, or of one login; nothing that is published reaches them any more.

    Whether they may come back is for the `connect` callbacks to say.

    Args:
        user: as such or by name; it has to be connected.
        session: of a login: `request.session`, or the text by which Hookbox calls it.
        session_key: the same, by its key.

    Raises:
        ValueError: not just one of the three is given, or a session that was never saved.
    """
    if [user, session, session_key].count(None) != 2:
        raise ValueError("disconnect takes a user, a session or a session_key: one of them")
    if user is not None:
        return api.call("disconnect_user", {"name": user_name(user)}, using, on_commit)
    return api.call("disconnect", {"session": session_name(session, session_key)}, using, on_commit)


def dispatch(
    url: str | Iterable[str] | None = None,
    topic: object | None = None,
    data: Any = None,
    *,
    body: str | bytes | None = None,
    content_type: str | None = None,
    secret: str | None = None,
    id: object | None = None,
    delay: float | None = None,
    retry: str | int | Iterable[float] | None = None,
    errback: str | None = None,
    callback: str | None = None,
    tag: str | None = None,
    headers: Mapping[str, str] | None = None,
    using: str | None = None,
    on_commit: bool | None = None,
) -> str | None:
    """Have the server deliver something to URLs, to everybody on a topic, or both; returns the message's id.

    Once this has returned the message is on the server's disk, and tried for days.

    Args:
        url: one, or up to 100.
        topic: a channel's name, whether there is such a channel or not.
        data: goes out as JSON.
        body: goes out as it is, instead of `data`.
        secret: `whsec_...`, signs the deliveries.
        id: a repeat with it within a day delivers nothing and gets the id of the first.
        delay: seconds before the first attempt.
        retry: "none", how many retries, or the seconds between them; the server's schedule without it.
        errback, callback: URLs that are told of trouble, and of each answer.
        tag: to find the deliveries by.
        headers: sent along.

    Raises:
        ValueError: there is no destination, or something that does not go together.
    """
    urls = [url] if isinstance(url, str) else list(url or ())
    if not urls and topic is None:
        raise ValueError("dispatch needs a url, a topic, or both")
    per_url = {"secret": secret, "tag": tag, "headers": dict(headers) if headers else None}
    target = {key: value for key, value in per_url.items() if value is not None}
    if target and not urls:
        raise ValueError(f"{', '.join(target)} is for URLs, and there is none")
    batch = {
        **_content(data, body, content_type),
        "to": [{"url": each, **target} for each in urls],
        "topic": None if topic is None else channel_name(topic),
        "id": None if id is None else str(id),
        "delay": delay,
        "retry": retry if retry is None or isinstance(retry, str | int) else list(retry),
        "errback": errback,
        "callback": callback,
    }
    given = {key: value for key, value in batch.items() if value is not None or key == "json"}
    answer = api.dispatch(given, using, on_commit)
    return None if answer is None else str(answer["message_id"])


def _publication(payload: Any, originator: object, send_hook: bool, id: object) -> dict[str, str]:
    fields = {"payload": to_json(payload), **_hook(send_hook)}
    if originator is not None:
        fields["originator"] = user_name(originator)
    if id is not None:
        fields["idempotency_key"] = str(id)
    return fields


def _hook(send_hook: bool) -> dict[str, str]:
    return {"send_hook": "1"} if send_hook else {}


def _options(options: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, str]:
    return {name: to_json(value) for name, value in {**(options or {}), **more}.items()}


def _content(data: Any, body: str | bytes | None, content_type: str | None) -> dict[str, Any]:
    kind = {} if content_type is None else {"content_type": content_type}
    match body:
        case None:
            return {"json": data, **kind}
        case _ if data is not None:
            raise ValueError("dispatch takes data or body, not both")
        case str():
            return {"body": body, **kind}
        case bytes():
            return {"body_base64": b64encode(body).decode("ascii"), **kind}
        case _:
            raise ValueError("body has to be str or bytes")


def _twin(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The same for coroutines: in a thread of its own, with the context of whoever awaits it.

    What waits for a commit runs in the thread that has the transaction, if there is one.
    """

    @functools.wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> T:
        in_transaction = bool(kwargs.get("on_commit"))
        return await sync_to_async(function, thread_sensitive=in_transaction)(*args, **kwargs)

    twin.__name__ = twin.__qualname__ = f"a{function.__name__}"
    return twin


apublish = _twin(publish)
apublish_multi = _twin(publish_multi)
acreate = _twin(create)
adestroy = _twin(destroy)
asubscribe = _twin(subscribe)
aunsubscribe = _twin(unsubscribe)
amessage = _twin(message)
achannel_info = _twin(channel_info)
aset_channel_options = _twin(set_channel_options)
aset_state = _twin(set_state)
adelete_state = _twin(delete_state)
auser_info = _twin(user_info)
aserver_info = _twin(server_info)
adisconnect = _twin(disconnect)
adispatch = _twin(dispatch)
