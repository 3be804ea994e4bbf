"""Hookbox for Django: live channels with the project's own users, and webhooks about what happens in it.

Add `hookbox.contrib.django` to `INSTALLED_APPS`. The names below are looked up when they are used, so
importing this package needs no configured Django, and no Django at all.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "callbacks": ("whcallback", "register_channel_handler", "unregister_channel_handler"),
    "calls": (
        "publish", "publish_multi", "create", "destroy", "subscribe", "unsubscribe", "message", "dispatch",
        "channel_info", "set_channel_options", "set_state", "delete_state", "user_info", "server_info",
        "disconnect",
        "apublish", "apublish_multi", "acreate", "adestroy", "asubscribe", "aunsubscribe", "amessage",
        "adispatch", "achannel_info", "aset_channel_options", "aset_state", "adelete_state", "auser_info",
        "aserver_info", "adisconnect",
    ),
    "errors": ("HookboxError", "DeliveryFailed", "Deny"),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["signals", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "signals":
        return import_module(f"{__name__}.signals")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
