"""What `manage.py check` says about the project's settings and hooks."""

from __future__ import annotations


def register() -> None:
    """Have Django run the checks of this module."""
