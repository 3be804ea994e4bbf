"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hookbox.errors import BadRequest
from hookbox.metrics.collector import make_registry
from hookbox.web.dispatch import refused
from hookbox.web.handlers import breathing
from hookbox.web.http import WsgiApp
from hookbox.web.lean import STATUS_LINES, Answer, Environ, LeanBottle
from hookbox.web.outside import Access
from hookbox.web.pages import excuse
from hookbox.web.paths import METRICS

if TYPE_CHECKING:
    from hookbox.server import Server

END: Final = b"# EOF\n"
"""What OpenMetrics wants behind everything, once."""


def make_metrics(server: Server, access: Access) -> WsgiApp:
    """The metrics of one server.

    Args:
        access: who may read them, unless `metrics_open` is set.
    """
    registry = make_registry(server)

    def serve(environ: Environ) -> Answer:
        try:
            if not server.settings.metrics_open:
                access.require(environ, in_query=_token(environ), what="/metrics")
        except BadRequest as error:
            return refused(error)
        encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        body = _written(registry.collect(), encode)
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        return Answer(STATUS_LINES[200], headers, body)

    app = LeanBottle(excuse)
    app.serve(METRICS, ["GET"], serve)
    return app


def _written(families: Iterable[Metric], encode: Callable[[Any], bytes]) -> bytes:
    """The families as text, written one by one so that others can run in between."""
    pieces = [encode(_One(family)) for family in breathing(families)]
    if not any(piece.endswith(END) for piece in pieces):
        return b"".join(pieces)
    return b"".join(piece.removesuffix(END) for piece in pieces) + END


class _One(Collector):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def _token(environ: Environ) -> str:
    found = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=100).get("security_token")
    return found[-1] if found else ""
