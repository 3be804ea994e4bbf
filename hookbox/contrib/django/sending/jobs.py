"""What has to be sent: values that survive in a table, a task queue or a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener

MOST_TARGETS: Final = 100
"""Listeners that are handed over to the server at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """A listener as it was when the hook fired; its secret is looked up when the message goes out.

    Args:
        listener: its uuid as text; empty for a URL that is nobody's.
        headers: which its configuration adds.
    """

    listener: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One message for listeners of one hook.

    Args:
        id: of the message; the server takes it once however often it is handed over, and receivers see it.
        hook: name of the hook, which goes out as `hookbox-type`.
        body: what each listener gets, as JSON text.
        using: alias of the database in which it happened, with its listeners (see `listeners_in`).
        timeout: seconds for one attempt.
        retry: whether it is tried again at all, `max_retries` times at most after the first attempt.
        topic: channel on which it is published too; empty for none.
    """

    id: str
    hook: str
    body: str
    targets: tuple[Target, ...] = ()
    using: str = "default"
    timeout: float = 4
    retry: bool = False
    max_retries: int = 3
    topic: str = ""

    @property
    def key(self) -> UUID:
        """What a repeated hand-over is known by."""
        try:
            return UUID(self.id)
        except ValueError:
            return uuid5(NAMESPACE_URL, f"hookbox:{self.id}")

    def parts(self) -> Iterator[Job]:
        """The same in jobs that are small enough to be handed over at once; only the first has the topic."""
        yield replace(self, targets=self.targets[:MOST_TARGETS])
        for start in range(MOST_TARGETS, len(self.targets), MOST_TARGETS):
            some = self.targets[start : start + MOST_TARGETS]
            yield replace(self, id=f"{self.id}-{start // MOST_TARGETS + 1}", targets=some, topic="")

    def to_json(self) -> dict[str, Any]:
        """As an object of plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Job:
        """Back from `to_json`."""
        return cls(**{**value, "targets": tuple(Target(**target) for target in value["targets"])})


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a job that was to be handed over.

    Args:
        taken: by listener, the id that its message has.
        status: of what was taken, as in `SendResult`.
        refused: by listener, why it will never be taken.
        left: what has to be handed over again; None for nothing.
        error: why that was not taken.
        again_after: seconds before it makes sense to try again.
        own: whether that says something of this job only, and others may fare better.
    """

    taken: dict[str, str] = field(default_factory=dict)
    status: str = "accepted"
    refused: dict[str, str] = field(default_factory=dict)
    left: Job | None = None
    error: Exception | None = None
    again_after: float = 0.0
    own: bool = False


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a message for one listener.

    Args:
        status: "accepted" (the server has it on disk), "queued" (it will be handed over after the commit, or
            by another process), "delivered" (the listener has answered 2xx) or "failed".
        error: why it failed, else None.
    """

    listener: Listener
    status: str
    message_id: str
    error: Exception | None = None
