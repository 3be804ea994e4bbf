"""What Hookbox asks about: each webhook with its signal, and what it tells receivers and callbacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest

from hookbox.contrib.django import signals
from hookbox.contrib.django.errors import Deny

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    from hookbox.contrib.django.callbacks import Callback

    User = AbstractBaseUser | AnonymousUser


class Say(Enum):
    """What an error in a receiver of the operation's signal means."""

    DENIES = "whatever is raised denies, and nobody else is asked"
    DENIES_IF_MEANT = "Deny and PermissionDenied deny, anything else is only logged"
    NONE = "it is logged"


@dataclass(frozen=True, slots=True)
class Operation:
    """One webhook.

    Args:
        name: as callbacks know it.
        action: as the server calls it.
        signal: sent before the callbacks; None for none.
        say: that of its receivers.
        channel: whether it is about a channel.
        payload: whether it carries one that callbacks are given.
    """

    name: str
    action: str
    signal: signals.Signal | None
    say: Say = Say.DENIES
    channel: bool = True
    payload: bool = False


CONNECT: Final = Operation("connect", "connect", signals.connect, channel=False)
DISCONNECT: Final = Operation("disconnect", "disconnect", signals.disconnect, Say.NONE, channel=False)
CREATE: Final = Operation("create", "create_channel", signals.create_channel)
DESTROY: Final = Operation("destroy", "destroy_channel", signals.destroy_channel, Say.DENIES_IF_MEANT)
SUBSCRIBE: Final = Operation("subscribe", "subscribe", signals.subscribe)
UNSUBSCRIBE: Final = Operation("unsubscribe", "unsubscribe", signals.unsubscribe, Say.DENIES_IF_MEANT)
PUBLISH: Final = Operation("publish", "publish", signals.publish, payload=True)
MESSAGE: Final = Operation("message", "message", signals.message, channel=False, payload=True)
HUB_SUBSCRIBE: Final = Operation("hub_subscribe", "hub_subscribe", None)

ALL: Final = (
    CONNECT, DISCONNECT, CREATE, DESTROY, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, MESSAGE, HUB_SUBSCRIBE,
)  # fmt: skip
BY_ACTION: Final[Mapping[str, Operation]] = {operation.action: operation for operation in ALL}


@dataclass(frozen=True, slots=True)
class Question:
    """One webhook as it came.

    Args:
        user: of the session whose cookie the server passed on. The form says nothing about who it is.
        about: the channel, or who a message is for; empty where there is neither.
        payload: JSON text.
        data: what it stands for.
    """

    operation: Operation
    request: HttpRequest
    user: User
    about: str
    payload: str
    data: Any

    def for_receivers(self) -> dict[str, Any]:
        """What the signal is sent with, besides its sender."""
        named: dict[str, Any] = {"request": self.request}
        if self.about:
            named["channel" if self.operation.channel else "recipient"] = self.about
        if self.operation.payload:
            named |= {"payload": self.payload, "data": self.data}
        return named

    def put_to(self, callback: Callback) -> Any:
        """Call a callback, and return what it says."""
        args = self._for_handler() if callback.of_handler else self._for_function()
        payload = self.payload if self.operation.payload else None
        offered = {"data": self.data, "request": self.request, "form": self.request.POST}
        return callback.call(args, payload, offered)

    def _for_function(self) -> tuple[Any, ...]:
        about = (self.about,) if self.about else ()
        return (self.operation.name, self.user, *about)

    def _for_handler(self) -> tuple[Any, ...]:
        if self.operation is HUB_SUBSCRIBE:  # somebody's server asks, which is no user
            form = self.request.POST
            return (self.about, form.get("callback", ""), _whole_number(form.get("lease_seconds", "")))
        return self._for_function()[1:]


def read_question(request: HttpRequest, operation: Operation) -> Question:
    """Understand a webhook's form.

    Raises:
        Deny: something is missing or malformed; the text names it.
    """
    form = request.POST
    about = ""
    if operation.channel:
        about = form.get("channel_name") or form.get("destination") or ""
        if not about:
            raise Deny("missing channel_name")
    elif operation is MESSAGE:
        about = form.get("recipient", "")
        if not about:
            raise Deny("missing recipient")
    # a disconnect has none, and whatever stands there is no reason to leave anybody untold
    payload = "null" if operation is DISCONNECT else form.get("payload", "null")
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        raise Deny("payload is not JSON") from None
    return Question(operation, request, user_of(request), about, payload, data)


def user_of(request: HttpRequest) -> User:
    """Whose session it is; nobody's without the middleware that knows."""
    if not hasattr(request, "user"):
        from django.contrib.auth.models import AnonymousUser

        request.user = AnonymousUser()
    return request.user


def _whole_number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
