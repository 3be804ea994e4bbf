"""Host names to addresses, in threads of our own: a name that hangs delays nobody else."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any, cast

from gevent import monkey
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from hookbox.clock import Clock

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
Found = list[Address] | OSError
Lookup = Callable[[str, int], list[Address]]

KEEP = 5.0  # seconds an answer is used again
MOST_LOOKUPS = 32  # names being looked up at once, one thread each
MOST_KEPT = 256
IDLE_THREAD = 10  # seconds after which a thread with nothing to do ends


def system_lookup(host: str, port: int) -> list[Address]:
    """Ask the operating system; blocks the thread, whatever is monkey patched."""
    getaddrinfo = monkey.get_original("socket", "getaddrinfo")
    found = getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Resolver:
    """Looks names up, each at most once at a time, and keeps the answer for a few seconds.

    A lookup cannot be cut short: when its caller gives up it goes on in its thread. So at
    most `MOST_LOOKUPS` names are looked up at once, and one above that is refused at once.

    Args:
        clock: ages the kept answers.
        lookup: what asks the system; called in a thread, may block and raise OSError.
    """

    def __init__(self, clock: Clock, lookup: Lookup = system_lookup) -> None:
        self._clock = clock
        self._lookup = lookup
        self._pool: ThreadPool | None = None
        self._flights: dict[tuple[str, int], AsyncResult[Found]] = {}
        self._kept: dict[tuple[str, int], tuple[float, list[Address]]] = {}

    def addresses(self, host: str, port: int) -> list[Address]:
        """Addresses to try, in order; an IP address is its own, without any lookup.

        Blocks this greenlet only, without a limit of its own.

        Raises:
            OSError: there is no such name, or too many lookups hang.
        """
        if literal := _literal(host, port):
            return [literal]
        now = self._clock.monotonic()
        kept = self._kept.get((host, port))
        if kept and now < kept[0]:
            return kept[1]
        found = cast(Found, self._flight(host, port).get())
        if isinstance(found, OSError):
            raise OSError(*found.args)
        return found

    def _flight(self, host: str, port: int) -> AsyncResult[Found]:
        key = (host, port)
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= MOST_LOOKUPS:
                raise OSError(f"{MOST_LOOKUPS} name lookups are hanging")
            if self._pool is None:
                self._pool = ThreadPool(MOST_LOOKUPS, idle_task_timeout=IDLE_THREAD)
            flight = self._flights[key] = self._pool.spawn(self._answer, host, port)
            flight.rawlink(lambda done: self._landed(key, done))
        return flight

    def _answer(self, host: str, port: int) -> Found:
        # Runs in a thread. Errors come back as values: gevent prints what a thread raises.
        try:
            return self._lookup(host, port) or OSError(f"no address for {host}")
        except OSError as error:
            return error
        except UnicodeError:
            return OSError(f"{host!r} is not a host name")

    def _landed(self, key: tuple[str, int], flight: AsyncResult[Found]) -> None:
        del self._flights[key]
        found = flight.value
        if isinstance(found, list):
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (self._clock.monotonic() + KEEP, found)


def _literal(host: str, port: int) -> Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if address.version == 4:
        return socket.AF_INET, (str(address), port)
    return socket.AF_INET6, (str(address), port, 0, 0)
