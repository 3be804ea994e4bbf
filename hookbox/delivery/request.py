"""A request to dispatch, before and after it was understood."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from hookbox.delivery.content import Content
from hookbox.delivery.intake_values import check_header, read_key
from hookbox.delivery.schedule import DEFAULT
from hookbox.errors import BadRequest

NO_DESTINATION = "400 No destination URL"
MOST_HEADERS = 32
LONGEST_COUNT = 9
TRACE = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to dispatch.

    Args:
        content_type: empty for none.
        query: the query string.
        headers: lower-case names and their values, in order.
        path_url: base64 from the path, in the form of Hookah 0.1; empty for none.
        allow_cookie: whether a Cookie header may be sent along.
        schedule: whose entries are counted where a count of retries is asked for.
    """

    body: bytes = field(repr=False)
    content_type: str = ""
    query: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    path_url: str = ""
    allow_cookie: bool = False
    schedule: tuple[float, ...] = DEFAULT

    def header(self, name: str) -> str:
        """The first value of a header, its name in lower case; empty without one."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True, slots=True)
class Target:
    """One destination of a dispatch, as far as the request says.

    Args:
        url: empty where an endpoint is named.
        endpoint: id of a registered one, empty for none.
        retry: seconds after each failure, None for the default.
        timeout: seconds, None for the default.
    """

    url: str = ""
    endpoint: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    retry: tuple[float, ...] | None = None
    timeout: float | None = None
    tag: str = ""


NOWHERE = Target()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What a request asks for.

    Args:
        topic: to publish on, empty for none.
        usual: what holds for the topic's endpoints, where they do not say otherwise.
        token: the API token if it came among the fields.
        key: idempotency key, empty for none.
        fingerprint: the same for the same request, whatever its token.
        delay: seconds before the first attempt.
        ttl: seconds after which nothing is tried any more, None for the default.
        hops: how many servers like this one it has been through.
    """

    content: Content
    targets: tuple[Target, ...] = ()
    topic: str = ""
    usual: Target = NOWHERE
    token: str = field(default="", repr=False)
    key: str = ""
    fingerprint: str = ""
    type: str = ""
    delay: float = 0.0
    ttl: float | None = None
    errback: str = ""
    callback: str = ""
    originator: str = ""
    moderate: bool = False
    hops: int = 0


def checked_headers(request: Request, headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers to send along, each checked; the request's own trace goes along too.

    Raises:
        BadRequest: there are too many, or one of them cannot be sent.
    """
    checked = tuple(check_header(name, value, cookie=request.allow_cookie) for name, value in headers)
    if len(checked) > MOST_HEADERS:
        raise BadRequest(400, f"more than {MOST_HEADERS} headers")
    given = {name.lower() for name, _ in checked}
    trace = (check_header(name, request.header(name)) for name in TRACE if request.header(name))
    return (*checked, *(pair for pair in trace if pair[0] not in given))


def key_of(request: Request, given: str | None) -> str:
    """The idempotency key, which has a header of its own in every form.

    Args:
        given: the one among the control values.

    Raises:
        BadRequest: there are two, and they are different.
    """
    header = next((value for name, value in request.headers if name == "idempotency-key"), None)
    if header is not None and given is not None and header != given:
        raise BadRequest(400, "_id and Idempotency-Key are different")
    key = header if given is None else given
    return "" if key is None else read_key(key)


def hops_of(request: Request) -> int:
    """How many servers like this one a request has been through."""
    value = next((value for name, value in request.headers if name == "hookbox-hops"), "")
    return int(value.lstrip("0")[:LONGEST_COUNT] or 0) if value.isascii() and value.isdecimal() else 0


def fingerprint_of(content_type: str, body: bytes, controls: object = None) -> str:
    """The same for the same request.

    Args:
        content_type, body: without what differs each time the same is sent, and without control values.
        controls: those, but for who asks and under which key.
    """
    about = json.dumps([content_type, controls]).encode()
    return hashlib.sha256(b"%d:%b%b" % (len(about), about, body)).hexdigest()
