"""What is examined, and what the probes have learned of it so far."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hookbox.core.cookies import read_cookies
from hookbox.core.values import JSONObject
from hookbox.tool.api import Api
from hookbox.tool.findings import Finding
from hookbox.tool.places import Place
from hookbox.tool.wire import Answer, Flow, dial

USUAL_PING_SECONDS = 25.0


class Hopeless(Exception):
    """There is no use in looking on.

    Args:
        finding: why.
        silent: whether nothing answers at all.
    """

    def __init__(self, finding: Finding, *, silent: bool = False) -> None:
        super().__init__(finding.what)
        self.finding = finding
        self.silent = silent


@dataclass(slots=True)
class Learned:
    """What the probes have found out.

    Args:
        version: of the Hookbox there, empty while unknown.
        ping_interval: seconds, as CONNECTED says.
        greeted: whether a CONNECT was sent by any transport.
        connection: id of the connection that was let in, empty without one.
        user: its user.
        refusal: code and text of the ERROR frame instead, empty without one.
        webhook: the `connect` in the server's own log, None while unknown.
        failed: the last webhook there that went wrong, whoever's it was; None for none.
        own_address: of our side of a connection.
        peer_address: of the other side of it.
        open_socket: whether a WebSocket was opened.
    """

    version: str = ""
    ping_interval: float = USUAL_PING_SECONDS
    greeted: bool = False
    connection: str = ""
    user: str = ""
    refusal: tuple[str, str] = ("", "")
    webhook: JSONObject | None = None
    failed: JSONObject | None = None
    own_address: str = ""
    peer_address: str = ""
    open_socket: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A deployment from outside.

    Args:
        place: Hookbox, as the pages have it.
        cacert: file with certificates to trust besides, empty for none.
        page: a page that connects, None if none was given.
        origin: of the pages, empty for Hookbox's own.
        cookies: of a browser, empty for none.
        api: the server's own API, None without a token.
        payload: of CONNECT, as JSON text.
        idle: seconds to wait in silence, None for as long as is needed.
        timeout: seconds for an answer.
        marker: name of a cookie that is sent along, to find the webhook by.
    """

    place: Place
    cacert: str = ""
    page: Place | None = None
    origin: str = ""
    cookies: str = field(default="", repr=False)
    api: Api | None = None
    payload: str = "null"
    idle: float | None = None
    timeout: float = 10.0
    marker: str = field(default_factory=lambda: f"hookbox-doctor-{secrets.token_hex(4)}")
    learned: Learned = field(default_factory=Learned)

    def flow(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> Flow:
        """Begin a request below Hookbox's URL; as `Flow`.

        Args:
            timeout: seconds for the head of the answer; default: that of the case.
        """
        sock = dial(self.place, self.cacert, timeout or self.timeout)
        return Flow(sock, self.place, method, self.place.path + path, headers, body)

    def fetch(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Make a request below Hookbox's URL, and read the whole answer."""
        with self.flow(method, path, headers, body) as flow:
            return flow.whole(self.timeout)

    def cookie_header(self) -> str:
        """The browser's cookies, and the marker."""
        mark = f"{self.marker}=1"
        return f"{self.cookies}; {mark}" if self.cookies else mark

    def cookie_names(self) -> Iterable[str]:
        """Of the browser's cookies."""
        return read_cookies(self.cookies)

    @property
    def pages(self) -> str:
        """Origin of the pages that connect."""
        return self.origin or (self.page.origin if self.page else self.place.origin)
