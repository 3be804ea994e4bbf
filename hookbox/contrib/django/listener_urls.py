"""The listeners' pages: `path("durian/", include("hookbox.contrib.django.listener_urls"))`."""

from __future__ import annotations

from typing import Any

app_name = "durian"
urlpatterns: list[Any] = []
