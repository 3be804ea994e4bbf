"""Webhooks as Celery tasks, and what old hooks name as their `task_cls`.

Importing this needs no Celery: without it there is only no task.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.db import Error

from hookbox.contrib.django.errors import DeliveryFailed
from hookbox.contrib.django.event import legacy
from hookbox.contrib.django.payload import to_text
from hookbox.contrib.django.sending import health
from hookbox.contrib.django.sending.attempt import attempt
from hookbox.contrib.django.sending.backends import backend
from hookbox.contrib.django.sending.direct import deliver
from hookbox.contrib.django.sending.jobs import Job, Target
from hookbox.contrib.django.sending.lookup import with_secrets
from hookbox.delivery.schedule import DEFAULT, next_wait

logger = logging.getLogger("hookbox.django")

TASK: Final = "hookbox.webhook_signal"
UNREADABLE: Final = 60.0
"""Seconds after which a task looks again into a database that could not be read."""
MOST_LOOKS: Final = 20
"""Attempts after which it gives up on the database."""


def post_once(job: Job, retries: int) -> float | None:
    """Post a message to its listener, and note on it what came of it.

    Args:
        retries: made so far.

    Returns:
        seconds after which to try again; None for never.

    Raises:
        django.db.Error: the listener cannot be looked up.
    """
    job, secrets = with_secrets(job)
    for target in job.targets:  # one, or none if it was deleted
        outcome = attempt(job, target, secrets[target.listener], retries + 1)
        health.note(job.using, target, outcome)
        if outcome.ok:
            return None
        if outcome.final or not job.retry or retries >= job.max_retries:
            logger.error("%s is given up: %s", job.hook, outcome.error(target.url))
            return None
        schedule = DEFAULT + DEFAULT[-1:] * max(job.max_retries - len(DEFAULT), 0)
        wait = next_wait(schedule, retries + 1, outcome.name, random.random(), outcome.retry_after)
        logger.warning("%s is tried again in %d s: %s", job.hook, wait or 0, outcome.error(target.url))
        return wait
    return None


def _webhook_signal(task: Any, job: dict[str, Any]) -> None:
    """Post a message to one listener, and come back later if it fails.

    Args:
        job: `Job.to_json()`, with this listener as its only target.
    """
    retries = task.request.retries
    try:
        wait = post_once(Job.from_json(job), retries)
    except Error as error:
        if retries >= MOST_LOOKS:
            raise
        raise task.retry(countdown=UNREADABLE, exc=error) from error
    if wait is not None:
        raise task.retry(countdown=wait)


def _as_task() -> Any:
    try:
        from celery import shared_task
    except ImportError:
        return None
    declare = shared_task(
        name=TASK,
        bind=True,
        acks_late=True,
        ignore_result=True,
        serializer="json",
        max_retries=None,  # the hook says how many, and Celery's own limit is 3
    )
    return declare(_webhook_signal)


webhook_signal: Any = _as_task()
"""The task of the Celery backend; None without Celery."""


class WebhookSignal(legacy.WebhookSignal):
    """What posts to one URL for a hook, in the shape of a Celery task of old; hooks may name another.

    Arguments of both: `args` is `[url, payload]`, the payload as JSON text or as what that says; `kwargs` may
    have `hook`, `timeout` (seconds), `retry`, `max_retries` and `fail_silently`.
    """

    def run(self, url: str, payload: Any, **kwargs: Any) -> Any:
        """Post it now; `apply` calls it.

        Raises:
            DeliveryFailed: it has not arrived.
        """
        job = self._job([url, payload], kwargs)
        outcome = deliver(job, job.targets[0], "")
        if not outcome.ok and not kwargs.get("fail_silently"):
            raise DeliveryFailed(str(outcome.error(job.targets[0].url)), status=outcome.status or None)

    @classmethod
    def apply_async(cls, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Give it to the backend.

        Raises:
            HookboxError: the backend cannot be reached.
            NotImplementedError: a subclass posts in its own way, which the backend does not know.
        """
        if cls.run is not WebhookSignal.run:
            super().apply_async(args, kwargs)
        for handed in backend().send([cls._job(args, kwargs or {})]) or ():
            if handed.error is not None:
                raise handed.error

    @staticmethod
    def _job(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
        url, payload = args
        body = payload if isinstance(payload, str) else to_text(payload)
        job = Job(str(uuid.uuid4()), str(kwargs.get("hook", "")), body, (Target("", url),))
        known = {name: kwargs[name] for name in ("timeout", "retry", "max_retries") if name in kwargs}
        return replace(job, **known)
