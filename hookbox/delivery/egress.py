"""Where deliveries may go: not into the network that this server stands in, unless that was configured.

A URL is judged when it is accepted, as far as it tells by itself. The addresses of its name are judged at
every attempt, because names change; the connection is made to an address that was judged.

Sources: the IANA special-purpose address registries for IPv4 and IPv6; RFC 3986 section 3.2.2.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = frozenset({80, 443, 8000, 8080, 8443})
LONGEST_URL = 2048
LONGEST_HOST = 253
DEFAULT_PORTS = {"http": 80, "https": 443}

LOCAL = {
    "10.0.0.0/8": "private",
    "127.0.0.0/8": "loopback",
    "172.16.0.0/12": "private",
    "192.168.0.0/16": "private",
    "::1/128": "loopback",
    "fc00::/7": "private",
}
"""Allowed in mode `internal`."""

NOWHERE = {
    "0.0.0.0/8": "this network",
    "100.64.0.0/10": "shared by a provider's customers",
    "168.63.129.16/32": "a cloud's metadata",
    "169.254.0.0/16": "link-local",
    "192.0.0.0/24": "for protocols",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "a former relay",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/96": "unspecified, or IPv4 in disguise",
    "64:ff9b::/96": "IPv4 in disguise",
    "64:ff9b:1::/48": "IPv4 in disguise",
    "100::/64": "discarded",
    "2001::/23": "for protocols",
    "2001:db8::/32": "for documentation",
    "2002::/16": "IPv4 in disguise",
    "3fff::/20": "for documentation",
    "5f00::/16": "for segment routing",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
"""Refused in every mode but `off`."""

_table: list[tuple[Network, str, bool]] = [
    *((ip_network(text), what, True) for text, what in LOCAL.items()),
    *((ip_network(text), what, False) for text, what in NOWHERE.items()),
]
_global_ipv6 = IPv6Network("2000::/3")
_numeric = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+))*\.?").fullmatch
_label = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?").fullmatch
_unfit = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]").search


ANYWHERE = "*"
"""In place of an address: whichever this machine has."""


class Mode(StrEnum):
    """How much of the world deliveries may reach."""

    PUBLIC = "public"
    INTERNAL = "internal"
    OFF = "off"


class Blocked(Exception):
    """A destination is against the policy; the text says which rule and is safe to show."""


class BadURL(ValueError):
    """Not an absolute http or https URL that can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a URL leads.

    Args:
        scheme: `http` or `https`.
        host: lower case, ASCII (IDNA); an address without brackets.
        port: the scheme's own if the URL names none.
        target: path and query, as the request line has them.
        userinfo: `name:password` for Basic auth, empty for none.
        free: whether the policy does not apply to it.
    """

    scheme: str
    host: str
    port: int
    target: str
    userinfo: str = field(default="", repr=False)
    free: bool = False

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what shares a limit of concurrency."""
        return f"{self.scheme}://{self.authority}"

    def with_query(self, query: str) -> Destination:
        """The same with more in its query; what is there already stays as it is."""
        if not query:
            return self
        return replace(self, target=f"{self.target}{'&' if '?' in self.target else '?'}{query}")

    @property
    def address(self) -> Address | None:
        """The address, if the host is one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


@lru_cache(maxsize=4096)
def read_url(url: str) -> Destination:
    """Read an absolute http or https URL.

    Raises:
        BadURL: it is none, or is longer than 2048 bytes.
    """
    if len(url.encode("utf-8", "surrogatepass")) > LONGEST_URL:
        raise BadURL(f"longer than {LONGEST_URL} bytes")
    if _unfit(url):
        raise BadURL("it has a space, a control character or a backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadURL("its host or port is malformed") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise BadURL("not an absolute http or https URL")
    if port == 0:
        raise BadURL("there is no port 0")
    userinfo = parts.netloc.rpartition("@")[0]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise BadURL("its path or query has to be percent-encoded")
    return Destination(parts.scheme, _read_host(parts), port or DEFAULT_PORTS[parts.scheme], target, userinfo)


def _read_host(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    if ":" in host:
        try:
            if "%" not in host:
                return str(IPv6Address(host))
        except ValueError:
            pass
        raise BadURL("its host is malformed")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise BadURL("its host is not a name") from None
    if not host or len(host) > LONGEST_HOST or not all(map(_label, host.split("."))):
        raise BadURL("its host is not a name")
    return host


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `egress_allow` or `egress_deny`: a network, a host, or all hosts below one; maybe a port.

    Args:
        network: for addresses; None where `host` is given.
        host: lower case; beginning with `*.` for everything below.
        port: 0 for any.
    """

    network: Network | None
    host: str = ""
    port: int = 0

    @classmethod
    def read(cls, text: str) -> Rule:
        """Read `10.1.0.0/16`, `10.1.2.3:9000`, `[fd00::1]:80`, `hooks.example.com`, `*.example.com:8443`.

        Raises:
            ValueError: it is none of these.
        """
        text = text.strip().lower()
        try:
            return cls(ip_network(text.strip("[]"), strict=False))
        except ValueError:
            pass
        host, colon, port = text.rpartition(":")
        if not colon:
            host, port = text, "0"
        if not (port.isascii() and port.isdecimal() and int(port) <= 65_535):
            raise ValueError(f"{text!r} is not a network, a host or host:port")
        try:
            return cls(ip_network(host.strip("[]"), strict=False), port=int(port))
        except ValueError:
            pass
        if not all(map(_label, host.removeprefix("*.").split("."))):
            raise ValueError(f"{text!r} is not a network, a host or host:port")
        return cls(None, host, int(port))

    def matches(self, host: str, address: Address | None, port: int) -> bool:
        """Whether a destination is meant."""
        if self.port not in (0, port):
            return False
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        return host == self.host or (self.host.startswith("*.") and host.endswith(self.host[1:]))


@dataclass(frozen=True, slots=True)
class Policy:
    """Where deliveries may go. Deny wins over allow, allow wins over mode and ports.

    Args:
        own: addresses (or `ANYWHERE`) and ports this server listens on, never reached but in mode `off`.
        is_here: whether an address is one of this machine's.
        ports: that may be reached in mode `public`.
        app: host and port of the application, which the operator chose: it may be told of trouble anyhow.
        blocked: counts what it refused, by rule.
    """

    mode: Mode = Mode.PUBLIC
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    ports: frozenset[int] = PORTS
    https_only: bool = False
    own: frozenset[tuple[str, int]] = frozenset()
    app: tuple[str, int] | None = None
    is_here: Callable[[Address], bool] = lambda address: address.is_loopback
    blocked: Counter[str] = field(default_factory=Counter, repr=False, compare=False)

    def check(self, url: str, *, errback: bool = False) -> Destination:
        """Judge a URL when it is accepted, as far as it tells by itself.

        Args:
            errback: whether it is told of trouble.

        Raises:
            BadURL: it cannot be used at all.
            Blocked: its scheme, port or address is against the policy.
        """
        destination = read_url(url)
        if errback and (destination.host, destination.port) == self.app:
            return replace(destination, free=True)
        if self.https_only and destination.scheme != "https":
            raise self._blocked("https_only", "only https is allowed (https_only)")
        address = destination.address
        if address is None and _numeric(destination.host):
            raise self._blocked("number", f"{destination.host} is a number, neither a name nor an address")
        if address is not None:
            self.judge(destination, [address])
        elif self._denies(destination.host, None, destination.port):
            raise self._blocked("egress_deny", f"{destination.host} is denied (egress_deny)")
        elif not self._allows(destination.host, None, destination.port):
            self._check_port(destination.port)
        return destination

    def judge(self, destination: Destination, addresses: Iterable[Address]) -> list[Address]:
        """The addresses of a destination that may be connected to, in their order.

        Raises:
            Blocked: there is none; says why of the first.
        """
        if destination.free:
            return list(addresses)
        allowed, objections = [], []
        for address in addresses:
            objection = self._objection(destination.host, _unmapped(address), destination.port)
            if objection is None:
                allowed.append(address)
            else:
                objections.append(objection)
        if not allowed:
            raise self._blocked(*objections[0] if objections else ("no_address", "the name has no address"))
        return allowed

    def _blocked(self, rule: str, text: str) -> Blocked:
        self.blocked[rule] += 1
        return Blocked(f"blocked: {text}")

    def _objection(self, host: str, address: Address, port: int) -> tuple[str, str] | None:
        """The rule that an address is against, and how; None if it may be connected to."""
        if self._denies(host, address, port):
            return "egress_deny", f"{address} is denied (egress_deny)"
        if self.mode is Mode.OFF:
            return None
        if (str(address), port) in self.own or ((ANYWHERE, port) in self.own and self.is_here(address)):
            return "own", f"{address}:{port} is this server itself"
        if self._allows(host, address, port):
            return None
        if self.mode is Mode.PUBLIC and port not in self.ports:
            return "egress_ports", f"port {port} is not among egress_ports"
        for network, what, local in _table:
            if address.version == network.version and address in network:
                return None if local and self.mode is Mode.INTERNAL else ("address", f"{address} is {what}")
        if isinstance(address, IPv6Address) and address not in _global_ipv6:
            return "address", f"{address} is not a public address"
        return None

    def _check_port(self, port: int) -> None:
        if self.mode is Mode.PUBLIC and port not in self.ports:
            raise self._blocked("egress_ports", f"port {port} is not among egress_ports")

    def _denies(self, host: str, address: Address | None, port: int) -> bool:
        return any(rule.matches(host, address, port) for rule in self.deny)

    def _allows(self, host: str, address: Address | None, port: int) -> bool:
        return any(rule.matches(host, address, port) for rule in self.allow)


def _unmapped(address: Address) -> Address:
    """IPv4 written as IPv6 is judged as IPv4."""
    return getattr(address, "ipv4_mapped", None) or address
