"""The views that Hookbox asks: one for each webhook, and one for all."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_POST

from hookbox.contrib.django import conf, operations
from hookbox.contrib.django import signals as _signals
from hookbox.contrib.django.answers import Verdict, refusal, respond
from hookbox.contrib.django.deciding import decide, described
from hookbox.contrib.django.decorators import open_to_all
from hookbox.contrib.django.errback import errback as errback
from hookbox.contrib.django.one_line import LOGGED, on_one_line
from hookbox.contrib.django.operations import BY_ACTION, Operation, user_of

logger = logging.getLogger("hookbox.django")

View = Callable[[HttpRequest], HttpResponseBase]

signals = {
    "connect": _signals.connect,
    "disconnect": _signals.disconnect,
    "subscribe": _signals.subscribe,
    "unsubscribe": _signals.unsubscribe,
    "publish": _signals.publish,
    "create_channel": _signals.create_channel,
    "destroy_channel": _signals.destroy_channel,
    "message": _signals.message,
}
_PAGES = ("select", "create", "debug")


def __getattr__(name: str) -> Any:
    """The listeners' pages, which Durian had here."""
    if name in _PAGES:
        return getattr(import_module("hookbox.contrib.django.listener_views"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _view_of(operation: Operation) -> View:
    def view(request: HttpRequest) -> HttpResponse:
        return _serve(request, operation)

    view.__name__ = view.__qualname__ = operation.action
    view.__doc__ = f"Answer the webhook `{operation.action}`."
    return open_to_all(require_POST(view))


connect = _view_of(operations.CONNECT)
disconnect = _view_of(operations.DISCONNECT)
create_channel = _view_of(operations.CREATE)
destroy_channel = _view_of(operations.DESTROY)
subscribe = _view_of(operations.SUBSCRIBE)
unsubscribe = _view_of(operations.UNSUBSCRIBE)
publish = _view_of(operations.PUBLISH)
message = _view_of(operations.MESSAGE)
hub_subscribe = _view_of(operations.HUB_SUBSCRIBE)


@open_to_all
@require_POST
def single(request: HttpRequest) -> HttpResponse:
    """Answer any webhook, by the field `action`."""
    return _serve(request, BY_ACTION.get(request.POST.get("action", "")))


def _serve(request: HttpRequest, operation: Operation | None) -> HttpResponse:
    asked = operation.action if operation else repr(request.POST.get("action", "")[:LOGGED])
    if not _knows_secret(request):
        logger.warning("%s: webhook secret verification failed", asked)
        return respond(refusal("webhook secret verification failed", "Unauthorized"))
    verdict = decide(request, operation) if operation else refusal(f"there is no webhook {asked}")
    _log(request, asked, verdict)
    return respond(verdict)


def _knows_secret(request: HttpRequest) -> bool:
    secret = conf.webhook_secret()
    if not secret:
        return True
    return hmac.compare_digest(_bytes(request.POST.get("secret", "")), _bytes(str(secret)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _log(request: HttpRequest, asked: str, verdict: Verdict) -> None:
    form = request.POST
    about = form.get("channel_name") or form.get("destination") or form.get("recipient")
    where = f" on {about[:LOGGED]!r}" if about else ""
    who = on_one_line(described(user_of(request)))
    if verdict.allowed:
        logger.info("%s%s by %s: allowed", asked, where, who)
    else:
        logger.warning("%s%s by %s: denied, %s", asked, where, who, on_one_line(verdict.reason))
