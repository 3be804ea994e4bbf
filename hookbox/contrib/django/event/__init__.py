"""Hooks: what happens in a project, told to those who listen.

`from hookbox.contrib.django.event import Hook, SignalHook, ModelHook`; the module `hook` has the same.
"""

from __future__ import annotations

from hookbox.contrib.django.builder import IntermediateListener
from hookbox.contrib.django.event.base import Hook
from hookbox.contrib.django.event.legacy import WebhookSignal
from hookbox.contrib.django.event.model import ModelHook
from hookbox.contrib.django.event.signal import SignalHook
from hookbox.contrib.django.sending.jobs import SendResult

__all__ = ["Hook", "IntermediateListener", "ModelHook", "SendResult", "SignalHook", "WebhookSignal"]
