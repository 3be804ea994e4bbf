"""HTTP on plain sockets, close enough to the wire to see what a proxy does to it."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Final

import certifi

from hookbox import __version__
from hookbox.tool.places import Place

AGENT: Final = f"hookbox-tool/{__version__}"
MOST_READ: Final = 256 * 1024
"""Bytes of an answer that are read; more than any of Hookbox's own pages has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    Args:
        status: of HTTP.
        reason: the phrase after it.
        headers: as sent, in order.
        body: its first `MOST_READ` bytes.
        took: seconds from the request to the last byte of it.
        version: 10 or 11, of HTTP.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    took: float
    version: int = 11

    def values(self, name: str) -> list[str]:
        """All values of the headers of a name, given in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str:
        """The first of them, empty without one."""
        return next(iter(self.values(name)), "")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def told(self) -> str:
        """The answer in one short line."""
        first = next(iter(self.text.strip().splitlines()), "")
        if first.startswith("<") or len(first) > 200:
            first = ""
        line = f"{self.status} {self.reason}".strip()
        return f"{line}: {first}" if first and not first.startswith(line) else first or line


@cache
def tls_context(cacert: str = "") -> ssl.SSLContext:
    """What certificates are judged by: the system's authorities, those of `certifi`, and `cacert`.

    Raises:
        OSError: the file cannot be read, or holds none.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if cacert:
        context.load_verify_locations(cacert)
    context.set_alpn_protocols(["http/1.1"])
    return context


def dial(place: Place, cacert: str, timeout: float) -> socket.socket:
    """A connection to a place, with TLS if it is https.

    Args:
        cacert: as of `tls_context`.
        timeout: seconds to connect; what is done with the connection then has as many.

    Raises:
        OSError: no such name (`socket.gaierror`), refused, a wrong certificate (`ssl.SSLError`) ...
    """
    sock = socket.create_connection((place.host, place.port), timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not place.secure:  # loading certificates takes longer than all the rest
            return sock
        return tls_context(cacert).wrap_socket(sock, server_hostname=place.host)
    except BaseException:
        sock.close()
        raise


@contextmanager
def hung_up_after(sock: socket.socket, seconds: float | None) -> Iterator[None]:
    """End a connection that takes longer, however often a little comes; `http.client` counts from each byte.

    Args:
        seconds: None for no limit.

    Raises:
        TimeoutError: it took longer.
    """
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # that of TLS would wait for the other side

    timer = threading.Timer(seconds, hang_up) if seconds is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        if timer is not None:
            timer.cancel()


class Flow:
    """One request and its answer, read as it comes.

    Args:
        sock: connected; closed at the end.
        place: for the Host header.
        headers: further ones.

    Raises:
        OSError: it broke off before the answer began.
        http.client.HTTPException: that is no HTTP.
    """

    def __init__(
        self,
        sock: socket.socket,
        place: Place,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        self._connection = http.client.HTTPConnection(place.host, place.port)
        self._connection.default_port = 443 if place.secure else 80
        self._connection.sock = self._sock = sock
        self.began = time.monotonic()
        try:
            sent = {"User-Agent": AGENT, "Accept": "*/*", "Connection": "close", **(headers or {})}
            with hung_up_after(sock, sock.gettimeout()):
                self._connection.request(method, path, body, sent)
                self._answer = self._connection.getresponse()
        except BaseException:
            self.close()
            raise
        self.head = Answer(
            self._answer.status,
            self._answer.reason,
            tuple(self._answer.getheaders()),
            b"",
            self.took(),
            self._answer.version,
        )

    def took(self) -> float:
        """Seconds since the request."""
        return time.monotonic() - self.began

    def read(self, timeout: float) -> bytes:
        """What comes next, as soon as there is something; empty at the end. A timeout is the end, too.

        Raises:
            TimeoutError: nothing came in time.
            OSError, http.client.HTTPException: it broke off.
        """
        self._sock.settimeout(max(timeout, 0.001))
        return self._answer.read1(65_536)

    def whole(self, timeout: float) -> Answer:
        """The whole answer; raises as `read`."""
        until = time.monotonic() + timeout
        pieces: list[bytes] = []
        with hung_up_after(self._sock, timeout):
            while sum(map(len, pieces)) < MOST_READ and (piece := self.read(until - time.monotonic())):
                pieces.append(piece)
        head = self.head
        body = b"".join(pieces)
        return Answer(head.status, head.reason, head.headers, body, self.took(), head.version)

    def close(self) -> None:
        """End it, whatever state it is in."""
        self._connection.close()
        self._sock.close()

    def __enter__(self) -> Flow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reason_of(error: BaseException) -> str:
    """What went wrong with a connection, in few words."""
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message or "the certificate is not trusted"
        case ssl.SSLError():
            return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
        case socket.gaierror():
            return "name not known"
        case TimeoutError():
            return "no answer in time"
        case http.client.RemoteDisconnected():
            return "closed without an answer"
        case OSError():
            return (error.strerror or str(error) or type(error).__name__).lower()
    return f"no HTTP ({type(error).__name__})"
