"""All or nothing for what happens in the project's databases while somebody is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import current_thread, main_thread

from django.db import DEFAULT_DB_ALIAS, connections, transaction

_NONE = "django.db.backends.dummy"


@contextmanager
def savepoint() -> Iterator[None]:
    """Undo what was written inside when it ends with an exception.

    In each database with a transaction under way (`ATOMIC_REQUESTS`) this is a savepoint, and in the default
    one otherwise a transaction. A project without databases gets neither, and neither do the threads of a
    live test server on SQLite in memory: they share a connection, and would be in each other's transactions.
    """
    with ExitStack() as stack:
        for alias in _taking_part():
            stack.enter_context(transaction.atomic(using=alias))
        yield


def _taking_part() -> list[str]:
    opened = connections.all(initialized_only=True)
    aliases = {connection.alias for connection in opened if connection.in_atomic_block}
    if connections.settings[DEFAULT_DB_ALIAS]["ENGINE"] != _NONE:
        aliases.add(DEFAULT_DB_ALIAS)
    return sorted(alias for alias in aliases if not _is_borrowed(alias))


def _is_borrowed(alias: str) -> bool:
    """Whether a test has lent its connection to a thread of its live server."""
    return connections[alias].allow_thread_sharing and current_thread() is not main_thread()
