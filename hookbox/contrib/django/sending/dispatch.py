"""Handing a message over to the server: one batch for all listeners, which it takes as a whole or not at all.

So where it refuses one listener's URL, that one is left out, and the others are handed over again.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.urls import NoReverseMatch

from hookbox.contrib.django import conf
from hookbox.contrib.django.errors import HookboxError
from hookbox.contrib.django.http import Answer, post
from hookbox.contrib.django.sending import health
from hookbox.contrib.django.sending.attempt import JSON_TYPE, Outcome, shown
from hookbox.contrib.django.sending.jobs import Handed, Job, Target
from hookbox.contrib.django.sending.lookup import with_secrets
from hookbox.delivery.batch import BATCH
from hookbox.delivery.intake_values import check_header
from hookbox.delivery.schedule import read_retry_after
from hookbox.errors import BadRequest

logger = logging.getLogger("hookbox.django")

MOST_RETRIES: Final = 50
TAG: Final = "listener:"

_destination = re.compile(r"destination(?: (?P<nth>[0-9]+) of [0-9]+)?: ").match
_member = re.compile(r"to\[(?P<index>[0-9]+)\]").match


def hand_over(job: Job) -> Handed:
    """Hand a job over to the server, which has it on disk then. Blocks.

    Listeners whose URL, headers or secret the server refuses are noted, and the others are not held up.

    Args:
        job: of 100 listeners at most (`Job.parts`).
    """
    return _HandOver(job).run()


class _HandOver:
    """What is still to be handed over of a job, and what became of the rest."""

    def __init__(self, job: Job) -> None:
        self._job, self._secrets = with_secrets(job)
        self._targets: list[Target] = []
        self._topic = job.topic
        self._taken: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._errback = _errback_url(job.using)
        for target in self._job.targets:
            if objection := _objection(target):
                self._refuse(target, objection)
            else:
                self._targets.append(target)

    def run(self) -> Handed:
        while self._targets or self._topic:
            try:
                answer = self._ask(self._topic, self._targets, str(self._job.key))
            except HookboxError as error:
                return self._stopped(error)
            if answer.status in (202, 422):
                self._take(answer, self._topic, self._targets)
            elif (bad := self._culprit(answer)) is not None:
                self._refuse(bad, _text(answer))
                self._targets.remove(bad)
            elif self._errback and answer.status in (400, 403) and _text(answer).startswith("_errback"):
                logger.warning("health of listeners will not be known: the server says %s", _text(answer))
                self._errback = ""
            elif answer.status == 400 and len(self._targets) + bool(self._topic) > 1:
                return self._one_by_one(answer)
            else:
                return self._stopped(_error(answer), _again_after(answer))
        return Handed(self._taken, refused=self._refused)

    def _one_by_one(self, refusal: Answer) -> Handed:
        """Something in the batch is refused and the server does not say what: find out."""
        refused: list[tuple[Target | None, Answer]] = []
        units: list[tuple[str, list[Target]]] = [("", [target]) for target in self._targets]
        for topic, targets in ([(self._topic, [])] if self._topic else []) + units:
            name = (targets[0].listener or targets[0].url) if targets else "topic"
            try:
                answer = self._ask(topic, targets, str(replace(self._job, id=f"{self._job.id} {name}").key))
            except HookboxError as error:
                return self._stopped(error)
            if answer.status in (202, 422):
                self._take(answer, topic, targets)
            elif answer.status in (400, 403):
                refused.append((targets[0] if targets else None, answer))
            else:
                return self._stopped(_error(answer), _again_after(answer))
        if not self._taken:  # so it is not the fault of any of them
            return self._stopped(_error(refusal))
        for target, answer in refused:
            if target is not None:
                self._refuse(target, _text(answer))
                self._targets.remove(target)
        return self._stopped(_error(refusal)) if self._topic else Handed(self._taken, refused=self._refused)

    def _ask(self, topic: str, targets: list[Target], key: str) -> Answer:
        job = self._job
        batch: dict[str, Any] = {"body": job.body, "content_type": JSON_TYPE}
        if job.hook:
            batch["type"] = job.hook
        if topic:
            batch["topic"] = topic
        if targets:
            batch["to"] = [self._destination(target) for target in targets]
            if self._errback:
                batch["errback"] = self._errback
        text = json.dumps(batch, ensure_ascii=False, separators=(",", ":"))
        return post("/dispatch", text.encode(), BATCH, {"Idempotency-Key": key})

    def _destination(self, target: Target) -> dict[str, Any]:
        job = self._job
        given: dict[str, Any] = {
            "url": target.url,
            "timeout": min(max(job.timeout, 1), 60),
            "retry": min(max(job.max_retries, 0), MOST_RETRIES) if job.retry else "none",
        }
        if target.headers:
            given["headers"] = {name: str(value) for name, value in target.headers.items()}
        if target.listener:
            given["tag"] = TAG + target.listener
        if secret := self._secrets[target.listener]:
            given["secret"] = secret
        return given

    def _culprit(self, answer: Answer) -> Target | None:
        """The listener that a refusal is about, if its text names one."""
        text = _text(answer)
        if answer.status not in (400, 403):
            return None
        if match := _destination(text):
            index = int(match["nth"] or 1) - 1
        elif match := _member(text):
            index = int(match["index"])
        else:
            return None
        return self._targets[index] if 0 <= index < len(self._targets) else None

    def _take(self, answer: Answer, topic: str, targets: list[Target]) -> None:
        # 422: it was taken before, and something of it, as a secret, has changed since
        message_id = answer.headers.get("hookbox-message-id", self._job.id)
        self._taken |= {target.listener or target.url: message_id for target in targets}
        self._targets = [target for target in self._targets if target not in targets]
        if topic:
            self._topic = ""

    def _refuse(self, target: Target, why: str) -> None:
        logger.warning("%s for %s cannot be sent: %s", self._job.hook, shown(target.url), why)
        self._refused[target.listener or target.url] = why
        health.note(self._job.using, target, Outcome("refused", detail=why))

    def _stopped(self, error: HookboxError, again_after: float = 0.0) -> Handed:
        left = replace(self._job, targets=tuple(self._targets), topic=self._topic)
        return Handed(self._taken, refused=self._refused, left=left, error=error, again_after=again_after)


def _objection(target: Target) -> str:
    """Why a target's headers cannot be sent, which the server says without saying whose they are."""
    try:
        for name, value in target.headers.items():
            check_header(name, str(value))
    except BadRequest as error:
        return error.reason
    return ""


def _errback_url(using: str) -> str:
    """Where the server tells how listeners fare; empty for nowhere."""
    if not conf.errback_secret():
        return ""
    try:
        url = conf.callback_url(conf.path_of("hookbox_errback"))
    except NoReverseMatch:
        return ""
    return url if using == "default" else f"{url}?using={using}"


def _text(answer: Answer) -> str:
    return answer.body[:1000].decode("utf-8", "replace").strip()


def _error(answer: Answer) -> HookboxError:
    text = f"Hookbox at {conf.url()} answered {answer.status}: {_text(answer)[:300]}"
    return HookboxError(text, code=answer.status)


def _again_after(answer: Answer) -> float:
    headers: Mapping[str, str] = answer.headers
    return read_retry_after(headers.get("retry-after", ""), time.time()) or 0.0
