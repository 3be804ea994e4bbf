"""Names of messages and what belongs to them: sortable by time, impossible to guess.

Source: the ULID specification: 48 bits of milliseconds, 80 bits of chance, in Crockford's base 32.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import Final

from hookbox.core.publication import Publication

_KEY: Final = secrets.token_bytes(32)
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
_PAIRS: Final = [first + second for first in DIGITS for second in DIGITS]


def ulid(time_ms: int) -> str:
    """A new ULID.

    Args:
        time_ms: milliseconds since the Unix epoch, below 2**48.
    """
    return _digits(time_ms << 80 | int.from_bytes(_chance.take(10), "big"))


class Chance:
    """Chance from the system in larger portions: asking for each name costs more than all the rest of it."""

    def __init__(self, portion: int = 4000) -> None:
        self._portion = portion
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many bytes, which nobody else gets."""
        if self._at + count > len(self._bytes):
            self._bytes, self._at = secrets.token_bytes(self._portion), 0
        self._at += count
        return self._bytes[self._at - count : self._at]


_chance: Final = Chance()


def first_ulid(time_ms: int) -> str:
    """The smallest ULID of a time: every earlier one is less, every other one of that time and later is more.

    Args:
        time_ms: milliseconds since the Unix epoch, from 0 to below 2**48.
    """
    return _digits(time_ms << 80)


def _digits(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * (LENGTH - 2), -1, -10)])


def message_id(publication: Publication) -> str:
    """The id of a publication: its own, or one that follows from its number where none had to be kept."""
    if publication.message_id:
        return publication.message_id
    chance = blake2b(publication.seq.to_bytes(8, "big"), digest_size=10, key=_KEY).digest()
    return "msg_" + _digits(publication.time_ms << 80 | int.from_bytes(chance, "big"))
