"""Attributes of hooks that need forms, and so are made when somebody looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookbox.contrib.django.event.base import Hook


class ConfigForm:
    """`HookConfigForm`, unless a subclass or an instance has another form."""

    def __get__(self, hook: Hook | None, owner: type[Hook]) -> Any:
        from hookbox.contrib.django.forms import HookConfigForm

        return HookConfigForm


class MatchForms:
    """A form for each of a hook's arguments, unless there are others."""

    def __get__(self, hook: Hook | None, owner: type[Hook]) -> Any:
        if hook is None:
            return self
        from hookbox.contrib.django.forms import match_form_for

        return {name: match_form_for(hook, name) for name in hook.provides_args or ()}
