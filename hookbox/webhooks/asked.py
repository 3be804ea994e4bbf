"""What became of a webhook: the record that metrics, the log and the console read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from hookbox.webhooks.gate import Question

BODY_KEPT = 16 * 1024
"""Bytes of an answer that are remembered."""
WHY_KEPT = 1000
"""Characters of a refusal's reason that are remembered; the application may say as much as it likes."""
LOG_BYTES = 32 * 1024 * 1024
"""What all remembered webhooks may take up, about: payloads are as long as users make them."""


class Verdict(Enum):
    """How a question ended."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"
    """No usable answer, which counts as no."""
    NOT_ASKED = "not_asked"
    """Too many waited already, or the application fails all the time."""


@dataclass(slots=True)
class Asked:
    """One webhook, from its question to its end.

    Args:
        id: its Idempotency-Key.
        at: when it was begun, seconds since the epoch.
        question: what was asked, with the browser's cookies: secret.
        url: where it was sent; empty if it was not.
        verdict: how it ended.
        why: for the operator: the reason of a refusal, what was wrong with an answer; empty for a yes.
        fault: why there was no answer, in a word such as `timeout`; empty if there was one.
        status: of the HTTP answer, 0 without one.
        content_type: of the answer.
        location: where a redirect would have led.
        body: of the answer, its first `BODY_KEPT` bytes: secret.
        size: of the whole answer, in bytes.
        set_cookies: values of its Set-Cookie headers: secret.
        waited: seconds until it was its turn.
        took: seconds altogether.
        again: id of the webhook that an operator has sent once more by this one; empty for all others.
    """

    id: str
    at: float
    question: Question
    url: str = ""
    verdict: Verdict = Verdict.FAILED
    why: str = ""
    fault: str = ""
    status: int = 0
    content_type: str = ""
    location: str = ""
    body: bytes = field(default=b"", repr=False)
    size: int = 0
    set_cookies: tuple[str, ...] = field(default=(), repr=False)
    waited: float = 0.0
    took: float = 0.0
    again: str = ""

    @property
    def channel(self) -> str:
        """Name of the channel that it is about, empty for none."""
        return self.question.fields.get("channel_name", "")

    @property
    def weight(self) -> int:
        """Characters and bytes of what others chose: about what it takes to remember it."""
        texts = (*self.question.fields.values(), *self.set_cookies, self.question.cookies, self.body)
        return sum(map(len, texts))


class WebhookLog:
    """The last webhooks.

    Args:
        most: how many are remembered; looked at each time.
        most_bytes: and what they may take up altogether, about; the newest stays, however large.
    """

    def __init__(self, most: Callable[[], int], most_bytes: int = LOG_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: deque[Asked] = deque()
        self._weights: deque[int] = deque()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, asked: Asked) -> None:
        """Remember one, and forget those that are too many."""
        weight = asked.weight
        self._kept.append(asked)
        self._weights.append(weight)
        self._weight += weight
        most = self._most()
        while len(self._kept) > most or (self._weight > self._most_bytes and len(self._kept) > 1):
            self._kept.popleft()
            self._weight -= self._weights.popleft()

    def find(self, wanted: Callable[[Asked], bool], limit: int) -> list[Asked]:
        """The newest ones that are wanted, newest first."""
        return list(islice(filter(wanted, reversed(self._kept)), limit))

    def __iter__(self) -> Iterator[Asked]:
        """All of them, oldest first."""
        return iter(list(self._kept))
