"""An application that answers webhooks as a test tells it to."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from hookbox.core.values import JSON
from hookbox.testing.deadline import DEADLINE
from hookbox.testing.listener import Listener, Received
from hookbox.testing.reply import Reply


@dataclass(frozen=True, slots=True)
class Asked:
    """One webhook as the application got it.

    Args:
        action: the last part of the path.
        form: its fields.
        headers: lower-case names.
        at: monotonic seconds of its arrival.
        method: of HTTP.
    """

    action: str
    form: dict[str, str]
    headers: dict[str, str]
    at: float
    method: str = "POST"


Answer: TypeAlias = "Reply | list[Any] | Callable[[Asked], Reply | list[Any]]"

ANY_ACTION = "*"


class ScriptedApp(Listener):
    """An application on a free port that answers webhooks as told; by default it allows everything.

    `connect` names the user after the connect payload if that is a string, else after the cookie `user`.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        """What was asked, in order of arrival."""
        self._answers: dict[str, Answer] = {}
        super().__init__()

    # what it answers

    def answer(self, action: str, answer: Answer) -> None:
        """Answer an action so from now on.

        Args:
            action: `subscribe` and so on; `*` for all that have no answer of their own.
            answer: a verdict, a Reply, or a function of what was asked that returns one of them.
        """
        self._answers[action] = answer

    def allow(self, action: str, **options: JSON) -> None:
        """Answer an action with yes and these options from now on."""
        self.answer(action, [True, options])

    def refuse(self, action: str, reason: str = "no") -> None:
        """Answer an action with no from now on."""
        self.answer(action, [False, {"error": reason}])

    def forget(self) -> None:
        """Allow everything again, and forget what was asked and counted."""
        with self._changed:
            self._answers.clear()
            self.asked.clear()
            self.most_at_once = self._under_way
            self.most_sockets = len(self._sockets)

    # what it was asked

    def questions(self, action: str, **form: str) -> list[Asked]:
        """What was asked of an action so far, with these form fields."""
        with self._changed:
            return [q for q in self.asked if q.action == action and form.items() <= q.form.items()]

    def wait_for(self, action: str, count: int = 1, **form: str) -> list[Asked]:
        """Wait until an action was asked that often.

        Raises:
            TimeoutError: it was not, within the deadline.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.questions(action, **form)) >= count, DEADLINE):
                seen = [q.action for q in self.asked]
                raise TimeoutError(f"{action} was not asked {count} times, only {seen}")
        return self.questions(action, **form)

    def _take(self, received: Received) -> Callable[[], Reply]:
        asked = _read(received)
        self.asked.append(asked)
        otherwise = self._answers.get(ANY_ACTION, _default_answer)
        answer = self._answers.get(asked.action, otherwise)

        def reply() -> Reply:
            said = answer(asked) if callable(answer) else answer
            return said if isinstance(said, Reply) else Reply(said)

        return reply


def _read(received: Received) -> Asked:
    action = received.target.rsplit("/", 1)[-1]
    form = dict(urllib.parse.parse_qsl(received.body.decode(), keep_blank_values=True))
    return Asked(action, form, received.headers, received.at, received.method)


def _default_answer(asked: Asked) -> list[Any]:
    if asked.action != "connect":
        return [True, {}]
    name = json.loads(asked.form.get("payload", "null"))
    if not isinstance(name, str):
        match = re.search(r"user=([^;]+)", asked.headers.get("cookie", ""))
        name = match.group(1) if match else None
    return [True, {"name": name} if name else {}]
