"""One client session, and what it asks of the parts that carry it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hookbox.core.cookies import merge, read_cookies
from hookbox.core.kept import Replaced
from hookbox.core.values import JSON, ChannelName, ConnectionId
from hookbox.errors import ConnectionGone

if TYPE_CHECKING:
    from hookbox.core.user import User


class Outbox(Protocol):
    """Where encoded frames for one connection are left."""

    def put(self, frame: Any) -> None:
        """Queue a frame. Never blocks and never raises; after the end it does nothing."""


class Held:
    """A channel whose traffic waits until the client has said where it left off.

    Args:
        offset: the channel's offset when the connection came.
        epoch: its epoch.
        changes: the channel's count of changes of presence and state then.
    """

    __slots__ = ("changes", "epoch", "offset")

    def __init__(self, epoch: str, offset: int, changes: int) -> None:
        self.epoch = epoch
        self.offset = offset
        self.changes = changes


class Connection:
    """One client session with an id; it may outlive many HTTP requests.

    Args:
        id: unguessable name of the connection.
        outbox: where its frames go.
        request_cookies: Cookie header of the transport's own request.
        client_ip: address of the client, empty if unknown.
        opened_at: monotonic seconds.
    """

    __slots__ = (
        "client_ip",
        "connect_payload",
        "cookies",
        "features",
        "held",
        "id",
        "kept_cookies",
        "open",
        "opened_at",
        "outbox",
        "own_channels",
        "replaced_cookies",
        "request_cookies",
        "revoked",
        "script_cookies",
        "session",
        "transport",
        "user",
        "welcome",
    )

    def __init__(
        self, id: ConnectionId, outbox: Outbox, request_cookies: str, client_ip: str, opened_at: float
    ) -> None:
        self.id = id
        self.outbox = outbox
        self.request_cookies = request_cookies
        self.client_ip = client_ip
        self.opened_at = opened_at
        self.open = True
        self.revoked = False
        """Whether the application ended it: what is decided for it now must come to nothing."""
        self.user: User | None = None
        self.features: frozenset[str] = NO_FEATURES
        self.cookies = ""
        """Value of the Cookie header that webhooks of this connection carry."""
        self.session = ""
        """Which login of the application it belongs to: a digest of the session's cookie; empty for none."""
        self.connect_payload = NO_PAYLOAD
        """What the application was told in CONNECT, as JSON text; empty if that is not known any more."""
        self.script_cookies = ""
        self.kept_cookies: dict[str, str | None] | None = None
        self.replaced_cookies: dict[str, Replaced] | None = None
        """What the kept ones have replaced, by the same names."""
        self.held: dict[ChannelName, Held] | None = None
        self.own_channels: set[ChannelName] | None = None
        """Channels it subscribed to itself; used with `per_connection_subscriptions` only."""
        self.welcome: tuple[JSON, ...] = ()
        """The payload with which the application replaced the client's, as the only item; or nothing."""
        self.transport: Any = None

    def require_open(self) -> None:
        """Look again after a wait.

        Raises:
            ConnectionGone: the client left meanwhile.
        """
        if not self.open:
            raise ConnectionGone("connection closed while the application decided")

    def keep_cookies(self, changes: Mapping[str, str | None], only: str | None) -> None:
        """Use cookies set by a webhook's answer in later webhooks; None takes one away."""
        kept = dict(self.kept_cookies or {})
        replaced = dict(self.replaced_cookies or {})
        shown = read_cookies(self.request_cookies)
        for name, value in changes.items():
            before = kept[name] if name in kept else shown.get(name)
            kept[name] = value
            if before != value:
                replaced.setdefault(name, Replaced()).add(before)
        if kept:
            self.kept_cookies, self.replaced_cookies = kept, replaced
        self.refresh_cookies(only)

    def replaced(self, name: str) -> frozenset[str | None]:
        """The values of a kept cookie that the browser may still show, the one kept among them."""
        before = (self.replaced_cookies or {}).get(name)
        own = read_cookies(self.script_cookies).get(name), (self.kept_cookies or {}).get(name)
        return frozenset(own) | (before.values if before is not None else frozenset())

    def request_has(self, cookies: str, now: float) -> None:
        """A later request of the browser's has come, with other cookies: what it got meanwhile goes before
        what is kept. `refresh_cookies` is to follow.

        Args:
            cookies: value of its Cookie header.
            now: monotonic seconds.
        """
        self.request_cookies = cookies
        if self.kept_cookies:
            shown = read_cookies(cookies)
            replaced = self.replaced_cookies or {}
            self.kept_cookies = {
                name: value
                for name, value in self.kept_cookies.items()
                if not replaced.setdefault(name, Replaced()).by_browser(shown.get(name), value, now)
            }

    def refresh_cookies(self, only: str | None) -> None:
        """Work out `cookies` anew from the request's, the script's and the kept ones."""
        self.cookies = merge(self.request_cookies, self.script_cookies, self.kept_cookies or {}, only)


NO_FEATURES: frozenset[str] = frozenset()
NO_PAYLOAD = "null"
