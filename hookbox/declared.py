"""How a setting is declared: its default, and all that is known of it besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
INF: Final = float("inf")


class Group(Enum):
    """The headings of `--help` and of the manual."""

    LISTENING = "Listening"
    WEBHOOKS = "Webhooks: asking your application"
    ACCESS = "Secrets and access"
    LOGGING = "Logging"
    BEHAVIOUR = "Behaviour"
    HTTP_LIMITS = "Limits on HTTP requests"
    FRAME_LIMITS = "Limits on messages"
    CONNECTION_LIMITS = "Limits on connections"
    RATE_LIMITS = "Limits on rates"
    HISTORY_LIMITS = "Limits on history and recovery"
    WEBHOOK_LIMITS = "Limits on webhooks"
    DELIVERY = "Deliveries: telling URLs"
    EGRESS = "Where deliveries may go"
    HUB = "WebSub hub"
    STREAMS = "Streams and topics"
    DELIVERY_LIMITS = "Limits on deliveries"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of one setting besides its default.

    Args:
        help: one sentence for the operator.
        group: the heading it stands under.
        unit: `bytes`, `seconds`, or empty for counts, names and switches.
        low: smallest allowed number.
        high: largest allowed number.
        choices: allowed words; empty allows any.
        names: further flags besides `--its-name`, short ones included.
        metavar: stands for the value in `--help`.
        secret: its value is never shown.
        live: may change while the server runs (SIGHUP).
        most: how many values a list may have.
    """

    help: str
    group: Group
    unit: str = ""
    low: float = -INF
    high: float = INF
    choices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    metavar: str = ""
    secret: bool = False
    live: bool = True
    most: int = 1000


def setting(default: object, group: Group, help: str, **about: Any) -> Any:
    """Declare a setting: its default, heading and sentence; `about` as in `About`."""
    known = About(help=help, group=group, **about)
    hidden = known.secret or known.metavar == "URL"  # there may be a password in a URL
    return field(default=default, repr=not hidden, metadata={"about": known})


def listen(default: object, help: str, **about: Any) -> Any:
    """One of the listeners', which is bound at the start."""
    return setting(default, Group.LISTENING, help, **{"live": False, **about})


def port_number(default: int | None, help: str, **about: Any) -> Any:
    """A TCP port."""
    return listen(default, help, **{"low": 0, "high": 65535, "metavar": "PORT", **about})


def hook(default: object, help: str, **about: Any) -> Any:
    """One about asking the application."""
    return setting(default, Group.WEBHOOKS, help, **about)


def path(action: str, **about: Any) -> Any:
    """The path of one webhook."""
    return hook(action, f"path below --cbpath asked about `{action}`", metavar="PATH", **about)


def access(default: object, help: str, **about: Any) -> Any:
    """One about who may do what."""
    return setting(default, Group.ACCESS, help, **about)


def log(default: object, help: str, **about: Any) -> Any:
    """One about the log."""
    return setting(default, Group.LOGGING, help, **about)


def size(default: int, group: Group, help: str, low: int = 1) -> Any:
    """A number of bytes."""
    return setting(default, group, help, unit="bytes", low=low, high=2**40)


def time(default: float, group: Group, help: str, low: float = 0.001) -> Any:
    """A number of seconds."""
    return setting(default, group, help, unit="seconds", low=low, high=31_536_000.0)


def count(default: int, group: Group, help: str, low: int = 1) -> Any:
    """A number of things."""
    return setting(default, group, help, low=low, high=10**9)


def rate(default: float, help: str, low: float = 0.0) -> Any:
    """A number of things per second."""
    return setting(default, Group.RATE_LIMITS, help, low=low, high=10**9)
