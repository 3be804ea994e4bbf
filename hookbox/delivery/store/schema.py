"""The tables of the store, and how older ones become today's.

A delivery keeps the id of its endpoint when that is deleted: it must not be taken for one to a plain URL.
Times are milliseconds since the Unix epoch, UTC. What has a structure of its own is JSON text.
"""

from __future__ import annotations

import secrets
import sqlite3

from hookbox.delivery.ids import DIGITS
from hookbox.errors import DeliveryStoreError

VERSION = 1

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE messages (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, offset INTEGER NOT NULL,
  epoch TEXT NOT NULL, time_ms INTEGER NOT NULL, source TEXT NOT NULL, originator TEXT NOT NULL,
  type TEXT NOT NULL, content_type TEXT NOT NULL, body BLOB NOT NULL, payload TEXT NOT NULL,
  hops INTEGER NOT NULL, whole INTEGER NOT NULL);
CREATE INDEX messages_of_topic ON messages (topic, seq);

CREATE TABLE endpoints (
  id TEXT PRIMARY KEY, url TEXT NOT NULL, created_ms INTEGER NOT NULL, kind TEXT NOT NULL, topic TEXT,
  host TEXT NOT NULL, lease_until_ms INTEGER NOT NULL, renew_ms INTEGER NOT NULL, about TEXT NOT NULL,
  UNIQUE (kind, topic, url)) WITHOUT ROWID;
CREATE INDEX endpoints_by_host ON endpoints (kind, host);
CREATE INDEX endpoints_by_lease ON endpoints (lease_until_ms) WHERE lease_until_ms > 0;
CREATE INDEX endpoints_by_renewal ON endpoints (renew_ms) WHERE renew_ms > 0;

CREATE TABLE deliveries (
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL REFERENCES messages, endpoint TEXT,
  url TEXT NOT NULL, wishes TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
  failures INTEGER NOT NULL, due_ms INTEGER NOT NULL, boot INTEGER NOT NULL, reason TEXT NOT NULL,
  last_status INTEGER NOT NULL, tag TEXT NOT NULL, created_ms INTEGER NOT NULL, done_ms INTEGER NOT NULL,
  ordering TEXT NOT NULL, failing_ms INTEGER NOT NULL);
CREATE INDEX deliveries_due ON deliveries (state, due_ms, id);
CREATE INDEX deliveries_of_endpoint ON deliveries (endpoint, state, seq);
CREATE INDEX deliveries_done ON deliveries (done_ms) WHERE done_ms > 0;
CREATE INDEX deliveries_of_message ON deliveries (seq);
CREATE INDEX deliveries_undelivered ON deliveries (id) WHERE state IN ('dead', 'held', 'cancelled');
CREATE INDEX deliveries_in_order ON deliveries (ordering, state, seq) WHERE ordering <> '';

CREATE TABLE fanouts (
  seq INTEGER PRIMARY KEY REFERENCES messages, after TEXT NOT NULL, wishes TEXT NOT NULL);

CREATE TABLE attempts (
  delivery TEXT NOT NULL REFERENCES deliveries ON DELETE CASCADE, n INTEGER NOT NULL, cause TEXT NOT NULL,
  start_ms INTEGER NOT NULL, took_ms INTEGER NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL,
  address TEXT NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL, body BLOB NOT NULL,
  detail TEXT NOT NULL, PRIMARY KEY (delivery, n)) WITHOUT ROWID;

CREATE TABLE idempotency (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, answer TEXT NOT NULL, time_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (time_ms);

CREATE TABLE jobs (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, about TEXT NOT NULL, state TEXT NOT NULL, done INTEGER NOT NULL,
  count INTEGER NOT NULL, problem TEXT NOT NULL, created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL
  ) WITHOUT ROWID;

CREATE TABLE verifications (
  id INTEGER PRIMARY KEY AUTOINCREMENT, mode TEXT NOT NULL, topic TEXT NOT NULL, callback TEXT NOT NULL,
  host TEXT NOT NULL, tries INTEGER NOT NULL, due_ms INTEGER NOT NULL, about TEXT NOT NULL);
CREATE INDEX verifications_by_host ON verifications (host);

CREATE TABLE fetches (
  topic TEXT PRIMARY KEY, due_ms INTEGER, tries INTEGER NOT NULL, etag TEXT NOT NULL,
  last_modified TEXT NOT NULL, sha256 TEXT NOT NULL, self_url TEXT NOT NULL) WITHOUT ROWID;
"""


def set_up(connection: sqlite3.Connection) -> tuple[str, int]:
    """Make the tables, or look whether they are today's; counts this start.

    Returns:
        the store's epoch, and the number of this start.

    Raises:
        DeliveryStoreError: a newer Hookbox made it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise DeliveryStoreError(
            f"it was made by a newer Hookbox (schema {version}, this one knows {VERSION})"
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version == 0:
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            epoch = "".join(secrets.choice(DIGITS) for _ in range(8))
            rows = [("epoch", epoch), ("boot", 0), ("reserved", 1)]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'boot'")
        known = dict(connection.execute("SELECT key, value FROM meta"))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return known["epoch"], known["boot"]
