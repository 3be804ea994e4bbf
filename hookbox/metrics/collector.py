"""Everything that is told of one server, in a registry of its own: two servers fit into one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from hookbox.metrics.application import application
from hookbox.metrics.census import Census
from hookbox.metrics.clients import channels, clients, messages
from hookbox.metrics.families import Families
from hookbox.metrics.house import house
from hookbox.metrics.outgoing import outgoing
from hookbox.metrics.process import process

if TYPE_CHECKING:
    from hookbox.server import Server


class ServerCollector(Collector):
    """The families of one server; each is made when it is its turn, and at once.

    Args:
        server: whose.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._census = Census(server)

    def collect(self) -> Families:
        """One family after the other."""
        server = self._server
        for part in (clients, channels, messages, application, house):
            yield from part(server)
        yield from outgoing(server, self._census)
        yield from process()


def make_registry(server: Server) -> CollectorRegistry:
    """The metrics of one server and of the process it is in."""
    registry = CollectorRegistry()
    registry.register(ServerCollector(server))
    return registry
