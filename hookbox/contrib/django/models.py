"""Who listens to hooks, and what has not been handed over yet."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.validators import URLValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django.fields import WebAddressField
from hookbox.contrib.django.listening import ListenerQuerySet, check_listener, headers_in
from hookbox.contrib.django.match.written import from_json


class Listener(models.Model):
    """A URL that is told when a hook fires, if what the hook says matches."""

    uuid = models.UUIDField(_("identifier"), default=uuid.uuid4, unique=True, editable=False)
    hook = models.CharField(_("hook"), max_length=255, db_index=True)
    url = WebAddressField(_("URL"), max_length=2048, validators=[URLValidator(schemes=["http", "https"])])
    match = models.JSONField(_("condition"), default=dict, blank=True)
    config = models.JSONField(_("configuration"), default=dict, blank=True)
    secret = models.CharField(_("secret"), max_length=255, blank=True)
    active = models.BooleanField(_("active"), default=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    disabled_reason = models.CharField(_("disabled because"), max_length=255, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    last_status = models.CharField(_("last status"), max_length=32, blank=True, editable=False)
    last_success_at = models.DateTimeField(_("last success"), null=True, editable=False)
    last_failure_at = models.DateTimeField(_("last failure"), null=True, editable=False)

    objects = ListenerQuerySet.as_manager()

    hook_may_be_unknown = False
    """Whether `clean` takes a hook that is not registered."""

    class Meta:
        verbose_name = _("listener")
        verbose_name_plural = _("listeners")
        indexes = [models.Index(fields=["hook", "active"], name="hookbox_listener_hook_active")]
        permissions = [("view_all_listeners", "Can view the listeners of everybody")]

    def __str__(self) -> str:
        return f"{self.hook} → {self.url}"

    def clean(self) -> None:
        """Check what the fields alone cannot.

        Raises:
            ValidationError: by field, what is wrong.
        """
        super().clean()
        check_listener(self)

    def get_match(self) -> dict[str, Any]:
        """Its condition, with matchers.

        Raises:
            ValidationError: what is stored is none.
        """
        return from_json(self.match)

    def get_headers(self) -> dict[str, Any]:
        """The headers that its configuration adds to each message.

        Raises:
            ValidationError: what is stored has no such shape.
        """
        return headers_in(self.config)


class OutboxEntry(models.Model):
    """Something that was decided in a transaction and is still to be handed over to Hookbox."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    using = models.CharField(max_length=64, default="default")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    job = models.JSONField()
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now, db_index=True)
    last_error = models.TextField(blank=True)

    class Meta:
        verbose_name = _("outbox entry")
        verbose_name_plural = _("outbox entries")

    def __str__(self) -> str:
        return str(self.uuid)
