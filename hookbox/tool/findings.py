"""What an examination finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from hookbox.core.values import JSONObject
from hookbox.tool.problems import REFUSED

OK = 0


class Grade(Enum):
    """How bad it is, in rising order."""

    OK = "ok"
    NOTE = "note"
    """Good to know; nothing has to be done."""
    WARNING = "warning"
    """It works, but not as well or as safely as it could."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        key: one word for it, always the same.
        grade: how it is.
        what: a clause that says how it is.
        measured: what was seen, as far as it helps.
        mend: how to mend it; lines that begin with four spaces are to be put in as they stand.
        where: which webhook or probe it is about.
    """

    key: str
    grade: Grade
    what: str
    measured: str = ""
    mend: str = ""
    where: str = ""

    def as_json(self) -> JSONObject:
        """It for programs."""
        return {
            "key": self.key,
            "grade": self.grade.value,
            "where": self.where,
            "what": self.what,
            "measured": self.measured,
            "mend": self.mend,
        }


def ok(key: str, what: str, measured: str = "") -> Finding:
    """Something is as it should be."""
    return Finding(key, Grade.OK, what, measured)


def note(key: str, what: str, measured: str = "", mend: str = "") -> Finding:
    """Something is good to know."""
    return Finding(key, Grade.NOTE, what, measured, mend)


def warning(key: str, what: str, measured: str = "", mend: str = "") -> Finding:
    """Something could be better."""
    return Finding(key, Grade.WARNING, what, measured, mend)


def wrong(key: str, what: str, measured: str = "", mend: str = "") -> Finding:
    """Something is wrong."""
    return Finding(key, Grade.WRONG, what, measured, mend)


def exit_code(findings: Iterable[Finding]) -> int:
    """Of a process that found this."""
    return REFUSED if any(finding.grade is Grade.WRONG for finding in findings) else OK
