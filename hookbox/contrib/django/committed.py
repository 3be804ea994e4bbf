"""Doing something once a transaction is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import transaction

from hookbox.contrib.django.errors import HookboxError

logger = logging.getLogger("hookbox.django")


def after_commit(act: Callable[[], object], name: str, using: str | None) -> None:
    """Act after the commit, never after a rollback; at once where no transaction is open.

    What fails then is logged: it may break neither the request nor what others do after the commit. (Django's
    own `robust=True` crashes on what has no `__qualname__`, and drops what comes later.)

    Args:
        name: what is done, for the log.
        using: alias of the database; None for the default one.
    """

    def quietly() -> None:
        try:
            act()
        except HookboxError as error:
            logger.error("%s after a commit: %s", name, error)
        except Exception:
            logger.exception("%s after a commit failed", name)

    transaction.on_commit(quietly, using=using)
