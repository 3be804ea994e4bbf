"""Posting to listeners from this process, one after the other, again at once where that is wanted."""

from __future__ import annotations

from hookbox.contrib.django.sending import health
from hookbox.contrib.django.sending.attempt import Outcome, attempt
from hookbox.contrib.django.sending.jobs import Job, Target


def deliver(job: Job, target: Target, secret: str) -> Outcome:
    """Post a message to a listener, and note on it what came of it.

    Takes `job.timeout` seconds for each attempt; there is no pause between them.
    """
    outcome = attempt(job, target, secret)
    for again in range(job.max_retries if job.retry else 0):
        if outcome.final:
            break
        outcome = attempt(job, target, secret, again + 2)
    health.note(job.using, target, outcome)
    return outcome
