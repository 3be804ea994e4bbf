"""Another name for `event`, as Durian had two."""

from __future__ import annotations

from hookbox.contrib.django.event import (
    Hook,
    IntermediateListener,
    ModelHook,
    SendResult,
    SignalHook,
    WebhookSignal,
)

__all__ = ["Hook", "IntermediateListener", "ModelHook", "SendResult", "SignalHook", "WebhookSignal"]
