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


def ulid(time_ms: int) -> str:
    """A new ULID.

    Args:
        time_ms: milliseconds since the Unix epoch, below 2**48.
    """
    return _digits(time_ms << 80 | secrets.randbits(80))


def first_ulid(time_ms: int) -> str:
    """The smallest ULID of a time: every earlier one is less, every other one of that time and later is more.

    Args:
        time_ms: milliseconds since the Unix epoch, from 0 to below 2**48.
    """
    return _digits(time_ms << 80)


def _digits(number: int) -> str:
    return "".join([DIGITS[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5)])


def message_id(publication: Publication) -> str:
    """The id of a publication: its own, or one that follows from its number where none had to be kept."""
    if publication.message_id:
        return publication.message_id
    chance = blake2b(publication.seq.to_bytes(8, "big"), digest_size=10, key=_KEY).digest()
    return "msg_" + _digits(publication.time_ms << 80 | int.from_bytes(chance, "big"))


def is_ulid(text: str) -> bool:
    """Whether a text could be one of ours."""
    return len(text) == LENGTH and text[0] <= "7" and all(digit in DIGITS for digit in text)
