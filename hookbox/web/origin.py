"""Who may speak to Hookbox from a browser, and for whom a proxy may speak.

Browsers attach cookies to cross-site WebSocket requests, so the `Origin` decides.
Sources: RFC 6454 section 7 (Origin), the Fetch metadata specification (Sec-Fetch-Site), RFC 7239 section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginRule:
    """Which origins are allowed.

    Args:
        listed: origins like `https://example.com`, allowed besides all that have the name of the host asked.
    """

    def __init__(self, listed: Sequence[str] = ()) -> None:
        self._listed = frozenset(filter(None, map(_triple, listed)))

    def allows(self, origin: str | None, host: str, fetch_site: str | None = None) -> bool:
        """Whether a request may be answered.

        Args:
            origin: its Origin header, None without one; two headers come joined and never match.
            host: its Host header.
            fetch_site: its Sec-Fetch-Site header; looked at only where there is no Origin.
        """
        if origin is None:
            return fetch_site not in ("cross-site", "same-site")
        came_from = _triple(origin)
        if came_from is None:
            return False
        return came_from[1] == _host_name(host) or came_from in self._listed


@lru_cache(1024)
def _triple(origin: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or plain.lower() != origin.lower():
        return None
    if "@" in parts.netloc or "," in origin or " " in origin:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port or DEFAULT_PORTS[parts.scheme]


@lru_cache(1024)
def _host_name(host: str) -> str:
    try:
        return (urlsplit("//" + host).hostname or "").rstrip(".")
    except ValueError:
        return ""


class ProxyRule:
    """Whose `X-Forwarded-*` headers are believed.

    Args:
        trusted: addresses, networks like `10.0.0.0/8`, or `unix` for clients of a Unix socket.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusts_unix = "unix" in trusted
        self._networks = [ip_network(item, strict=False) for item in trusted if item != "unix"]

    def client_ip(self, peer: str, forwarded: str) -> str:
        """The client's address: the peer's, or behind trusted proxies the last untrusted hop.

        Args:
            peer: address of the TCP connection, empty for a Unix socket.
            forwarded: X-Forwarded-For header, empty without one.
        """
        if not forwarded or not self._is_trusted(peer):
            return peer
        client = peer
        for hop in reversed(forwarded.split(",")):
            address = plain_address(hop.strip(" \t"))
            if not address:
                break
            client = address
            if not self._is_trusted(address):
                break
        return client

    def trusts(self, peer: str) -> bool:
        """Whether a peer's `X-Forwarded-*` headers are believed."""
        return self._is_trusted(peer)

    def _is_trusted(self, address: str) -> bool:
        if not address:
            return self._trusts_unix
        return bool(self._networks) and _is_within(address, self._networks)


def _is_within(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


@lru_cache(1024)
def plain_address(text: str) -> str:
    """An IP address as sockets and proxies write it, in its usual spelling; empty if it is none.

    Brackets, port and zone are left out; IPv4 that came mapped into IPv6 is IPv4 again.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
