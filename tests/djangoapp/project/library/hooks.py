"""Found when Django starts."""

from hookbox.contrib.django.event import Hook
from hookbox.contrib.django.registry import hooks

hooks.register(
    Hook(name="library.borrowed", verbose_name="a book was borrowed", provides_args=["title", "reader"])
)
