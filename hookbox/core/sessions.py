"""Which login of the application a connection belongs to, and which connections belong to a login.

Hookbox knows nothing of logins. What it sees is a cookie, so a session is a digest of that cookie's value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from itertools import islice
from typing import Final

from hookbox.core.connection import Connection
from hookbox.core.cookies import read_cookies

DIGITS: Final = 32
"""Hexadecimal digits of a digest: 128 bits."""
USUAL_NAMES: Final = (
    "sessionid",
    "PHPSESSID",
    "JSESSIONID",
    "session",
    "connect.sid",
    "laravel_session",
    ".AspNetCore.Identity.Application",
    ".AspNetCore.Cookies",
    ".AspNetCore.Session",
    "ASP.NET_SessionId",
)
"""What well-known frameworks call the cookie, where nothing is configured."""
USUAL_END: Final = "_session"
_sounds_like_one: Final = re.compile(r"sess|^sid|sid$|auth|login|token|jwt", re.IGNORECASE).search
_is_something_else: Final = re.compile(
    r"csrf|xsrf|^_g|^__utm|consent|lang|locale|theme|messages", re.IGNORECASE
).search
KNOWN_NAMES: Final = USUAL_NAMES + tuple(p + name for name in USUAL_NAMES for p in ("__Host-", "__Secure-"))
_known = frozenset(KNOWN_NAMES)


def digest_of(value: str) -> str:
    """The session that a cookie stands for: the first 32 hexadecimal digits of the SHA-256 of its value.

    Args:
        value: as it stands in the Cookie header, in UTF-8; a pair of quotes around it does not count.
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS] if value else ""


def session_of(cookies: str, names: tuple[str, ...] = ()) -> str:
    """The session that a Cookie header belongs to; empty for none.

    Args:
        cookies: value of the header.
        names: of the cookies that stand for a login, the first that is there counts; none for the usual ones.
    """
    if not cookies:
        return ""
    found = read_cookies(cookies)
    name = next((name for name in names if found.get(name)), "") if names else _usual(found)
    return digest_of(found[name]) if name else ""


def _usual(cookies: Mapping[str, str]) -> str:
    if not _known.isdisjoint(cookies):
        for name in KNOWN_NAMES:
            if cookies.get(name):
                return name
    named = [name for name, value in cookies.items() if value and not _is_something_else(name)]
    for is_one in (lambda name: name.endswith(USUAL_END), _sounds_like_one):
        if like := [name for name in named if is_one(name)]:
            return min(like)
    return named[0] if len(named) == 1 else ""


class Sessions:
    """The connections of each session, and whose turn it is to be asked about.

    What has one connection only, as most have, costs no more than its place in a dict. One that may come back
    unasked keeps its turn with nobody in it, else whoever is cut off now and then would never be asked about.
    """

    __slots__ = ("_absent", "_members")

    def __init__(self) -> None:
        self._members: dict[str, Connection | dict[Connection, None] | None] = {}
        self._absent: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def move(self, connection: Connection, session: str) -> None:
        """Have a connection belong to a session from now on; to none if that is empty. Safe to repeat."""
        self.leave(connection)
        connection.session = session
        if not session:
            return
        present = self._members.get(session)
        if present is None:
            self._members[session] = connection
            self._absent.pop(session, None)
            return
        if isinstance(present, Connection):
            present = self._members[session] = {present: None}
        connection.session = next(iter(present)).session  # the same text, not one for each
        present[connection] = None

    def leave(self, connection: Connection, *, keep_turn: bool = False) -> None:
        """A connection has ended; it still says which session was its own. Safe to repeat.

        Args:
            keep_turn: leave a session without connections in the queue, until `forget_absent`.
        """
        session = connection.session
        present = self._members.get(session)
        if isinstance(present, dict) and connection in present:
            del present[connection]
            if present:
                return
        elif present is not connection:
            return
        if keep_turn:
            self._members[session] = self._absent[session] = None
        else:
            del self._members[session]

    def of(self, session: str) -> list[Connection]:
        """The connections of a session, oldest first."""
        present = self._members.get(session)
        if present is None:
            return []
        return [present] if isinstance(present, Connection) else list(present)

    def next_in_turn(self, count: int) -> list[str]:
        """The sessions that have waited longest; they go to the end of the queue."""
        turn = list(islice(self._members, count))
        for session in turn:
            self._members[session] = self._members.pop(session)
        return turn

    def forget_absent(self, comes_back: Callable[[str], bool] = lambda session: False) -> None:
        """Take sessions without connections out of the queue, but for those of which one may come back."""
        for session in [session for session in self._absent if not comes_back(session)]:
            del self._members[session], self._absent[session]


def sessions_of(connections: Iterable[Connection]) -> list[str]:
    """The sessions that some connections belong to, each once."""
    return list(dict.fromkeys(connection.session for connection in connections if connection.session))
