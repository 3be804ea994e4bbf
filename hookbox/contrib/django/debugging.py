"""A listener for trying things: it takes whatever comes, and shows it to staff."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from time import sleep
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hookbox.contrib.django import conf
from hookbox.contrib.django.decorators import open_to_all
from hookbox.errors import BadSignature
from hookbox.webhooks.signing import verify

logger = logging.getLogger("hookbox.django")

KEPT: Final = 50
"""Requests that are shown."""
LONGEST: Final = 64 * 1024
"""Bytes of a body that are shown."""
SLOWEST: Final = 10.0
"""Seconds that a request may ask to be kept waiting."""
MASK: Final = "••••••"
_DAY: Final = 24 * 60 * 60
_KEY: Final = "hookbox-debug"
_SECRET: Final = re.compile(r"auth|cookie|secret|token|passw|api-?key|session", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caught:
    """A request that has come.

    Args:
        body: as text; what is no UTF-8 is shown as escapes.
        size: bytes of the body, which may be longer than what is kept of it.
        parsed: the JSON value, or the form, as indented text; empty if it is neither.
        verdict: "fits", "unknown" or "unsigned".
        why: what was found out about the signature, for people.
    """

    at: datetime
    path: str
    type: str
    headers: tuple[tuple[str, str], ...]
    body: str
    size: int
    parsed: str
    status: int
    verdict: str
    why: str
    number: int = 0


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def debug(request: HttpRequest) -> HttpResponse:
    """Take a request, or show staff the last ones. `?status=500&delay=3`: answer that, 3 seconds later."""
    if not conf.debug_view():
        raise Http404("HOOKBOX_DEBUG_VIEW is off")
    return _take(request) if request.method == "POST" else _show(request)


def _take(request: HttpRequest) -> HttpResponse:
    try:
        status = int(request.GET.get("status", 200))
        delay = float(request.GET.get("delay", 0))
        if not (200 <= status <= 599 and 0 <= delay < float("inf")):
            raise ValueError
    except ValueError:
        text = _("status has to be 200 to 599, and delay a number of seconds")
        return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
    _keep(_caught(request, status))
    if delay:
        sleep(min(delay, SLOWEST))
    return HttpResponse("Thanks!", status=status, content_type="text/plain; charset=utf-8")


def _show(request: HttpRequest) -> HttpResponse:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if not user.is_staff:
        raise PermissionDenied(_("Only staff may see what has come here."))
    context = {
        "caught": caught(),
        "kept": KEPT,
        "address": request.build_absolute_uri(request.path),
        "place": "debug",
        "may_debug": True,
    }
    return render(request, "hookbox/listeners/debug.html", context)


def caught() -> list[Caught]:
    """The last requests, newest first."""
    found = cache.get_many([f"{_KEY}-{place}" for place in range(KEPT)])
    return sorted(found.values(), key=lambda each: each.number, reverse=True)


def _keep(one: Caught) -> None:
    """Keep it in the place of the oldest one; each has its own, so two that come at once are both kept."""
    cache.add(_KEY, 0, _DAY)
    try:
        number = cache.incr(_KEY)
    except ValueError:  # it has run out in between
        cache.set(_KEY, number := 1, _DAY)
    cache.touch(_KEY, _DAY)
    cache.set(f"{_KEY}-{number % KEPT}", replace(one, number=number), _DAY)


def _caught(request: HttpRequest, status: int) -> Caught:
    body = request.body
    headers = tuple((name, masked(name, value)) for name, value in sorted(request.headers.items()))
    query = [(name, masked(name, value)) for name, value in parse_qsl(request.META.get("QUERY_STRING", ""))]
    path = request.path + (f"?{urlencode(query, safe=MASK)}" if query else "")
    logger.info("debug listener: POST %s, %d bytes", path, len(body))
    logger.debug("debug listener: headers %s, body %r", dict(headers), body[:LONGEST])
    verdict, why = _verdict(request, body)
    return Caught(
        at=timezone.now(),
        path=path,
        type=request.headers.get("hookbox-type", ""),
        headers=headers,
        body=body[:LONGEST].decode(errors="backslashreplace"),
        size=len(body),
        parsed=_parsed(request, body[:LONGEST]),
        status=status,
        verdict=verdict,
        why=why,
    )


def masked(name: str, value: str) -> str:
    """A header's value, unless its name says that it is secret."""
    return MASK if _SECRET.search(name) else value


def _parsed(request: HttpRequest, body: bytes) -> str:
    if request.content_type == "application/x-www-form-urlencoded":
        try:
            form: Any = dict(QueryDict(body).lists())
        except Exception:  # too many fields, say; what it is can be seen in the body
            return ""
    else:
        try:
            form = json.loads(body)
        except (ValueError, RecursionError):
            return ""
    try:
        text = json.dumps(form, indent=2, ensure_ascii=False)
        text.encode()  # half a surrogate pair cannot be shown
    except (UnicodeEncodeError, RecursionError):
        return ""
    return text


def _verdict(request: HttpRequest, body: bytes) -> tuple[str, str]:
    """Whether the signature is that of a listener which points here, or of any other."""
    headers: Mapping[str, str] = request.headers
    if not headers.get("webhook-signature"):
        return "unsigned", _("It has no signature.")
    problem = _("no listener that points here has a secret")
    for listener in _candidates(request.path):
        try:
            verify(body, headers, listener.secret)
        except (BadSignature, ValueError) as error:
            problem = str(error)
            continue
        return "fits", _("It is signed with the secret of the listener to “%(hook)s”.") % {
            "hook": listener.hook
        }
    return "unknown", _("The signature cannot be confirmed: %(problem)s.") % {"problem": problem}


def _candidates(path: str) -> list[Any]:
    from hookbox.contrib.django.models import Listener

    return list(Listener.objects.filter(url__contains=path).exclude(secret="").order_by("-pk")[:100])
