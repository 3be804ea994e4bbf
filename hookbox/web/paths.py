"""Which paths lie beside those of the transports and the API, known without loading what serves them."""

from __future__ import annotations

from typing import Final

DISPATCH: Final = "/dispatch"
BACKLOG: Final = "/api/v1"
STREAM: Final = "/stream"
TICKET: Final = "/stream/ticket"
HUB: Final = "/hub"
SHARED_WITH_HUB: Final = ("/subscribe", "/publish")
"""The API's, unless a request has `hub.mode`."""
TOPICS: Final = "/topic/"
METRICS: Final = "/metrics"
COOKIES: Final = "/cookie/"
ADMIN: Final = "/admin"
ADMIN_API: Final = "/admin/api/"
ADMIN_FEED: Final = "/admin/ws"


def serves_dispatch(path: str) -> bool:
    """Whether a path is for dispatching."""
    return path == DISPATCH or path.startswith(DISPATCH + "/")


def serves_backlog(path: str) -> bool:
    """Whether a path belongs to the backlog."""
    return path == BACKLOG or path.startswith(BACKLOG + "/")


def serves_streams(path: str) -> bool:
    """Whether a path belongs to streams."""
    return path == STREAM or path.startswith(STREAM + "/")


def serves_hub(path: str) -> bool:
    """Whether a path belongs to the hub or is a topic's."""
    return path == HUB or path in SHARED_WITH_HUB or path.startswith(TOPICS)


def serves_metrics(path: str) -> bool:
    """Whether a path is that of the metrics."""
    return path == METRICS


def serves_cookies(path: str) -> bool:
    """Whether a path hands a cookie over."""
    return path.startswith(COOKIES)


def loggable(raw_path: str, path: str) -> str:
    """A path as it may be logged: the key to a cookie is as good as the cookie.

    Args:
        raw_path: as the client wrote it.
        path: the same, percent-decoded.
    """
    return f"{COOKIES}..." if COOKIES in path else raw_path


def serves_admin(path: str) -> bool:
    """Whether a path belongs to the console."""
    return path == ADMIN or path.startswith(ADMIN + "/")
