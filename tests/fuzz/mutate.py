"""Damage to valid input: of its bytes, its numbers and the order of its pieces. Chance comes in as an argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

BYTES = b"\x00\x01\x09\x0a\x0d\x20\x22\x25\x2c\x2d\x2e\x30\x39\x3a\x3b\x3d\x5b\x5c\x5d\x7b\x7d\x7f\x80\xbf\xc0\xc3\xe0\xed\xf0\xf4\xff"
"""Those that mean something somewhere."""

NUMBERS = [
    b"0", b"1", b"-1", b"+1", b"1_0", b"00", b"01", b" 1", b"1.0", b"1e9", b"1e400", b"-0", b"0x10", b"\xd9\xa1", b"NaN",
    b"125", b"126", b"127", b"128", b"255", b"256", b"65535", b"65536", b"65537", b"4294967295", b"4294967296",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"18446744073709551616",
    b"1" * 20, b"9" * 30, b"1" * 4301,
]  # fmt: skip

LENGTHS = [0, 1, 2, 5, 124, 125, 126, 127, 128, 255, 256, 299, 300, 301, 65_535, 65_536, 65_537, 2**31, 2**32 - 1, 2**62, 2**63 - 1]

_NUMBER = re.compile(rb"[0-9]+")

Mutator = Callable[[Random, bytes], bytes]


def _at(chance: Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _range(chance: Random, data: bytes) -> tuple[int, int]:
    start = _at(chance, data)
    return start, min(len(data), start + chance.choice((1, 1, 2, 3, 4, 8, 16, 64)))


def flip(chance: Random, data: bytes) -> bytes:
    """One bit."""
    if not data:
        return b"\x00"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def replace(chance: Random, data: bytes) -> bytes:
    """One byte by another."""
    at = _at(chance, data)
    byte = chance.choice(BYTES) if chance.random() < 0.7 else chance.randrange(256)
    return data[:at] + bytes([byte]) + data[at + 1 :]


def insert(chance: Random, data: bytes) -> bytes:
    """A few bytes."""
    at = _at(chance, data)
    new = bytes([chance.choice(BYTES)]) if chance.random() < 0.7 else chance.randbytes(chance.randint(1, 8))
    return data[:at] + new + data[at:]


def delete(chance: Random, data: bytes) -> bytes:
    """A few bytes less."""
    start, end = _range(chance, data)
    return data[:start] + data[end:]


def duplicate(chance: Random, data: bytes) -> bytes:
    """A part again, once or very often."""
    start, end = _range(chance, data)
    times = 2 if chance.random() < 0.9 else chance.choice((20, 100, 400))
    return data[:start] + data[start:end] * times + data[end:]


def swap(chance: Random, data: bytes) -> bytes:
    """Two parts change places."""
    one, two, three = sorted(_at(chance, data) for _ in range(3))
    return data[:one] + data[two:three] + data[one:two] + data[three:]


def truncate(chance: Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: _at(chance, data)]


def number(chance: Random, data: bytes) -> bytes:
    """One number by another at some border."""
    found = list(_NUMBER.finditer(data, 0, 4096))
    if not found:
        return insert(chance, data)
    start, end = chance.choice(found).span()
    return data[:start] + chance.choice(NUMBERS) + data[end:]


def length(chance: Random, data: bytes) -> bytes:
    """Two, four or eight bytes as a number at some border."""
    at, size = _at(chance, data), chance.choice((2, 4, 8))
    value = chance.choice(LENGTHS) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, "big") + data[at + size :]


ANYWHERE: tuple[Mutator, ...] = (flip, flip, replace, replace, insert, insert, delete, duplicate, swap, truncate, number, length)


def damage(
    chance: Random, pieces: list[bytes], others: Callable[[], list[bytes]], tokens: Sequence[bytes]
) -> bytes:
    """A valid input, damaged in none to many places.

    Args:
        pieces: of a valid input, in order.
        others: gives the pieces of another one, to splice in.
        tokens: what the input's grammar is made of.
    """
    while chance.random() < 0.25:
        _rearrange(chance, pieces, others)
    data = b"".join(pieces)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        if chance.random() < 0.2:
            at, token = _at(chance, data), chance.choice(tokens)
            data = data[:at] + token + data[at + chance.choice((0, 0, len(token))) :]
        else:
            data = chance.choice(ANYWHERE)(chance, data)
    return data


def _rearrange(chance: Random, pieces: list[bytes], others: Callable[[], list[bytes]]) -> None:
    at = chance.randrange(len(pieces) + 1)
    match chance.randrange(5):
        case 0:
            del pieces[at : at + 1]
        case 1:
            pieces[at:at] = pieces[at - 1 : at]
        case 2:
            chance.shuffle(pieces)
        case 3:
            pieces[at:at] = [chance.choice(others() or [b""])]
        case 4:
            pieces[at:] = others()


def cuts(chance: Random, data: bytes) -> list[bytes]:
    """The same bytes as they may come from a network: in pieces, not one of them empty."""
    if len(data) < 300 and chance.random() < 0.2:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((1, 1, 2, 3, 8))))
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:], strict=False) if start < end]
