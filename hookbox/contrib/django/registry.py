"""The hooks of a project, by name: `hooks.register(PersonHook)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from hookbox.contrib.django.event.base import Hook

HookOrClass = TypeVar("HookOrClass", bound=Hook | type[Hook])


class AlreadyRegistered(Exception):
    """Another hook has this name."""


class NotRegistered(KeyError):
    """No hook has this name."""

    def __str__(self) -> str:
        return f"no hook {self.args[0]!r} is registered"


class HookRegistry(Mapping[str, Hook]):
    """Hooks by their names."""

    AlreadyRegistered = AlreadyRegistered
    NotRegistered = NotRegistered

    def __init__(self) -> None:
        self._hooks: dict[str, Hook] = {}
        self.refused: set[str] = set()

    def register(self, hook: HookOrClass) -> HookOrClass:
        """Register a hook, or a class, of which an instance is made; usable as a decorator.

        Signals reach it from now on. To register the same again changes nothing.

        Returns:
            what it was given.

        Raises:
            AlreadyRegistered: another hook has its name.
        """
        made = hook() if isinstance(hook, type) else hook
        there = self._hooks.get(made.name)
        if there is not None:
            if there is hook or type(there) is hook:
                return hook
            self.refused.add(made.name)
            raise AlreadyRegistered(
                f"there is a hook {made.name!r} already, made from {type(there).__module__}."
                f"{type(there).__qualname__}; give one of them another name"
            )
        self._hooks[made.name] = made
        made.registered()
        return hook

    def unregister(self, hook: str | Hook | type[Hook]) -> None:
        """Forget a hook; signals no longer reach it.

        Args:
            hook: it, its class, or its name.

        Raises:
            NotRegistered: there is none.
        """
        name = self._name(hook)
        if name not in self._hooks:
            raise NotRegistered(name)
        self._hooks.pop(name).unregistered()

    def get_hook(self, name: str) -> Hook:
        """The hook of a name.

        Raises:
            NotRegistered: there is none.
        """
        return self[name]

    def get_all(self) -> dict[str, Hook]:
        """All hooks by their names."""
        return dict(self._hooks)

    def as_choices(self) -> list[tuple[str, Any]]:
        """For a form: name and verbose name of each, sorted by the latter."""
        choices = [(name, hook.verbose_name) for name, hook in self._hooks.items()]
        return sorted(choices, key=lambda choice: (str(choice[1]).casefold(), choice[0]))

    def __getitem__(self, name: str) -> Hook:
        try:
            return self._hooks[name]
        except KeyError:
            raise NotRegistered(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._hooks)

    def __len__(self) -> int:
        return len(self._hooks)

    def _name(self, hook: str | Hook | type[Hook]) -> str:
        if isinstance(hook, type):
            return next((name for name, each in self._hooks.items() if type(each) is hook), hook.__name__)
        return hook if isinstance(hook, str) else hook.name


hooks = HookRegistry()
"""The hooks of this project."""
