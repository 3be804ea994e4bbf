"""Telling the service manager how far the server is.

Source: sd_notify(3). A message is lines of `NAME=value` in one datagram to the Unix socket that the
environment variable NOTIFY_SOCKET names; `@` at its beginning stands for the abstract namespace, unix(7).
"""

from __future__ import annotations

import logging
import socket
import time

logger = logging.getLogger(__name__)


class Notifier:
    """Says to a service manager what it wants to know; without one it does nothing.

    Nothing here blocks or raises: a manager that does not listen must not hold the server up.

    Args:
        address: what NOTIFY_SOCKET says; empty where nobody wants to know.
    """

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

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

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto(text.encode(), self._address)
        except OSError as error:
            logger.warning("the service manager at NOTIFY_SOCKET was not told: %s", error)
