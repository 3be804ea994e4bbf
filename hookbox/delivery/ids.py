"""Names of messages and what belongs to them: sortable by time, impossible to guess.

Source: the ULID specification: 48 bits of milliseconds, 80 bits of chance, in Crockford's base 32.
"""

from __future__ import annotations

import secrets

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26


def ulid(time_ms: int) -> str:
    """A new ULID.

    Args:
        time_ms: milliseconds since the Unix epoch, below 2**48.
    """
    number = time_ms << 80 | secrets.randbits(80)
    return "".join([DIGITS[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5)])


def is_ulid(text: str) -> bool:
    """Whether a text could be one of ours."""
    return len(text) == LENGTH and text[0] <= "7" and all(digit in DIGITS for digit in text)
