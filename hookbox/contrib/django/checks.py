"""What `manage.py check` says about the project's settings for Hookbox."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core import checks
from django.http.request import split_domain_port, validate_host
from django.utils.module_loading import import_string

from hookbox.contrib.django import conf
from hookbox.contrib.django.operations import BY_ACTION

Messages = list[checks.CheckMessage]

_DEVELOPMENT_HOSTS = (".localhost", "127.0.0.1", "[::1]")
"""What Django allows with DEBUG when ALLOWED_HOSTS is empty."""


def register() -> None:
    """Have Django run the checks of this module."""
    run: Callable[..., Any]
    for run in (check_tokens, check_webhook_secret, check_allowed_host, check_ssl_redirect):
        checks.register(run, checks.Tags.security)
    checks.register(check_middleware, "hookbox")


def check_tokens(**_: Any) -> Messages:
    """E001: two names of one setting say different things."""
    older = getattr(settings, "HOOKBOX_REST_SECRET", None)
    if not older or conf.api_token() == str(older):
        return []
    return [
        checks.Error(
            "HOOKBOX_API_SECURITY_TOKEN and HOOKBOX_REST_SECRET are different, but mean the same.",
            hint="Remove HOOKBOX_REST_SECRET, which is the older name.",
            id="hookbox.E001",
        )
    ]


def check_webhook_secret(**_: Any) -> Messages:
    """W001: anybody who reaches the webhook views can pose as Hookbox."""
    if conf.webhook_secret() or settings.DEBUG:
        return []
    return [
        checks.Warning(
            "HOOKBOX_WEBHOOK_SECRET is not set, so anybody can call the webhook views.",
            hint="Set it to a long random text; runhookbox gives the server the same.",
            id="hookbox.W001",
        )
    ]


def check_allowed_host(**_: Any) -> Messages:
    """W002: Django will answer Hookbox's questions with 400."""
    host = conf.host_of(conf.cbhost()).lower()
    allowed = settings.ALLOWED_HOSTS or (_DEVELOPMENT_HOSTS if settings.DEBUG else ())
    if not split_domain_port(host)[0]:
        problem = "which Django takes for no host's name, whatever ALLOWED_HOSTS says"
        hint = "Use a name of letters, digits, dots and dashes; containers can have one as an alias."
    elif not validate_host(host, allowed):
        problem, hint = "which is not in ALLOWED_HOSTS", "Add it to ALLOWED_HOSTS."
    else:
        return []
    text = f"Hookbox asks this project as {host!r} (HOOKBOX_CBHOST), {problem}."
    return [checks.Warning(text, hint=hint, id="hookbox.W002")]


def check_ssl_redirect(**_: Any) -> Messages:
    """W003: Django will answer Hookbox's questions with a redirect, which counts as a no."""
    if not settings.SECURE_SSL_REDIRECT or conf.cbhttps() or _is_exempt(_connect_path()):
        return []
    path = conf.cbpath().strip("/")
    pattern = f"^{re.escape(path)}/" if path else f"^({'|'.join((*BY_ACTION, 'errback'))})/?$"
    return [
        checks.Warning(
            "SECURE_SSL_REDIRECT redirects Hookbox's questions, which come over http, so all are denied.",
            hint=f"Add {pattern!r} to SECURE_REDIRECT_EXEMPT, or set HOOKBOX_CBHTTPS.",
            id="hookbox.W003",
        )
    ]


def check_middleware(**_: Any) -> Messages:
    """W006: callbacks will see no user."""
    if any(map(_authenticates, settings.MIDDLEWARE)):
        return []
    return [
        checks.Warning(
            "There is no AuthenticationMiddleware, so to callbacks everybody is anonymous.",
            hint="Add 'django.contrib.auth.middleware.AuthenticationMiddleware' to MIDDLEWARE.",
            id="hookbox.W006",
        )
    ]


def _connect_path() -> str:
    return f"{conf.cbpath().strip('/')}/connect".lstrip("/")


def _is_exempt(path: str) -> bool:
    return any(re.search(pattern, path) for pattern in settings.SECURE_REDIRECT_EXEMPT)


def _authenticates(name: str) -> bool:
    try:
        middleware = import_string(name)
    except ImportError:
        return False  # which Django says when it starts
    return isinstance(middleware, type) and issubclass(middleware, AuthenticationMiddleware)
