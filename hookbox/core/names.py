"""Which names channels and users may have."""

from __future__ import annotations

import unicodedata

from hookbox.core.values import JSON, ChannelName, UserName
from hookbox.errors import CommandRefused, ProtocolError

CHANNEL_CHARACTERS = 200
USER_BYTES = 128
ANONYMOUS = "anonymous-"
DJANGO_ANONYMOUS = " _"
"""What names begin with that are made up for those who have none; no name in Django begins with a blank."""

# control and format characters, lone surrogates, line and paragraph separators
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def read_channel_name(value: JSON) -> ChannelName:
    """A channel name as a client or the application gave it.

    Raises:
        ProtocolError: missing (`bad_frame`), or not a string.
        CommandRefused: a string that cannot be a channel name (`bad_channel`).
    """
    if value is None:
        raise ProtocolError("bad_frame", "channel_name required")
    if not isinstance(value, str):
        raise ProtocolError("bad_frame", "channel_name must be a string")
    if fault := channel_name_fault(value):
        raise CommandRefused(fault, "bad_channel")
    return ChannelName(value)


def channel_name_fault(name: str) -> str:
    """What is wrong with a channel name, or an empty string."""
    if not 1 <= len(name) <= CHANNEL_CHARACTERS:
        return f"Invalid channel_name: {len(name)} characters, from 1 to {CHANNEL_CHARACTERS} are allowed"
    if name.startswith("$"):
        return "Invalid channel_name: names that begin with $ belong to the server"
    if _has_unprintable(name):
        return "Invalid channel_name: control and format characters are not allowed"
    return ""


def user_name_fault(name: str) -> str:
    """What is wrong with a user name, or an empty string."""
    if _has_unprintable(name):
        return "control and format characters are not allowed in a user name"
    size = len(name.encode("utf-8"))
    if not 1 <= size <= USER_BYTES:
        return f"user name of {size} bytes, from 1 to {USER_BYTES} are allowed"
    return ""


def is_nobody(name: str) -> bool:
    """Whether a user has no name of its own: each time Hookbox, or the Django app, makes up another."""
    return name.startswith((ANONYMOUS, DJANGO_ANONYMOUS))


def read_user_name(value: JSON, field: str = "name") -> UserName:
    """A user name that a client or the application must give.

    Raises:
        ProtocolError: missing or not a string.
    """
    if value is None:
        raise ProtocolError("bad_frame", f"{field} required")
    if not isinstance(value, str):
        raise ProtocolError("bad_frame", f"{field} must be a string")
    return UserName(value)


def _has_unprintable(name: str) -> bool:
    return not name.isprintable() and any(unicodedata.category(c) in _UNPRINTABLE for c in name)
