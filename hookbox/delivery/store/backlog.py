"""What operators look up and set in motion.

Each call looks at a bounded number of rows, so that nobody waits long behind it; where more have to be looked
at, the caller goes on from the place where the call ended.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from hookbox.core.values import JSONObject
from hookbox.delivery.ids import first_ulid
from hookbox.delivery.models import Delivery, DeliveryId, Endpoint, EndpointId, MessageId, Source, State
from hookbox.delivery.store import rows, tables
from hookbox.delivery.store.base import PAGE, Entry, Search
from hookbox.delivery.store.sqlite import SqliteStore

LOOKED_AT: Final = 2000
"""Rows that one call looks at ..."""
SEARCHED: Final = PAGE
"""... if it looks at bodies ..."""
LARGEST_SEARCHED: Final = 64 * 1024
"""... and bytes of a body up to which it does."""
LAST_SEQ: Final = 2**63 - 1
KEEP_JOBS_MS: Final = 7 * 24 * 3600 * 1000
UNDELIVERED: Final = frozenset({State.DEAD, State.HELD, State.CANCELLED})
OPEN: Final = (State.SCHEDULED, State.IN_FLIGHT, State.WAITING, State.HELD)

_UNDELIVERED = "state IN ('dead', 'held', 'cancelled')"  # word for word as in the index
_HEADLINE = (
    "seq, id, time_ms, source, content_type, length(body) AS size, topic, offset, epoch, originator, type"
)
_JOB = "id, kind, about, state, done, count, problem, created_ms, ended_ms"

T = TypeVar("T")
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Headline:
    """A message without its content, see `Message`.

    Args:
        size: bytes of the body.
    """

    seq: int
    id: MessageId
    time_ms: int
    source: Source
    content_type: str
    size: int
    topic: str
    offset: int
    epoch: str
    originator: str
    type: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A delivery, and what its message is called."""

    delivery: Delivery
    message: MessageId
    topic: str
    type: str


@dataclass(frozen=True, slots=True)
class Stretch(Generic[T, P]):
    """What was found on a stretch of a table.

    Args:
        found: in order.
        place: behind which to go on; None at the end.
    """

    found: list[T]
    place: P | None


@dataclass(frozen=True, slots=True)
class Sought:
    """Which messages to list; empty and None fields do not matter.

    Args:
        text: contained in topic, type, originator or a body of up to 64 KiB; or the id.
        before: continue behind that `seq`.
    """

    topic: str = ""
    text: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    before: int = LAST_SEQ
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that may be delivered again.

    Args:
        payload: JSON text, empty unless it was asked for.
    """

    seq: int
    payload: str = field(default="", repr=False)


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
        return self._store.run(lambda db: _deliveries(db, search, after))

    def listed(self, delivery: DeliveryId) -> Listed | None:
        """One delivery."""
        wanted = f"SELECT {_LISTED} FROM deliveries JOIN messages USING (seq) WHERE deliveries.id = ?"
        row = self._store.run(lambda db: db.execute(wanted, (delivery,)).fetchone())
        return None if row is None else _read_listed(row)

    def headlines(self, sought: Sought) -> Stretch[Headline, int]:
        """Messages, newest first."""
        return self._store.run(lambda db: _headlines(db, sought))

    @property
    def queue(self) -> int:
        """How many deliveries may be unfinished."""
        return self._store.queue

    def kept(self, topic: str, after: int, until: int, sought: Sought, payloads: bool) -> Stretch[Kept, int]:
        """Messages of a topic after a number and up to another one, oldest first; copies are none.

        Args:
            sought: from when until when, and how many.
        """
        return self._store.run(lambda db: _kept(db, topic, after, until, sought, payloads))

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


# in the store's thread

_LISTED = ", ".join(f"deliveries.{name}" for name in rows.DELIVERY.split(", ")) + (
    ", messages.id, messages.topic, messages.type"
)


def _deliveries(db: sqlite3.Connection, search: Search, after: str | None) -> Stretch[Listed, str]:
    limit = min(search.limit, PAGE)
    order = "DESC" if after is None else "ASC"
    source, values = _stretch_of_deliveries(search, after)
    stretch = f"SELECT * FROM {source} ORDER BY id {order} LIMIT {LOOKED_AT}"
    conditions, wanted = tables.conditions(replace(search, before=""))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    found = db.execute(
        f"SELECT {_LISTED} FROM ({stretch}) AS deliveries JOIN messages USING (seq) {where} "
        f"ORDER BY deliveries.id {order} LIMIT ?",
        (*values, *wanted, limit),
    ).fetchall()
    if len(found) == limit:
        return Stretch([_read_listed(row) for row in found], found[-1][0])
    last = db.execute(
        f"SELECT id FROM {source} ORDER BY id {order} LIMIT 1 OFFSET {LOOKED_AT - 1}", values
    ).fetchone()
    return Stretch([_read_listed(row) for row in found], last[0] if last else None)


def _stretch_of_deliveries(search: Search, after: str | None) -> tuple[str, list[object]]:
    """Where to look: the table with the best index, and what bounds it; an id begins with its time."""
    low = "" if search.since_ms is None else f"dlv_{first_ulid(search.since_ms)}"
    high = "" if search.until_ms is None else f"dlv_{first_ulid(search.until_ms + 1)}"
    bounds: list[tuple[str, object]] = [
        ("id >= ?", low),
        ("id < ?", high),
        ("id < ?", search.before),
        ("id > ?", after or ""),
    ]
    given = [(bound, value) for bound, value in bounds if value]
    index = ""
    if search.message is not None:
        index = "INDEXED BY deliveries_of_message"
        given.append(("seq = (SELECT seq FROM messages WHERE id = ?)", search.message))
    conditions = [bound for bound, _ in given]
    if search.message is None and search.states and UNDELIVERED.issuperset(search.states):
        index = "INDEXED BY deliveries_undelivered"
        conditions.append(_UNDELIVERED)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"deliveries {index} {where}", [value for _, value in given]


def _read_listed(row: rows.Row) -> Listed:
    *delivery, message, topic, kind = row
    return Listed(rows.read_delivery(delivery), MessageId(message), topic, kind)


def _headlines(db: sqlite3.Connection, sought: Sought) -> Stretch[Headline, int]:
    limit = min(sought.limit, PAGE)
    looked_at = SEARCHED if sought.text else LOOKED_AT
    hit, values = _hit(sought.text)
    source = "messages WHERE seq < ?"
    bounds: list[object] = [sought.before]
    if sought.topic:
        source += " AND topic = ?"
        bounds.append(sought.topic)
    stretch = f"SELECT {_HEADLINE}, {hit} AS hit FROM {source} ORDER BY seq DESC LIMIT {looked_at}"
    found = db.execute(
        f"SELECT * FROM ({stretch}) WHERE hit AND time_ms >= ? AND time_ms <= ? ORDER BY seq DESC LIMIT ?",
        (*values, *bounds, *_times(sought), limit),
    ).fetchall()
    headlines = [_read_headline(row) for row in found]
    if len(found) == limit:
        return Stretch(headlines, headlines[-1].seq)
    edge = f"SELECT seq, time_ms FROM {source} ORDER BY seq DESC LIMIT {looked_at}"
    counted = f"SELECT COUNT(*), MIN(seq), MAX(time_ms) FROM ({edge})"
    looked, last, newest_ms = db.execute(counted, bounds).fetchone()
    over = looked < looked_at or newest_ms < _times(sought)[0]
    return Stretch(headlines, None if over else last)


def _hit(text: str) -> tuple[str, list[object]]:
    if not text:
        return "1", []
    fields = " OR ".join(f"instr({name}, ?)" for name in ("topic", "type", "originator"))
    body = f"(length(body) <= {LARGEST_SEARCHED} AND instr(body, ?))"
    return f"(id = ? OR {fields} OR {body})", [text, text, text, text, text.encode()]


def _read_headline(row: rows.Row) -> Headline:
    seq, name, time_ms, source, *more, _hit = row
    return Headline(seq, MessageId(name), time_ms, Source(source), *more)


def _kept(
    db: sqlite3.Connection, topic: str, after: int, until: int, sought: Sought, payloads: bool
) -> Stretch[Kept, int]:
    looked_at = SEARCHED if payloads else LOOKED_AT
    source = "messages WHERE topic = ? AND seq > ? AND seq <= ?"
    values, limit = (topic, after, until), min(sought.limit, PAGE)
    payload = "payload" if payloads else "''"
    columns = f"seq, time_ms, source, {payload} AS payload"
    stretch = f"SELECT {columns} FROM {source} ORDER BY seq LIMIT {looked_at}"
    found = db.execute(
        f"SELECT seq, payload FROM ({stretch}) WHERE source <> 'resend' AND time_ms >= ? AND time_ms <= ? "
        "ORDER BY seq LIMIT ?",
        (*values, *_times(sought), limit),
    ).fetchall()
    if len(found) == limit:
        return Stretch([Kept(*row) for row in found], found[-1][0])
    edge = f"SELECT seq FROM {source} ORDER BY seq LIMIT 1 OFFSET {looked_at - 1}"
    last = db.execute(edge, values).fetchone()
    return Stretch([Kept(*row) for row in found], last[0] if last else None)


def _times(sought: Sought) -> tuple[int, int]:
    since_ms = 0 if sought.since_ms is None else sought.since_ms
    return since_ms, LAST_SEQ if sought.until_ms is None else sought.until_ms


def _keep_job(db: sqlite3.Connection, job: Job) -> None:
    row = (
        job.id, job.kind, json.dumps(job.about), job.state, job.done, job.count, job.problem, job.created_ms,
        job.ended_ms,
    )  # fmt: skip
    db.execute(f"INSERT OR REPLACE INTO jobs ({_JOB}) VALUES ({rows.marks(_JOB)})", row)


def _read_job(row: Sequence[Any]) -> Job:
    name, kind, about, state, done, count, problem, created_ms, ended_ms = row
    return Job(name, kind, json.loads(about), state, count, created_ms, done, problem, ended_ms)
