"""What an application is asked by `hookbox check`: what Hookbox would ask, and what it never would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hookbox.protocol.json_text import dump
from hookbox.webhooks.gate import Question

NAME: Final = "hookbox-check"
"""Of the channel, the user and whatever else has to have one."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what the questions are about.

    Args:
        channel: its name.
        user: a name, as `connect` gave it.
        payload: of connect, as JSON text.
        cookies: Cookie header of the browser, empty for none.
        connection: its id.
    """

    channel: str = NAME
    user: str = NAME
    payload: str = "null"
    cookies: str = field(default="", repr=False)
    connection: str = NAME


@dataclass(frozen=True, slots=True)
class Trial:
    """A question as it is put.

    Args:
        question: put so.
        how: it differs from what Hookbox would ask; empty if it does not.
        method: of HTTP.
        wrong_secret: whether the secret is a wrong one.
    """

    question: Question
    how: str = ""
    method: str = "POST"
    wrong_secret: bool = False

    @property
    def legal(self) -> bool:
        """Whether Hookbox would ask so."""
        return not self.how


NO_COOKIE: Final = "without the cookie"
WRONG_SECRET: Final = "with a wrong secret"
ODD_CHANNEL: Final = "odd channel name"
BROKEN_PAYLOAD: Final = "payload is no JSON"
UNKNOWN_ACTION: Final = "no such webhook"
BY_GET: Final = "by GET"


def _channel(cast: Cast, **more: str) -> dict[str, str]:
    return {"channel_name": cast.channel, "destination": cast.channel, **more}


_FIELDS: Final[Mapping[str, Callable[[Cast], dict[str, str]]]] = MappingProxyType(
    {
        "connect": lambda cast: {"payload": cast.payload},
        "create_channel": _channel,
        "subscribe": lambda cast: _channel(cast, user=cast.user),
        "publish": lambda cast: _channel(cast, payload=dump(NAME), originator=cast.user),
        "message": lambda cast: {
            "sender": cast.user,
            "recipient": cast.user,
            "recipient_exists": "true",
            "payload": dump(NAME),
        },
        "unsubscribe": lambda cast: _channel(cast, user=cast.user),
        "destroy_channel": _channel,
        "disconnect": lambda cast: {"name": cast.user, "channels": dump([cast.channel])},
        "hub_subscribe": lambda cast: _channel(
            cast, callback="https://hookbox-check.invalid/", lease_seconds="864000"
        ),
    }
)
ACTIONS: Final = tuple(_FIELDS)
"""Every webhook, in the order of a life."""
_ANSWERS_EVENTS: Final = ("disconnect", "hub_subscribe")
"""No connection is there any more, or there never was one."""


def legal(action: str, cast: Cast) -> Trial:
    """A webhook as Hookbox asks it."""
    fields = _FIELDS[action](cast)
    if action not in _ANSWERS_EVENTS:
        fields["conn_id"] = cast.connection
    cookies = "" if action == "hub_subscribe" else cast.cookies
    return Trial(Question(action, fields, cookies, key=""))


def illegal(cast: Cast, *, with_secret: bool) -> list[Trial]:
    """What Hookbox would not ask so.

    Args:
        with_secret: whether a secret is configured, so that there can be a wrong one.
    """
    connect = legal("connect", cast).question
    odd = Cast(f"{NAME} '\"<b>&%00;☃", cast.user, cast.payload, cast.cookies)
    publish = legal("publish", cast).question
    broken = {**publish.fields, "payload": '{"unfinished": '}
    trials = [
        Trial(legal("subscribe", odd).question, ODD_CHANNEL),
        Trial(Question("publish", broken, cast.cookies), BROKEN_PAYLOAD),
        Trial(Question("hookbox_check", dict(connect.fields), cast.cookies), UNKNOWN_ACTION),
        Trial(connect, BY_GET, "GET"),
    ]
    if with_secret:
        trials.insert(0, Trial(connect, WRONG_SECRET, wrong_secret=True))
    if cast.cookies:
        trials.insert(0, Trial(Question("connect", dict(connect.fields)), NO_COOKIE))
    return trials
