"""The secrets of listeners, looked up when a message goes out."""

from __future__ import annotations

import logging
from dataclasses import replace

from hookbox.contrib.django.sending.jobs import Job

logger = logging.getLogger("hookbox.django")


def with_secrets(job: Job) -> tuple[Job, dict[str, str]]:
    """The job without the listeners that were deleted meanwhile, and the secret of each of the others.

    Raises:
        django.db.Error: they cannot be looked up.
    """
    from hookbox.contrib.django.listening import listeners_in
    from hookbox.contrib.django.models import Listener

    wanted = [target.listener for target in job.targets if target.listener]
    rows = Listener.objects.none()
    if wanted:
        rows = Listener.objects.using(listeners_in(job.using)).filter(uuid__in=wanted)
    secrets = {str(uuid): secret for uuid, secret in rows.values_list("uuid", "secret")} | {"": ""}
    there = tuple(target for target in job.targets if target.listener in secrets)
    if len(there) < len(job.targets):
        logger.info("%d listeners of %s are deleted meanwhile", len(job.targets) - len(there), job.hook)
    return replace(job, targets=there), secrets
