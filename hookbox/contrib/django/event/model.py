"""Hooks about the rows of a model."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import signals
from django.dispatch import Signal
from django.utils.module_loading import import_string

from hookbox.contrib.django.event.options import callable_option, read_names
from hookbox.contrib.django.event.signal import SignalHook
from hookbox.contrib.django.event.values import default_names, is_file, url_of, value_of
from hookbox.contrib.django.payload import in_order
from hookbox.contrib.django.sending.jobs import SendResult

_AS_IS = ("created", "raw", "using", "action", "reverse")
_SORTED = ("update_fields", "pk_set")

_waiting: list[weakref.ref[ModelHook]] = []
"""Hooks that were made before all models were there."""


class ModelHook(SignalHook):
    """A hook that is set off when a row of a model is saved, deleted, or related to others.

    Its payload is what the row has at that moment, and what the signal says about it (`created`, `using`,
    `update_fields`, ...).

    Attributes:
        model: a class, or `"app.Model"`.
        signal: usually `post_save`.
        provides_args: fields, attributes and methods without arguments; all fields but the key unless given.
        file_urls: send where files can be fetched too, as `<field>_url`.
        send_raw: send rows that fixtures bring.
        only_changed: fields one of which has to be in `update_fields`, unless the row is new.
        serializer: what makes the payload instead: a function of the row that returns a dict, the dotted path
            of one, or a serializer class of Django REST framework.

    Raises:
        ImproperlyConfigured: there is no model.
    """

    OPTIONS: ClassVar[frozenset[str]] = SignalHook.OPTIONS | {
        "model", "file_urls", "send_raw", "only_changed", "serializer",
    }  # fmt: skip

    model: Any = None
    provides_args: Any = None
    file_urls: bool = False
    send_raw: bool = False
    only_changed: Any = None
    serializer: Any = None

    def __init__(
        self, model: type[models.Model] | str | None = None, signal: Signal | None = None, **options: Any
    ) -> None:
        super().__init__(signal, **{"model": model, **options})
        if not self.model:
            raise ImproperlyConfigured(f'hook {self.name}: give it a model, a class or "app.Model"')
        self.sends_every_field = self.provides_args is None and self.serializer is None
        if self.only_changed is not None:
            self.only_changed = read_names("only_changed", self.only_changed)
        if apps.models_ready:
            self.resolve()
        else:
            _waiting.append(weakref.ref(self))

    def resolve(self) -> None:
        """Look the model up, and connect to its signal. Called once all models are there.

        Raises:
            ImproperlyConfigured: there is no such model, or its rows set off no signals.
        """
        if isinstance(self.model, str):
            try:
                self.model = apps.get_model(self.model)
            except (LookupError, ValueError) as error:
                raise ImproperlyConfigured(f"hook {self.name}: no model {self.model!r}: {error}") from error
        if not isinstance(self.model, type) or not issubclass(self.model, models.Model):
            raise ImproperlyConfigured(f"hook {self.name}: {self.model!r} is not a model")
        if self.model._meta.abstract:
            raise ImproperlyConfigured(
                f"hook {self.name}: {self.model.__name__} is abstract; name the models made from it"
            )
        if self.provides_args is None:
            self.provides_args = default_names(self.model)
        if self.signal is not None:
            self.connect()

    @property
    def resolved(self) -> bool:
        """Whether the model is there, and not only its name."""
        return self.provides_args is not None and not isinstance(self.model, str)

    def connect(self, sender: Any = None) -> None:
        """Hear the signal.

        Args:
            sender: None for the hook's model.
        """
        for each in self._usual_senders() if sender is None else [sender]:
            super().connect(each)

    def disconnect(self, sender: Any = None) -> None:
        """No longer hear the signal.

        Args:
            sender: None for the hook's model.
        """
        for each in self._usual_senders() if sender is None else [sender]:
            super().disconnect(each)

    def registered(self) -> None:
        """Stay connected for good, or be so once the model is there."""
        self._registered = True
        if self.resolved:
            super().registered()

    def receive(self, /, sender: Any, **arguments: Any) -> None:
        """Send what a signal says, if it is about this model, and not only the loading of fixtures."""
        if self._concerns(arguments):
            super().receive(sender, **arguments)

    def prepare_payload(self, sender: Any, payload: dict[str, Any]) -> Mapping[str, Any]:
        """The row's values, and with them what the signal says.

        Args:
            payload: with the row as `instance`; without one it is sent as it is.
        """
        instance = payload.get("instance")
        if instance is None:
            return payload
        said = {name: payload[name] for name in _AS_IS if name in payload}
        for name in _SORTED:
            if name in payload:
                said[name] = None if payload[name] is None else in_order(frozenset(payload[name]))
        return {**self._values(instance, payload), **said}

    def serialize_field(self, name: str, value: Any) -> Any:
        """The value that is sent for one of `provides_args`. For subclasses."""
        return value

    def send_for(self, instances: Iterable[models.Model], **arguments: Any) -> list[SendResult]:
        """Send the hook for rows that set off no signal: after `bulk_create`, or `update` of a queryset.

        Args:
            instances: a queryset, which is read bit by bit, or any rows.
            arguments: what a signal would have said, such as `created=True`.

        Raises:
            DeliveryFailed, HookboxError: as `send`, at the first row that fails.
        """
        rows = instances.iterator(chunk_size=500) if isinstance(instances, models.QuerySet) else instances
        return [result for row in rows for result in self.send(self.model, instance=row, **arguments)]

    def _values(self, instance: models.Model, said: Mapping[str, Any]) -> dict[str, Any]:
        if self.serializer is not None:
            return self._serialized(instance)
        if said.get("reverse") and not isinstance(instance, self.model):
            return dict.fromkeys(self.provides_args)  # the change came from the other side: see `pk_set`
        using, values = self.get_using({**said, "instance": instance}), {}
        for name in self.provides_args:
            values[name] = self.serialize_field(name, value_of(instance, name, using))
            if self.file_urls and is_file(type(instance), name):
                values[f"{name}_url"] = url_of(instance, name)
        return values

    def _serialized(self, instance: models.Model) -> dict[str, Any]:
        serializer = callable_option(self, "serializer") or import_string(self.serializer)
        result = serializer(instance)
        if isinstance(serializer, type) and hasattr(serializer, "data"):
            result = result.data
        if not isinstance(result, Mapping):
            raise TypeError(f"hook {self.name}: its serializer returned {type(result).__name__}, not a dict")
        return dict(result)

    def _concerns(self, said: Mapping[str, Any]) -> bool:
        if said.get("raw") and not self.send_raw:
            return False
        if self.signal is signals.m2m_changed and self._usual_senders() != [self.model]:
            about = said.get("model") if said.get("reverse") else type(said.get("instance"))
            return about is self.model
        if not self.only_changed or "update_fields" not in said:
            return True
        created = said["created"] if "created" in said else said["instance"]._state.adding
        return bool(created or set(self.only_changed) & set(said["update_fields"] or ()))

    def _usual_senders(self) -> list[Any]:
        """The model; for `m2m_changed` the tables of its relations: those in `provides_args`, or else all."""
        if self.signal is not signals.m2m_changed or not self.resolved:
            return [self.model]
        relations = {field.name: field.remote_field.through for field in self.model._meta.many_to_many}
        named = [relations[name] for name in self.provides_args if name in relations]
        return named or [*relations.values()] or [self.model]


def resolve_models() -> None:
    """Give hooks that were made too early their models.

    Raises:
        ImproperlyConfigured: one has none.
    """
    while _waiting:
        hook = _waiting.pop(0)()
        if hook is not None:
            hook.resolve()
