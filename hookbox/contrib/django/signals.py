"""Signals: a browser wants something, or something has happened on a channel."""

from __future__ import annotations

from django.dispatch import Signal

connect = Signal()
disconnect = Signal()
subscribe = Signal()
unsubscribe = Signal()
publish = Signal()
create_channel = Signal()
destroy_channel = Signal()
message = Signal()

listener_disabled = Signal()
"""A listener was switched off, as its receiver wants no more: `sender` is the class, `listener` which one."""
