"""`/topic/NAME`: the newest message of a topic, and where to subscribe to it.

Source: W3C WebSub section 4 (discovery); RFC 9110 sections 8.8 and 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from wsgiref.handlers import format_date_time

from hookbox.commands.site import Site
from hookbox.commands.stream import leave, let_in
from hookbox.core.cookies import from_wsgi
from hookbox.core.names import channel_name_fault
from hookbox.core.values import ChannelName
from hookbox.delivery.content import JSON_TYPE
from hookbox.delivery.deliveries import Deliveries
from hookbox.errors import BadRequest, HookboxError
from hookbox.web.dispatch import refused
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers, LeanBottle
from hookbox.web.outside import CHALLENGE, Access
from hookbox.web.paths import TOPICS

HEADERS: Final[Headers] = [
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),  # whatever it is, it is no page of this site
]


class Newest(NamedTuple):
    """The newest message of a topic."""

    seq: int
    time_ms: int
    content_type: str
    body: bytes


class TopicDoor:
    """Answers requests for topics.

    Args:
        deliveries: what delivers now.
        access: who has a token.
    """

    def __init__(self, site: Site, deliveries: Callable[[], Deliveries], access: Access) -> None:
        self._site = site
        self._deliveries = deliveries
        self._access = access

    def serve(self, environ: Environ, name: str) -> Answer:
        """Answer a request. Blocks, as the application may be asked."""
        try:
            return self._answer(environ, read_name(name))
        except HookboxError as error:
            return refused(error)

    def _answer(self, environ: Environ, topic: str) -> Answer:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise BadRequest(405, "a topic takes GET; subscribe at the hub", (("Allow", "GET, HEAD"),))
        self._let_in(environ, topic)
        deliveries = self._deliveries()
        headers: Headers = [("Link", deliveries.distribution.link(topic)), *HEADERS]
        newest = self._newest(deliveries, topic)
        if newest is None:
            return Answer(STATUS_LINES[204], headers, b"")
        etag = f'"{newest.seq}"'
        headers += [("ETag", etag), ("Last-Modified", format_date_time(newest.time_ms // 1000))]
        if etag in _tags(environ.get("HTTP_IF_NONE_MATCH", "")):
            return Answer(STATUS_LINES[304], headers, b"")
        about: Headers = [("Content-Type", newest.content_type), ("Content-Length", str(len(newest.body)))]
        return Answer(STATUS_LINES[200], [*about, *headers], newest.body)

    def _let_in(self, environ: Environ, topic: str) -> None:
        """Let in whoever comes if subscribing is open; else by token, or by what the application says."""
        settings = self._site.settings
        if settings.hub_policy == "open" or self._access.caller(environ) is not None:
            return
        if settings.stream_auth == "token":
            raise BadRequest(401, "token required: send Authorization: Bearer <token>", CHALLENGE)
        cookies = from_wsgi(environ.get("HTTP_COOKIE", ""))
        guest = let_in(self._site, cookies, environ["hookbox.client_ip"], [ChannelName(topic)])
        leave(self._site, guest)

    def _newest(self, deliveries: Deliveries, topic: str) -> Newest | None:
        """The newest message, whether it was kept on disk or only in memory."""
        shown = self._site.broker.kept(ChannelName(topic))
        stored = deliveries.store.newest(topic, 1)
        if stored and not (shown and shown[-1].seq > stored[0].seq):
            message = stored[0]
            return Newest(message.seq, message.time_ms, message.content_type, message.body)
        if not shown:
            return None
        last = shown[-1]
        return Newest(last.seq, last.time_ms, JSON_TYPE, last.payload.encode())


def add_topics(app: LeanBottle, door: TopicDoor) -> None:
    """Serve topics below an application."""
    app.serve(TOPICS + "<name:path>", ["ANY"], door.serve)


def read_name(text: str) -> str:
    """A topic's name out of a path, as WSGI has it.

    Raises:
        BadRequest: 404, there can be no such topic.
    """
    try:
        name = text.encode("latin-1").decode()
    except UnicodeError:
        raise BadRequest(404, "there is no such topic: its name is not UTF-8") from None
    if channel_name_fault(name):
        raise BadRequest(404, "there is no such topic")
    return name


def _tags(condition: str) -> list[str]:
    return [item.strip().removeprefix("W/") for item in condition.split(",")]
