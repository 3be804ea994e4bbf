"""Signals: a browser wants something, or something has happened on a channel.

`sender` is the user, `request` the webhook's request. docs/django-reference.md says which receivers refuse by
raising, and which are only told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

import django
from asgiref.sync import async_to_sync, iscoroutinefunction
from django import dispatch

from hookbox.contrib.django.savepoint import savepoint

logger = logging.getLogger("hookbox.django")

Receiver = Callable[..., Any]


class Signal(dispatch.Signal):
    """A signal of Django's that takes no receiver whose answer it could not wait for."""

    def connect(
        self,
        receiver: Receiver,
        sender: object | None = None,
        weak: bool = True,
        dispatch_uid: Hashable | None = None,
    ) -> None:
        """Connect a receiver, as with any signal of Django's.

        Raises:
            TypeError: it is async, and this Django would not wait for what it says.
        """
        if not iscoroutinefunction(receiver):
            if iscoroutinefunction(getattr(receiver, "__call__", None)):  # noqa: B004
                raise TypeError(
                    f"{receiver!r} has an async __call__, which signals do not see: use a function"
                )
        elif django.VERSION < (5, 0):
            raise TypeError(
                f"{receiver!r} is async, which receivers of signals may be from Django 5.0 on;"
                " use asgiref.sync.async_to_sync"
            )
        super().connect(receiver, sender, weak, dispatch_uid)

    def send_each(self, sender: object, **named: Any) -> list[Exception]:
        """Call each receiver in a savepoint of its own, so that one that fails leaves the others alone.

        Returns:
            What was raised, in order.
        """
        raised: list[Exception] = []
        for receiver in self._receivers_for(sender):
            try:
                with savepoint():
                    receiver(signal=self, sender=sender, **named)
            except Exception as error:
                raised.append(error)
        return raised

    def _receivers_for(self, sender: object) -> list[Receiver]:
        live = self._live_receivers(sender)
        if not isinstance(live, tuple):  # Django 4.2
            return list(live)
        sync, asynchronous = live
        return [*sync, *map(async_to_sync, asynchronous)]


connect = Signal()
disconnect = Signal()
subscribe = Signal()
unsubscribe = Signal()
publish = Signal()
create_channel = Signal()
destroy_channel = Signal()
message = Signal()

listener_disabled = dispatch.Signal()
"""A listener was switched off, as its receiver wants no more: `sender` is the class, `listener` which one."""
