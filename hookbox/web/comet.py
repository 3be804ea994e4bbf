"""The comet endpoints: HTTP requests to calls on sessions and back.

Origins, sizes of heads and deadlines of reading are the door's business (`hookbox.web.http`).
Source: Comet Session Protocol, draft 0.3; what the original browser client evaluates and retries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Any, Final

from bottle import Bottle, HTTPResponse, request

from hookbox.errors import CommandRefused, NotFound, ProtocolError
from hookbox.protocol.csp import read_batch
from hookbox.protocol.csp_variables import Variables, read_acknowledged, read_query
from hookbox.protocol.disconnects import MESSAGE_TOO_BIG, PROTOCOL_ERROR
from hookbox.protocol.json_text import dump
from hookbox.settings import Settings
from hookbox.transports.comet import CometSession, CometSessions

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Answer = Callable[[Environ], HTTPResponse]

METHODS: Final = "GET, POST, OPTIONS"
RETRY_AFTER_SECONDS: Final = "5"
SOON: Final = "1"
STATUS_LINES: Final = {int(status): f"{int(status)} {status.phrase}" for status in HTTPStatus}


def add_comet_routes(app: Bottle, sessions: CometSessions, settings: Callable[[], Settings]) -> None:
    """Serve comet at `/csp/`, and at `/csp/csp/` for pages that give the comet URL as the server's.

    Args:
        settings: those in force now.
    """
    door = CometDoor(sessions, settings)
    for base in ("/csp/", "/csp/csp/"):
        for name, answer in door.answers.items():
            app.route(base + name, "ANY", door.route(answer))
    for path in ("/csp", "/csp/", "/csp/<rest:path>"):
        app.route(path, "ANY", lambda rest="": reply(request.environ, 404))


def end_session_over_body(sessions: CometSessions, query_string: str) -> None:
    """A body was refused for its size before here: end its session, or the client sends it for ever.

    Args:
        query_string: of the refused request.
    """
    try:
        session = sessions.find(read_query(query_string).get("s", b"").decode("latin-1"))
    except NotFound:
        return
    session.close(MESSAGE_TOO_BIG)


class CometDoor:
    """Answers the requests of comet clients.

    Args:
        sessions: where they are kept.
        settings: those in force now.
    """

    def __init__(self, sessions: CometSessions, settings: Callable[[], Settings]) -> None:
        self._sessions = sessions
        self._settings = settings
        self.answers: dict[str, Answer] = {
            "handshake": self.handshake,
            "send": self.send,
            "comet": self.comet,
            "close": self.close,
        }

    def route(self, answer: Answer) -> Callable[[], HTTPResponse]:
        """One endpoint: the answer to GET and POST, and what is said to everything else."""

        def serve() -> HTTPResponse:
            environ = request.environ
            match environ["REQUEST_METHOD"]:
                case "GET" | "POST":
                    return _mapped(answer, environ)
                case "OPTIONS":
                    return preflight(environ)
                case _:
                    return reply(environ, 405, more={"Allow": METHODS})

        return serve

    def handshake(self, environ: Environ) -> HTTPResponse:
        """Begin a session."""
        variables = Variables().updated(read_query(environ["QUERY_STRING"]))
        session = self._sessions.open(
            variables,
            cookies=environ.get("HTTP_COOKIE", ""),
            client_ip=environ.get("hookbox.client_ip", ""),
            origin=environ.get("hookbox.origin", ""),
        )
        return _spoken(environ, session, dump({"session": session.key}))

    def send(self, environ: Environ) -> HTTPResponse:
        """Take packets; whoever handles them is not waited for, as the client waits for this answer."""
        query = read_query(environ["QUERY_STRING"])
        session = self._session(query)
        body = read_body(environ, self._settings().client_body)
        if body is None:
            session.close(MESSAGE_TOO_BIG)
            return reply(environ, 413, b"'too_large'", more={"Connection": "close"})
        self._hear(session, query, environ)
        try:
            packets = read_batch(body or query.get("d", b""))
        except ProtocolError as error:
            session.close(PROTOCOL_ERROR)
            return reply(environ, 400, f"'{error.code}'".encode())
        if not session.take(packets):
            return reply(environ, 413, b"'limit'")
        return _spoken(environ, session, '"OK"')

    def comet(self, environ: Environ) -> HTTPResponse:
        """Give packets, waiting for one if need be; or stream them."""
        query = read_query(environ["QUERY_STRING"])
        session = self._session(query)
        self._hear(session, query, environ)
        session.cut_off = environ.get("hookbox.cut_off", session.cut_off)
        variables = session.variables
        if variables.streaming and environ["SERVER_PROTOCOL"] != "HTTP/1.0":
            return _streamed(environ, session)
        body = variables.batch(session.poll())
        return reply(environ, 200, variables.preamble() + body, variables.ct)

    def close(self, environ: Environ) -> HTTPResponse:
        """The client asks to close."""
        query = read_query(environ["QUERY_STRING"])
        session = self._session(query)
        self._hear(session, query, environ)
        session.leave()
        return _spoken(environ, session, '"OK"')

    def _session(self, query: dict[str, bytes]) -> CometSession:
        return self._sessions.find(query.get("s", b"").decode("latin-1"))

    def _hear(self, session: CometSession, query: dict[str, bytes], environ: Environ) -> None:
        session.hear(
            session.variables.updated(query),
            acknowledged=read_acknowledged(query.get("a", b"")),
            cookies=environ.get("HTTP_COOKIE", ""),
        )


def _mapped(answer: Answer, environ: Environ) -> HTTPResponse:
    try:
        return answer(environ)
    except NotFound:
        return reply(environ, 404, b"'Session not found'")
    except CommandRefused as refusal:
        wait = SOON if refusal.code == "unavailable" else RETRY_AFTER_SECONDS
        more = {"Retry-After": wait, "Access-Control-Expose-Headers": "Retry-After"}
        return reply(environ, 429 if refusal.code == "rate" else 503, f"'{refusal.code}'".encode(), more=more)
    except Exception:
        logger.exception("answering a comet request failed")
        return reply(environ, 500, b"'internal'")


def read_body(environ: Environ, limit: int) -> bytes | None:
    """A request's body, None if it is over the limit; one that says so beforehand is not read at all."""
    announced = environ.get("CONTENT_LENGTH") or ""
    if announced.isdecimal() and int(announced) > limit:
        return None
    body: bytes = environ["wsgi.input"].read(limit + 1)
    return None if len(body) > limit else body


def _spoken(environ: Environ, session: CometSession, value: str) -> HTTPResponse:
    variables = session.variables
    return reply(environ, 200, variables.reply(value), variables.ct)


def _streamed(environ: Environ, session: CometSession) -> HTTPResponse:
    variables, batches = session.variables, session.stream()

    def pieces() -> Iterator[bytes]:
        before = variables.preamble()
        with closing(batches):
            for packets in batches:
                yield before + variables.batch(packets)
                before = b""

    headers = _headers(environ, variables.ct)
    headers["X-Accel-Buffering"] = "no"
    return HTTPResponse(pieces(), STATUS_LINES[200], headers)


def preflight(environ: Environ) -> HTTPResponse:
    """What a page on another origin may do here."""
    headers = _headers(environ, "")
    headers["Access-Control-Allow-Methods"] = METHODS
    headers["Access-Control-Allow-Headers"] = "Content-Type"
    headers["Access-Control-Max-Age"] = "600"
    return HTTPResponse(b"", STATUS_LINES[204], headers)


def reply(
    environ: Environ,
    status: int,
    body: bytes = b"",
    content_type: str = "text/plain",
    more: dict[str, str] | None = None,
) -> HTTPResponse:
    """A whole answer, errors included, that a page of an allowed origin can read."""
    headers = _headers(environ, content_type)
    if more:
        headers.update(more)
    headers["Content-Length"] = str(len(body))
    return HTTPResponse(body, STATUS_LINES[status], headers)


def _headers(environ: Environ, content_type: str) -> dict[str, str]:
    headers = {"Content-Type": content_type} if content_type else {}
    if origin := environ.get("hookbox.origin"):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
    headers["Vary"] = "Origin"
    headers["Cache-Control"] = "no-store"
    headers["X-Content-Type-Options"] = "nosniff"
    return headers
