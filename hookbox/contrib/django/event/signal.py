"""Hooks that a Django signal sets off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.dispatch import Signal

from hookbox.contrib.django import conf
from hookbox.contrib.django.event import outlets
from hookbox.contrib.django.event.base import Hook


class SignalHook(Hook):
    """A hook that a signal sets off; what the signal's receivers get is the payload.

    To be registered connects it. One that is not can be connected too, and hears the signal as long as
    somebody holds it.

    Attributes:
        signal: which.
    """

    OPTIONS: ClassVar[frozenset[str]] = Hook.OPTIONS | {"signal"}

    signal: Any = None

    def __init__(self, signal: Signal | None = None, **options: Any) -> None:
        super().__init__(**{"signal": signal, **options})
        self._registered = False
        self._senders: list[Any] = []

    def connect(self, sender: Any = None) -> None:
        """Hear the signal.

        Args:
            sender: only of this one; None for all.

        Raises:
            ImproperlyConfigured: there is no signal.
        """
        if self.signal is None:
            raise ImproperlyConfigured(f"hook {self.name}: give it a signal to connect it to")
        if all(each is not sender for each in self._senders):
            self._senders.append(sender)
        outlets.connect(self, self.signal, sender, strong=self._registered)

    def disconnect(self, sender: Any = None) -> None:
        """No longer hear the signal.

        Args:
            sender: as it was connected.
        """
        self._senders = [each for each in self._senders if each is not sender]
        if self.signal is not None:
            outlets.disconnect(self, self.signal, sender)

    def receive(self, /, sender: Any, **arguments: Any) -> None:
        """Send what a signal said."""
        arguments.pop("signal", None)
        self.send(sender, **arguments)

    def get_using(self, payload: Mapping[str, Any]) -> str:
        """The database in which the signal says that it happened."""
        instance = payload.get("instance")
        for using in (payload.get("using"), getattr(getattr(instance, "_state", None), "db", None)):
            if isinstance(using, str) and using in connections:
                return using
        return super().get_using(payload)

    def waits_for_commit(self) -> bool:
        """Yes, unless the hook or the project says otherwise."""
        return bool(conf.on_commit() if self.on_commit is None else self.on_commit)

    def registered(self) -> None:
        """Stay connected for good."""
        self._registered = True
        if self.signal is not None:
            for sender in [*self._senders] or [None]:
                self.connect(sender)

    def unregistered(self) -> None:
        """Hear nothing any more."""
        for sender in [*self._senders]:
            self.disconnect(sender)
        self._registered = False
