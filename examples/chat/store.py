"""What the chat remembers, in SQLite. Each function is one transaction; times are text, in UTC."""

import os
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

DATABASE = os.environ.get("CHAT_DATABASE") or Path(__file__).with_name("chat.sqlite3")
A_DAY = timedelta(days=1)  # away for longer, and your name is free for somebody else
RECENT = 50  # messages shown to somebody who enters a room

SCHEMA = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS user (
        name TEXT PRIMARY KEY COLLATE NOCASE, session TEXT UNIQUE NOT NULL, away_since TEXT);
    CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY, topic TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS message (
        id INTEGER PRIMARY KEY,
        room TEXT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL, sent TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS private (
        id INTEGER PRIMARY KEY,
        sender TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
        recipient TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
        text TEXT NOT NULL, sent TEXT NOT NULL);
    INSERT OR IGNORE INTO room VALUES
        ('lobby', 'Everybody starts here'),
        ('kitchen', 'What are you cooking?'),
        ('workshop', 'Things we are building');
"""


@contextmanager
def database():
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def prepare():
    with database() as db:
        db.executescript(SCHEMA)


def now():
    return in_text(datetime.now(UTC))


def in_text(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S")  # as in Hookbox's own frames


def add_user(name, session):
    """Add a user, and return whether the name was free."""
    with database() as db:
        db.execute("DELETE FROM user WHERE away_since < ?", [in_text(datetime.now(UTC) - A_DAY)])
        return db.execute("INSERT OR IGNORE INTO user VALUES (?, ?, ?)", [name, session, now()]).rowcount == 1


def remove_user(name):
    """Forget a user and, as the tables refer to each other, their private messages."""
    with database() as db:
        db.execute("DELETE FROM user WHERE name = ?", [name])


def user_of(session):
    with database() as db:
        row = db.execute("SELECT name FROM user WHERE session = ?", [session]).fetchone()
        return row and row[0]


def set_away(name, away):
    with database() as db:
        db.execute("UPDATE user SET away_since = ? WHERE name = ?", [now() if away else None, name])


def rooms():
    with database() as db:
        return dict(db.execute("SELECT name, topic FROM room ORDER BY name"))


def add_room(name, topic):
    """Add a room, and return whether it is new."""
    with database() as db:
        return db.execute("INSERT OR IGNORE INTO room VALUES (?, ?)", [name, topic]).rowcount == 1


def keep(room, author, text):
    """Keep a message, and return its number."""
    values = [room, author, text, now()]
    with database() as db:
        return db.execute("INSERT INTO message VALUES (NULL, ?, ?, ?, ?)", values).lastrowid


def recent(room):
    """Return rows of id, author, text, sent, the oldest first."""
    query = "SELECT id, author, text, sent FROM message WHERE room = ? ORDER BY id DESC LIMIT ?"
    with database() as db:
        return db.execute(query, [room, RECENT]).fetchall()[::-1]


def keep_private(sender, recipient, text):
    """Keep a private message, and return its number, or None if there is no such recipient."""
    values = [sender, recipient, text, now()]
    with database() as db:
        try:
            return db.execute("INSERT INTO private VALUES (NULL, ?, ?, ?, ?)", values).lastrowid
        except sqlite3.IntegrityError:
            return None


def private_of(user):
    """Return rows of id, sender, recipient, text, sent, the oldest first."""
    query = "SELECT * FROM private WHERE ? IN (sender, recipient) ORDER BY id DESC LIMIT 100"
    with database() as db:
        return db.execute(query, [user]).fetchall()[::-1]
