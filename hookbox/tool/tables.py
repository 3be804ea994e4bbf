"""Text for people: tables that fit the terminal, and nothing in them that could control it."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from hookbox.core.values import JSON

GAP: Final = "  "
NARROWEST: Final = 8


def clean(value: JSON) -> str:
    """A value as one line of printable text; empty for nothing."""
    text = "" if value is None else value if isinstance(value, str) else str(value)
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def moment(value: JSON) -> str:
    """A time of the API's, to the second, in UTC."""
    text = clean(value)
    return f"{text[:10]} {text[11:19]}" if len(text) == 24 and text.endswith("Z") else text


def width(text: str) -> int:
    """Columns that a text takes up on a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )


def cut(text: str, most: int) -> str:
    """A text in so many columns at most; what is missing is a sign."""
    if width(text) <= most:
        return text
    shown = ""
    for letter in text:
        if width(shown + letter) >= most:
            break
        shown += letter
    return shown + "…"


def columns() -> int | None:
    """Width of the terminal that is written to, None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(head: Sequence[str], rows: Iterable[Sequence[JSON]], fit: int | None) -> str:
    """A table; its last columns give way where it is too wide.

    Args:
        fit: columns that it may have, None for any.
    """
    lines = [list(head), *([clean(value) for value in row] for row in rows)]
    widths = [max(width(line[n]) for line in lines) for n in range(len(head))]
    if fit is not None:
        widths = fitted(widths, fit)
    return "".join(_line(line, widths) for line in lines)


def fitted(widths: Sequence[int], fit: int) -> list[int]:
    """Widths of columns that together fit, if they can: the last ones give way first."""
    fitting = list(widths)
    for n in reversed(range(len(fitting))):
        over = sum(fitting) + len(GAP) * (len(fitting) - 1) - fit
        if over > 0:
            fitting[n] = max(min(NARROWEST, fitting[n]), fitting[n] - over)
    return fitting


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cut(text, most) for text, most in zip(line, widths, strict=True)]
    padded = [cell + " " * (most - width(cell)) for cell, most in zip(cells, widths, strict=True)]
    return GAP.join(padded).rstrip() + "\n"


def listing(pairs: Iterable[tuple[str, JSON]]) -> str:
    """Names and values below each other; what is empty is left out."""
    given = [(name, clean(value)) for name, value in pairs if value not in (None, "", [], {})]
    most = max((len(name) for name, _ in given), default=0)
    return "".join(f"{name:<{most}}  {value}\n" for name, value in given)
