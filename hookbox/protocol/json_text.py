"""JSON as Hookbox reads and writes it: strict in, pure ASCII out.

Browsers must be able to read what we send, so nothing comes in that cannot go out again:
no NaN or infinities, no integers of 2^63 or more, no lone surrogates, no deep nesting.
Source: RFC 8259 sections 6 and 8 (interoperable numbers and strings); the depth is a setting.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

from hookbox.core.values import JSON

MAX_DEPTH = 32
INTEGER_LIMIT = 2**63

_encode = json.JSONEncoder(allow_nan=False).encode
# digits alike, letters alike: then three searches say whether a closer look is due; a regular
# expression takes 20 ms for what this does in 0.1 ms
_rough = bytes.maketrans(b"123456789ED", b"000000000ed")
_LONG_NUMBER = b"0" * 19


class BadJSON(ValueError):
    """The text is not JSON that Hookbox accepts."""


def dump(value: JSON) -> str:
    """ASCII text of a JSON value, with `, ` and `: ` between the parts.

    Raises:
        ValueError: the value holds a NaN or an infinity.
    """
    return _encode(value)


def load(text: str | bytes | bytearray, max_depth: int = MAX_DEPTH) -> JSON:
    """Read JSON text strictly; of a repeated key the last value wins.

    Args:
        text: bytes are UTF-8, without a byte order mark.
        max_depth: how deep arrays and objects may nest; 1 allows `[]` but not `[[]]`.

    Raises:
        BadJSON: not JSON, or JSON that could not be sent to a browser again.
    """
    try:
        if isinstance(text, str):
            data: bytes | bytearray = text.encode()  # fails for a lone surrogate
        else:
            data, text = text, str(text, "utf-8")
        value: JSON = _slow_decode(text) if _may_be_odd(data) else _decode(text)
    except (ValueError, RecursionError) as error:
        raise BadJSON("invalid JSON") from error
    if text.count("[") + text.count("{") > max_depth and _deeper_than(value, max_depth):
        raise BadJSON(f"nested deeper than {max_depth}")
    return value


def _may_be_odd(data: bytes | bytearray) -> bool:
    rough = data.translate(_rough)
    return b"0e" in rough or b"\\ud" in rough or _LONG_NUMBER in rough


def _refuse_constant(name: str) -> NoReturn:
    raise BadJSON(f"{name} is not JSON")


def _small_integer(digits: str) -> int:
    value = int(digits) if len(digits) < 24 else INTEGER_LIMIT
    if abs(value) >= INTEGER_LIMIT:
        raise BadJSON("integer of 64 bits or more")
    return value


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise BadJSON("number too large")
    return value


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_strict_decoder = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_small_integer, parse_float=_finite_float
)


def _decode(text: str) -> Any:
    """Decode; what has no blanks around it, as nearly everything, without looking for them."""
    try:
        value, end = _decoder.raw_decode(text)
    except ValueError:
        end = -1
    return value if end == len(text) else _decoder.decode(text)


def _slow_decode(text: str) -> Any:
    value = _strict_decoder.decode(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    return value


def _deeper_than(value: JSON, depth: int) -> bool:
    level: list[Any] = [value] if isinstance(value, list | dict) else []
    for _ in range(depth):
        nested: list[JSON] = []
        for item in level:
            nested += item if type(item) is list else item.values()
        level = [item for item in nested if type(item) is list or type(item) is dict]
        if not level:
            return False
    return bool(level)
