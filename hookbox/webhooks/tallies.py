"""How long the application took for its answers, by what was asked and how that ended."""

from __future__ import annotations

from typing import Final

from hookbox.core.tally import Tally
from hookbox.settings import Settings
from hookbox.webhooks.asked import Asked, Verdict

HOOKS: Final = frozenset(
    name.removeprefix("cb_") for name in Settings.__dataclass_fields__ if name.startswith("cb_")
) - {"single_url"}
"""What the application may be asked."""
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds that are told apart."""


class HookTallies:
    """A histogram of seconds for each action and outcome; it looks on when the application is asked."""

    def __init__(self) -> None:
        self.by_hook: dict[tuple[str, str], Tally] = {}
        """By action, `other` for one that is not known, and outcome, see `outcome_of`."""

    def note(self, asked: Asked) -> None:
        """Count a webhook that has ended."""
        action = asked.question.action
        key = action if action in HOOKS else "other", outcome_of(asked)
        tally = self.by_hook.get(key)
        if tally is None:
            tally = self.by_hook[key] = Tally(*BOUNDS)
        tally.note(asked.took)


def outcome_of(asked: Asked) -> str:
    """How a webhook ended, in one word of few.

    Returns:
        `allowed`, `refused` or `not_asked`; without a usable answer `http_4xx` and the like, `unusable` for
        one with status 200, else `timeout`, `connect_timeout`, `tls`, `reset` or `unreachable`.
    """
    if asked.verdict is Verdict.ALLOWED:
        return "allowed"  # as most do
    if asked.verdict is not Verdict.FAILED:
        return str(asked.verdict.value)
    if asked.status == 200:
        return "unusable"
    return f"http_{asked.status // 100}xx" if asked.status else asked.fault or "internal"
