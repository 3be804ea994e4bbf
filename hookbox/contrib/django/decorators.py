"""Protection for views that receive webhooks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from hashlib import sha256
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from hookbox.contrib.django.one_line import on_one_line
from hookbox.errors import BadSignature
from hookbox.webhooks import verify
from hookbox.webhooks.signing import TOLERANCE

logger = logging.getLogger("hookbox.django")

REMEMBERED: Final = 2 * TOLERANCE
"""Seconds for which a message is known; a signature from a clock that is ahead is good for as long."""
UNDER_WAY: Final = 60
"""Seconds after which a view that began with a message and has not ended is taken for dead."""
_NAMES: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")

View = Callable[..., Any]


def verify_webhook(secret_or_setting: str | Iterable[str]) -> Callable[[View], View]:
    """Let only signed webhooks into a view, and each message once. The view may be async.

    It is answered 400 if it is not signed, 401 if the signature does not fit or is over five minutes old, 200
    if it has come in the last ten minutes and the view answered below 400, and 409 if the view is still at
    it, so that the sender comes again. `request.webhook_id` is the message's id. No CSRF token is asked for.
    What has come is remembered in the default cache, which all processes have to share.

    Args:
        secret_or_setting: the secret, `whsec_...`, or the name of a setting that holds it, as
            `"SHOP_SECRET"`; several, in the argument or the setting, while one takes the other's place.
    """
    named = [secret_or_setting] if isinstance(secret_or_setting, str) else list(secret_or_setting)

    def decorate(view: View) -> View:
        place = f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"
        if iscoroutinefunction(view):

            @wraps(view)
            async def protected_async(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                if refusal := check_signature(request, secrets_of(named)):
                    return refusal
                key = key_of(place, request)
                if not await cache.aadd(key, "begun", UNDER_WAY):
                    return _known(await cache.aget(key))
                try:
                    return await _settle_async(key, view(request, *args, **kwargs))
                except BaseException:
                    await cache.adelete(key)
                    raise

            return open_to_all(protected_async)

        @wraps(view)
        def protected(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if refusal := check_signature(request, secrets_of(named)):
                return refusal
            return once(key_of(place, request), lambda: view(request, *args, **kwargs))

        return open_to_all(protected)

    return decorate


def open_to_all(view: View) -> View:
    """The same view, for callers that have neither a CSRF token nor an account.

    Django's own decorators would make an async view a sync one before Django 5.0.
    """
    view.csrf_exempt = True  # type: ignore[attr-defined]  # what the middleware looks at
    view.login_required = False  # type: ignore[attr-defined]  # the same, from Django 5.1 on
    return view


def check_signature(request: HttpRequest, secrets: list[str]) -> HttpResponse | None:
    """Check that a request is signed with one of these secrets, and note its id on it.

    Returns:
        the answer for one that is not; None if it is.

    Raises:
        ImproperlyConfigured: a secret cannot be one.
    """
    missing = [name for name in _NAMES if not request.headers.get(name)]
    if missing:
        return _refused(400, f"the header {missing[0]} is missing", request)
    try:
        verify(request.body, request.headers, secrets)
    except BadSignature as error:
        return _refused(401, str(error), request)
    except ValueError as error:
        raise ImproperlyConfigured(f"a secret of webhooks: {error}") from None
    request.webhook_id = request.headers["webhook-id"]  # type: ignore[attr-defined]  # what it is for
    return None


def secrets_of(named: Iterable[str]) -> list[str]:
    """The secrets, where names of settings stand for what those hold now.

    Raises:
        ImproperlyConfigured: there is no such setting, or it is empty.
    """
    secrets: list[str] = []
    for text in named:
        if not (text.isidentifier() and text.isupper()):
            secrets.append(text)
            continue
        value = getattr(settings, text, None)
        if not value:
            raise ImproperlyConfigured(
                f"the setting {text} has to hold the secret of the webhooks, whsec_..."
            )
        secrets += [value] if isinstance(value, str) else list(value)
    return secrets


def key_of(place: str, request: HttpRequest) -> str:
    """What a message is remembered by, in one place."""
    message: str = request.headers["webhook-id"]
    return "hookbox:webhook:" + sha256(f"{place} {message}".encode()).hexdigest()


def once(key: str, act: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Act, unless that was done in the last ten minutes; what failed is not done."""
    if not cache.add(key, "begun", UNDER_WAY):
        return _known(cache.get(key))
    try:
        answer = act()
    except BaseException:
        cache.delete(key)
        raise
    if answer.status_code < 400:
        cache.set(key, "done", REMEMBERED)
    else:
        cache.delete(key)
    return answer


async def _settle_async(key: str, coming: Awaitable[HttpResponseBase]) -> HttpResponseBase:
    answer = await coming
    if answer.status_code < 400:
        await cache.aset(key, "done", REMEMBERED)
    else:
        await cache.adelete(key)
    return answer


def _known(state: Any) -> HttpResponse:
    if state == "done":
        return HttpResponse("this message has come before", content_type="text/plain")
    return HttpResponse("this message is being worked on", status=409, content_type="text/plain")


def _refused(status: int, text: str, request: HttpRequest) -> HttpResponse:
    logger.warning("a webhook for %s is refused: %s", on_one_line(request.path), on_one_line(text))
    return HttpResponse(text, status=status, content_type="text/plain")
