"""The console's password: kept as scrypt text, which `hookbox password` makes.

Source: RFC 7914 (scrypt); the costs are those of its section 2 for logins, doubled.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Final

from hookbox.errors import ConfigError

PREFIX: Final = "scrypt$"
COST: Final = 2**15
BLOCKS: Final = 8
LANES: Final = 1
MOST_MEMORY: Final = 256 * 1024 * 1024
"""Bytes that comparing may take, whatever the text asks for."""
LONGEST: Final = 1024
"""Characters of a password that anybody can log in with."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A password that can be compared, but not read.

    Args:
        cost: N of scrypt.
        blocks: r.
        lanes: p.
        salt: at random.
        digest: what scrypt makes of the password.
    """

    cost: int
    blocks: int
    lanes: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def text(self) -> str:
        """The line for the configuration."""
        parts = (b64encode(part).decode() for part in (self.salt, self.digest))
        return f"{PREFIX}{self.cost}${self.blocks}${self.lanes}$" + "$".join(parts)

    def fits(self, password: str) -> bool:
        """Whether this is the password. Takes a tenth of a second and 32 MiB; run it in a thread."""
        return hmac.compare_digest(_digest(password, self), self.digest)


def keep(password: str) -> Kept:
    """Make what is kept of a new password. Takes as long as comparing."""
    kept = Kept(COST, BLOCKS, LANES, secrets.token_bytes(16), b"")
    return Kept(COST, BLOCKS, LANES, kept.salt, _digest(password, kept))


def read_kept(text: str) -> Kept | None:
    """Read the text of a configuration; None if it is a password as such.

    Raises:
        ConfigError: it looks like what `hookbox password` prints, but is not.
    """
    if not text.startswith(PREFIX):
        return None
    try:
        cost, blocks, lanes, salt, digest = text[len(PREFIX) :].split("$")
        kept = Kept(int(cost), int(blocks), int(lanes), _bytes(salt), _bytes(digest))
        proper = kept.cost > 1 and kept.cost & (kept.cost - 1) == 0 and 0 < kept.lanes <= 16
        fits = 0 < 128 * kept.cost * kept.blocks <= MOST_MEMORY // 2
    except ValueError:
        proper = fits = False
    if not proper or not fits or len(kept.digest) < 16 or len(kept.salt) < 8:
        raise ConfigError(
            "text that does not begin with scrypt$, or just what `hookbox password` prints; make it anew, "
            "and quote it for the shell, where $ has a meaning"
        )
    return kept


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _digest(password: str, kept: Kept) -> bytes:
    return hashlib.scrypt(
        password.encode(),
        salt=kept.salt,
        n=kept.cost,
        r=kept.blocks,
        p=kept.lanes,
        maxmem=MOST_MEMORY,
        dklen=len(kept.digest) or 32,
    )
