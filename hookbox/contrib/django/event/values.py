"""What a model's instance has at this moment, for a payload."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from inspect import Parameter, signature
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.db import models
from django.utils import timezone


def value_of(instance: models.Model, name: str, using: str) -> Any:
    """The value of a field, an attribute, or a method without arguments; None where there is none.

    Relations are the keys of what they lead to.

    Args:
        using: alias of the database that is asked, if one has to be.
    """
    field = _field(type(instance), name)
    try:
        if isinstance(field, models.FileField):
            return getattr(instance, field.attname).name
        if isinstance(field, models.Field) and not field.many_to_many:
            return _as_stored(field, _loaded(instance, field, using))
        if isinstance(field, models.ForeignObjectRel):
            name = field.get_accessor_name() or name
        return _plain(instance, _attribute(instance, name), using)
    except ObjectDoesNotExist:  # the row has gone meanwhile, and this was not loaded; or it leads to nothing
        return None


def url_of(instance: models.Model, name: str) -> str | None:
    """Where a file can be fetched; None without a file, or if its storage cannot tell."""
    try:
        return str(getattr(instance, name).url)
    except (ValueError, NotImplementedError):
        return None


def is_file(model: type[models.Model], name: str) -> bool:
    """Whether a name is that of a file field."""
    return isinstance(_field(model, name), models.FileField)


def default_names(model: type[models.Model]) -> tuple[str, ...]:
    """The names of all fields of a model but its key."""
    return tuple(field.name for field in model._meta.concrete_fields if not field.primary_key)


def _field(model: type[models.Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return next((each for each in model._meta.concrete_fields if each.attname == name), None)


def _loaded(instance: models.Model, field: models.Field[Any, Any], using: str) -> Any:
    """A field's value; what only the database can work out, such as `F("price") + 1`, as it is there now."""
    value = getattr(instance, field.attname)
    if not hasattr(value, "resolve_expression"):
        return value
    rows = type(instance)._base_manager.using(using).filter(pk=instance.pk)
    return rows.values_list(field.attname, flat=True).first() if instance.pk is not None else None


def _as_stored(field: models.Field[Any, Any], value: Any) -> Any:
    """As it comes back from the database, however it was assigned: a number for "1", UTC, all decimals."""
    try:
        value = field.to_python(value)
    except (ValidationError, TypeError, ValueError):
        return value
    if isinstance(field, models.DecimalField) and isinstance(value, Decimal):
        try:
            return value.quantize(Decimal(1).scaleb(-(field.decimal_places or 0)))
        except InvalidOperation:
            return value
    if isinstance(value, datetime) and timezone.is_aware(value):
        return value.astimezone(UTC)
    return value


def _attribute(instance: models.Model, name: str) -> Any:
    try:
        value = getattr(instance, name, None)
    except ValueError:
        if instance.pk is None:
            return None  # a row without a key has no relations yet
        raise
    return value() if callable(value) and _is_simple_method(value) else value


def _is_simple_method(value: Callable[..., Any]) -> bool:
    """Whether this can be called without arguments, and changes nothing."""
    if isinstance(value, type | models.Manager) or getattr(value, "alters_data", False):
        return False
    try:
        parameters = signature(value).parameters.values()
    except ValueError:
        return False
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return all(each.default is not Parameter.empty or each.kind in variadic for each in parameters)


def _plain(instance: models.Model, value: Any, using: str) -> Any:
    if isinstance(value, models.Model):
        return value.pk
    if isinstance(value, models.Manager):
        if instance.pk is None:
            return None
        value = value.using(using)
    if isinstance(value, models.QuerySet):
        return list(value.order_by("pk").values_list("pk", flat=True))
    return None if callable(value) else value
