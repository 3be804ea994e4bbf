"""One HTTP try from this process: the name is looked up once, and the connection goes to an address that the
policy allows, so a name cannot lead elsewhere in between.

Nothing here raises for what the other side does: every end has a name, the same as the server's.
"""

from __future__ import annotations

import queue
import re
import socket
import ssl
import threading
import time
from base64 import b32encode, b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from hookbox.contrib.django import conf
from hookbox.contrib.django.errors import DeliveryFailed
from hookbox.contrib.django.sending.jobs import Job, Target
from hookbox.contrib.django.sending.policy import policy
from hookbox.delivery.egress import BadURL, Blocked, Destination
from hookbox.delivery.headers import headers_of
from hookbox.delivery.intake_values import check_header
from hookbox.delivery.models import Delivery, DeliveryId, Message, MessageId, Source, State, Wishes
from hookbox.delivery.schedule import read_retry_after
from hookbox.errors import BadAnswer, BadRequest
from hookbox.webhooks.answer import AnswerReader

JSON_TYPE: Final = "application/json"
CONNECT: Final = 5.0
"""Seconds for name, connection and TLS, if the attempt has as many."""
MOST_READ: Final = 64 * 1024
"""Bytes of an answer that are read; then the status decides."""
FINAL: Final = frozenset({"gone", "aborted", "blocked"})

Found = tuple[int, tuple[Any, ...]]
"""Address family and socket address."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    Args:
        name: `ok`, or the class of what went wrong, e.g. `http_503`, `timeout`, `refused`, `gone`, `blocked`.
        status: 0 without an answer.
        detail: one sentence.
        retry_after: seconds that the receiver asked for; None for none.
    """

    name: str
    status: int = 0
    detail: str = ""
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it has arrived."""
        return self.name == "ok"

    @property
    def final(self) -> bool:
        """Whether trying again makes no sense."""
        return self.ok or self.name in FINAL

    def error(self, url: str) -> DeliveryFailed:
        """The same as an exception."""
        return DeliveryFailed(f"{shown(url)}: {self.detail}", status=self.status or None)


_userinfo = re.compile(r"\A([^/?#]*//)[^/?#]*@").sub


class _Failed(Exception):
    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def left(self, name: str = "timeout") -> float:
        """Seconds that are left.

        Raises:
            _Failed: there are none.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise _Failed(name, f"no answer within {self._seconds:g} s")
        return left


def attempt(job: Job, target: Target, secret: str, number: int = 1) -> Outcome:
    """Post a message to one listener; takes `job.timeout` seconds at most.

    Args:
        secret: signs it; empty for no signature.
        number: of the attempt, 1 for the first.

    Raises:
        ImproperlyConfigured: the settings of the egress policy cannot be read.
    """
    try:
        if conf.egress_proxy():
            raise _Failed("blocked", "HOOKBOX_EGRESS_PROXY is set, which only the server uses: send by it")
        destination = _checked(target.url)
        head = _head(destination, job, target, secret, number)
        return _judged(_exchange(destination, head + job.body.encode(), _Deadline(job.timeout)))
    except _Failed as failed:
        return Outcome(failed.name, detail=str(failed))


def shown(url: str) -> str:
    """A URL, or what was meant to be one, without the name and password in it. Never raises."""
    return _userinfo(r"\1", url)


def _checked(url: str) -> Destination:
    try:
        return policy().check(url)
    except BadURL as error:
        raise _Failed("blocked", f"not a URL that can be used: {error}") from None
    except Blocked as error:
        raise _Failed("blocked", f"{error}; see HOOKBOX_EGRESS and HOOKBOX_EGRESS_ALLOW") from None


def _head(destination: Destination, job: Job, target: Target, secret: str, number: int) -> bytes:
    now_ms = int(time.time() * 1000)
    try:
        given = tuple(check_header(name, str(value)) for name, value in target.headers.items())
    except BadRequest as error:
        raise _Failed("blocked", error.reason) from None
    message = Message(
        0, MessageId(job.id), now_ms, Source.DISPATCH, JSON_TYPE, job.body.encode(), job.body,
        type=job.hook, hops=1,
    )  # fmt: skip
    delivery = Delivery(
        _delivery_id(job, target), 0, target.url, Wishes(headers=given), State.IN_FLIGHT, now_ms, now_ms,
        attempts=number - 1,
    )  # fmt: skip
    try:
        headers = headers_of(delivery, message, None, (secret,) if secret else (), now_ms)
    except ValueError as error:
        raise _Failed("blocked", f"its secret: {error}") from None
    lines = [
        ("Host", destination.authority), *headers, ("Content-Length", str(len(message.body))),
        ("Connection", "close"),
    ]  # fmt: skip
    if destination.userinfo and not any(name.lower() == "authorization" for name, _ in lines):
        lines.append(("Authorization", "Basic " + b64encode(unquote_to_bytes(destination.userinfo)).decode()))
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"POST {destination.target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1", "replace")


def _delivery_id(job: Job, target: Target) -> DeliveryId:
    """The same for each attempt, and another for each listener."""
    digest = blake2b(f"{job.id} {target.listener or target.url}".encode(), digest_size=16).digest()
    return DeliveryId(f"dlv_{b32encode(digest).decode().rstrip('=')}")


def _exchange(destination: Destination, data: bytes, deadline: _Deadline) -> AnswerReader:
    sock = _connected(destination, deadline)
    with sock:
        try:
            sock.settimeout(deadline.left())
            sock.sendall(data)
        except TimeoutError:
            deadline.left()
        except OSError:
            pass  # an answer may have come before the other side stopped listening
        return _read(sock, deadline)


def _read(sock: socket.socket, deadline: _Deadline) -> AnswerReader:
    reader, got = AnswerReader(1 << 40), 0
    try:
        while not reader.done and (reader.status < 200 or got <= MOST_READ):
            sock.settimeout(deadline.left())
            piece = sock.recv(16 * 1024)
            got += len(piece)
            if piece:
                reader.feed(piece)
            elif got == 0:
                raise _Failed("reset", "the connection was closed without an answer")
            else:
                reader.end()
                break
    except TimeoutError:
        raise _Failed("timeout", "no whole answer in time") from None
    except BadAnswer as error:
        if reader.status < 200:
            raise _Failed("protocol", f"unusable answer: {error}") from None
    except OSError as error:
        if reader.status < 200:
            raise _Failed("reset", error.strerror or str(error)) from None
    return reader  # the status was there already, and it decides


def _judged(reader: AnswerReader) -> Outcome:
    status = reader.status
    wish = ",".join(reader.values("webhook-delivery")).strip().lower()
    if 200 <= status < 300:
        return Outcome("ok", status)
    detail = f"answered {status}"
    if status == 410:
        return Outcome("gone", status, detail)
    if wish == "abort-message":
        return Outcome("aborted", status, f"{detail} and wants no other attempt")
    asked = read_retry_after(",".join(reader.values("retry-after")), time.time())
    return Outcome("http_3xx" if status < 400 else f"http_{status}", status, detail, asked)


def _connected(destination: Destination, deadline: _Deadline) -> socket.socket:
    soon = _Deadline(min(CONNECT, deadline.left("connect_timeout")))
    failed = _Failed("unreachable", "there is no address to connect to")
    for family, address in _allowed(destination, soon):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # this machine has no such addresses
            failed = _Failed("unreachable", error.strerror or str(error))
            continue
        try:
            sock.settimeout(soon.left("connect_timeout"))
            sock.connect(address)
            if destination.scheme == "https":
                sock.settimeout(soon.left("connect_timeout"))
                return _tls().wrap_socket(sock, server_hostname=destination.host)
            return sock
        except _Failed as no_time:
            failed = no_time
        except TimeoutError:
            failed = _Failed("connect_timeout", "no connection in time")
        except ssl.SSLError as error:
            failed = _Failed("tls", f"TLS: {error.reason or error}")
        except ConnectionRefusedError:
            failed = _Failed("refused", "connection refused")
        except OSError as error:
            failed = _Failed("unreachable", error.strerror or str(error))
        sock.close()
    raise failed


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """What checks certificates; made once, as that reads all authorities there are."""
    return ssl.create_default_context()


def _allowed(destination: Destination, deadline: _Deadline) -> list[Found]:
    """The addresses of a destination that may be connected to; every one of them was judged."""
    found = _looked_up(destination.host, destination.port, deadline)
    judged = {address[0]: ip_address(address[0].partition("%")[0]) for _, address in found}
    try:
        allowed = set(policy().judge(destination, judged.values()))
    except Blocked as error:
        raise _Failed("blocked", f"{error}; see HOOKBOX_EGRESS and HOOKBOX_EGRESS_ALLOW") from None
    return [(family, address) for family, address in found if judged[address[0]] in allowed]


def _looked_up(host: str, port: int, deadline: _Deadline) -> list[Found]:
    """A name's addresses; in a thread, for a look-up cannot be told when to give up."""
    answers: queue.SimpleQueue[list[Any] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # the latter for parts of a name that are too long
            answers.put(error)

    threading.Thread(target=look_up, name="hookbox-look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left("connect_timeout"))
    except queue.Empty:
        raise _Failed("dns", "looking the name up took too long") from None
    if isinstance(answer, Exception):
        raise _Failed("dns", getattr(answer, "strerror", None) or str(answer))
    return list(dict.fromkeys((family, address) for family, _, _, _, address in answer))
