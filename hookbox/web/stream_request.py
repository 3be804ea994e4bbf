"""What a request for a stream asks for: fields of its query or its form, and two headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from hookbox.core.names import channel_name_fault
from hookbox.core.values import ChannelName
from hookbox.delivery.forms import (
    MULTIPART,
    URL_ENCODED,
    Field,
    media_type,
    read_multipart,
    read_url_encoded,
)
from hookbox.delivery.intake_values import as_text, read_number
from hookbox.errors import BadRequest, NotPermitted
from hookbox.protocol.units import StreamPosition, read_position
from hookbox.transports.stream import Wanted

MOST_TOPICS: Final = 50
MOST_BACKLOG: Final = 1000
LONGEST_VALUE: Final = 8192
HEARTBEATS: Final = (5.0, 60.0)
TOPIC_FIELDS: Final = ("topic", "channel")
NO_TOPIC: Final = BadRequest(400, "400 No topic")

_whole_number = re.compile(r"[0-9]{1,9}", re.ASCII).fullmatch


class Fields:
    """Fields of a request by name. What the form gives replaces what the query gives.

    Args:
        query, form: in order.

    Raises:
        BadRequest: a value is too long, or not text.
    """

    def __init__(self, query: Iterable[Field], form: Iterable[Field]) -> None:
        self.apart = _by_name(form), _by_name(query)
        """What the form gives, and what the query gives."""
        self._values = {**self.apart[1], **self.apart[0]}

    def all(self, *names: str) -> list[str]:
        """All values of some names."""
        return [value for name in names for value in self._values.get(name, ())]

    def one(self, name: str) -> str | None:
        """The first value of a name, None without one."""
        return next(iter(self._values.get(name, ())), None)

    def number(self, name: str, low: int, high: int) -> int | None:
        """A whole number in a range, None without one.

        Raises:
            BadRequest: it is none.
        """
        value = self.one(name)
        if value is None:
            return None
        if not _whole_number(value) or not low <= int(value) <= high:
            raise BadRequest(400, f"{name} has to be a number from {low} to {high}")
        return int(value)


def _by_name(fields: Iterable[Field]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for item in fields:
        if not isinstance(item.value, str):
            raise BadRequest(400, f"{as_text('a field', item.name)} is a file")
        if len(item.value.encode("utf-8", "surrogateescape")) > LONGEST_VALUE:
            raise BadRequest(400, f"a field has more than {LONGEST_VALUE} bytes")
        values.setdefault(item.name, []).append(as_text(item.name, item.value))
    return values


def read_fields(environ: dict[str, Any]) -> Fields:
    """The fields of a request, its body included.

    Raises:
        BadRequest: they cannot be read.
    """
    query = read_url_encoded(environ["QUERY_STRING"].encode("latin-1"))
    if environ["REQUEST_METHOD"] != "POST":
        return Fields(query, ())
    body = environ["wsgi.input"].read()
    name, options = media_type(environ.get("CONTENT_TYPE") or URL_ENCODED)
    if name == MULTIPART:
        return Fields(query, read_multipart(body, options.get("boundary", "")) if body else ())
    if name != URL_ENCODED:
        raise BadRequest(415, "send a form")
    return Fields(query, read_url_encoded(body))


def read_wanted(fields: Fields, last_event_id: str, ticket: Wanted | None = None) -> Wanted:
    """What is wanted.

    Args:
        last_event_id: the header, empty without one.
        ticket: what its holder wanted when it was issued; that stands where nothing else is said now.

    Raises:
        BadRequest: the text names what is wrong.
        NotPermitted: a topic that the ticket is not for.
    """
    base = ticket or Wanted(())
    limit = fields.number("limit", 1, 10**9 - 1)
    backlog = fields.number("backlog", 0, MOST_BACKLOG)
    heartbeat = fields.one("heartbeat")
    return Wanted(
        topics=_topics(fields, ticket),
        since=_position(last_event_id or fields.one("last_event_id")) or base.since,
        backlog=base.backlog if backlog is None else backlog,
        heartbeat=base.heartbeat if heartbeat is None else read_number("heartbeat", heartbeat, *HEARTBEATS),
        limit=base.limit if limit is None else limit,
        wait=_choice(fields, "wait", {"0": False, "1": True}, base.wait),
        with_length=_choice(fields, "delimited", {"length": True}, base.with_length),
    )


def _topics(fields: Fields, ticket: Wanted | None) -> tuple[ChannelName, ...]:
    given = tuple(dict.fromkeys(map(ChannelName, fields.all(*TOPIC_FIELDS))))
    if ticket is not None:
        if not set(given) <= set(ticket.topics):
            raise NotPermitted("the ticket is for other topics")
        return given or ticket.topics
    if not given:
        raise NO_TOPIC
    if len(given) > MOST_TOPICS:
        raise BadRequest(400, f"more than {MOST_TOPICS} topics")
    for topic in given:
        if fault := channel_name_fault(topic):
            raise BadRequest(400, fault.replace("channel_name", "topic"))
    return given


def _position(text: str | None) -> StreamPosition | None:
    return read_position(text) if text else None


def _choice(fields: Fields, name: str, choices: dict[str, bool], otherwise: bool) -> bool:
    value = fields.one(name)
    if value is None:
        return otherwise
    if value not in choices:
        raise BadRequest(400, f"{name} has to be {' or '.join(choices)}")
    return choices[value]
