"""A named place: options, state, history, and the users subscribed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hookbox.core.connection import Connection, Outbox
from hookbox.core.history import Budget, Stream
from hookbox.core.options import ChannelChange, ChannelOptions
from hookbox.core.user import User
from hookbox.core.values import JSON, ChannelName, JSONObject, UserName


@dataclass(frozen=True, slots=True)
class Remembered:
    """One entry of a channel's history, as the JSON text `["KIND", {...}]`."""

    text: str
    at: float

    @property
    def size(self) -> int:
        """Bytes that keeping it costs, about."""
        return len(self.text) + 120


@dataclass(frozen=True, slots=True)
class StateChange:
    """What subscribers must be told of a changed state."""

    updates: JSONObject
    deletes: list[str]

    def __bool__(self) -> bool:
        return bool(self.updates or self.deletes)


class Channel:
    """A channel's state. Its numbering and recoverable publications are the broker's.

    Args:
        name: checked already.
        name_text: the name as JSON text.
        options: from the application.
        budget: what histories may keep.
    """

    __slots__ = (
        "_audience",
        "asking_destroy",
        "changes",
        "destroy_due",
        "history",
        "listeners",
        "name",
        "name_text",
        "options",
        "pending",
        "poller",
        "presence_text",
        "state",
        "subscribers",
    )

    def __init__(self, name: ChannelName, name_text: str, options: ChannelOptions, budget: Budget) -> None:
        self.name = name
        self.name_text = name_text
        self.options = options
        self.state: JSONObject = {}
        self.history: Stream[Remembered] = Stream(budget)
        self.subscribers: dict[UserName, User] = {}
        self.listeners: dict[Outbox, None] = {}
        """The outboxes a publication goes to, in order of joining."""
        self._audience: tuple[Outbox, ...] | None = None
        self.pending = 0
        """Users about whom the application is being asked; an empty channel waits for them."""
        self.asking_destroy = False
        self.destroy_due = False
        """Whether it was left empty while somebody was pending."""
        self.changes = 0
        self.presence_text = ""
        """The subscribers' names as JSON text; empty when it has to be made anew."""
        self.poller: object = None

    @property
    def keep(self) -> tuple[int, float]:
        """Publications and seconds that stay recoverable."""
        return self.options.recovery_size, self.options.recovery_duration

    def add(self, user: User) -> None:
        """Subscribe a user; its listening connections get every later frame."""
        self.subscribers[user.name] = user
        user.channels[self.name] = self
        self._presence_changed()

    def remove(self, user: User) -> None:
        """End a user's subscription; nothing of the channel follows on its connections."""
        self.subscribers.pop(user.name, None)
        user.channels.pop(self.name, None)
        for connection in user.connections:
            self.silence(connection)
        self._presence_changed()

    def listen(self, connection: Connection) -> None:
        """Send a connection every later frame."""
        if connection.held:
            connection.held.pop(self.name, None)
        self.listeners[connection.outbox] = None
        self._audience = None

    def silence(self, connection: Connection) -> None:
        """Send a connection nothing more."""
        self.listeners.pop(connection.outbox, None)
        self._audience = None
        if connection.own_channels:
            connection.own_channels.discard(self.name)
        if connection.held:
            connection.held.pop(self.name, None)

    @property
    def audience(self) -> tuple[Outbox, ...]:
        """The outboxes a publication goes to: the same tuple as long as nobody comes or goes."""
        if self._audience is None:
            self._audience = tuple(self.listeners)
        return self._audience

    def remember(self, entry: Remembered) -> None:
        """Keep an entry in the history that new subscribers are shown."""
        self.history.append(entry, self.options.history_size, self.options.history_duration)

    def forget_old(self, now: float) -> None:
        """Give up history that is too old by now."""
        self.history.prune(self.options.history_size, self.options.history_duration, now)

    def apply(self, change: ChannelChange, history: Iterable[Remembered] | None, now: float) -> StateChange:
        """Take over checked options, entries and state at once; says what changed in the state."""
        self.options = change.options
        keep = change.options.history_size, change.options.history_duration
        if history is not None:
            self.history.replace(history, *keep, now)
        else:
            self.history.prune(*keep, now)
        return self.replace_state(change.state) if change.state is not None else StateChange({}, [])

    def replace_state(self, state: JSONObject) -> StateChange:
        """Make the state be just this."""
        deletes = [key for key in self.state if key not in state]
        return self.change_state(state, deletes)

    def change_state(self, updates: JSONObject, deletes: Iterable[str] = ()) -> StateChange:
        """Set and delete keys; says which of it changed anything."""
        changed = {key: value for key, value in updates.items() if not self._same(key, value)}
        deleted = [key for key in deletes if key in self.state]
        self.state.update(changed)
        for key in deleted:
            del self.state[key]
        if changed or deleted:
            self.changes += 1
        return StateChange(changed, deleted)

    def _same(self, key: str, value: JSON) -> bool:
        # 1 == True == 1.0 in Python, not in JSON
        return key in self.state and repr(self.state[key]) == repr(value)

    def _presence_changed(self) -> None:
        self.presence_text = ""
        self.changes += 1
