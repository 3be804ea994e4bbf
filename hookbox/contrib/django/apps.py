"""What Django starts the app with."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class HookboxConfig(AppConfig):
    """The app; its label is not the last part of its name, as that would be `django`."""

    name = "hookbox.contrib.django"
    label = "hookbox"
    verbose_name = "Hookbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and import the module `hooks` of each app, which registers its hooks."""
        from hookbox.contrib.django import checks, hook_checks, logout
        from hookbox.contrib.django.event.model import resolve_models

        checks.register()
        hook_checks.register()
        logout.register()
        autodiscover_modules("hooks")
        resolve_models()
