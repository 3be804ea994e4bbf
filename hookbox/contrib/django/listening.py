"""What holds for listeners: whose they are, and what may be written into one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import connections, models, router
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django import conf
from hookbox.contrib.django.fields import LONGEST
from hookbox.contrib.django.match.written import from_json
from hookbox.contrib.django.payload import NotJSON, to_text
from hookbox.delivery.egress import BadURL, read_url
from hookbox.delivery.intake_values import check_header
from hookbox.errors import BadRequest
from hookbox.webhooks.signing import Secret

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener

SEES_ALL = "hookbox.view_all_listeners"
LONGEST_CONFIG = 16 * 1024
"""Bytes of a configuration's JSON text; it is read with its listener for each message."""

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

_have_listeners: set[str] = set()
"""Databases that are known to have the table."""


class ListenerQuerySet(models.QuerySet["Listener"]):
    """Listeners, as a query."""

    def for_user(self, user: Any) -> Self:
        """Those that a user may see: their own; all for who has `hookbox.view_all_listeners`."""
        if user is None or user.pk is None:
            return self.none()
        return self if user.has_perm(SEES_ALL) else self.filter(owner=user.pk)


def listeners_in(using: str) -> str:
    """The database whose listeners hear of what happens in one: itself, or if it has none, the usual one."""
    from hookbox.contrib.django.models import Listener

    usual = router.db_for_read(Listener)
    if using in (usual, *_have_listeners):
        return using
    if not router.allow_migrate_model(using, Listener):
        return usual
    if Listener._meta.db_table not in connections[using].introspection.table_names():
        return usual
    _have_listeners.add(using)
    return using


def new_secret() -> str:
    """A secret for a new listener; empty if the project signs nothing."""
    return str(Secret.new()) if conf.listener_signing() else ""


def headers_in(config: Any) -> dict[str, Any]:
    """The headers that a listener's configuration adds to each message.

    Raises:
        ValidationError: it has no such shape.
    """
    if not isinstance(config, dict):
        raise ValidationError(_("The configuration has to be an object."), code="bad_config")
    headers = config.get("headers", {})
    if not isinstance(headers, dict):
        raise ValidationError(_("headers has to be an object of strings."), code="bad_config")
    return dict(headers)


def check_listener(listener: Listener) -> None:
    """Look for what no single field can find.

    Raises:
        ValidationError: by field, what is wrong.
    """
    errors: dict[str, ValidationError] = {}
    for name, check in _CHECKS.items():
        try:
            check(listener)
        except ValidationError as error:
            errors[name] = error
    if errors:
        raise ValidationError(errors)


def _check_hook(listener: Listener) -> None:
    from hookbox.contrib.django.registry import hooks

    if listener.hook in hooks or listener.hook_may_be_unknown:
        return
    kept = type(listener)._default_manager.filter(pk=listener.pk, hook=listener.hook)
    if listener._state.adding or not kept.exists():
        text = _("There is no hook %(hook)s.")
        raise ValidationError(text, code="unknown_hook", params={"hook": listener.hook})


def _check_url(listener: Listener) -> None:
    try:
        read_url(listener.url)
    except BadURL as error:
        if not _is_address(listener.url):
            return  # its field says so
        text = _("Nothing can be sent to this address: %(why)s.")
        raise ValidationError(text, code="bad_url", params={"why": str(error)}) from error


def _is_address(url: str) -> bool:
    try:
        URLValidator(schemes=["http", "https"])(url)
    except ValidationError:
        return False
    return len(url) <= LONGEST


def _check_match(listener: Listener) -> None:
    from_json(listener.match)
    _check_nul(to_text(listener.match))


def _check_nul(text: str) -> None:
    if _NUL.search(text):  # JSON may have it, PostgreSQL's may not
        raise ValidationError(_("A character NUL cannot be kept."), code="nul")


def _check_config(listener: Listener) -> None:
    try:
        written = to_text(listener.config)
    except NotJSON as error:
        text = _("The configuration cannot be kept: %(why)s")
        raise ValidationError(text, code="bad_config", params={"why": str(error)}) from error
    _check_nul(written)
    length = len(written.encode())
    if length > LONGEST_CONFIG:
        text = _("A configuration of %(length)d bytes, limit %(limit)d.")
        sizes = {"length": length, "limit": LONGEST_CONFIG}
        raise ValidationError(text, code="bad_config", params=sizes)
    for name, value in headers_in(listener.config).items():
        if not isinstance(value, str):
            raise ValidationError(_("headers has to be an object of strings."), code="bad_config")
        try:
            check_header(name, value)
        except BadRequest as error:
            raise ValidationError(str(error), code="bad_config") from error


def _check_secret(listener: Listener) -> None:
    if listener.secret:
        try:
            Secret.read(listener.secret)
        except ValueError as error:
            text = _("This cannot be a secret: %(why)s.")
            raise ValidationError(text, code="bad_secret", params={"why": str(error)}) from error


_CHECKS = {
    "hook": _check_hook,
    "url": _check_url,
    "match": _check_match,
    "config": _check_config,
    "secret": _check_secret,
}
