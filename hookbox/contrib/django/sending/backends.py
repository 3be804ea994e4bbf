"""Who delivers what is not posted while its sender waits: the Hookbox server, Celery, or a thread.

A backend is a class with one method, `send`. A project names its own by dotted path in HOOKBOX_HOOK_BACKEND.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from django.conf import settings
from django.db import Error, connections
from django.utils.module_loading import import_string

from hookbox.contrib.django import conf
from hookbox.contrib.django.sending.direct import deliver
from hookbox.contrib.django.sending.dispatch import hand_over
from hookbox.contrib.django.sending.jobs import Handed, Job
from hookbox.contrib.django.sending.lookup import with_secrets

logger = logging.getLogger("hookbox.django")


class Backend(Protocol):
    """Delivers jobs, or hands them to something that will."""

    def send(self, jobs: Sequence[Job]) -> Sequence[Handed] | None:
        """Take these jobs, of 100 listeners each at most. May block.

        It may be given the same job again, when it is not known whether it was taken: the id is the same.

        Returns:
            what became of each; None if all were taken.

        Raises:
            Exception: none was taken; they are kept in the outbox, if there is one, and given again.
        """


class HookboxBackend:
    """The Hookbox server, which has a job on disk when it takes it."""

    def send(self, jobs: Sequence[Job]) -> Sequence[Handed]:
        """Take these jobs."""
        return [hand_over(job) for job in jobs]


class CeleryBackend:
    """A task `hookbox.webhook_signal` for each listener."""

    def send(self, jobs: Sequence[Job]) -> None:
        """Take these jobs.

        Raises:
            kombu.exceptions.OperationalError: the broker cannot be reached.
        """
        from hookbox.contrib.django.tasks import webhook_signal

        for job in jobs:
            for target in job.targets:
                webhook_signal.apply_async((replace(job, targets=(target,), topic="").to_json(),))


class LocalBackend:
    """A thread of this process, which forgets what it has not sent when the process ends: for development."""

    def send(self, jobs: Sequence[Job]) -> None:
        """Take these jobs."""
        if not settings.DEBUG:
            logger.warning(
                "HOOKBOX_HOOK_BACKEND is 'local', for development: what is not sent is lost with the process"
            )
        found = [with_secrets(job) for job in jobs]  # here, where the transaction that made them can see them
        threading.Thread(target=_deliver_all, args=(found,), name="hookbox-local").start()


def _deliver_all(found: list[tuple[Job, dict[str, str]]]) -> None:
    try:
        for job, secrets in found:
            for target in job.targets:
                outcome = deliver(job, target, secrets[target.listener])
                if not outcome.ok:
                    logger.warning("%s: %s", job.hook, outcome.error(target.url))
    except Exception:
        logger.exception("sending webhooks failed by our own fault")
    finally:
        connections.close_all()


NAMED: Final[dict[str, Callable[[], Backend]]] = {
    "hookbox": HookboxBackend,
    "celery": CeleryBackend,
    "local": LocalBackend,
}


def backend() -> Backend:
    """The backend that the project has chosen.

    Raises:
        ImportError: there is no such class.
    """
    name = conf.backend()
    made: Backend = (NAMED.get(name) or import_string(name))()
    return made


def give(job: Job) -> Handed:
    """Give a job to the backend; a topic goes to the server in any case. Blocks, and never raises."""
    try:
        chosen = backend()
        if isinstance(chosen, HookboxBackend):
            return chosen.send([job])[0]
        if job.topic:
            published = hand_over(replace(job, targets=()))
            if published.left is not None:
                return replace(published, left=job)
        rest = replace(job, topic="")
        try:
            handed = chosen.send([rest]) if rest.targets else None
        except Exception as error:
            return Handed(left=rest, error=error)
        if handed is not None:
            return handed[0]
        return Handed({target.listener or target.url: job.id for target in job.targets}, "queued")
    except Exception as error:
        logger.exception("a message could not be handed over by our own fault")
        return Handed(left=job, error=error, own=not isinstance(error, ImportError | Error))
