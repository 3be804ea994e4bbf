"""Text of others in the log: on one line, and not much of it."""

from __future__ import annotations

from typing import Final

LOGGED: Final = 300
"""Characters of anything that others chose."""


def on_one_line(text: str) -> str:
    """For the log, where nobody who chooses a name or a text is to write lines of their own."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:LOGGED])
    return shown if len(text) <= LOGGED else f"{shown}..."
