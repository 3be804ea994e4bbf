"""Which options of a yes mean something, and what is wrong with those that an application gave."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from hookbox.core.names import channel_name_fault, user_name_fault
from hookbox.core.options import (
    USER_OPTION_NAMES,
    BadOption,
    ChannelOptions,
    UserOptions,
    read_channel_options,
    read_user_options,
)
from hookbox.core.values import JSON, JSONObject

_FOLLOWED: Final = ("auto_subscribe", "auto_unsubscribe")
KNOWN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "connect": ("name", "override_payload", *USER_OPTION_NAMES, *_FOLLOWED),
        "subscribe": ("initial_data", *_FOLLOWED),
        "publish": ("override_payload", "only_to_sender", *_FOLLOWED),
        "unsubscribe": _FOLLOWED,
        "message": ("override_payload", "override_recipient_name", *_FOLLOWED),
        "destroy_channel": (),
        "disconnect": (),
        "hub_subscribe": ("lease_seconds",),
    }
)
"""Names of the options of a yes, by webhook; those of `create_channel` are the channel options."""


def option_fault(action: str, options: JSONObject) -> str:
    """What is wrong with the options of a yes, for the operator; empty if nothing is."""
    try:
        if action == "create_channel":
            read_channel_options(options, ChannelOptions())
        elif action == "connect":
            given = {name: value for name, value in options.items() if name in USER_OPTION_NAMES}
            read_user_options(given, UserOptions())
    except BadOption as error:
        return str(error)
    if action not in KNOWN:
        return ""
    unknown = next((name for name in options if name not in KNOWN[action]), None)
    if unknown is not None:
        return _unknown(action, unknown)
    return next(filter(None, (_fault(name, value) for name, value in options.items())), "")


def _unknown(action: str, name: str) -> str:
    near = get_close_matches(name, KNOWN[action], 1)
    known = f"did you mean {near[0]}?" if near else f"it has {', '.join(KNOWN[action]) or 'none'}"
    return f"{action} has no option {name[:80]}, it is ignored; {known}"


def _fault(name: str, value: JSON) -> str:
    match name, value:
        case "name", str() if fault := user_name_fault(value):
            return f"option name: {fault}"
        case "name" | "override_recipient_name", bool() | list() | dict():
            return f"option {name} must be a string"
        case "only_to_sender", other if not isinstance(other, bool):
            return "option only_to_sender must be true or false; anything else is ignored"
        case "lease_seconds", other if not _is_above_zero(other):
            return "option lease_seconds must be a number of seconds; anything else is ignored"
        case "auto_subscribe" | "auto_unsubscribe", other if other is not None:
            return _followed_fault(name, other)
    return ""


def _is_above_zero(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1


def _followed_fault(name: str, value: JSON) -> str:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return f"option {name} must be a list of channel names; it is ignored"
    faults = (channel_name_fault(item) for item in value if isinstance(item, str))
    fault = next(filter(None, faults), "")
    return f"option {name}: {fault}" if fault else ""
