from django.apps import AppConfig


class RoomsConfig(AppConfig):
    name = "rooms"

    def ready(self):
        from . import live  # noqa: F401  registers what answers Hookbox; hooks.py is found by Hookbox's own app
