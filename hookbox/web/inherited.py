"""Listening sockets that somebody else has opened: by number, or from systemd.

Such a socket outlives this process. What waits in its queue is accepted by whoever comes next, so it is
never shut down here, only closed, and that ends this process's copy of it alone (shutdown(2), close(2)).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping, MutableMapping
from enum import Enum

from hookbox.errors import ConfigError
from hookbox.settings import Settings
from hookbox.web.listen import tune

FIRST_DESCRIPTOR = 3
"""Where systemd's descriptors begin, sd_listen_fds(3)."""
API_NAME = "api"
FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class DoorName(Enum):
    """The two doors that a server may have."""

    PUBLIC = "public"
    API = "api"


def inherited(
    settings: Settings, environ: MutableMapping[str, str], pid: int
) -> dict[DoorName, socket.socket]:
    """The listening sockets this process was given, for which door each.

    Args:
        settings: `fd` and `web_api_fd` go before what systemd gave.
        environ: its LISTEN_* variables are removed, so that they reach no other process.
        pid: of this process; variables for another one are not for us.

    Raises:
        ConfigError: a descriptor is not a listening stream socket, or there are too many.
    """
    given = {door: (fd, f"{_source(environ)}, descriptor {fd}") for door, fd in _from_systemd(environ, pid)}
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"):
        environ.pop(name, None)
    if settings.fd is not None:
        given[DoorName.PUBLIC] = settings.fd, f"--fd {settings.fd}"
    if settings.web_api_fd is not None:
        given[DoorName.API] = settings.web_api_fd, f"--web-api-fd {settings.web_api_fd}"
    return {door: adopt(fd, place) for door, (fd, place) in given.items()}


def _source(environ: Mapping[str, str]) -> str:
    return f"LISTEN_FDS={environ.get('LISTEN_FDS', '')}"


def _from_systemd(environ: Mapping[str, str], pid: int) -> Iterator[tuple[DoorName, int]]:
    """Which descriptor is for which door: the one named `api`, else by their order."""
    if environ.get("LISTEN_PID") != str(pid) or not environ.get("LISTEN_FDS"):
        return
    try:
        count = int(environ["LISTEN_FDS"])
    except ValueError:
        raise ConfigError(f"{_source(environ)} in the environment is not a number") from None
    if count > len(DoorName):
        raise ConfigError(
            f"systemd gave {count} sockets; Hookbox listens on one, and on a second for its API: "
            "leave two ListenStream= lines in the socket unit"
        )
    names = environ.get("LISTEN_FDNAMES", "").split(":")[:count]
    descriptors = list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count))
    doors = list(DoorName)
    if API_NAME in names:
        yield DoorName.API, descriptors.pop(names.index(API_NAME))
        doors.remove(DoorName.API)
    yield from zip(doors, descriptors, strict=False)


def adopt(fd: int, place: str) -> socket.socket:
    """The listening socket that has that number, made ready for serving.

    Args:
        place: who gave it, for the error.

    Raises:
        ConfigError: it is not open, not a socket, not a stream, or does not listen.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise ConfigError(f"{place}: this is no socket; give the number of a listening one")
        listener = socket.socket(fileno=fd)
    except OSError as error:
        reason = "no such descriptor is open" if error.errno == errno.EBADF else error.strerror
        raise ConfigError(f"{place}: {reason}; start Hookbox with the socket open and inheritable") from None
    if fault := _fault(listener):
        listener.detach()
        raise ConfigError(f"{place}: {fault}")
    os.set_inheritable(fd, False)
    tune(listener)
    return listener


def _fault(listener: socket.socket) -> str:
    """Why nobody could be accepted on it, or nothing."""
    if listener.family not in FAMILIES:
        return "neither a TCP nor a Unix socket"
    if listener.type != socket.SOCK_STREAM:
        return "not a stream socket; in a socket unit that is ListenStream="
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "a socket that does not listen; in a socket unit leave Accept=no, else call listen() first"
    return ""
