"""Rows of results, and the one table they make: Markdown that reads well on a terminal too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NONE = "-"


@dataclass(frozen=True)
class Row:
    """One result.

    Args:
        name: as in `make bench ROWS="P1 P7"`.
        what: the scenario, with the unit of the figures.
        ours: what Hookbox did.
        floor: the same by limit.c in this run.
        nchan: the same by nginx with nchan in this run.
        others: peers, measured in this run or published.
        original: Hookbox 0.3.4, published.
        goal: in words.
        met: whether it is reached; None where that cannot be said.
    """

    name: str
    what: str
    ours: str
    goal: str
    met: bool | None
    floor: str = NONE
    nchan: str = NONE
    others: str = NONE
    original: str = NONE


HEADINGS = ("row", "what", "Hookbox", "goal", "met", "floor", "nchan", "others", "Hookbox 0.3.4")


def markdown(rows: Iterable[Row]) -> str:
    """The table, its columns lined up."""
    lines = [HEADINGS, *[_cells(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    shown = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    shown.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(shown) + "\n"


def _cells(row: Row) -> Sequence[str]:
    met = {True: "yes", False: "**no**", None: "?"}[row.met]
    return (
        row.name,
        row.what,
        row.ours,
        row.goal,
        met,
        row.floor,
        row.nchan,
        row.others,
        row.original,
    )
