"""Findings as text for people: a table, then what is to be done."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from hookbox.tool.findings import Finding, Grade
from hookbox.tool.tables import clean

WIDEST: Final = 100
NARROWEST: Final = 40
CODE: Final = "    "


def remedies(findings: Sequence[Finding], fit: int | None) -> str:
    """What is not as it should be, the worst first, and how to mend it; empty if all is well.

    Args:
        fit: columns that a line may have, None for any.
    """
    width = max(NARROWEST, min(fit or WIDEST, WIDEST))
    order = list(Grade)
    bad = [finding for finding in findings if finding.grade is not Grade.OK]
    bad.sort(key=lambda finding: -order.index(finding.grade))
    return "".join(f"\n{text}" for text in (_remedy(finding, width) for finding in bad))


def _remedy(finding: Finding, width: int) -> str:
    where = f" ({clean(finding.where)})" if finding.where else ""
    head = f"{finding.grade.value.upper()} {finding.key}{where}: {clean(finding.what)}"
    lines = textwrap.wrap(head, width, subsequent_indent="  ")
    if finding.measured:
        seen = f"seen: {clean(finding.measured)}"
        lines += textwrap.wrap(seen, width, initial_indent="  ", subsequent_indent="  ")
    lines += _mend(finding.mend, width)
    return "\n".join(lines) + "\n"


def _mend(text: str, width: int) -> Iterator[str]:
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip() and not line.startswith(CODE):
            paragraph.append(clean(line.strip()))
            continue
        if paragraph:
            yield from textwrap.wrap(" ".join(paragraph), width, initial_indent="  ", subsequent_indent="  ")
            paragraph = []
        if line.strip():
            yield "  " + clean(line)


def summary(findings: Iterable[Finding], good: int | None = None) -> str:
    """How many of which.

    Args:
        good: how many things are ok, where the table above does not show the findings.
    """
    counts = Counter(finding.grade for finding in findings)
    if good is not None:
        counts[Grade.OK] = good
    parts = [
        _count(counts[Grade.WRONG], "thing is wrong", "things are wrong"),
        _count(counts[Grade.WARNING], "warning", "warnings"),
        _count(counts[Grade.NOTE], "note", "notes"),
    ]
    told = ", ".join(part for part in parts if part)
    fine = f"; {counts[Grade.OK]} ok" if counts[Grade.OK] else ""
    return f"{told}{fine}\n" if told else "All is well.\n"


def _count(number: int, one: str, several: str) -> str:
    return "" if not number else f"{number} {one if number == 1 else several}"
