"""The road of `requests` to the application: a lean transport adapter and a session that uses it.

`requests` spends most of a call on what never changes between calls to one application. An
adapter is the library's own place for a leaner road; what a caller sees stays `requests`:
prepared requests in, `Response` objects and its exceptions out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from gevent import ssl
from gevent.timeout import Timeout
from requests import PreparedRequest, Response, Session, exceptions
from requests.adapters import BaseAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from hookbox.clock import Clock
from hookbox.errors import BadAnswer
from hookbox.webhooks.answer import AnswerReader
from hookbox.webhooks.connections import Connection, ConnectTimedOut, Dialer, Pool
from hookbox.webhooks.outgoing import request_line, serialize
from hookbox.webhooks.target import Target

RECEIVE = 16 * 1024  # bytes asked for at once
MOST_HEADS = 256  # kept, one for each method and URL
CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)  # by the other side


class ClosedUnanswered(exceptions.ConnectionError):
    """The connection was closed before any byte of an answer."""


class Answer(Response):
    """A Response whose body is here already; headers and cookies are read when asked for."""

    raw: Any  # the AnswerReader

    def __init__(self, request: PreparedRequest, reader: AnswerReader) -> None:
        # Not the inherited one: a third of its time goes into a cookie jar that stays empty.
        self.request = request
        self.url = request.url or ""
        self.status_code = reader.status
        self.reason = reader.reason
        self.raw = reader
        self.encoding = "utf-8"
        self.history = []
        self._content = reader.body
        self._content_consumed = True
        self._next = None

    def __getattr__(self, name: str) -> Any:
        if name == "headers":
            self.headers = _mapping(self.raw.headers)
        elif name == "cookies":
            self.cookies = RequestsCookieJar()
        else:
            raise AttributeError(name)
        return self.__dict__[name]

    def values(self, name: str) -> list[str]:
        """All values of the headers with that name, given in lower case, in order."""
        values: list[str] = self.raw.values(name)
        return values

    def each(self, *names: str) -> list[list[str]]:
        """The same for several names."""
        found: list[list[str]] = self.raw.each(*names)
        return found


class BareSession(Session):
    """A `requests.Session` that keeps nothing from one call for the next and follows nothing.

    A user's cookie must never reach another user's call, the environment must not name
    proxies or credentials, and a redirect is an answer like any other.
    """

    def __init__(self, adapter: BaseAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.adapters.clear()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def resolve_redirects(self, *answer: Any, **options: Any) -> Iterator[Any]:
        """Go nowhere, whatever the answer says."""
        return iter(())


class LeanAdapter(BaseAdapter):
    """Sends prepared requests over kept-alive connections and reads bounded answers.

    Args:
        dialer: makes connections.
        clock: ages idle ones.
        limit: bytes a body may have; may be changed at any time.
    """

    def __init__(self, dialer: Dialer, clock: Clock, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.repeats = 0
        self._dialer = dialer
        self._clock = clock
        self._pools: dict[Target, Pool] = {}
        self._heads: dict[tuple[str | None, str | None], tuple[Target, str]] = {}
        self._busy: set[Connection] = set()

    @property
    def connections(self) -> int:
        """Open connections, busy and idle."""
        return len(self._busy) + sum(map(len, self._pools.values()))

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and read the whole answer.

        When a kept-alive connection turns out to have been closed before any byte of an
        answer came, the request is sent once more on a new connection.

        Args:
            request: its headers are text without CR, LF, NUL; its body is text or bytes.
            stream: ignored, the body is always read.
            timeout: (seconds to connect, seconds on the wall for everything).
            verify: ignored, certificates are always verified.
            cert: ignored.
            proxies: ignored.

        Raises:
            exceptions.Timeout: one of the limits passed.
            exceptions.ConnectionError: no connection, or no answer that can be used.
            exceptions.InvalidHeader: a header could be taken for two; nothing was sent.
        """
        connect_timeout, total = timeout
        target, head = self._head(request)
        data = serialize(head, request)
        timer = Timeout.start_new(total)
        try:
            reader = self._exchange(target, data, connect_timeout)
        except Timeout as expired:
            if expired is not timer:
                raise
            raise exceptions.ReadTimeout(f"no complete answer within {total:.3g} s") from None
        except ConnectTimedOut as error:
            raise exceptions.ConnectTimeout(str(error)) from None
        except ssl.SSLError as error:
            raise exceptions.SSLError(f"TLS: {error.reason or error}") from None
        except OSError as error:
            if isinstance(error, exceptions.RequestException):
                raise
            raise exceptions.ConnectionError(error.strerror or str(error)) from None
        except BadAnswer as error:
            raise exceptions.ConnectionError(f"unusable answer: {error}") from None
        finally:
            timer.close()
        return Answer(request, reader)

    def retire(self, keep: set[Target]) -> None:
        """Close the connections to all other targets, busy ones when their exchange is over."""
        for target in self._pools.keys() - keep:
            self._pools.pop(target).close()
        self._heads.clear()

    def close(self) -> None:
        """Close all connections; whoever waits for an answer gets a ConnectionError."""
        self.retire(set())
        for connection in list(self._busy):
            connection.close()

    def _head(self, request: PreparedRequest) -> tuple[Target, str]:
        key = (request.method, request.url)
        found = self._heads.get(key)
        if found is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            target = Target.of(request.url or "")
            found = self._heads[key] = (target, request_line(request, target))
        return found

    def _exchange(self, target: Target, data: bytes, connect_timeout: float) -> AnswerReader:
        pool = self._pools.get(target)
        if pool is None:
            pool = self._pools[target] = Pool(self._clock)
        connection = pool.take()
        if connection is not None:
            try:
                return self._converse(connection, pool, data)
            except ClosedUnanswered:
                self.repeats += 1
        return self._converse(self._dialer.dial(target, connect_timeout), pool, data)

    def _converse(self, connection: Connection, pool: Pool, data: bytes) -> AnswerReader:
        reader = AnswerReader(self.limit)
        whole = False
        self._busy.add(connection)
        try:
            whole = _send(connection, data)
            _receive(connection, reader)
        finally:
            self._busy.discard(connection)
            if whole and reader.done and reader.reusable:
                pool.give_back(connection)
            else:
                connection.close()
        return reader


def _send(connection: Connection, data: bytes) -> bool:
    try:
        sent = connection.sock.send(data)
        if sent < len(data):
            connection.sock.sendall(data[sent:])
    except CLOSED:
        return False  # an answer may have come before the application stopped listening
    return True


def _receive(connection: Connection, reader: AnswerReader) -> None:
    received = False
    while not reader.done:
        try:
            data = connection.sock.recv(RECEIVE)
        except CLOSED as error:
            if received:
                raise BadAnswer("connection reset in the middle of it") from error
            data = b""
        if not data and not received:
            raise ClosedUnanswered("connection closed without an answer")
        received = True
        if data:
            reader.feed(data)
        else:
            reader.end()


def _mapping(headers: list[tuple[str, str]]) -> CaseInsensitiveDict[str]:
    mapping: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for name, value in headers:
        mapping[name] = f"{mapping[name]}, {value}" if name in mapping else value
    return mapping
