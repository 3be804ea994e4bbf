"""The one place through which every hook's message goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hookbox.contrib.django.sending.jobs import Job, SendResult

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener

_recorders: list[list[Job]] = []


def send(
    job: Job,
    listeners: Sequence[Listener],
    *,
    async_: bool,
    on_commit: bool,
    fail_silently: bool,
) -> list[SendResult]:
    """Send a message to listeners; one result for each, in their order.

    Args:
        job: what is sent; its targets are these listeners, in the same order.
        async_: hand it to the backend; else it is posted here and now.
        on_commit: wait for the commit of `job.using`; nothing is sent after a rollback.
        fail_silently: log what failed instead of raising.

    Raises:
        DeliveryFailed: some listener did not get it, and it was sent here and now; the others were tried.
        HookboxError: the server could not be asked to deliver it, and neither outbox nor commit has it.
    """
    if _recorders:
        _recorders[-1].append(job)
        return [SendResult(listener, "accepted", job.id) for listener in listeners]
    raise NotImplementedError


def is_recording() -> bool:
    """Whether what is sent is only written down."""
    return bool(_recorders)


@contextmanager
def recording() -> Iterator[list[Job]]:
    """Keep what is sent in this list instead of sending it."""
    jobs: list[Job] = []
    _recorders.append(jobs)
    try:
        yield jobs
    finally:
        _recorders.remove(jobs)
