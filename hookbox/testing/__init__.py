"""What Hookbox is tested with, offered to authors of applications: a Hookbox on a free port, a scripted
application, a receiver of deliveries, a client that speaks the protocol, and a proxy that does what
networks do.

Everything here is real: a server process, sockets, HTTP. Nothing is patched, so it works in any test suite.
Every wait has a deadline, `DEADLINE` seconds; HOOKBOX_TEST_DEADLINE changes it for slow machines.
The fixtures for pytest are in `hookbox.testing.plugin`, which pytest finds by itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookbox.testing.app import Asked, ScriptedApp
    from hookbox.testing.client import Client, Frame
    from hookbox.testing.deadline import DEADLINE
    from hookbox.testing.listener import Received
    from hookbox.testing.process import ApiRefused, HookboxProcess
    from hookbox.testing.proxy import FaultProxy, Way
    from hookbox.testing.receiver import Receiver
    from hookbox.testing.reply import Reply

_HOMES = {
    "ApiRefused": "process",
    "Asked": "app",
    "Client": "client",
    "DEADLINE": "deadline",
    "FaultProxy": "proxy",
    "Frame": "client",
    "HookboxProcess": "process",
    "Received": "listener",
    "Receiver": "receiver",
    "Reply": "reply",
    "ScriptedApp": "app",
    "Way": "proxy",
}

__all__ = [
    "DEADLINE",
    "ApiRefused",
    "Asked",
    "Client",
    "FaultProxy",
    "Frame",
    "HookboxProcess",
    "Received",
    "Receiver",
    "Reply",
    "ScriptedApp",
    "Way",
]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for, so that pytest's start pays for nothing of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
