"""What somebody has typed, as the value that a model's field has in a payload."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def model_field(hook: Any, name: str) -> Any:
    """The field of a hook's model that an argument shows; None if it is not about one."""
    model = getattr(hook, "model", None)
    if not isinstance(model, type) or not issubclass(model, models.Model):
        return None  # no model, or one that is not loaded yet
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return model._meta.pk if name == "pk" else None
    return field if isinstance(field, models.Field) else None


def model_value(field: Any, text: str) -> Any:
    """The JSON value that a payload has where this was typed.

    Raises:
        ValidationError: it is no value of the field.
    """
    field = _target(field)
    if not text and not field.empty_strings_allowed:
        if field.null:
            return None
        raise ValidationError(_("Enter the value to compare with."), code="required")
    if isinstance(field, models.BooleanField):
        text = text.capitalize()
    return _plain(_exact(field, field.to_python(text)))


def compares_text(field: Any) -> bool:
    """Whether payloads have text where this field is, which can start and end with other text."""
    if field.many_to_many:
        return True
    try:
        return isinstance(_plain(_target(field).to_python("1")), str)
    except ValidationError:
        return True  # a time, an identifier: those are written as text


def _target(field: Any) -> Any:
    while field.remote_field is not None and (field.many_to_one or field.one_to_one or field.many_to_many):
        field = field.remote_field.model._meta.pk if field.many_to_many else field.target_field
    return field


def _exact(field: Any, value: Any) -> Any:
    """As it comes back from the database: with all decimal places, and in UTC."""
    if isinstance(value, Decimal):
        try:
            return value.quantize(Decimal(1).scaleb(-field.decimal_places))
        except InvalidOperation:
            raise ValidationError(_("Enter a shorter number."), code="invalid") from None
    if isinstance(value, datetime) and settings.USE_TZ:
        return (timezone.make_aware(value) if timezone.is_naive(value) else value).astimezone(UTC)
    return value


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False))
    except ValueError:
        raise ValidationError(_("Enter a number."), code="invalid") from None
