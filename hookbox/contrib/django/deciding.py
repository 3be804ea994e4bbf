"""Decides what a webhook is answered: by the signal's receivers, then by the callbacks."""

from __future__ import annotations

import logging
import secrets
import string
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from hookbox.contrib.django.answers import Verdict, read_exception, read_result, refusal
from hookbox.contrib.django.callbacks import Callback, callbacks_for
from hookbox.contrib.django.errors import Deny
from hookbox.contrib.django.operations import (
    CONNECT,
    CREATE,
    DISCONNECT,
    HUB_SUBSCRIBE,
    Operation,
    Question,
    Say,
    read_question,
)
from hookbox.contrib.django.savepoint import savepoint

if TYPE_CHECKING:
    from hookbox.contrib.django.operations import User

logger = logging.getLogger("hookbox.django")

_LETTERS = string.ascii_letters + string.digits


def decide(request: HttpRequest, operation: Operation) -> Verdict:
    """Ask the project; everything that it wrote meanwhile is undone if somebody raised."""
    try:
        question = read_question(request, operation)
        callbacks = callbacks_for(operation.name)
        if operation is DISCONNECT:
            _tell(question, callbacks)
            return Verdict(True)
        with savepoint() if callbacks or _has_receivers(question) else nullcontext():
            _send_signal(question)
            verdict = _combined(_results(question, callbacks), operation)
        return _with_defaults(question, verdict)
    except Exception as error:
        return read_exception(error, operation.name)


def _tell(question: Question, callbacks: Iterable[Callback]) -> None:
    """Tell everybody, whoever fails to hear it."""
    _send_signal(question)
    for callback in callbacks:
        try:
            with savepoint():
                question.put_to(callback)
        except Exception:
            logger.exception("callback %s failed", callback.name)


def _has_receivers(question: Question) -> bool:
    signal = question.operation.signal
    return signal is not None and signal.has_listeners(question.user)


def _send_signal(question: Question) -> None:
    operation = question.operation
    if operation.signal is None:
        return
    named = question.for_receivers()
    if operation.say is Say.DENIES:
        operation.signal.send(question.user, **named)
        return
    denials = []
    for error in operation.signal.send_each(question.user, **named):
        if operation.say is Say.DENIES_IF_MEANT and isinstance(error, Deny | PermissionDenied):
            denials.append(error)
        else:
            logger.error("a receiver of the signal for %s failed", operation.name, exc_info=error)
    if denials:
        raise denials[0]


def _results(question: Question, callbacks: Iterable[Callback]) -> Iterator[Verdict]:
    for callback in callbacks:
        verdict = read_result(question.put_to(callback), callback.name)
        if verdict is not None:
            yield verdict


def _combined(verdicts: Iterable[Verdict], operation: Operation) -> Verdict | None:
    """The first no, else the first yes; None if there is neither."""
    given = list(verdicts)  # all are asked, whatever the first one says
    if denial := next((verdict for verdict in given if not verdict.allowed), None):
        return denial
    if len(given) > 1:
        logger.warning("multiple results returned from %s callback", operation.name)
    return given[0] if given else None


def _with_defaults(question: Question, verdict: Verdict | None) -> Verdict:
    operation = question.operation
    if operation is CREATE and verdict is None:
        return refusal(f"unrecognized channel: {question.about}")
    if operation is HUB_SUBSCRIBE and verdict is None:  # or any server would read what only some users may
        return refusal(f"no hub_subscribe callback lets anybody subscribe to {question.about}", "denied")
    verdict = verdict or Verdict(True)
    if operation is CONNECT and verdict.allowed:
        return Verdict(True, {"name": _name_for(question.user), **verdict.options})
    return verdict


def _name_for(user: User) -> str:
    """The user's name, or one that nobody can register: names of Django's users begin with no space."""
    if user.is_authenticated:
        return str(user.get_username())
    return " _" + "".join(secrets.choice(_LETTERS) for _ in range(10))


def described(user: Any) -> str:
    """A user's name for the log."""
    try:
        return str(user.get_username()) or "anonymous"
    except Exception:
        logger.exception("whose session this is cannot be told")
        return "unknown"
