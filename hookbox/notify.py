"""Telling the service manager how far the server is.

Source: sd_notify(3), sd_watchdog_enabled(3). A message is lines of `NAME=value` in one datagram to the Unix
socket that the environment variable NOTIFY_SOCKET names; `@` at its beginning stands for the abstract
namespace, unix(7).
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import MutableMapping

logger = logging.getLogger(__name__)


class Notifier:
    """Says to a service manager what it wants to know; without one it does nothing.

    Nothing here blocks or raises: a manager that does not listen must not hold the server up.

    Args:
        address: what NOTIFY_SOCKET says; empty where nobody wants to know.
        watched: seconds within which it wants a sign of life, or ends the server; 0 for never.
    """

    def __init__(self, address: str = "", watched: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every = watched / 2
        self._next_sign = 0.0

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> Notifier:
        """Whoever the environment names.

        Args:
            environ: what is about this is removed, so that it reaches no other process.
            pid: of this process; a watchdog for another one is not for us.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        watched = environ.pop("WATCHDOG_PID", str(pid)) == str(pid) and microseconds.isdecimal()
        return cls(address, int(microseconds) / 1e6 if watched else 0.0)

    def ready(self) -> None:
        """It listens, after a start or a reload."""
        self._say("READY=1")

    def stopping(self) -> None:
        """It accepts nobody any more and will end."""
        self._say("STOPPING=1")

    def reloading(self) -> None:
        """It reads its settings again; `ready` follows. With the time, as `Type=notify-reload` wants it."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def alive(self, now: float) -> None:
        """A sign of life, if one is due; called again and again by what must not stand still.

        Args:
            now: monotonic seconds.
        """
        if self._every and now >= self._next_sign:
            self._next_sign = now + self._every
            self._say("WATCHDOG=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto(text.encode(), self._address)
        except OSError as error:
            logger.warning("the service manager at NOTIFY_SOCKET was not told: %s", error)
