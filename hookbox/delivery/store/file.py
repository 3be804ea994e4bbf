"""The store's file: held by one process, looked over after a crash, readable by its owner alone."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from typing import IO

from hookbox.errors import DeliveryStoreError

BUSY_SECONDS = 2.0
WAL_BYTES = 64 * 1024 * 1024
CLEAN = "PRAGMA application_id = 0"
IN_USE = "PRAGMA application_id = 1212895042"
"""Set while the file is open, so that a start can tell whether the last end was a crash."""


def connect(path: str, full_sync: bool) -> sqlite3.Connection:
    """Open the file, which is made if there is none; after a crash it is looked over.

    Raises:
        DeliveryStoreError: it is damaged; it is left as it is.
        sqlite3.Error: it cannot be opened.
    """
    before = os.umask(0o077)
    try:
        db = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, cached_statements=256)
    finally:
        os.umask(before)
    try:
        _prepare(db, path, full_sync)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: str, full_sync: bool) -> None:
    try:
        if db.execute("PRAGMA application_id").fetchone() != (0,) or _is_cut_off(db, path):
            _look_for_damage(db, path)
        if db.execute("PRAGMA user_version").fetchone() == (0,):
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a file that is not new it writes its header
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise DeliveryStoreError(f"the store {path} is damaged, it is left as it is: {error}") from error
    db.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = FAST")  # there were cookies in it; FAST costs no further write
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")


def _is_cut_off(db: sqlite3.Connection, path: str) -> bool:
    """Whether the file is shorter than its header says."""
    (pages,), (size,) = db.execute("PRAGMA page_count").fetchone(), db.execute("PRAGMA page_size").fetchone()
    return path != ":memory:" and os.path.getsize(path) < pages * size


def _look_for_damage(db: sqlite3.Connection, path: str) -> None:
    (says,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if says != "ok":
        raise DeliveryStoreError(f"the store {path} is damaged, it is left as it is: {says}")


def free_bytes(path: str) -> float:
    """How much there is room for on the disk of a file; endless for one in memory."""
    if path == ":memory:":
        return float("inf")
    disk = os.statvfs(os.path.dirname(path) or ".")
    return disk.f_bavail * disk.f_frsize


def wal_bytes(path: str) -> int:
    """Size of what was committed and is not yet where it belongs; a long reader elsewhere lets it grow."""
    try:
        return os.path.getsize(path + "-wal")
    except OSError:
        return 0


def lock(path: str) -> IO[str]:
    """Hold the store for this process alone; the lock goes with the process, however it ends."""
    try:
        file = open(path + ".lock", "a+", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
    except OSError as error:
        raise DeliveryStoreError(f"the store {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise DeliveryStoreError(f"the store {path} is in use by pid {holder}") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
