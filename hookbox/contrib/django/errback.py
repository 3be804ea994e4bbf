"""The view that the server tells how listeners fare; its URL has the name `hookbox_errback`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from hookbox.contrib.django import conf
from hookbox.contrib.django.decorators import check_signature, key_of, once, open_to_all
from hookbox.contrib.django.listening import listeners_in
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.sending import health
from hookbox.contrib.django.sending.attempt import shown
from hookbox.contrib.django.sending.dispatch import TAG

logger = logging.getLogger("hookbox.django")

TROUBLE = {"delivery.failing", "delivery.dead"}
RECOVERED = "delivery.recovered"


@open_to_all
@require_POST
def errback(request: HttpRequest) -> HttpResponseBase:
    """Take what the server tells of a listener's deliveries, signed with HOOKBOX_ERRBACK_SECRET."""
    secret = conf.errback_secret()
    if not secret:
        return _said(403, "HOOKBOX_ERRBACK_SECRET is not set, so nobody can be believed")
    if refusal := check_signature(request, [secret] if isinstance(secret, str) else list(secret)):
        return refusal
    return once(key_of("errback", request), lambda: _take(request))


def _take(request: HttpRequest) -> HttpResponse:
    using = request.GET.get("using", "default")
    try:
        notice = json.loads(request.body)
        type, data = notice["type"], notice["data"]
        tag = str(data.get("tag") or "")
        listener = UUID(tag.removeprefix(TAG)) if tag.startswith(TAG) else None
        url = shown(str(data.get("url") or ""))  # the server masks name and password
    except (ValueError, TypeError, KeyError, AttributeError):
        return _said(400, "not what a Hookbox server tells")
    if listener is None or using not in connections:
        return _said(200, "not about a listener")
    known = Listener.objects.using(listeners_in(using)).filter(uuid=listener).first()
    if known is None:
        return _said(200, "there is no such listener any more")
    if url and url != shown(known.url):
        return _said(200, "not about the address that this listener has now")
    _note(known, using, type, data)
    return _said(200, "noted")


def _note(listener: Listener, using: str, type: str, data: dict[str, Any]) -> None:
    last = data.get("last") or {}
    at, status, name = (
        _time(last.get("at")),
        str(last.get("status") or last.get("class") or ""),
        str(listener.uuid),
    )
    reason = data.get("reason")
    if type == RECOVERED:
        health.succeeded(using, name, at, status)
    elif type in TROUBLE and reason != "cancelled":  # which the operator did, not the listener
        late = listener.last_success_at is not None and at < listener.last_success_at
        if not late:
            health.failed(using, name, at, status or str(reason))
        if reason == "gone":
            health.disable(using, name, health.GONE)


def _time(text: Any) -> datetime:
    try:
        time = parse_datetime(text)
    except (TypeError, ValueError):
        time = None
    if time is None:
        return timezone.now()
    if settings.USE_TZ:
        return time if timezone.is_aware(time) else timezone.make_aware(time, UTC)
    return timezone.make_naive(time) if timezone.is_aware(time) else time


def _said(status: int, text: str) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain")
