"""Sending by a task of the project's own, as it was done with Durian."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from hookbox.contrib.django.committed import after_commit
from hookbox.contrib.django.sending.jobs import Job, SendResult

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener

logger = logging.getLogger(__name__)


class WebhookSignal:
    """What a task of one's own may be made from: `run(url, payload, **kwargs)` sends to one listener.

    A hook whose `task_cls` is this very class sends as all hooks do. Any object with the two methods will do.
    """

    @classmethod
    def apply(cls, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run it here and now."""
        return cls().run(*args, **(kwargs or {}))

    @classmethod
    def apply_async(cls, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Have it run elsewhere. For subclasses."""
        raise NotImplementedError(f"{cls.__name__} has no apply_async(); write it, or set async_ = False")

    def run(self, url: str, payload: Any, **kwargs: Any) -> Any:
        """Send a payload to a URL. For subclasses.

        Args:
            kwargs: `timeout`, `retry`, `max_retries` and `fail_silently` of the hook.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run(url, payload, **kwargs)")


def is_usual(task: Any) -> bool:
    """Whether a hook's `task_cls` stands for sending as all hooks do: none, or what ports import as that."""
    tasks = sys.modules.get("hookbox.contrib.django.tasks")  # imports Celery, which is not always there
    return task is None or task in (WebhookSignal, getattr(tasks, "WebhookSignal", None))


def apply_task(
    job: Job,
    listeners: Sequence[Listener],
    *,
    task: Any,
    keywords: dict[str, Any],
    async_: bool,
    on_commit: bool,
) -> list[SendResult]:
    """Call a task once for each listener.

    Raises:
        Exception: what the first call raised that failed; the others were made. Neither with `fail_silently`,
            nor after a commit.
    """
    if not (on_commit and transaction.get_connection(job.using).in_atomic_block):
        return _call(job, listeners, task, keywords, async_)

    quiet = {**keywords, "fail_silently": True}
    after_commit(lambda: _call(job, listeners, task, quiet, async_), f"hook {job.hook}", job.using)
    return [SendResult(each, "queued", job.id) for each in listeners]


def _call(
    job: Job, listeners: Sequence[Listener], task: Any, keywords: dict[str, Any], async_: bool
) -> list[SendResult]:
    method = task.apply_async if async_ else task.apply
    results = []
    for each in listeners:
        error = None
        try:
            answer = method(args=[each.url, json.loads(job.body)], kwargs=dict(keywords))
            error = _failure(answer)
        except Exception as raised:
            error = raised
        status = "failed" if error else "queued" if async_ else "delivered"
        results.append(SendResult(each, status, job.id, error))
        if error and keywords["fail_silently"]:
            logger.error("hook %s could not be sent to %s", job.hook, each.uuid, exc_info=error)
    failed = [result.error for result in results if result.error]
    if failed and not keywords["fail_silently"]:
        raise failed[0]
    return results


def _failure(answer: Any) -> Exception | None:
    """What went wrong, if a task tells it instead of raising, as Celery's do when they run at once."""
    failed = getattr(answer, "failed", None)
    if callable(failed) and failed() is True and isinstance(answer.result, Exception):
        return answer.result
    return None
