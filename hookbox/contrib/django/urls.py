"""The webhooks' URLs: `path("hookbox/", include("hookbox.contrib.django.urls"))`."""

from __future__ import annotations

from typing import Any

urlpatterns: list[Any] = []
