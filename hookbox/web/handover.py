"""One server process takes the listening sockets over from another: `hookbox --replace`.

Each server answers on a small control socket per door, whose name follows from the user and from the
address the door is bound to. A new process asks there, is given the listening sockets themselves
(SCM_RIGHTS, unix(7)), asks for the store, which only one process can have, accepts on the sockets, and then
tells the old one to drain. A new process that does not start leaves the old one as it was, which takes its
store back.

What is relied on, all of Linux:

* A descriptor that was passed names the same socket, with the same queue of connections. The old
  process's close(2) ends its own copy alone: nobody who waits in the queue, or in the middle of the TCP
  handshake, is refused or reset.
* Two sockets bound with SO_REUSEPORT, socket(7), have a queue each, and what is in the queue of the one
  that is closed is reset (but for `tcp_migrate_req`, off by default): accepting until nobody is left,
  before the close, loses those who come between the two. It would also let any second start of this user
  share the port, where now bind(2) says that it is in use.
* Names of the abstract namespace, unix(7), belong to a network namespace, as TCP ports do, and go with
  their process: no file is left behind. They have no mode, so each side looks at who the other is
  (SO_PEERCRED) before it says or believes anything.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import socket as constants
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import gevent
from gevent import socket

from hookbox.web.listen import family_of

logger = logging.getLogger(__name__)

HELLO: Final = b"hookbox take-over 1"
STORE: Final = b"store"
RELEASED: Final = b"released"
READY: Final = b"ready"
DRAINING: Final = b"draining"
ANSWER_SECONDS: Final = 5.0
START_SECONDS: Final = 60.0
"""How long a new process may take from its question until it accepts."""
RELEASE_SECONDS: Final = 30.0
"""How long the old process may take to finish what it is delivering, and to close its store."""
ACCEPT_PAUSE_SECONDS: Final = 1.0
MOST_BYTES: Final = 4096
MOST_DOORS: Final = 4
KIND: Final = getattr(constants, "SOCK_SEQPACKET", None) if hasattr(constants, "SO_PEERCRED") else None
"""Of what kind the control sockets are; None where there can be none."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A door's socket, on its way from one process to the next.

    Args:
        sock: the listening socket.
        shared: whether a third party holds it, too, so that its queue outlives both.
    """

    sock: Any
    shared: bool = False


def address_of(sock: Any) -> str:
    """The address a socket is bound to, as one word, the same in every process."""
    name = sock.getsockname()
    return "unix:" + os.path.realpath(name) if isinstance(name, str) else f"{name[0]} {name[1]}"


def address_wanted(interface: str, port: int) -> str:
    """The address that listening there would bind to; empty if that is any free port.

    Raises:
        OSError: the interface is no name of an address.
    """
    if interface.startswith("unix:"):
        return "unix:" + os.path.realpath(interface.removeprefix("unix:"))
    if port == 0:
        return ""
    found = socket.getaddrinfo(interface, port, family_of(interface), constants.SOCK_STREAM)
    return f"{found[0][4][0]} {port}"


def _control_name(address: str) -> str:
    return f"\0hookbox/{os.geteuid()}/{hashlib.sha256(os.fsencode(address)).hexdigest()[:32]}"


def _is_ours(line: Any) -> bool:
    """Whether the other end is a process of the same user."""
    credentials = line.getsockopt(constants.SOL_SOCKET, constants.SO_PEERCRED, 12)
    user: int = struct.unpack("iII", credentials)[1]
    return user == os.geteuid()


class Offer:
    """Lets a later process take the doors over.

    Args:
        doors: by the address each is bound to; what is passed on.
        spawn: runs a function in a greenlet of its own.
        on_taken: called when another process accepts on the doors; has to stop accepting before it returns.
        release: closes the store; may block.
        take_back: opens it again, as nobody has taken over after all; may block as long as that takes.
    """

    def __init__(
        self,
        doors: Mapping[str, Listening],
        spawn: Callable[..., Any],
        on_taken: Callable[[], None],
        release: Callable[[], None] = lambda: None,
        take_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._release = release
        self._take_back = take_back
        self._doors = doors
        self._spawn = spawn
        self._on_taken = on_taken
        self._listeners: list[Any] = []
        self._busy = False

    def open(self) -> None:
        """Answer from now on; where that is not possible, say so and go without."""
        if KIND is None:
            return
        for address in self._doors:
            listener = socket.socket(constants.AF_UNIX, KIND)
            try:
                listener.bind(_control_name(address))
                listener.listen(MOST_DOORS)
            except OSError as error:
                listener.close()
                logger.warning("a later --replace will not find this server: %s", error.strerror)
                continue
            self._listeners.append(listener)
            self._spawn(self._answer_all, listener)

    def close(self) -> None:
        """Answer nobody any more. Safe to repeat."""
        while self._listeners:
            self._listeners.pop().close()

    def _answer_all(self, listener: Any) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0:
                    return  # closed by `close`
                gevent.sleep(ACCEPT_PAUSE_SECONDS)  # no more files, for example
                continue
            try:
                self._answer(line)
            except (OSError, ValueError) as error:
                logger.warning("handing over failed, going on: %s", error)
            except Exception:
                logger.exception("handing over failed by our own fault, going on")
            finally:
                line.close()

    def _answer(self, line: Any) -> None:
        line.settimeout(ANSWER_SECONDS)
        if self._busy or not _is_ours(line) or line.recv(MOST_BYTES) != HELLO:
            return
        self._busy = True
        try:
            logger.info("another process starts to take over")
            self._pass_on(line)
            line.settimeout(START_SECONDS)
            if not self._see_it_start(line):
                logger.warning("the process that was to take over did not start; going on")
                return
        finally:
            self._busy = False
        self.close()
        self._on_taken()
        line.send(DRAINING)

    def _see_it_start(self, line: Any) -> bool:
        """Give the store away when it is wanted; says whether the other process accepts in the end."""
        word = line.recv(MOST_BYTES)
        if word != STORE:
            return bool(word == READY)
        started = False
        try:
            self._release()
            line.send(RELEASED)
            started = line.recv(MOST_BYTES) == READY
        finally:
            if not started:
                self._take_back()
        return bool(started)

    def _pass_on(self, line: Any) -> None:
        about = {
            "pid": os.getpid(),
            "doors": [{"address": name, "shared": door.shared} for name, door in self._doors.items()],
        }
        constants.send_fds(
            line, [json.dumps(about).encode()], [door.sock.fileno() for door in self._doors.values()]
        )


class Predecessor:
    """The process that has the listening sockets now, and goes on until it is dismissed.

    Args:
        line: the connection to it.
        pid: its number, for the log.
        doors: its listening sockets, by the address each is bound to.
    """

    def __init__(self, line: Any, pid: int, doors: dict[str, Listening]) -> None:
        self._line = line
        self._doors = doors
        self.pid = pid

    def take(self, address: str) -> Listening | None:
        """Its socket for that address, None if it has none."""
        return self._doors.pop(address, None)

    def release_store(self) -> None:
        """Have it close its store, so that this process can open it. Blocks.

        Raises:
            OSError: it does not answer.
        """
        self._line.settimeout(RELEASE_SECONDS)
        self._line.send(STORE)
        if self._line.recv(MOST_BYTES) != RELEASED:
            raise OSError(errno.EBUSY, f"process {self.pid} does not hand its store over; try again")
        self._line.settimeout(ANSWER_SECONDS)

    def dismiss(self) -> None:
        """Have it drain, once its successor accepts; returns when it does not accept any more."""
        try:
            self._line.send(READY)
            if self._line.recv(MOST_BYTES) == DRAINING:
                logger.info("process %d drains, this one has taken over", self.pid)
            else:
                logger.warning("process %d ended while it was taken over from", self.pid)
        except OSError as error:
            logger.warning("process %d does not answer, and may still accept: %s", self.pid, error)
        finally:
            self.leave()

    def leave(self) -> None:
        """Let it be as it is; it goes on if it has not been dismissed. Safe to repeat."""
        self._line.close()
        while self._doors:
            self._doors.popitem()[1].sock.close()


def find_predecessor(addresses: Iterable[str]) -> Predecessor | None:
    """The running server of this user on one of these addresses, None if there is none.

    Raises:
        OSError: there is one, but it does not hand over.
    """
    if KIND is None:
        raise OSError(errno.EOPNOTSUPP, "--replace needs Linux; stop the old server first")
    for address in addresses:
        line = socket.socket(constants.AF_UNIX, KIND)
        line.settimeout(ANSWER_SECONDS)
        try:
            line.connect(_control_name(address))
        except OSError:
            line.close()
            continue
        return _greet(line)
    return None


def _greet(line: Any) -> Predecessor | None:
    try:
        if not _is_ours(line):
            logger.warning("a process of another user pretends to be the server to replace; ignored")
            line.close()
            return None
        line.send(HELLO)
        text, descriptors, _, _ = constants.recv_fds(line, MOST_BYTES, MOST_DOORS)
    except TimeoutError:
        text = b""
    except OSError:
        line.close()
        raise
    if not text:
        line.close()
        raise OSError(errno.EBUSY, "the server there is silent, or hands over to another process; try again")
    about = json.loads(text)
    socks = [_adopt(fd) for fd in descriptors]
    doors = {
        door["address"]: Listening(sock, bool(door["shared"]))
        for door, sock in zip(about["doors"], socks, strict=True)
    }
    return Predecessor(line, int(about["pid"]), doors)


def _adopt(fd: int) -> Any:
    os.set_inheritable(fd, False)
    return constants.socket(fileno=fd)
