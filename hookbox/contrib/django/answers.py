"""Reads what callbacks return and raise, and writes it as the answer to a webhook."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpResponse
from django.utils.functional import Promise

from hookbox.contrib.django.errors import Deny

logger = logging.getLogger("hookbox.django")


@dataclass(frozen=True, slots=True)
class Verdict:
    """May it happen?

    Args:
        options: go out with the answer; of a no, `error` is for the browser and `msg` for the server's log.
    """

    allowed: bool
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """Why not, for the log."""
        return str(self.options.get("msg", "denied"))


def refusal(text: str, shown: str | None = None) -> Verdict:
    """A no with this text, and for the browser another if there is one."""
    return Verdict(False, {"msg": text, "error": text if shown is None else shown})


def read_result(result: Any, name: str) -> Verdict | None:
    """What a callback means by what it returned; None if it leaves the decision to others.

    Args:
        name: of the callback, for the log.
    """
    try:
        verdict = _read(str(result) if isinstance(result, Promise) else result)
        if verdict is not None:
            _encoded(verdict)
    except (TypeError, ValueError, RecursionError):
        logger.error("callback %s returned %.200r, which is no result of a callback", name, result)
        return refusal("invalid callback result")
    return verdict


def _read(result: Any) -> Verdict | None:
    match result:
        case None:
            return None
        case bool():
            return Verdict(True) if result else refusal("denied")
        case str():
            return refusal(result)
        case dict():
            return Verdict(True, result)
        case [True, dict(options)]:
            return Verdict(True, options)
        case [False, dict(options)]:
            return Verdict(False, _with_both_texts(options))
        case _:
            raise TypeError


def _with_both_texts(options: dict[str, Any]) -> dict[str, Any]:
    text = next((options[key] for key in ("error", "msg") if options.get(key) is not None), "denied")
    return {**options, "msg": options.get("msg", text), "error": options.get("error", text)}


def read_exception(error: Exception, name: str) -> Verdict:
    """What it means that a receiver or a callback raised this.

    Args:
        name: of the operation, for the log.
    """
    if isinstance(error, Deny | PermissionDenied):
        return refusal(str(error) or "denied")
    logger.error("%s failed, so it is denied", name, exc_info=error)
    text = str(error) or type(error).__name__
    return refusal(text, text if settings.DEBUG else "internal error")


def respond(verdict: Verdict) -> HttpResponse:
    """The HTTP answer; its status is 200 for a no, too, as the protocol has it."""
    return HttpResponse(_encoded(verdict), content_type="application/json")


def _encoded(verdict: Verdict) -> str:
    return json.dumps([verdict.allowed, verdict.options], cls=DjangoJSONEncoder, allow_nan=False)
