"""What a channel and a user can be told: each option's default, type and range, read all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from hookbox.core.values import JSON, JSONObject
from hookbox.errors import CommandRefused

MOST_SHOWN = 10_000
"""Users that one publication may name."""


class BadOption(CommandRefused):
    """An option has an unknown name, a wrong type or a value out of range; nothing was changed."""

    code = "bad_option"


@dataclass(frozen=True, slots=True)
class Polling:
    """Where Hookbox itself fetches publications for a channel.

    Args:
        mode: `simple`, `persistent`, `once`, or empty for off.
        url: what is fetched, http or https.
        interval: seconds between fetches.
        form: fields posted by the `persistent` and `once` modes.
        originator: user name on what is published.
    """

    mode: str = ""
    url: str = ""
    interval: float = 5.0
    form: Mapping[str, str] = field(default_factory=dict)
    originator: str = ""

    def as_json(self) -> JSONObject:
        """The option as the API shows it."""
        return {
            "mode": self.mode,
            "url": self.url,
            "interval": self.interval,
            "form": dict(self.form),
            "originator": self.originator,
        }


POLLING_OFF = Polling()


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """A channel's options but for its `history` and `state`, which live and change on the channel.

    A flag `moderated_publish`, `_subscribe`, `_unsubscribe` that is None was never set and follows
    `moderated`. Durations are seconds, 0 meaning no limit; sizes are numbers of entries.
    """

    reflective: bool = True
    history_size: int = 0
    history_duration: float = 0
    history_publish_only: bool = False
    moderated: bool = True
    moderated_publish: bool | None = None
    moderated_subscribe: bool | None = None
    moderated_unsubscribe: bool | None = None
    presenceful: bool = False
    presence_in_publish: int = 100
    server_presenceful: bool = False
    server_user_presence: tuple[str, ...] = ()
    anonymous: bool = False
    polling: Polling = POLLING_OFF
    recovery_size: int = 100
    recovery_duration: float = 120
    durable: bool = False

    def asks(self, action: str) -> bool:
        """Whether the application is asked about `publish`, `subscribe` or `unsubscribe` here."""
        return self.moderated or bool(getattr(self, f"moderated_{action}"))

    def as_json(self) -> JSONObject:
        """The options as the API shows them."""
        shown: JSONObject = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                value = self.moderated
            elif isinstance(value, Polling):
                value = value.as_json()
            elif isinstance(value, tuple):
                value = list(value)
            shown[item.name] = value
        return shown


@dataclass(frozen=True, slots=True)
class UserOptions:
    """What the application can say of a user (see the manual, "User options")."""

    reflective: bool = True
    moderated_message: bool = True
    per_connection_subscriptions: bool = False
    global_unsubscriptions: bool = False

    def as_json(self) -> JSONObject:
        """The options as the API shows them."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """Options read and checked, ready to be applied at once.

    `history` and `state` are None where they were not given.
    """

    options: ChannelOptions
    history: tuple[HistoryEntry, ...] | None = None
    state: JSONObject | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of `history` or `set_history` as the application gave it: kind and arguments."""

    kind: str
    args: JSONObject


def read_channel_options(
    given: Mapping[str, JSON], base: ChannelOptions, most_kept: int = 10_000
) -> ChannelChange:
    """Check options given by the application against a channel's present ones.

    Args:
        most_kept: the largest `history_size` and `recovery_size` there may be.

    Raises:
        BadOption: naming the option; then none of them applies.
    """
    changes: dict[str, Any] = {}
    history: tuple[HistoryEntry, ...] | None = None
    state: JSONObject | None = None
    for name, value in given.items():
        if name in ("history", "set_history"):
            if name == "history" and isinstance(value, int) and not isinstance(value, bool):
                changes["history_size"] = _count("history", value, most_kept)
            else:
                history = _entries(name, value)
        elif name == "state":
            if not isinstance(value, dict):
                raise _wrong(name, "an object", value)
            state = dict(value)
        elif name in KEPT:
            changes[name] = _count(name, value, most_kept)
        elif name in _CHANNEL_READERS:
            changes[name] = _CHANNEL_READERS[name](name, value)
        else:
            raise _unknown(name, (*_CHANNEL_READERS, *KEPT, "history", "state"))
    if "polling" in changes:
        changes["polling"] = _merge_polling(base.polling, changes["polling"])
    return ChannelChange(replace(base, **changes), history, state)


def read_user_options(given: Mapping[str, JSON], base: UserOptions) -> UserOptions:
    """Check user options against a user's present ones.

    Raises:
        BadOption: naming the option; then none of them applies.
    """
    changes: dict[str, bool] = {}
    for name, value in given.items():
        if name not in USER_OPTION_NAMES:
            raise _unknown(name, USER_OPTION_NAMES)
        changes[name] = _flag(name, value)
    return replace(base, **changes)


USER_OPTION_NAMES = tuple(item.name for item in fields(UserOptions))


def _wrong(name: str, wanted: str, value: JSON) -> BadOption:
    return BadOption(f"option {name} must be {wanted}, not {_shape(value)}")


def _unknown(name: str, known: tuple[str, ...]) -> BadOption:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return BadOption(f"unknown option {name[:80]}{hint}")


def _shape(value: JSON) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "the number " + str(value)[:40]
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _flag(name: str, value: JSON) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def _count(name: str, value: JSON, most: int = MOST_SHOWN) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _wrong(name, f"a whole number from 0 to {most}", value)
    return value


def _seconds(name: str, value: JSON) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e10:
        raise _wrong(name, "a number of seconds, 0 or more", value)
    return value


def _names(name: str, value: JSON) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name, "a list of user names", value)
    return tuple(str(item) for item in value)


def _entries(name: str, value: JSON) -> tuple[HistoryEntry, ...]:
    if not isinstance(value, list):
        raise _wrong(name, "a list of entries", value)
    return tuple(_entry(name, item) for item in value)


def _entry(name: str, value: JSON) -> HistoryEntry:
    match value:
        case ["PUBLISH" | "SUBSCRIBE" | "UNSUBSCRIBE" as kind, dict() as args]:
            return HistoryEntry(str(kind), args)
    raise BadOption(f'option {name}: an entry must be ["PUBLISH", {{"payload": ..., ...}}] or alike')


def _polling(name: str, value: JSON) -> dict[str, Any]:
    if value in ("", "off", None, False):
        return {"mode": ""}
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return {key: _polling_part(key, part) for key, part in value.items()}


def _polling_part(key: str, part: JSON) -> Any:
    name = f"polling.{key}"
    match key:
        case "mode":
            if part is None or part == "off":
                return ""
            if part not in ("", "simple", "persistent", "once"):
                raise _wrong(name, "simple, persistent, once or off", part)
            return part
        case "url":
            if not isinstance(part, str) or (part and urlsplit(part).scheme not in ("http", "https")):
                raise _wrong(name, "an http or https URL", part)
            return part
        case "interval":
            if isinstance(part, bool) or not isinstance(part, int | float) or not 0.1 <= part <= 86_400:
                raise _wrong(name, "a number of seconds from 0.1 to 86400", part)
            return float(part)
        case "form":
            if not isinstance(part, dict) or not all(isinstance(item, str) for item in part.values()):
                raise _wrong(name, "an object of strings", part)
            return dict(part)
        case "originator":
            if not isinstance(part, str):
                raise _wrong(name, "a string", part)
            return part
    raise _unknown(name, tuple(f"polling.{item.name}" for item in fields(Polling)))


def _merge_polling(base: Polling, parts: dict[str, Any]) -> Polling:
    merged = replace(base, **parts)
    if merged.mode and not merged.url:
        raise BadOption("option polling.url is needed when polling.mode is set")
    return merged


KEPT = ("history_size", "recovery_size")
"""Options that say how many entries a channel keeps."""

_CHANNEL_READERS: dict[str, Callable[[str, JSON], Any]] = {
    "reflective": _flag,
    "history_duration": _seconds,
    "history_publish_only": _flag,
    "moderated": _flag,
    "moderated_publish": _flag,
    "moderated_subscribe": _flag,
    "moderated_unsubscribe": _flag,
    "presenceful": _flag,
    "presence_in_publish": _count,
    "server_presenceful": _flag,
    "server_user_presence": _names,
    "anonymous": _flag,
    "polling": _polling,
    "recovery_duration": _seconds,
    "durable": _flag,
}
