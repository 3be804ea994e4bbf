"""The HTTP proxy that all deliveries may have to go through.

Over https it is asked for a connection to the target, in which it sees no more than bytes; over http it is
given the whole request.

Sources: RFC 9110 sections 9.3.6 (CONNECT) and 11.7 (Proxy-Authorization); RFC 9112 section 3.2 (forms of the
request's target); RFC 7617 (Basic).
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from gevent import socket

from hookbox.delivery.egress import BadURL, Destination, read_url
from hookbox.errors import BadAnswer
from hookbox.webhooks.answer import AnswerReader

FORM: Final = "http://[user:password@]host:port"
RECEIVE: Final = 4096
LONGEST_REASON: Final = 100
DENIED: Final = 407
"""The one status that only a proxy may answer with."""

_form = re.compile(r"http://([^\s/?#@]*@)?[^\s/?#@]+:[0-9]{1,5}/?").fullmatch


class ProxyRefused(Exception):
    """The proxy answered, but does not connect; the text is for the operator."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the proxy answered {status} {reason[:LONGEST_REASON]}".rstrip())


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it is, and how one is let in.

    Args:
        host: a name, or an address without brackets.
        authorization: value of Proxy-Authorization, empty for none.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    @classmethod
    def read(cls, url: str) -> Proxy:
        """Read it off its URL.

        Raises:
            ValueError: it is none that can be used; the text does not hold the URL.
        """
        if not _form(url):
            raise ValueError(f"{FORM}; what is no letter or digit in user and password is percent-encoded")
        try:
            found = read_url(url)
        except BadURL as error:
            raise ValueError(f"{FORM}; {error}") from None
        return cls(found.host, found.port, _basic(found.userinfo) if found.userinfo else "")

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The headers that are for it alone."""
        return (("Proxy-Authorization", self.authorization),) if self.authorization else ()


@lru_cache(maxsize=4)
def proxy_of(setting: str) -> Proxy | None:
    """The proxy that a checked setting names; None for none."""
    return Proxy.read(setting) if setting else None


def _basic(userinfo: str) -> str:
    text = userinfo if ":" in userinfo else f"{userinfo}:"
    return "Basic " + b64encode(unquote_to_bytes(text)).decode()


class Tunnel:
    """Asks a proxy for a connection to a target.

    `asked` and `made` say how far that came on the newest connection.
    """

    def __init__(self, proxy: Proxy, destination: Destination) -> None:
        self.asked = self.made = False
        self._request = _connect_request(proxy, destination)

    def __call__(self, sock: socket.socket) -> None:
        """Ask on a new connection to the proxy. Blocks; what goes over it afterwards is the target's.

        Raises:
            ProxyRefused: it does not connect.
            BadAnswer: it does not speak HTTP.
            OSError: it went away.
        """
        self.asked = self.made = False
        sock.sendall(self._request)
        self.asked = True
        reader = ConnectReader()
        while not reader.done:
            data = sock.recv(RECEIVE)
            if not data:
                raise ConnectionResetError("connection closed without an answer")
            reader.feed(data)
        if not 200 <= reader.status < 300:
            raise ProxyRefused(reader.status, reader.reason)
        if reader.surplus:
            raise BadAnswer("more than a head in answer to CONNECT")
        self.made = True


class ConnectReader(AnswerReader):
    """Reads the head of an answer to CONNECT: what follows a yes is not its body, and a no needs none."""

    def __init__(self) -> None:
        super().__init__(0)

    @property
    def surplus(self) -> bool:
        """Whether there came more."""
        return bool(self._data)

    def _choose_body(self, version: str, joined: dict[str, str]) -> None:
        self._finish()


def _connect_request(proxy: Proxy, destination: Destination) -> bytes:
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    authority = f"{host}:{destination.port}"  # with its port in any case
    fields = (("Host", authority), *proxy.fields())
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return f"CONNECT {authority} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
