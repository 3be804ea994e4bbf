"""What the hub keeps: verifications under way, and what it knows of other people's pages.

Subscriptions themselves are endpoints like others. Every call blocks until it is done, as `Store`'s do.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from hookbox.delivery.hub.values import Numbers, Page, Verification
from hookbox.delivery.models import EndpointId
from hookbox.delivery.store import rows, tables
from hookbox.delivery.store.base import PAGE, Entry
from hookbox.delivery.store.sqlite import SqliteStore

PAGE_COLUMNS: Final = "topic, due_ms, tries, etag, last_modified, sha256, self_url"


class HubRecords:
    """Reads and writes them.

    Raises, from every call:
        DeliveryStoreError: nothing was changed.

    Args:
        store: whose file they are in.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    # subscriptions

    def find(self, topic: str, callback: str) -> EndpointId | None:
        """The subscription of a callback to a topic."""
        return self._store.run(lambda db: _find(db, topic, callback))

    def numbers(self, topic: str, callback: str) -> Numbers:
        """How many there are already."""
        host = rows.host_of(callback)

        def work(db: sqlite3.Connection) -> Numbers:
            of = "SELECT COUNT(*) FROM endpoints WHERE kind = 'websub'"
            return Numbers(
                _count(db, of),
                _count(db, f"{of} AND topic = ?", topic),
                _count(db, f"{of} AND host = ?", host),
                _count(db, "SELECT COUNT(*) FROM verifications WHERE host = ?", host),
                _find(db, topic, callback) is not None,
            )

        return self._store.run(work)

    def subscribers(self, topic: str) -> int:
        """How many subscriptions a topic has."""
        wanted = "SELECT COUNT(*) FROM endpoints WHERE kind = 'websub' AND topic = ?"
        return self._store.run(lambda db: _count(db, wanted, topic))

    def over(self, now_ms: int) -> list[EndpointId]:
        """Subscriptions whose lease is over, a page of them."""
        wanted = "SELECT id FROM endpoints WHERE lease_until_ms > 0 AND lease_until_ms <= ? LIMIT ?"
        found = self._store.run(lambda db: db.execute(wanted, (now_ms, PAGE)).fetchall())
        return [EndpointId(row[0]) for row in found]

    def renewable(self, now_ms: int) -> list[EndpointId]:
        """Subscriptions that are to be renewed, a page of them."""
        wanted = "SELECT id FROM endpoints WHERE renew_ms > 0 AND renew_ms <= ? LIMIT ?"
        found = self._store.run(lambda db: db.execute(wanted, (now_ms, PAGE)).fetchall())
        return [EndpointId(row[0]) for row in found]

    def next_ms(self) -> int | None:
        """When the next lease ends, or is to be renewed."""

        def work(db: sqlite3.Connection) -> int | None:
            times = [
                db.execute(f"SELECT MIN({name}) FROM endpoints WHERE {name} > 0").fetchone()[0]
                for name in ("lease_until_ms", "renew_ms")
            ]
            return min((time for time in times if time is not None), default=None)

        return self._store.run(work)

    # verifications

    def add(self, verification: Verification) -> Verification:
        """Keep a new one; returns it with its number."""
        v = verification

        def work(db: sqlite3.Connection) -> int:
            added = db.execute(
                "INSERT INTO verifications (mode, topic, callback, host, tries, due_ms, about) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (v.mode, v.topic, v.callback, rows.host_of(v.callback), v.tries, v.due_ms, _about(v)),
            )
            assert added.lastrowid is not None
            return added.lastrowid

        return replace(v, id=self._store.run(work))

    def keep(self, verification: Verification) -> None:
        """Keep one as it stands now."""
        v = verification
        change = "UPDATE verifications SET tries = ?, due_ms = ?, about = ? WHERE id = ?"
        self._store.run(lambda db: db.execute(change, (v.tries, v.due_ms, _about(v), v.id)))

    def end(self, verification: Verification, notices: Sequence[Entry] = ()) -> None:
        """One is over, with what somebody is told of it."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM verifications WHERE id = ?", (verification.id,))
            for notice in notices:
                tables.insert(db, notice)

        self._store.run(work)

    def verifications(self) -> list[Verification]:
        """All that are under way, in the order in which they were asked for."""
        wanted = "SELECT id, mode, topic, callback, tries, due_ms, about FROM verifications ORDER BY id"
        found = self._store.run(lambda db: db.execute(wanted).fetchall())
        return [
            Verification(id=id, mode=mode, topic=topic, callback=callback, tries=tries, due_ms=due_ms,
                         **json.loads(about))
            for id, mode, topic, callback, tries, due_ms, about in found
        ]  # fmt: skip

    # pages

    def want(self, topic: str, due_ms: int) -> None:
        """A page is to be fetched by then, if not before, and with all tries before it."""
        wish = (
            f"INSERT INTO fetches ({PAGE_COLUMNS}) VALUES (?, ?, 0, '', '', '', '') "
            "ON CONFLICT (topic) DO UPDATE SET tries = 0, "
            "due_ms = min(coalesce(due_ms, excluded.due_ms), excluded.due_ms)"
        )
        self._store.run(lambda db: db.execute(wish, (topic, due_ms)))

    def page(self, topic: str) -> Page:
        """What is known of a page."""
        wanted = f"SELECT {PAGE_COLUMNS} FROM fetches WHERE topic = ?"
        row = self._store.run(lambda db: db.execute(wanted, (topic,)).fetchone())
        return Page(topic) if row is None else Page(*row)

    def keep_page(self, page: Page, notices: Sequence[Entry] = ()) -> None:
        """What is known of a page now, with what somebody is told of it."""

        def work(db: sqlite3.Connection) -> None:
            p = page
            db.execute(
                f"INSERT OR REPLACE INTO fetches ({PAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (p.topic, p.due_ms, p.tries, p.etag, p.last_modified, p.sha256, p.self_url),
            )
            for notice in notices:
                tables.insert(db, notice)

        self._store.run(work)

    def pages(self) -> list[Page]:
        """Everything that is known of pages that are to be fetched, or have a name of their own."""
        wanted = f"SELECT {PAGE_COLUMNS} FROM fetches WHERE due_ms IS NOT NULL OR self_url != ''"
        return [Page(*row) for row in self._store.run(lambda db: db.execute(wanted).fetchall())]

    def forget_pages(self) -> None:
        """Forget pages that nobody subscribes to and that are not to be fetched."""
        gone = (
            "DELETE FROM fetches WHERE due_ms IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM endpoints WHERE kind = 'websub' AND endpoints.topic = fetches.topic)"
        )
        self._store.run(lambda db: db.execute(gone))


def _find(db: sqlite3.Connection, topic: str, callback: str) -> EndpointId | None:
    wanted = "SELECT id FROM endpoints WHERE kind = 'websub' AND topic = ? AND url = ?"
    row = db.execute(wanted, (topic, callback)).fetchone()
    return None if row is None else EndpointId(row[0])


def _count(db: sqlite3.Connection, wanted: str, *values: object) -> int:
    (count,) = db.execute(wanted, values).fetchone()
    return int(count)


def _about(verification: Verification) -> str:
    about = asdict(verification)
    for name in ("id", "mode", "topic", "callback", "tries", "due_ms"):
        del about[name]
    return json.dumps(about)
