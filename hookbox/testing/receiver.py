"""A server that deliveries are sent to: it answers as a test says, and remembers what it got."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hookbox.testing.deadline import DEADLINE
from hookbox.testing.listener import Listener, Received
from hookbox.testing.reply import Reply

Said: TypeAlias = "int | Reply | Callable[[Received], int | Reply]"

_PATH = "/hook"


class Receiver(Listener):
    """A destination on a free port; until it is told otherwise it answers 200.

    Hookbox reaches it only with `egress="internal"`, as it is on this machine.

    Args:
        answers: as for `answer`.
    """

    def __init__(self, *answers: Said) -> None:
        self.got: list[Received] = []
        """What it got, in order of arrival."""
        self._answers: list[Said] = list(answers) or [200]
        super().__init__()

    @property
    def hook(self) -> str:
        """A URL to dispatch to; any other path of it will do as well."""
        return self.url + _PATH

    def answer(self, *answers: Said) -> None:
        """Give these answers, one to each request from now on; the last one for ever.

        Args:
            answers: each a status, a `Reply` (its verdict goes out as JSON), or a function of what was
                received that returns one of them.
        """
        with self._changed:
            self._answers = list(answers)

    def forget(self) -> None:
        """Answer 200 again, and forget what was got and counted."""
        with self._changed:
            self._answers = [200]
            self.got.clear()
            self.most_at_once = self._under_way
            self.most_sockets = len(self._sockets)

    def requests(self, **headers: str) -> list[Received]:
        """What it got with these headers, in which `_` stands for `-`: `requests(hookbox_topic="news")`."""
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}.items()
        with self._changed:
            return [received for received in self.got if wanted <= received.headers.items()]

    def wait_for(self, count: int = 1, seconds: float = DEADLINE, **headers: str) -> list[Received]:
        """Wait until it got so many requests, with these headers; all of them so far.

        Raises:
            TimeoutError: it did not, within so many seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests(**headers)) >= count, seconds):
                raise TimeoutError(f"{count} requests did not come, only {self.got}")
        return self.requests(**headers)

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _take(self, received: Received) -> Callable[[], Reply]:
        self.got.append(received)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

        def reply() -> Reply:
            said = answer(received) if callable(answer) else answer
            return Reply(status=said, body=b"") if isinstance(said, int) else said

        return reply
