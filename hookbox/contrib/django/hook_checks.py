"""What `manage.py check` says about hooks, and about the way by which they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.core import checks
from django.db import Error, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.utils.module_loading import import_string

from hookbox.contrib.django import conf
from hookbox.contrib.django.event.model import ModelHook
from hookbox.contrib.django.event.outlets import connected
from hookbox.contrib.django.registry import hooks

BACKENDS = ("hookbox", "celery", "local")


def register() -> None:
    """Have Django run the checks of this module."""
    checks.register(check_hooks, "hookbox")
    checks.register(check_names, "hookbox")
    checks.register(check_backend, "hookbox")
    checks.register(check_outbox, checks.Tags.database)


def check_hooks(**kwargs: Any) -> list[checks.CheckMessage]:
    """W004: a hook that sends every field of its model."""
    return [
        checks.Warning(
            f"The hook {hook.name} has no provides_args: it sends every field of {hook.model._meta.label}.",
            hint="Name what listeners may see: provides_args = [...].",
            obj=hook,
            id="hookbox.W004",
        )
        for hook in hooks.values()
        if isinstance(hook, ModelHook) and hook.sends_every_field
    ]


def check_names(**kwargs: Any) -> list[checks.CheckMessage]:
    """E002: hooks that receivers cannot tell from each other."""
    clashing = set(hooks.refused)
    clashing |= {name for name in hooks if name.endswith(".test") and name.removesuffix(".test") in hooks}
    clashing |= {
        hook.name for hook in connected() if hook.name in hooks and type(hook) is not type(hooks[hook.name])
    }
    return [
        checks.Error(
            f"There are two hooks that send as {name}.",
            hint="Give one of them another name. (<name>.test is what the tests of a hook are sent as.)",
            obj=hooks.get(name),
            id="hookbox.E002",
        )
        for name in sorted(clashing)
    ]


def check_backend(**kwargs: Any) -> list[checks.CheckMessage]:
    """E003: messages would have nowhere to go."""
    backend = conf.backend()
    if problem := _problem_of(backend):
        hint = f"It has to be one of {', '.join(BACKENDS)}, or the dotted path of a class with send(jobs)."
        text = f"HOOKBOX_HOOK_BACKEND is {backend!r}: {problem}."
        return [checks.Error(text, hint=hint, id="hookbox.E003")]
    return []


def check_outbox(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W005: what is to survive in the outbox has no table there."""
    if not conf.outbox():
        return []
    return [
        checks.Warning(
            f"The outbox is on, but migrations of hookbox are not applied to the database {alias!r}.",
            hint=f"Run manage.py migrate hookbox --database {alias}, or set HOOKBOX_OUTBOX = False.",
            id="hookbox.W005",
        )
        for alias in databases or ()
        if router.allow_migrate(alias, "hookbox", model_name="outboxentry") and _is_behind(alias)
    ]


def _problem_of(backend: Any) -> str:
    if backend in BACKENDS:
        missing = backend == "celery" and find_spec("celery") is None
        return "Celery is not installed" if missing else ""
    if not isinstance(backend, str) or "." not in backend:
        return "there is no such backend"
    try:
        found = import_string(backend)
    except ImportError as error:
        return str(error)
    return "" if callable(getattr(found, "send", None)) else "it has no method send"


def _is_behind(alias: str) -> bool:
    try:
        executor = MigrationExecutor(connections[alias])
        if not executor.recorder.has_table():
            return False  # nothing at all is there yet, and nobody needs to be told
        targets = executor.loader.graph.leaf_nodes("hookbox")
        return bool(executor.migration_plan(targets))
    except Error:
        return False  # Django's own checks say that it cannot be reached
