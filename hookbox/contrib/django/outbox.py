"""What a transaction decided to send, kept in the same transaction until the server has it.

So what is committed is sent, whatever happens to this process or the server in between, and what is rolled
back never is. A repeated hand-over has the same key, and the server makes one message of it.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import Final

from django.db import Error, IntegrityError, close_old_connections, connections, router, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from hookbox.contrib.django.errors import HookboxError
from hookbox.contrib.django.models import OutboxEntry
from hookbox.contrib.django.payload import check_text
from hookbox.contrib.django.sending.backends import give
from hookbox.contrib.django.sending.jobs import Handed, Job

logger = logging.getLogger("hookbox.django")

SHORTEST: Final = 5.0
LONGEST: Final = 900.0
"""Seconds between two attempts to hand an entry over."""
LEASE: Final = 60.0
"""Seconds for which an entry that is being handed over is nobody else's."""
PAUSE: Final = 1.0
"""Seconds at least between two looks of commits at what else is waiting, and before another try in vain."""
SOME: Final = 10
"""Entries of others that a commit hands over."""
HELP: Final = 1.0
"""Seconds after which a commit begins with no other of them."""
LONGEST_WAIT: Final = timedelta(days=2)
"""An entry that waits longer got its time from a wrong clock; no `Retry-After` is more than a day."""
OF_ITS_OWN: Final = frozenset({400, 413, 415, 422})
"""Answers that say something of one entry; after any other failure the next one would fail, too."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """What became of the entries that were due.

    Args:
        handed: are done.
        failed: were tried in vain and wait.
        left: are still in the outbox, those that are not due yet included.
    """

    handed: int = 0
    failed: int = 0
    left: int = 0

    def __add__(self, other: Flushed) -> Flushed:
        return Flushed(self.handed + other.handed, self.failed + other.failed, self.left + other.left)


class _Pace:
    """How eager this process is to hand over what lies in one database.

    Args:
        quiet_until: when commits try again; monotonic seconds.
        down: whether the last attempt found the server away.
    """

    def __init__(self) -> None:
        self.quiet_until = 0.0
        self.down = False

    def failed(self, took: float) -> None:
        """The server is away: leave it alone for a while, longer where it takes long to find out."""
        self.down = True
        self.quiet_until = time.monotonic() + max(PAUSE, 2 * took)


_paces: dict[str, _Pace] = {}


def put(job: Job) -> list[OutboxEntry] | None:
    """Keep a job in the database of its listeners, in the transaction that is open there.

    Returns:
        its entries, one for each part; None if that database has no outbox.
    """
    entries = [OutboxEntry(uuid=part.key, using=job.using, job=part.to_json()) for part in job.parts()]
    if not router.allow_migrate_model(job.using, OutboxEntry):
        _tell_not_kept(job, "the routers keep the table away from it")
        return None
    try:
        with transaction.atomic(using=job.using):  # a savepoint: a failure must not end the caller's own
            return OutboxEntry.objects.using(job.using).bulk_create(entries)
    except IntegrityError:  # sent twice under one id: it is one message
        found = OutboxEntry.objects.using(job.using).filter(uuid__in=[entry.uuid for entry in entries])
        return list(found.order_by("pk"))
    except Error as error:
        _tell_not_kept(job, str(error))
        return None


def publish_later(channel: str, payload: str, *, using: str | None = None) -> None:
    """Publish on a channel once the transaction is committed, by way of the outbox.

    Args:
        payload: JSON text.
        using: alias of the database whose transaction it is; None for the default one.

    Raises:
        NotJSON: the server would never take it.
    """
    from hookbox.contrib.django.sending.road import later

    check_text(payload)
    later(Job(str(uuid.uuid4()), "", payload, using=using or "default", topic=channel))


def after_commit(using: str, entries: Iterable[OutboxEntry]) -> list[Handed]:
    """Hand these entries over, and, once in a while, some others that wait. Blocks.

    Returns:
        what became of those that were tried.
    """
    pace = _paces.setdefault(using, _Pace())
    tried: list[Handed] = []
    was_down = pace.down
    if time.monotonic() < pace.quiet_until and pace.down:
        return tried
    for entry in entries:
        claimed = _claim(using, Q(uuid=entry.uuid))
        if claimed is None:
            continue  # another process was faster
        tried.append(_hand_over(using, claimed, pace))
        if _is_down(tried[-1]):
            return tried
    if time.monotonic() >= pace.quiet_until:
        pace.quiet_until = time.monotonic() + PAUSE
        # where it is back, nothing has to wait any longer
        _flush(using, SOME, now=was_down and not pace.down, seconds=HELP)
    return tried


def flush(limit: int = 1000, *, using: str | None = None, now: bool = False) -> Flushed:
    """Hand over what is due, in all databases or in one. Blocks; no transaction is open meanwhile.

    Any number of processes may do so at the same time: each entry is taken by one of them.

    Args:
        limit: entries of one database at most.
        using: alias of the database; None for all that have an outbox.
        now: also what has failed and would be tried again later.

    Raises:
        django.db.Error: one of the databases cannot be read; the others have been flushed.
    """
    close_old_connections()
    total, unread = Flushed(), None
    for alias in [using] if using else list(connections):
        if not router.allow_migrate_model(alias, OutboxEntry):
            continue
        try:
            handed, failed = _flush(alias, limit, now=now)
            total += Flushed(handed, failed, of(alias).count())
        except Error as error:
            if using or has_table(alias):
                unread = error
    if unread is not None:
        raise unread
    return total


def of(using: str) -> QuerySet[OutboxEntry]:
    """The entries that were made in a database; not those that a replica shows of another one."""
    return OutboxEntry.objects.using(using).filter(using=using)


def delay_after(attempts: int, chance: float) -> float:
    """Seconds to wait after so many attempts: 5, 10, 20 ... to 15 minutes, and up to a quarter more.

    Args:
        chance: a draw from [0, 1), so that what failed together is not tried together.
    """
    return min(LONGEST, SHORTEST * 2.0 ** min(attempts - 1, 20)) * (1 + chance / 4)


def _flush(using: str, limit: int, *, now: bool = False, seconds: float = inf) -> tuple[int, int]:
    """How many were handed over, and how many tried in vain."""
    pace = _paces.setdefault(using, _Pace())
    was_down, until = pace.down, time.monotonic() + seconds
    handed = failed = after = 0
    if not of(using).exists():  # which a replica that cannot be written to can say, too
        return handed, failed
    while handed + failed < limit and time.monotonic() < until:
        entry = _claim(using, Q(pk__gt=after), now=now)
        if entry is None:
            break
        result = _hand_over(using, entry, pace)
        if result.left is None:
            handed += 1
        else:
            failed += 1
        if _is_down(result):
            break
        after = entry.pk
        if was_down and result.left is None:
            was_down, now, after = False, True, 0  # it is back, as above
    return handed, failed


def _claim(using: str, which: Q, *, now: bool = False) -> OutboxEntry | None:
    """Take the first entry that is due, so that nobody else does; None if there is none.

    Args:
        which: among these.
        now: also those that failed and are not due yet; never one that is being handed over.
    """
    at = timezone.now()
    due = Q(next_at__lte=at) | Q(attempts=0) | Q(next_at__gt=at + LONGEST_WAIT)
    if now:
        due |= ~Q(last_error="")
    waiting = of(using).filter(which & due).order_by("pk")
    until = at + timedelta(seconds=LEASE)
    if connections[using].features.has_select_for_update_skip_locked:
        with transaction.atomic(using=using):
            entry = waiting.select_for_update(skip_locked=True).first()
            return entry if entry is not None and _take(waiting, entry, until) else None
    after = 0
    while rows := list(waiting.filter(pk__gt=after)[:SOME]):
        for row in rows:
            if _take(waiting, row, until):
                return row
        after = rows[-1].pk
    return None


def _take(waiting: QuerySet[OutboxEntry], entry: OutboxEntry, until: datetime) -> bool:
    """Mark an entry as taken, unless somebody has since it was read."""
    same = waiting.order_by().filter(pk=entry.pk, attempts=entry.attempts, next_at=entry.next_at)
    taken = same.update(next_at=until, attempts=F("attempts") + 1, last_error="")
    entry.attempts += 1
    return bool(taken)


def _hand_over(using: str, entry: OutboxEntry, pace: _Pace) -> Handed:
    began = time.monotonic()
    handed = _given(entry, using)
    if handed.left is None:
        pace.down = False
        of(using).filter(pk=entry.pk).delete()
        return handed
    if _is_down(handed):
        pace.failed(time.monotonic() - began)
    wait = max(delay_after(entry.attempts, random.random()), handed.again_after)
    logger.warning("outbox entry %s waits %d s: %s", entry.uuid, wait, handed.error)
    of(using).filter(pk=entry.pk).update(
        job=handed.left.to_json() if handed.left.body else entry.job,
        next_at=timezone.now() + timedelta(seconds=wait),
        last_error=str(handed.error) or repr(handed.error),
    )
    return handed


def _given(entry: OutboxEntry, using: str) -> Handed:
    try:
        job = replace(Job.from_json(entry.job), using=using)
    except (TypeError, KeyError, AttributeError) as error:
        lost = HookboxError(f"the entry cannot be read: {error!r}", code=400)
        return Handed(left=Job(str(entry.uuid), "", ""), error=lost)
    return give(job)


def _is_down(handed: Handed) -> bool:
    """Whether what was tried next would fail in the same way."""
    if handed.left is None or handed.own:
        return False
    return not isinstance(handed.error, HookboxError) or handed.error.code not in OF_ITS_OWN


def _tell_not_kept(job: Job, why: str) -> None:
    logger.warning(
        "%s is not kept in the outbox of database %r: %s. It is lost if the server is away at the commit;"
        " run `manage.py migrate --database %s`, or set HOOKBOX_OUTBOX = False",
        job.hook or job.topic,
        job.using,
        why,
        job.using,
    )


def has_table(using: str) -> bool:
    """Whether a database has an outbox; true if it does not say."""
    try:
        return OutboxEntry._meta.db_table in connections[using].introspection.table_names()
    except Error:
        return True  # it is not the table that is missing
