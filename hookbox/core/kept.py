"""What a kept cookie has replaced: so that a browser which says otherwise is known to be behind, or ahead."""

from __future__ import annotations

from typing import Final

LATE_SECONDS: Final = 10.0
"""How long a request that was under way when the browser got a cookie may still arrive without it."""
MOST_VALUES: Final = 8


class Replaced:
    """The values that a cookie had before the one that is kept; None is for a time when there was none."""

    __slots__ = ("_seen_at", "_values")

    def __init__(self) -> None:
        self._values: tuple[str | None, ...] = ()
        self._seen_at: float | None = None

    def add(self, value: str | None) -> None:
        """The cookie had this value and gets another now."""
        self._values = (*self._values, value)[-MOST_VALUES:]
        self._seen_at = None

    @property
    def values(self) -> frozenset[str | None]:
        """The last of them."""
        return frozenset(self._values)

    def by_browser(self, shown: str | None, kept: str | None, now: float) -> bool:
        """Whether the browser shows a value that is newer than the one kept.

        It is behind with a value that was replaced, until it has shown the one kept: from then on, but for
        requests that come late, whatever it shows is what it has.

        Args:
            shown: the cookie's value in a request that has just come, None without it.
            kept: the value that is kept, None if the cookie was taken away.
            now: monotonic seconds.
        """
        if shown == kept:
            if self._seen_at is None:
                self._seen_at = now
            return False
        if shown not in self._values:
            return True
        return self._seen_at is not None and now - self._seen_at > LATE_SECONDS
