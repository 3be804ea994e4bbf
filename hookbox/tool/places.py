"""URLs as people type them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from hookbox.tool.problems import USAGE, ToolError
from hookbox.webhooks.target import DEFAULT_PORTS, Target

SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart.

    Args:
        scheme: http or https.
        host: without brackets, in lower case.
        port: given or the scheme's own.
        path: without a slash at its end; empty for the root.
        remarks: what was made of what was typed, for people.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        return Target(self.scheme, self.host, self.port).authority

    @property
    def origin(self) -> str:
        """Of a page there."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return self.origin + self.path


def read_place(text: str, what: str, endings: Sequence[str] = ()) -> Place:
    """Read a URL as somebody typed it.

    Args:
        what: it is, for messages.
        endings: of the path that are left out, as they are below what is meant.

    Raises:
        ToolError: it is none.
    """
    typed = text.strip().strip("<>\"'")
    remarks = []
    if "://" not in typed:
        typed = f"{_likely_scheme(typed)}://{typed.lstrip('/')}"
        remarks.append(f"taken as {_shown(typed)}")
    try:
        parts = urlsplit(typed)
        scheme, host, port = SCHEMES.get(parts.scheme.lower(), ""), parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        scheme, host, port = "", "", None
    if not scheme or not host or port == 0 or not typed.isprintable() or " " in typed:
        raise ToolError(f"{what}: {text!r} is not a URL such as https://example.com/realtime", USAGE)
    if parts.scheme.lower() != scheme:
        remarks.append(f"{parts.scheme} is spoken by way of {scheme}")
    if parts.username is not None:
        raise ToolError(f"{what}: leave the user name out of the URL", USAGE)
    if parts.query or parts.fragment:
        remarks.append("what stands behind ? or # is left out")
    path = parts.path.rstrip("/")
    for ending in endings:
        if path.endswith(ending):
            path = path.removesuffix(ending).rstrip("/")
            remarks.append(f"{ending} is below what is meant, and left out")
            break
    return Place(scheme, host.rstrip("."), port or DEFAULT_PORTS[scheme], path, tuple(remarks))


def is_local(host: str) -> bool:
    """Whether a host is this machine, or an address in a private network."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".test", ".internal")):
        return True
    address = as_address(host)
    return address is not None and (address.is_private or address.is_loopback)


def as_address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _likely_scheme(typed: str) -> str:
    try:
        parts = urlsplit(f"//{typed.lstrip('/')}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "https"
    return "http" if is_local(host) or port not in (None, 443, 8443) else "https"


def _shown(typed: str) -> str:
    return typed.partition("?")[0].partition("#")[0]
