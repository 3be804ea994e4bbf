"""`manage.py hookbox_import_listeners FILE`: take over the listeners of another project."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks

TYPES: Final[dict[str, type]] = {
    "hook": str, "url": str, "match": dict, "config": dict, "secret": str, "active": bool, "owner": str,
}  # fmt: skip


class Command(BaseCommand):
    """Imports listeners from a JSON file."""

    help = (
        "Import listeners from a JSON file (- for standard input): a list of objects with `hook` and `url`,"
        " and if wanted `match` and `config` (objects, the condition as in docs/hooks-sending.md), `secret`"
        " (whsec_...), `active` (true or false) and `owner` (a user name). All are imported or, if one"
        " cannot be, none. What is there already, with the same hook, URL and condition, is left alone, so"
        " it can be run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("file", metavar="FILE", help="JSON file; - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="check everything and import nothing")
        parser.add_argument("--database", default="default", metavar="ALIAS", help="into this database")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import them."""
        using: str = options["database"]
        given = _read(options["file"])
        listeners, problems = [], []
        for number, item in enumerate(given, 1):
            try:
                listeners.append(_listener(item, using))
            except ValidationError as error:
                problems.append(f"listener {number}{_named(item)}: {_text(error)}")
        if problems:
            raise CommandError("nothing is imported.\n" + "\n".join(problems))
        new = _without_known(listeners, using)
        if not options["dry_run"]:
            with transaction.atomic(using=using):
                for listener in new:
                    listener.save(using=using)
        for hook in sorted({listener.hook for listener in new} - hooks.keys()):
            self.stderr.write(f"No hook {hook!r} is registered here: its listeners wait until one is.")
        done = "would be imported" if options["dry_run"] else "imported"
        self.stdout.write(f"{len(new)} {done}, {len(listeners) - len(new)} are there already.")


def _read(name: str) -> list[Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        given = json.loads(text)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CommandError(f"{name} is not JSON in UTF-8: {error}") from None
    if not isinstance(given, list):
        raise CommandError(f"{name} has to hold a list of listeners, [{{...}}, ...]")
    return given


def _listener(item: Any, using: str) -> Listener:
    if not isinstance(item, dict):
        raise ValidationError("not an object")
    if unknown := sorted(item.keys() - TYPES):
        raise ValidationError(f"unknown member {unknown[0]!r}; there are {', '.join(TYPES)}")
    for name, kind in TYPES.items():
        if item.get(name) is not None and not isinstance(item[name], kind):
            raise ValidationError(f"{name} has to be {_KINDS[kind]}")
    values = {name: value for name, value in item.items() if value is not None and name != "owner"}
    listener = Listener(**values, owner=_owner(item.get("owner"), using))
    listener._state.db = using
    listener.hook_may_be_unknown = True
    listener.full_clean()
    return listener


_KINDS: Final = {str: "text", dict: "an object", bool: "true or false"}


def _owner(name: str | None, using: str) -> Any:
    if not name:
        return None
    users = get_user_model()
    try:
        return users._default_manager.using(using).get(**{users.USERNAME_FIELD: name})
    except users.DoesNotExist:
        raise ValidationError(f"owner: there is no user {name!r}") from None


def _without_known(listeners: list[Listener], using: str) -> list[Listener]:
    def same(listener: Listener) -> str:
        return json.dumps([listener.hook, listener.url, listener.match], sort_keys=True)

    hooks = {listener.hook for listener in listeners}
    known = {same(listener) for listener in Listener.objects.using(using).filter(hook__in=hooks)}
    new = []
    for listener in listeners:
        if same(listener) not in known:
            known.add(same(listener))
            new.append(listener)
    return new


def _named(item: Any) -> str:
    return f" ({item.get('hook')}, {item.get('url')})" if isinstance(item, dict) else ""


def _text(error: ValidationError) -> str:
    if hasattr(error, "error_dict"):
        return "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
    return " ".join(error.messages)
