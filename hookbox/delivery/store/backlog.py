"""What operators look up and set in motion.

Each call looks at a bounded number of rows, so that nobody waits long behind it; where more have to be looked
at, the caller goes on from the place where the call ended.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hookbox.core.values import JSONObject
from hookbox.delivery.models import Delivery, DeliveryId, Endpoint, EndpointId, State
from hookbox.delivery.store import looking, rows, tables
from hookbox.delivery.store.base import PAGE, Entry, Search
from hookbox.delivery.store.looking import Headline, Kept, Listed, Sought, Stretch
from hookbox.delivery.store.sqlite import SqliteStore

KEEP_JOBS_MS: Final = 7 * 24 * 3600 * 1000
OPEN: Final = (State.SCHEDULED, State.IN_FLIGHT, State.WAITING, State.HELD)

_JOB = "id, kind, about, state, done, count, problem, created_ms, ended_ms"


@dataclass(frozen=True, slots=True)
class Job:
    """Something long that an operator set in motion; it goes on after a restart.

    Args:
        kind: `replay` or `retry`.
        about: what exactly, and `place`: how far it has come.
        state: `running`, `done`, `failed` or `cancelled`.
        done: messages or deliveries it has dealt with ...
        count: ... of so many that there were at the beginning.
        problem: why it failed or what it waits for, empty for nothing.
        ended_ms: 0 while it runs.
    """

    id: str
    kind: str
    about: JSONObject = field(repr=False)
    state: str
    count: int
    created_ms: int
    done: int = 0
    problem: str = ""
    ended_ms: int = 0

    @property
    def running(self) -> bool:
        """Whether there is more to do."""
        return self.state == "running"

    def ended(self, state: str, now_ms: int, problem: str = "") -> Job:
        """The same, over."""
        return replace(self, state=state, problem=problem, ended_ms=now_ms)


class Backlog:
    """Looks things up in a store, a stretch at a time. Every call blocks as those of the store do.

    Raises, from every call:
        DeliveryStoreError: nothing was changed.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    # looking

    def deliveries(self, search: Search, after: str | None = None) -> Stretch[Listed, str]:
        """Deliveries, newest first.

        Args:
            after: not None for oldest first, behind that id; empty for the beginning.
        """
        return self._store.run(lambda db: looking.deliveries(db, search, after))

    def listed(self, delivery: DeliveryId) -> Listed | None:
        """One delivery."""
        wanted = f"SELECT {looking.LISTED} FROM deliveries JOIN messages USING (seq) WHERE deliveries.id = ?"
        row = self._store.run(lambda db: db.execute(wanted, (delivery,)).fetchone())
        return None if row is None else looking.read_listed(row)

    def headlines(self, sought: Sought) -> Stretch[Headline, int]:
        """Messages, newest first."""
        return self._store.run(lambda db: looking.headlines(db, sought))

    @property
    def queue(self) -> int:
        """How many deliveries may be unfinished."""
        return self._store.queue

    def kept(self, topic: str, after: int, until: int, sought: Sought, payloads: bool) -> Stretch[Kept, int]:
        """Messages of a topic after a number and up to another one, oldest first; copies are none.

        Args:
            sought: from when until when, and how many.
        """
        return self._store.run(lambda db: looking.kept(db, topic, after, until, sought, payloads))

    def last_seq(self) -> int:
        """The number of the newest message, 0 without any."""
        wanted = "SELECT COALESCE(MAX(seq), 0) FROM messages"
        return int(self._store.run(lambda db: db.execute(wanted).fetchone())[0])

    def endpoints(self, after: str) -> list[Endpoint]:
        """A page of endpoints by id, behind one."""
        wanted = f"SELECT {rows.ENDPOINT} FROM endpoints WHERE id > ? ORDER BY id LIMIT ?"
        found = self._store.run(lambda db: db.execute(wanted, (after, PAGE)).fetchall())
        return [rows.read_endpoint(row) for row in found]

    def owed_to(self, endpoints: Sequence[EndpointId]) -> dict[EndpointId, dict[State, int]]:
        """Deliveries that are not over, by endpoint and state; for a page of endpoints."""

        def work(db: sqlite3.Connection) -> dict[EndpointId, dict[State, int]]:
            wanted = "SELECT COUNT(*) FROM deliveries WHERE endpoint = ? AND state = ?"
            return {
                e: {s: db.execute(wanted, (e, s.value)).fetchone()[0] for s in OPEN} for e in endpoints[:PAGE]
            }

        return self._store.run(work)

    # setting in motion

    def owe(
        self,
        deliveries: Sequence[Delivery],
        job: Job | None = None,
        share: float = 1.0,
        entry: Entry | None = None,
    ) -> None:
        """Add deliveries, and note how far a job has come with it.

        Args:
            share: of the queue that may be in use with these.
            entry: the message they are of, if it is new.

        Raises:
            QueueFull: there are too many unfinished deliveries, or there is no space.
        """

        def work(db: sqlite3.Connection) -> None:
            if entry is not None:
                tables.insert(db, entry)
            self._store.owe(db, deliveries, share)
            if job is not None:
                _keep_job(db, job)

        self._store.run(work)

    def discard_held(self, endpoint: EndpointId, now_ms: int) -> int:
        """Cancel a page of what is held for an endpoint, oldest first; says how many there were."""
        change = (
            "UPDATE deliveries SET state = 'cancelled', reason = 'discarded', done_ms = ? WHERE id IN "
            "(SELECT id FROM deliveries WHERE endpoint = ? AND state = 'held' ORDER BY seq LIMIT ?)"
        )
        return self._store.run(lambda db: db.execute(change, (now_ms, endpoint, PAGE)).rowcount)

    # jobs

    def keep_job(self, job: Job) -> None:
        """Note how a job stands; jobs that ended long ago are forgotten."""

        def work(db: sqlite3.Connection) -> None:
            before_ms = job.created_ms - KEEP_JOBS_MS
            db.execute("DELETE FROM jobs WHERE ended_ms > 0 AND ended_ms < ?", (before_ms,))
            _keep_job(db, job)

        self._store.run(work)

    def job(self, name: str) -> Job | None:
        """One job."""
        found = self._jobs("WHERE id = ?", name)
        return found[0] if found else None

    def jobs(self) -> list[Job]:
        """The last jobs, newest first."""
        return self._jobs("ORDER BY id DESC")

    def running_jobs(self) -> list[Job]:
        """Jobs that have more to do, oldest first."""
        return self._jobs("WHERE state = 'running' ORDER BY id")

    def _jobs(self, which: str, *values: str) -> list[Job]:
        wanted = f"SELECT {_JOB} FROM jobs {which} LIMIT {PAGE}"
        return [_read_job(row) for row in self._store.run(lambda db: db.execute(wanted, values).fetchall())]


def _keep_job(db: sqlite3.Connection, job: Job) -> None:
    row = (
        job.id, job.kind, json.dumps(job.about), job.state, job.done, job.count, job.problem, job.created_ms,
        job.ended_ms,
    )  # fmt: skip
    db.execute(f"INSERT OR REPLACE INTO jobs ({_JOB}) VALUES ({rows.marks(_JOB)})", row)


def _read_job(row: Sequence[Any]) -> Job:
    name, kind, about, state, done, count, problem, created_ms, ended_ms = row
    return Job(name, kind, json.loads(about), state, count, created_ms, done, problem, ended_ms)
