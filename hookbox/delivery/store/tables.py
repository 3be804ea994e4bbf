"""The statements that several calls of the store share; each runs in the store's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hookbox.delivery.models import Attempt, Delivery, DeliveryId, Endpoint, EndpointId
from hookbox.delivery.store import rows
from hookbox.delivery.store.base import Entry, Run, Search

LARGEST = 2**63 - 1
BATCH = 1000
"""Rows that one round of tidying removes at most, so that nobody waits long for it."""


_INSERT_MESSAGE = f"INSERT INTO messages ({rows.MESSAGE}) VALUES ({rows.marks(rows.MESSAGE)})"
_INSERT_DELIVERY = (
    f"INSERT INTO deliveries ({rows.DELIVERY}, boot) SELECT {rows.marks(rows.DELIVERY)}, 0 "
    "WHERE ?3 IS NULL OR EXISTS (SELECT 1 FROM endpoints WHERE id = ?3)"
)
_INSERT_ATTEMPT = f"INSERT INTO attempts (delivery, {rows.ATTEMPT}) VALUES (?, {rows.marks(rows.ATTEMPT)})"
_REPLACE = (
    "UPDATE deliveries SET state = ?, attempts = ?, failures = ?, due_ms = ?, reason = ?, last_status = ?, "
    "done_ms = ?, failing_ms = ? WHERE id = ? AND state = ?"
)


def insert(db: sqlite3.Connection, entry: Entry) -> None:
    """Write what one acceptance writes."""
    db.execute(_INSERT_MESSAGE, rows.message_row(entry.message))
    insert_deliveries(db, entry.deliveries)
    if entry.rest_after is not None:
        wishes = rows.wishes_text(entry.rest_wishes)
        db.execute("INSERT INTO fanouts VALUES (?, ?, ?)", (entry.message.seq, entry.rest_after, wishes))
    if kept := entry.remembered:
        db.execute(
            "INSERT OR REPLACE INTO idempotency (key, fingerprint, answer, time_ms) VALUES (?, ?, ?, ?)",
            (kept.key, kept.fingerprint, kept.answer, kept.time_ms),
        )


def insert_deliveries(db: sqlite3.Connection, deliveries: Iterable[Delivery]) -> None:
    """Write deliveries whose messages are there; those of an endpoint that has gone are owed to nobody."""
    db.executemany(_INSERT_DELIVERY, map(rows.delivery_row, deliveries))


def insert_attempt(db: sqlite3.Connection, delivery: DeliveryId, attempt: Attempt) -> None:
    """Write one attempt of a delivery."""
    db.execute(_INSERT_ATTEMPT, (delivery, *rows.attempt_row(attempt)))


def replace(db: sqlite3.Connection, delivery: Delivery, before: str) -> bool:
    """Write how a delivery stands if it stood so before; says whether it did."""
    values = (
        delivery.state.value, delivery.attempts, delivery.failures, delivery.due_ms, delivery.reason,
        delivery.last_status, delivery.done_ms, delivery.failing_ms, delivery.id, before,
    )  # fmt: skip
    return db.execute(_REPLACE, values).rowcount > 0


def forget(db: sqlite3.Connection, delivery: Delivery) -> None:
    """Remove a delivery, and its message if that was the only one."""
    db.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))
    db.execute(
        "DELETE FROM messages WHERE seq = ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE seq = ?)",
        (delivery.seq, delivery.seq),
    )


def keep_endpoint(db: sqlite3.Connection, endpoint: Endpoint) -> None:
    """Create an endpoint, or replace the one of that id."""
    db.execute(
        f"INSERT INTO endpoints ({rows.ENDPOINT}) VALUES ({rows.marks(rows.ENDPOINT)}) "
        "ON CONFLICT (id) DO UPDATE SET url = excluded.url, topic = excluded.topic, host = excluded.host, "
        "lease_until_ms = excluded.lease_until_ms, renew_ms = excluded.renew_ms, about = excluded.about",
        rows.endpoint_row(endpoint),
    )


def hold_or_release(db: sqlite3.Connection, endpoint: Endpoint) -> int:
    """Bring what is owed to an endpoint into line with its state; says how many deliveries changed."""
    if endpoint.enabled:
        change = "SET state = ? WHERE endpoint = ? AND state = 'held'"
        state = "waiting" if endpoint.ordered else "scheduled"
    else:
        change = "SET state = ? WHERE endpoint = ? AND state IN ('scheduled', 'waiting')"
        state = "held"
    return db.execute(f"UPDATE deliveries {change}", (state, endpoint.id)).rowcount


def drop_endpoint(db: sqlite3.Connection, endpoint: EndpointId, reason: str, now_ms: int) -> None:
    """Forget an endpoint; its unfinished deliveries are cancelled for that reason."""
    db.execute(
        "UPDATE deliveries SET state = 'cancelled', reason = ?, done_ms = ? "
        "WHERE endpoint = ? AND state IN ('scheduled', 'in_flight', 'waiting', 'held')",
        (reason, now_ms, endpoint),
    )
    db.execute("DELETE FROM endpoints WHERE id = ?", (endpoint,))


def conditions(search: Search) -> tuple[list[str], list[object]]:
    """What a search asks for: conditions, and their values in order."""
    pairs: list[tuple[str, object]] = [
        ("deliveries.reason = ?", search.reason),
        ("deliveries.endpoint = ?", search.endpoint),
        ("messages.topic = ?", search.topic),
        ("deliveries.tag = ?", search.tag),
        ("messages.id = ?", search.message),
        ("deliveries.created_ms >= ?", search.since_ms),
        ("deliveries.created_ms <= ?", search.until_ms),
        ("deliveries.id < ?", search.before),
    ]
    given = [(condition, value) for condition, value in pairs if value not in ("", None)]
    conditions, values = [pair[0] for pair in given], [pair[1] for pair in given]
    if search.states:
        conditions.append(f"deliveries.state IN ({', '.join('?' * len(search.states))})")
        values += [state.value for state in search.states]
    if search.text:
        conditions.append("(instr(deliveries.url, ?) OR instr(deliveries.tag, ?))")
        values += [search.text, search.text]
    return conditions, values


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


def remove_keys(db: sqlite3.Connection, before_ms: int) -> int:
    """Forget some idempotency keys that were answered before that."""
    old = "SELECT key FROM idempotency WHERE time_ms < ? LIMIT ?"
    return db.execute(f"DELETE FROM idempotency WHERE key IN ({old})", (before_ms, BATCH)).rowcount


def remove_ended(db: sqlite3.Connection, succeeded_before_ms: int, dead_before_ms: int) -> int:
    """Remove some deliveries that ended before that."""
    old = (
        "SELECT id FROM deliveries WHERE done_ms > 0 AND done_ms < "
        "CASE state WHEN 'succeeded' THEN ? ELSE ? END LIMIT ?"
    )
    values = (succeeded_before_ms, dead_before_ms, BATCH)
    return db.execute(f"DELETE FROM deliveries WHERE id IN ({old})", values).rowcount


def remove_first_ended(db: sqlite3.Connection) -> int:
    """Remove some of the deliveries that ended first, however short ago that was."""
    first = "SELECT id FROM deliveries WHERE done_ms > 0 ORDER BY done_ms LIMIT ?"
    return db.execute(f"DELETE FROM deliveries WHERE id IN ({first})", (BATCH,)).rowcount


def remove_messages(db: sqlite3.Connection, before_ms: int) -> int:
    """Remove some messages of which nothing is left and nothing is owed; says how many."""
    alone = (
        "SELECT seq FROM messages m WHERE time_ms < ? "
        "AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.seq = m.seq) "
        "AND NOT EXISTS (SELECT 1 FROM fanouts f WHERE f.seq = m.seq) ORDER BY seq LIMIT ?"
    )
    return db.execute(f"DELETE FROM messages WHERE seq IN ({alone})", (before_ms, BATCH)).rowcount


def give_up_held(db: sqlite3.Connection, most: int, before_ms: int, now_ms: int) -> dict[EndpointId, int]:
    """Cancel some of the oldest held deliveries of each endpoint that has too many, or too old ones."""
    found = db.execute(
        "SELECT endpoint, COUNT(*), SUM(created_ms < ?) FROM deliveries "
        "WHERE state = 'held' AND endpoint IS NOT NULL GROUP BY endpoint",
        (before_ms,),
    ).fetchall()
    give_up = (
        "UPDATE deliveries SET state = 'cancelled', reason = 'overflow', done_ms = ? WHERE id IN "
        "(SELECT id FROM deliveries WHERE endpoint = ? AND state = 'held' ORDER BY seq LIMIT ?)"
    )
    gone = {}
    for endpoint, held, old in found:
        count = min(max(held - most, old), BATCH)
        if count > 0:
            gone[EndpointId(endpoint)] = db.execute(give_up, (now_ms, endpoint, count)).rowcount
    return gone


def newest_numbers(db: sqlite3.Connection, topic: str, limit: int, until_seq: int | None) -> list[int]:
    """The `seq` of a topic's last messages, up to that one, newest first."""
    wanted = (
        "SELECT seq FROM messages WHERE topic = ? AND seq <= ? AND source <> 'resend' "
        "ORDER BY seq DESC LIMIT ?"
    )
    until = LARGEST if until_seq is None else until_seq
    return [seq for (seq,) in db.execute(wanted, (topic, until, limit))]


def stretch(db: sqlite3.Connection, topic: str, after_seq: int, until_seq: int) -> Run | None:
    """What is kept of a topic after a number and up to another; None if that is nothing."""
    wanted = (
        "SELECT count(*), min(offset), max(offset), min(epoch), max(epoch) FROM messages "
        "WHERE topic = ? AND seq > ? AND seq <= ? AND source <> 'resend'"
    )
    count, first, last, epoch, other = db.execute(wanted, (topic, after_seq, until_seq)).fetchone()
    return Run(epoch, first, last, epoch == other and last - first + 1 == count) if count else None
