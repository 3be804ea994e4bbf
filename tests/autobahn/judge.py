"""What verdicts of Autobahn|Testsuite are right for Hookbox, group by group. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

OK = ("OK", "OK")


@dataclass(frozen=True)
class Verdict:
    """One case's: `behavior` and `close` are the suite's words, `code` is the close code that came."""

    id: str
    behavior: str
    close: str
    code: int | None
    seconds: float
    result: str
    result_close: str


@dataclass(frozen=True)
class Group:
    """Cases that run against one server.

    Args:
        row: of the list of what has to hold.
        settings: the server's, where they are not the defaults.
        patterns: of the cases' numbers.
        count: of cases; another number means that the suite is not the one we know.
        words: behavior and close of every case that `allowed` does not name.
        allowed: further words that single cases may have.
        codes: close codes that single cases must have.
        seconds: how long single cases may take at most.
    """

    row: str
    title: str
    patterns: tuple[str, ...]
    count: int
    settings: Mapping[str, int] = field(default_factory=dict)
    words: tuple[str, str] = OK
    allowed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


NOT_STRICT = ("NON-STRICT", "OK")
TOLD_ONLY = ("INFORMATIONAL", "INFORMATIONAL")

GROUPS = (
    Group(
        "U2",
        "default limits",
        ("[1-7].*", "10.*"),
        247,
        # text is judged frame by frame: bad UTF-8 is told when the frame is complete, not inside it
        allowed=dict.fromkeys(("6.4.3", "6.4.4"), NOT_STRICT)
        | dict.fromkeys(("7.1.6", "7.13.1", "7.13.2"), TOLD_ONLY),
    ),
    Group(
        "U3",
        "default limits, a message of 256 KiB",
        ("9.1.2",),
        1,
        words=("FAILED", "FAILED"),
        codes={"9.1.2": 1009},
    ),
    Group(
        "U3",
        "max_message 16 MiB, max_fragments 70,000",
        ("9.*",),
        54,
        # what is echoed at once may stand in the queue as a whole
        settings={"max_message": 16 * 1024**2, "max_fragments": 70_000, "outbox_bytes": 64 * 1024**2},
        seconds={"9.1.6": 1.0},
    ),
    Group("U4", "compression is not negotiated", ("12.*", "13.*"), 216, words=("UNIMPLEMENTED", "OK")),
)


def deviation(verdict: Verdict, group: Group) -> str:
    """What is wrong with a verdict; empty when it is right."""
    words = (verdict.behavior, verdict.close)
    if words not in (group.words, group.allowed.get(verdict.id)):
        said = f"{verdict.behavior}, close {verdict.close}, code {verdict.code}"
        return f"{said}: {verdict.result} {verdict.result_close}"
    code = group.codes.get(verdict.id)
    if code is not None and verdict.code != code:
        return f"closed with {verdict.code} instead of {code}"
    return ""


def too_slow(verdict: Verdict, group: Group) -> bool:
    """Whether a case took longer than it may."""
    return verdict.seconds >= group.seconds.get(verdict.id, float("inf"))


def table(verdicts: list[Verdict]) -> list[str]:
    """Lines: chapter by chapter, how often each word was said."""
    words = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "UNCLEAN", "WRONG CODE", "FAILED"]
    chapters: dict[int, Counter[str]] = {}
    for verdict in verdicts:
        chapter = int(re.match(r"\d+", verdict.id)[0])
        chapters.setdefault(chapter, Counter())[worse(verdict.behavior, verdict.close, words)] += 1
    words = [
        word for word in words if word in ("OK", "FAILED") or any(said[word] for said in chapters.values())
    ]
    lines = [f"  {'chapter':<9}{'cases':>7}" + "".join(f"{word:>15}" for word in words)]
    for chapter, said in sorted(chapters.items()):
        lines.append(
            f"  {chapter:<9}{said.total():>7}" + "".join(f"{said[word] or '.':>15}" for word in words)
        )
    total = sum(chapters.values(), Counter())
    lines.append(f"  {'total':<9}{total.total():>7}" + "".join(f"{total[word] or '.':>15}" for word in words))
    return lines


def worse(one: str, other: str, words: list[str]) -> str:
    """Of two words the one that says more against us; an unknown word is a failure."""
    return max(one, other, key=words.index) if {one, other} <= set(words) else "FAILED"
