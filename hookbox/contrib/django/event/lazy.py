"""Attributes of hooks that need forms, and so are made when somebody looks at them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookbox.contrib.django.event.base import Hook


class ConfigForm:
    """`HookConfigForm`, unless a subclass or an instance has another form."""

    def __get__(self, hook: Hook | None, owner: type[Hook]) -> Any:
        return _forms().HookConfigForm


class MatchForms:
    """A form for each of a hook's arguments, unless there are others."""

    def __get__(self, hook: Hook | None, owner: type[Hook]) -> Any:
        if hook is None:
            return self
        return {name: _forms().match_form_for(hook, name) for name in hook.provides_args or ()}


def _forms() -> Any:
    return import_module("hookbox.contrib.django.forms")
