"""Asking the application while someone waits for its verdict; and `verify`, for receivers of deliveries."""

from hookbox.webhooks.signing import verify

__all__ = ["verify"]
