"""What Hookbox knows of a listener's deliveries: asked of the server itself, nothing of it is kept here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from hookbox.contrib.django import conf, http
from hookbox.contrib.django.api import FORM
from hookbox.contrib.django.errors import HookboxError
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.sending.dispatch import TAG

PATIENCE = 2.0
"""Seconds that a page waits for the server."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message owed to a listener.

    Args:
        state: "pending", "in_flight", "succeeded", "dead", "held" or "cancelled".
        status: of the last answer; None before there was any.
        due: when it is tried next; None once it is over.
    """

    id: str
    type: str
    state: str
    reason: str
    attempts: int
    status: int | None
    created: datetime | None
    due: datetime | None


def tag_of(listener: Listener) -> str:
    """What all deliveries to a listener are found by."""
    return f"{TAG}{listener.uuid}"


def recent(listener: Listener, limit: int = 20) -> list[Delivery]:
    """A listener's last deliveries, newest first. Blocks for two seconds at most, or `HOOKBOX_TIMEOUT`.

    Raises:
        HookboxError: the server is down, or does not let us look; the text says which.
    """
    patience = min(PATIENCE, float(conf.timeout()))
    query = {"tag": tag_of(listener), "limit": str(limit)}
    found = _object(http.get("/api/v1/deliveries", query, patience), 200)
    return [_read(each) for each in found.get("deliveries") or []]


def replay(listener: Listener, since: datetime) -> int:
    """Have all be tried again that the listener has not got since then; how many.

    Raises:
        HookboxError: the server is down, or does not let us; the text says which.
    """
    form = urlencode({"tag": tag_of(listener), "since": since.isoformat()}).encode()
    answer = http.post("/api/v1/deliveries/retry", form, FORM)
    return int(_object(answer, 202).get("count") or 0)


def _object(answer: http.Answer, expected: int) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HookboxError(
            _("What answers at %(url)s is not Hookbox.") % {"url": conf.url()}, code=answer.status
        )
    if answer.status == expected:
        return found
    if answer.status in (401, 403):
        text = _("Hookbox refuses the token: set HOOKBOX_API_SECURITY_TOKEN to the server's.")
    else:
        why = {"status": answer.status, "message": found.get("message") or ""}
        text = _("Hookbox answered %(status)s: %(message)s") % why
    raise HookboxError(text, code=answer.status, result=found)


def _read(each: dict[str, Any]) -> Delivery:
    return Delivery(
        id=str(each.get("id") or ""),
        type=str(each.get("type") or ""),
        state=str(each.get("state") or ""),
        reason=str(each.get("reason") or ""),
        attempts=int(each.get("attempts") or 0),
        status=each.get("last_status"),
        created=parse_datetime(each.get("created") or ""),
        due=parse_datetime(each.get("due") or ""),
    )
