"""What is noted on a listener about how it fares."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.db import Error, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from hookbox.contrib.django.sending.attempt import Outcome
from hookbox.contrib.django.sending.jobs import Target

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener

logger = logging.getLogger("hookbox.django")

GONE: Final = "410"


def note(using: str, target: Target, outcome: Outcome) -> None:
    """Note what came of a message, once the transaction around it is over. Never raises.

    After the commit, because a row that is written in it would be locked until then.

    Args:
        using: alias of its database.
        target: whom it was for. Nothing is noted on a listener that has another URL by now.
    """
    listener, url = target.listener, target.url
    if not listener:
        return

    def write() -> None:
        try:
            if outcome.ok:
                succeeded(using, listener, timezone.now(), str(outcome.status), url)
            else:
                failed(using, listener, timezone.now(), str(outcome.status or outcome.name), url)
            if outcome.name == "gone":
                disable(using, listener, GONE, url)
        except Error:
            logger.exception("what came of a message could not be noted on listener %s", listener)

    transaction.on_commit(write, using=using)


def succeeded(using: str, listener: str, at: datetime, status: str, url: str = "") -> None:
    """Note that something has arrived.

    Args:
        status: of the answer.
        url: only if this is where it listens; empty for anywhere.
    """
    _change(using, listener, url, failures=0, last_success_at=at, last_status=status[:32])


def failed(using: str, listener: str, at: datetime, status: str, url: str = "") -> None:
    """Note that something has not.

    Args:
        status: of the answer, or why there was none.
        url: only if this is where it listens; empty for anywhere.
    """
    _change(using, listener, url, failures=F("failures") + 1, last_failure_at=at, last_status=status[:32])


def disable(using: str, listener: str, reason: str, url: str = "") -> None:
    """Switch a listener off, and tell everybody who wants to know; once, however often it is called.

    Args:
        url: only if this is where it listens; empty for anywhere.
    """
    from hookbox.contrib.django.models import Listener
    from hookbox.contrib.django.signals import listener_disabled

    active = _rows(using, listener, url).filter(active=True)
    if active.update(active=False, disabled_reason=reason, updated_at=timezone.now()):
        logger.warning("listener %s is disabled: %s", listener, reason)
        told = _rows(using, listener).first()
        if told is not None:
            for _, answer in listener_disabled.send_robust(sender=Listener, listener=told):
                if isinstance(answer, Exception):
                    logger.error("a receiver of listener_disabled failed", exc_info=answer)


def _change(using: str, listener: str, url: str, **values: Any) -> None:
    _rows(using, listener, url).update(**values)


def _rows(using: str, listener: str, url: str = "") -> QuerySet[Listener]:
    from hookbox.contrib.django.listening import listeners_in
    from hookbox.contrib.django.models import Listener

    found = Listener.objects.using(listeners_in(using)).filter(uuid=listener)
    return found.filter(url=url) if url else found
