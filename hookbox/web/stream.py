"""`/stream`: publications of some topics as they come, for programs and for `EventSource`; its tickets."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from hookbox.commands.site import Site
from hookbox.commands.stream import Guest, leave, let_in
from hookbox.core.cookies import from_wsgi, to_wsgi
from hookbox.errors import (
    BadRequest,
    DeliveryStoreError,
    EngineError,
    HookboxError,
    LimitReached,
    NotPermitted,
    ProtocolError,
    WebhookError,
)
from hookbox.protocol.json_text import dump
from hookbox.protocol.units import Form, choose_form
from hookbox.transports.stream import Consumer, Streams, Wanted
from hookbox.web.lean import STATUS_LINES, Answer, Environ, Headers
from hookbox.web.outside import CHALLENGE, Access
from hookbox.web.paths import STREAM, TICKET
from hookbox.web.stream_request import Fields, read_fields, read_wanted
from hookbox.web.tickets import Tickets

logger = logging.getLogger(__name__)

METHODS: Final = {STREAM: ("GET", "HEAD", "POST", "OPTIONS"), TICKET: ("POST", "OPTIONS")}
RETRY_SECONDS: Final = 5
SET_COOKIES: Final = "hookbox.set_cookies"
"""In the WSGI environ: what the application's answers about this request have set."""
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be served.

    Args:
        wanted: what it asked for.
        guest: whom the application let in; None for a holder of the API token.
    """

    wanted: Wanted
    guest: Guest | None = None


class Body:
    """The pieces of a stream's answer; `close` frees what it holds.

    Args:
        consumer: has begun.
        release: called at the end.
    """

    def __init__(self, consumer: Consumer, release: Callable[[], None]) -> None:
        self._consumer = consumer
        self._release = release

    def __iter__(self) -> Iterator[bytes]:
        return self._consumer.pieces()

    def close(self) -> None:
        """Free everything; called by the server, however it ends."""
        self._release()


class StreamDoor:
    """The WSGI application at `/stream`.

    Args:
        site: asks the application.
        streams: where consumers are kept now; raises DeliveryStoreError while there is no store, by whose
            numbers they resume.
        access: knows the holders of tokens.
        tickets: those that may be used.
    """

    def __init__(self, site: Site, streams: Callable[[], Streams], access: Access, tickets: Tickets) -> None:
        self._site = site
        self._access = access
        self._streams = streams
        self._tickets = tickets

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> list[bytes] | Body:
        """The WSGI interface."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        try:
            if path not in METHODS:
                raise BadRequest(404, "Not Found")
            if method not in METHODS[path]:
                raise BadRequest(405, "Method Not Allowed", (("Allow", ", ".join(METHODS[path])),))
            if method == "OPTIONS":
                return _send(_preflight(environ), start_response)
            if self._site.draining:
                raise LimitReached("the server restarts")
            streams = self._streams()
            fields = read_fields(environ)
            if path == TICKET:
                return _send(self._issue(environ, fields), start_response)
            return self._stream(environ, fields, streams, start_response)
        except HookboxError as error:
            return _send(_refusal(environ, error), start_response)

    def _issue(self, environ: Environ, fields: Fields) -> Answer:
        """Answer with a ticket."""
        self._tickets.require_room()
        admitted = self._admit(environ, fields)
        key = self._tickets.issue(admitted.wanted, page_of(environ), admitted.guest)
        body = dump({"ticket": key}).encode()
        return _whole(environ, 200, body, ("Content-Type", "application/json"))

    def _stream(
        self, environ: Environ, fields: Fields, streams: Streams, start_response: Callable[..., object]
    ) -> list[bytes] | Body:
        form = choose_form(environ.get("HTTP_ACCEPT", ""))
        streams.require_room()
        admitted = self._admit_or_take(environ, fields)
        try:
            if admitted.wanted.with_length and form is Form.EVENTS:
                raise BadRequest(400, "delimited=length is for JSON; events need no lengths")
            if environ["REQUEST_METHOD"] == "HEAD":
                self._leave(admitted)
                start_response(STATUS_LINES[200], _stream_headers(environ, form))
                return []
            consumer = streams.open(admitted.wanted, form)
            consumer.cut_off = environ["hookbox.cut_off"]
            if admitted.guest is not None:
                admitted.guest.speaker.transport = consumer
            try:
                consumer.begin()
            except BaseException:
                consumer.stop()
                raise
        except BaseException:
            self._leave(admitted)
            raise
        unwatch = environ["hookbox.watch"](consumer.gone)

        def release() -> None:
            unwatch()
            consumer.stop()
            self._leave(admitted)

        start_response(STATUS_LINES[200], _stream_headers(environ, form))
        return Body(consumer, release)

    def _leave(self, admitted: Admitted) -> None:
        if admitted.guest is not None:
            leave(self._site, admitted.guest)

    def _admit_or_take(self, environ: Environ, fields: Fields) -> Admitted:
        """Whoever has a ticket need not be asked for anything else."""
        key = fields.one("ticket")
        if key is None:
            return self._admit(environ, fields)
        ticket = self._tickets.take(key, page_of(environ))
        try:
            return Admitted(read_wanted(fields, _last_event_id(environ), ticket.wanted), ticket.guest)
        except BaseException:
            self._leave(Admitted(ticket.wanted, ticket.guest))
            raise

    def _admit(self, environ: Environ, fields: Fields) -> Admitted:
        """Let the holder of the token in; about everybody else the application decides.

        Raises:
            BadRequest: 401, a token is needed, or another one; 400, it is not clear what is wanted.
            NotPermitted, WebhookError: the application said no, or nothing.
        """
        is_application = self._shows_token(environ, fields)
        if not is_application and self._site.settings.stream_auth == "token":
            raise BadRequest(401, "token required: send Authorization: Bearer <token>", CHALLENGE)
        wanted = read_wanted(fields, _last_event_id(environ))
        if is_application:
            return Admitted(wanted)
        cookies = from_wsgi(environ.get("HTTP_COOKIE", ""))
        set_cookies = environ[SET_COOKIES] = []
        address = environ["hookbox.client_ip"]
        return Admitted(wanted, let_in(self._site, cookies, address, wanted.topics, set_cookies))

    def _shows_token(self, environ: Environ, fields: Fields) -> bool:
        """Whether it is the application that asks; a browser's other credentials are not meant for us.

        Raises:
            BadRequest: 401, the token is wrong.
        """
        if environ.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer ":
            return self._access.caller(environ) is not None
        in_form, in_query = (next(iter(given.get("_token", ())), "") for given in fields.apart)
        return self._access.caller({}, in_form, in_query) is not None


def page_of(environ: Environ) -> str:
    """The origin of the page that a request comes from; empty for the server's own, and for no page.

    Browsers send no Origin with an EventSource of the same origin.
    """
    origin: str = environ.get("hookbox.origin", "").lower()
    is_own = (
        environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
        or origin.partition("://")[2] == environ.get("HTTP_HOST", "").lower()
    )
    return "" if is_own else origin


def _last_event_id(environ: Environ) -> str:
    header: str = environ.get("HTTP_LAST_EVENT_ID", "")
    return header


def _send(answer: Answer, start_response: Callable[..., object]) -> list[bytes]:
    start_response(answer.status, answer.headers)
    return [answer.body]


def _for_browser(environ: Environ, vary: str) -> Headers:
    """CORS, and the cookies that the application set when it was asked about this request."""
    headers = [("Vary", vary)]
    headers += [("Set-Cookie", to_wsgi(cookie)) for cookie in environ.get(SET_COOKIES, ())]
    if origin := environ.get("hookbox.origin"):
        headers += [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "Retry-After"),
        ]
    return headers


def _stream_headers(environ: Environ, form: Form) -> Headers:
    return [
        ("Content-Type", form.value),
        ("Cache-Control", "no-cache, no-transform"),
        ("X-Accel-Buffering", "no"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *_for_browser(environ, "Accept, Origin"),
    ]


def _preflight(environ: Environ) -> Answer:
    headers = [
        ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID"),
        ("Access-Control-Max-Age", "600"),
        *_for_browser(environ, "Origin"),
    ]
    return Answer(STATUS_LINES[204], headers, b"")


def _whole(environ: Environ, status: int, body: bytes, *more: tuple[str, str]) -> Answer:
    headers = [
        *more,
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *_for_browser(environ, "Accept, Origin"),
    ]
    return Answer(STATUS_LINES[status], headers, body)


def _refusal(environ: Environ, error: HookboxError) -> Answer:
    """The answer for an error; what was wrong with the request is said, what went wrong here is not."""
    more: tuple[tuple[str, str], ...] = (("Content-Type", TEXT),)
    match error:
        case BadRequest():
            status, more = error.status, (*more, *error.headers)
        case ProtocolError():
            status = 400
        case LimitReached() | WebhookError() | EngineError() | DeliveryStoreError():
            seconds = getattr(error, "retry_seconds", None) or RETRY_SECONDS
            status, more = 503, (*more, ("Retry-After", str(math.ceil(seconds))))
        case NotPermitted():
            status = 403
        case _:
            status, more = 503, (*more, ("Retry-After", str(RETRY_SECONDS)))
    reason = "the store cannot be used now" if isinstance(error, DeliveryStoreError) else str(error)
    logger.info("refused a stream: %d %s", status, error)
    return _whole(environ, status, reason.encode("utf-8", "replace"), *more)
