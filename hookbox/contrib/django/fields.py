"""Web addresses: as fields of forms, and of models."""

from __future__ import annotations

from typing import Any

import django
from django import forms
from django.core.validators import URLValidator
from django.db import models
from django.utils.text import capfirst

LONGEST = 2048
"""Characters of an address."""


class HttpURLField(forms.URLField):
    """An address to which a webhook can go; `url_field` makes it."""

    default_validators = [URLValidator(schemes=["http", "https"])]


def url_field(**options: Any) -> forms.URLField:
    """A form's field for an http or https address.

    Without a scheme it means https on Django 5.0 or later, and http before, where nobody can choose.
    """
    if django.VERSION >= (5, 0):
        options.setdefault("assume_scheme", "https")  # to leave it out warns there, and fails before
    return HttpURLField(**{"max_length": LONGEST, **options})


class WebAddressField(models.CharField):  # type: ignore[type-arg]  # generic for mypy only
    """A text in the database, and an address in forms; migrations see the text."""

    def formfield(self, **options: Any) -> Any:
        """`url_field`, with what the caller asks for besides."""
        asked = {"required": not self.blank, "label": capfirst(self.verbose_name), **options}
        wanted = ("required", "label", "help_text", "initial", "widget", "error_messages", "disabled")
        given = {name: value for name, value in asked.items() if name in wanted}
        return url_field(**{"help_text": self.help_text, **given})

    def deconstruct(self) -> Any:
        """As `CharField`."""
        name, _, args, options = super().deconstruct()
        return name, "django.db.models.CharField", args, options
