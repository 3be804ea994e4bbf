"""The app's settings, each read at the moment it is used, so that `override_settings` works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings as django
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.urls import NoReverseMatch, reverse
from django.utils import translation

LOOPBACK: Final = "127.0.0.1"
_ANYWHERE: Final = {"", "0.0.0.0", "::", "[::]"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the project, and what it is without one."""

    name: str
    default: Any

    def __call__(self) -> Any:
        """Its value now."""
        return getattr(django, self.name, self.default)


interface = Setting("HOOKBOX_INTERFACE", "localhost")
port = Setting("HOOKBOX_PORT", "8001")
cbhost = Setting("HOOKBOX_CBHOST", "localhost")
cbport = Setting("HOOKBOX_CBPORT", "8000")
webhook_secret = Setting("HOOKBOX_WEBHOOK_SECRET", None)
admin_password = Setting("HOOKBOX_ADMIN_PASSWORD", None)
timeout = Setting("HOOKBOX_TIMEOUT", 5)
backend = Setting("HOOKBOX_HOOK_BACKEND", "hookbox")
outbox = Setting("HOOKBOX_OUTBOX", True)
on_commit = Setting("HOOKBOX_ON_COMMIT", True)
disconnect_on_logout = Setting("HOOKBOX_DISCONNECT_ON_LOGOUT", True)
listener_signing = Setting("HOOKBOX_LISTENER_SIGNING", True)
errback_secret = Setting("HOOKBOX_ERRBACK_SECRET", None)
egress_allow = Setting("HOOKBOX_EGRESS_ALLOW", ())
egress_deny = Setting("HOOKBOX_EGRESS_DENY", ())
egress_ports = Setting("HOOKBOX_EGRESS_PORTS", ())
https_only = Setting("HOOKBOX_HTTPS_ONLY", False)
egress_proxy = Setting("HOOKBOX_EGRESS_PROXY", "")


def api_token() -> str | None:
    """The token for calls to the server: the newer setting, else the older one; the first of several."""
    newer = getattr(django, "HOOKBOX_API_SECURITY_TOKEN", None)
    if isinstance(newer, list | tuple):  # while one takes the place of another, the server accepts both
        newer = newer[0] if newer else None
    token = newer or getattr(django, "HOOKBOX_REST_SECRET", None)
    return str(token) if token else None


def session_cookie() -> Any:
    """Which cookie stands for a login: the setting of the server, else Django's own."""
    return getattr(django, "HOOKBOX_SESSION_COOKIE", None) or django.SESSION_COOKIE_NAME


def egress() -> str:
    """How much of the world webhooks may reach: the setting, else what `runhookbox` gives the server."""
    return str(getattr(django, "HOOKBOX_EGRESS", "internal" if django.DEBUG else "public"))


def debug_view() -> bool:
    """Whether the debug listener is served."""
    return bool(getattr(django, "HOOKBOX_DEBUG_VIEW", django.DEBUG))


def url() -> str:
    """Where the server's API is, without a slash at the end."""
    given: str | None = getattr(django, "HOOKBOX_URL", None)
    return given.rstrip("/") if given else f"http://{host_of(interface())}:{port()}{_path_prefix()}"


def public_url(request: HttpRequest | None = None) -> str:
    """Where browsers find the server, without a slash at the end.

    Args:
        request: of the page, whose scheme and host count where `HOOKBOX_PUBLIC_URL` is not set.
    """
    given: str | None = getattr(django, "HOOKBOX_PUBLIC_URL", None)
    if given:
        return given.rstrip("/")
    if request is None:
        return url()
    host, _ = split_domain_port(request.get_host())
    return f"{request.scheme}://{host or LOOPBACK}:{port()}{_path_prefix()}"


def _path_prefix() -> str:
    """What the server serves everything below; a setting of its own."""
    prefix = str(getattr(django, "HOOKBOX_PATH_PREFIX", None) or "").strip("/")
    return f"/{prefix}" if prefix else ""


def topic_url(name: str) -> str:
    """The URL of a topic; the same for every page, as the server knows only one."""
    return f"{public_url()}/topic/{quote(name, safe='')}"


def cbpath() -> str:
    """The path below which the webhook views are, without a slash at the end unless it is the whole path."""
    given: str | None = getattr(django, "HOOKBOX_CBPATH", None)
    if given:
        return given
    try:
        return path_of("hookbox_connect").removesuffix("/connect") or "/"
    except NoReverseMatch:
        return "/hookbox"


def path_of(name: str) -> str:
    """The path of a view that the server calls.

    Below `i18n_patterns` it is that of the project's language, by the name under which Django serves it:
    with `LANGUAGE_CODE = "en-us"` Django makes paths that begin with /en-us/, but takes only /en/.

    Raises:
        NoReverseMatch: the view is not in the URL configuration.
    """
    try:
        language = translation.get_supported_language_variant(django.LANGUAGE_CODE)
    except LookupError:
        language = django.LANGUAGE_CODE
    with translation.override(language):
        return reverse(name)


def cbhttps() -> bool:
    """Whether the server asks over https; a setting of the server's own."""
    return bool(getattr(django, "HOOKBOX_CBHTTPS", False))


def callback_url(path: str) -> str:
    """The absolute URL of a path of this project, as the server sees it."""
    scheme = "https" if cbhttps() else "http"
    return f"{scheme}://{host_of(cbhost())}:{cbport()}{path}"


def host_of(address: str) -> str:
    """The host part of a URL that reaches a listener on this address."""
    address = str(address)
    if address in _ANYWHERE:
        return LOOPBACK
    return f"[{address}]" if ":" in address and not address.startswith("[") else address
