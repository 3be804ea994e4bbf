"""The one place through which every hook's message goes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from hookbox.contrib.django import conf
from hookbox.contrib.django.committed import after_commit
from hookbox.contrib.django.errors import DeliveryFailed
from hookbox.contrib.django.sending.attempt import shown
from hookbox.contrib.django.sending.backends import HookboxBackend, give
from hookbox.contrib.django.sending.direct import deliver
from hookbox.contrib.django.sending.jobs import Handed, Job, SendResult

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener

logger = logging.getLogger("hookbox.django")

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
    if not async_:
        return _here(job, listeners, on_commit=on_commit, fail_silently=fail_silently)
    if on_commit:
        return _results(job, listeners, later(job))
    return _at_once(job, listeners, fail_silently=fail_silently)


def later(job: Job) -> list[Handed]:
    """Hand a job over after the commit of its database; at once where no transaction is open.

    Returns:
        what became of its parts; of those that wait for the commit, nothing.
    """
    if _recorders:
        _recorders[-1].append(job)
        return []
    from hookbox.contrib.django import outbox

    handed: list[Handed] = []
    entries = outbox.put(job) if conf.outbox() else None
    if entries is not None:
        kept = entries

        def hand_over() -> None:
            tried = outbox.after_commit(job.using, kept)
            handed.extend(replace(given, left=None) for given in tried)  # the outbox has it
    else:

        def hand_over() -> None:
            handed.extend(_given(job.parts()))

    after_commit(hand_over, job.hook or job.topic, job.using)
    return handed


def _given(parts: Iterable[Job]) -> Iterator[Handed]:
    """Give each part to the backend, with nothing that would keep what fails."""
    for part in parts:
        handed = give(part)
        if handed.left is not None:
            logger.error("%s is not sent, and nothing keeps it: %s", part.hook or part.topic, handed.error)
        yield handed


def _at_once(job: Job, listeners: Sequence[Listener], *, fail_silently: bool) -> list[SendResult]:
    from hookbox.contrib.django import outbox

    handed = []
    for part in job.parts():
        given = give(part)
        if given.left is not None and conf.outbox() and outbox.put(given.left) is not None:
            logger.warning("%s is kept in the outbox: %s", job.hook, given.error)
            given = replace(given, left=None)
        handed.append(given)
    results = _results(job, listeners, handed)
    lost = next((given for given in handed if given.left is not None), None)
    if lost is not None and lost.error is not None:
        if not fail_silently:
            raise lost.error
        logger.error("%s is not sent: %s", job.hook, lost.error)
    return results


def _results(job: Job, listeners: Sequence[Listener], handed: Sequence[Handed]) -> list[SendResult]:
    """What became of the message, for each listener; of what is not known, that it is queued."""
    taken = {name: (given.status, id) for given in handed for name, id in given.taken.items()}
    refused = {name: why for given in handed for name, why in given.refused.items()}
    lost: dict[str, Exception | None] = {}
    for given in handed:
        lost |= {target.listener: given.error for target in given.left.targets} if given.left else {}
    results = []
    for listener in listeners:
        name = str(listener.uuid)
        if name in taken:
            status, message_id = taken[name]
            results.append(SendResult(listener, status, message_id))
        elif name in refused:
            error = DeliveryFailed(f"{shown(listener.url)}: {refused[name]}")
            results.append(SendResult(listener, "failed", job.id, error))
        elif name in lost:
            results.append(SendResult(listener, "failed", job.id, lost[name]))
        else:
            results.append(SendResult(listener, "queued", job.id))
    return results


def _here(
    job: Job, listeners: Sequence[Listener], *, on_commit: bool, fail_silently: bool
) -> list[SendResult]:
    """Post it in this thread, now or after the commit."""
    results: list[SendResult] = []

    def post_all() -> None:
        published = _published(job)
        for target, listener in zip(job.targets, listeners, strict=True):
            outcome = deliver(job, target, listener.secret)
            error = None if outcome.ok else outcome.error(target.url)
            results.append(SendResult(listener, "delivered" if outcome.ok else "failed", job.id, error))
            if error is not None and (on_commit or fail_silently):
                logger.error("%s is not delivered: %s", job.hook, error)
        if published is not None:
            raise published

    if on_commit:
        after_commit(post_all, job.hook, job.using)
        return results or [SendResult(listener, "queued", job.id) for listener in listeners]
    try:
        post_all()
    except Exception as error:
        if not fail_silently:
            raise
        logger.error("%s is not published on %s: %s", job.hook, job.topic, error)
    failed = next((result.error for result in results if result.error is not None), None)
    if failed is not None and not fail_silently:
        raise failed
    return results


def _published(job: Job) -> Exception | None:
    """Publish it on its topic, if it has one; returns what went wrong."""
    if not job.topic:
        return None
    return HookboxBackend().send([replace(job, targets=())])[0].error


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
