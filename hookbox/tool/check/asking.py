"""Asks an application as Hookbox does: the same request, read back as strictly, over plain sockets."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from requests import PreparedRequest, exceptions

from hookbox.errors import BadAnswer, UnusableAnswer
from hookbox.settings import Settings
from hookbox.tool.places import Place
from hookbox.tool.wire import dial, reason_of, tls_context
from hookbox.webhooks.answer import AnswerReader
from hookbox.webhooks.asked import BODY_KEPT, Asked, Verdict
from hookbox.webhooks.calls import Calls
from hookbox.webhooks.gate import Question, Refuse
from hookbox.webhooks.outgoing import request_line, serialize
from hookbox.webhooks.target import Target
from hookbox.webhooks.verdicts import read_verdict

RECEIVE: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and what came of it.

    Args:
        asked: as Hookbox itself notes it.
        kept_alive: whether the connection is fit for the next question.
        date: the answer's Date header, empty without one.
    """

    asked: Asked
    kept_alive: bool = False
    date: str = ""


class Unanswered(Exception):
    """No answer, and why; the text is as in Hookbox's log."""


class ClosedSilently(Unanswered):
    """The connection was closed before any byte of an answer."""


class Asker:
    """Asks one application, over one connection that is kept alive where the application lets it.

    Args:
        settings: those of the server that it will be asked by.
        cacert: file with certificates to trust besides, empty for none.

    Raises:
        ConfigError: the settings do not make a URL.
        OSError: the certificates cannot be read.
    """

    def __init__(self, settings: Settings, cacert: str = "") -> None:
        self._settings = settings
        self._calls = Calls(settings)
        self._cacert = cacert
        if cacert:
            tls_context(cacert)
        self._kept: tuple[Target, socket.socket] | None = None

    def url(self, action: str) -> str:
        """Where a question with this action goes."""
        return self._calls.url(action)

    def ask(self, question: Question, *, method: str = "POST", secret: str | None = None) -> Exchange:
        """Put a question. Blocks, for `webhook_timeout` seconds at most.

        Args:
            method: of HTTP; GET goes without the form.
            secret: instead of the configured one.
        """
        calls = self._calls if secret is None else Calls(replace(self._settings, webhook_secret=secret))
        key = secrets.token_hex(16)
        asked = Asked(key, time.time(), question)
        request = calls.request(question, key)
        asked.url = request.url or ""
        if method != "POST":
            _without_form(request, method)
        began = time.monotonic()
        kept_alive, date = False, ""
        try:
            reader = self._answered(request, began)
        except Unanswered as error:
            asked.why = f"{calls.target}: {error}"
        else:
            kept_alive, date = reader.reusable, next(iter(reader.values("date")), "")
            _judge(asked, reader)
        asked.took = time.monotonic() - began
        return Exchange(asked, kept_alive, date)

    def close(self) -> None:
        """End the connection that is kept."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def _answered(self, request: PreparedRequest, began: float) -> AnswerReader:
        target = Target.of(request.url or "")
        try:
            data = serialize(request_line(request, target), request)
        except exceptions.InvalidHeader as error:
            raise Unanswered(str(error)) from None
        deadline = began + self._settings.webhook_timeout
        try:
            if self._kept is not None:
                with suppress(ClosedSilently):  # kept too long: asked again, as Hookbox does
                    return self._converse(target, data, deadline)
            return self._converse(target, data, deadline)
        except TimeoutError:
            limit = self._settings.webhook_timeout
            raise Unanswered(f"no complete answer within {limit:.3g} s") from None
        except (OSError, BadAnswer) as error:
            raise Unanswered(_told(error)) from None

    def _converse(self, target: Target, data: bytes, deadline: float) -> AnswerReader:
        sock = self._take(target, deadline)
        reader = AnswerReader(self._settings.webhook_answer)
        whole = False
        try:
            with suppress(ConnectionError):  # an answer may have come all the same
                sock.sendall(data)
                whole = True
            _receive(sock, reader, deadline)
        finally:
            if whole and reader.done and reader.reusable:
                self._kept = (target, sock)
            else:
                sock.close()
        return reader

    def _take(self, target: Target, deadline: float) -> socket.socket:
        kept, self._kept = self._kept, None
        if kept is not None and kept[0] == target:
            kept[1].settimeout(_left(deadline))
            return kept[1]
        if kept is not None:
            kept[1].close()
        place = Place(target.scheme, target.host, target.port)
        limit = min(self._settings.webhook_connect_timeout, _left(deadline))
        try:
            sock = dial(place, self._cacert, limit)
        except TimeoutError:
            raise Unanswered(f"no connection within {limit:g} s") from None
        sock.settimeout(_left(deadline))
        return sock


def _receive(sock: socket.socket, reader: AnswerReader, deadline: float) -> None:
    received = False
    while not reader.done:
        sock.settimeout(_left(deadline))
        try:
            data = sock.recv(RECEIVE)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if received:
                raise BadAnswer("connection reset in the middle of it") from None
            data = b""
        if not data and not received:
            raise ClosedSilently("connection closed without an answer")
        received = True
        if data:
            reader.feed(data)
        else:
            reader.end()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _told(error: Exception) -> str:
    if isinstance(error, BadAnswer):
        return f"unusable answer: {error}"
    text = reason_of(error)
    return f"TLS: {text}" if isinstance(error, ssl.SSLError) and not text.startswith("TLS") else text


def _judge(asked: Asked, reader: AnswerReader) -> None:
    asked.status, asked.body, asked.size = reader.status, reader.body[:BODY_KEPT], len(reader.body)
    asked.content_type = ", ".join(reader.values("content-type"))
    asked.location = ", ".join(reader.values("location"))
    asked.set_cookies = tuple(reader.values("set-cookie"))
    try:
        verdict = read_verdict(reader.status, reader.body, asked.set_cookies)
    except UnusableAnswer as error:
        asked.verdict, asked.why = Verdict.FAILED, error.detail
        return
    asked.verdict = Verdict.ALLOWED
    if isinstance(verdict, Refuse):
        asked.verdict, asked.why = Verdict.REFUSED, verdict.reason


def _without_form(request: PreparedRequest, method: str) -> None:
    request.method = method
    request.body = None
    for name in ("Content-Type", "Content-Length"):
        request.headers.pop(name, None)
