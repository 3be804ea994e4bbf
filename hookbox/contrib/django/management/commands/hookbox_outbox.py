"""`manage.py hookbox_outbox`: hand over what waits, or look at it."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connections, router
from django.db.models import QuerySet
from django.utils import timezone

from hookbox.contrib.django import outbox
from hookbox.contrib.django.models import OutboxEntry


class Command(BaseCommand):
    """Hands over to the Hookbox server what transactions have left in the outbox."""

    help = (
        "Hand over to the Hookbox server what committed transactions have left in the outbox. Usually"
        " nothing is there: each commit hands its own entries over, and `runhookbox` looks every 10"
        " seconds. Where neither happens for a while (the server was down, the process was killed), run"
        " this from cron, or all the time with --watch. Any number of processes may run it at once; each"
        " entry is taken by one of them, and the server makes one message of an entry however often it gets"
        " it. Exit status 1 says that something could not be handed over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--watch",
            action="store_true",
            help="go on until interrupted, with a look every --interval seconds",
        )
        what.add_argument(
            "--list", action="store_true", help="show what waits, since when, and why; change nothing"
        )
        what.add_argument(
            "--purge-older",
            type=float,
            metavar="DAYS",
            help="delete, unsent, what was decided more than so many days ago",
        )
        parser.add_argument(
            "--now",
            action="store_true",
            help="also what has failed and would be tried later (5 seconds at first, 15 minutes at last)",
        )
        parser.add_argument(
            "--interval", type=float, default=10.0, metavar="SECONDS", help="with --watch; default: 10"
        )
        parser.add_argument(
            "--limit",
            type=int,
            default=1000,
            metavar="N",
            help="entries at once of each database; default: 1000",
        )
        parser.add_argument(
            "--database", metavar="ALIAS", help="only the outbox of this database; default: all that have one"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what is asked for."""
        using: str | None = options["database"]
        if using is not None and using not in connections:
            raise CommandError(f"there is no database {using!r}; there are {', '.join(connections)}")
        if options["list"]:
            self._list(using)
        elif options["purge_older"] is not None:
            self._purge(using, options["purge_older"])
        elif options["watch"]:
            self._watch(using, options["interval"], options["limit"])
        else:
            self._flush(using, options["limit"], options["now"])

    def _flush(self, using: str | None, limit: int, now: bool) -> None:
        try:
            flushed = outbox.flush(limit, using=using, now=now)
        except Error as error:
            raise CommandError(f"a database cannot be read: {error}") from error
        self.stdout.write(_said(flushed))
        if flushed.failed:
            raise CommandError("the server did not take everything; --list says why")

    def _watch(self, using: str | None, interval: float, limit: int) -> None:
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        self.stdout.write("Watching the outbox.")
        while not stopped.is_set():
            try:
                flushed = outbox.flush(limit, using=using)
            except Error as error:
                self.stderr.write(f"a database cannot be read: {error}")
            else:
                if flushed.handed or flushed.failed:
                    self.stdout.write(_said(flushed))
            stopped.wait(interval)

    def _list(self, using: str | None) -> None:
        count = 0
        for alias, entries in _outboxes(using):
            for entry in entries.order_by("pk").iterator():
                count += 1
                self.stdout.write(_line(entry, alias))
        self.stdout.write(f"{count} in the outbox.")

    def _purge(self, using: str | None, days: float) -> None:
        if days < 0:
            raise CommandError("--purge-older takes a number of days from 0")
        before = timezone.now() - timedelta(days=days)
        count = sum(entries.filter(created_at__lt=before).delete()[0] for _, entries in _outboxes(using))
        self.stdout.write(f"{count} deleted unsent.")


def _outboxes(using: str | None) -> list[tuple[str, QuerySet[OutboxEntry]]]:
    names = (
        [using] if using else [name for name in connections if router.allow_migrate_model(name, OutboxEntry)]
    )
    return [(name, outbox.of(name)) for name in names if using or outbox.has_table(name)]


def _said(flushed: outbox.Flushed) -> str:
    return f"{flushed.handed} handed over, {flushed.failed} failed, {flushed.left} in the outbox."


def _line(entry: OutboxEntry, alias: str) -> str:
    job = entry.job if isinstance(entry.job, dict) else {}
    what = job.get("hook") or f"topic {job.get('topic')}"
    targets = job.get("targets") or ()
    age = (timezone.now() - entry.created_at).total_seconds()
    due = max((entry.next_at - timezone.now()).total_seconds(), 0)
    why = f": {entry.last_error}" if entry.last_error else ""
    where = "" if alias == "default" else f" in {alias}"
    return (
        f"{entry.uuid}{where}  {what} for {len(targets)} listeners, {age:.0f} s old,"
        f" {entry.attempts} attempts, next in {due:.0f} s{why}"
    )
