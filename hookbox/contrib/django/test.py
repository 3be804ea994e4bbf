"""For the tests of projects: hooks that send nothing, and remember what they would have sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import overload

from hookbox.contrib.django.sending import road
from hookbox.contrib.django.sending.jobs import Job
from hookbox.core.values import JSON


class CapturedHook:
    """A message that a hook would have sent.

    Attributes:
        hook: name of the hook; `<name>.test` for a test.
        payload: what each listener would have got.
        urls: of the listeners that were selected.
        topic: on which it would have been published; empty for none.
        job: all of it.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.hook, self.topic = job, job.hook, job.topic
        self.payload: JSON = json.loads(job.body)
        self.urls = [target.url for target in job.targets]

    def __repr__(self) -> str:
        return f"<{self.hook} to {', '.join(self.urls) or 'nobody'}: {self.payload!r}>"


class CapturedHooks(Sequence[CapturedHook]):
    """What was captured, oldest first."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs

    @overload
    def __getitem__(self, index: int) -> CapturedHook: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CapturedHook]: ...
    def __getitem__(self, index: int | slice) -> CapturedHook | Sequence[CapturedHook]:
        if isinstance(index, slice):
            return [CapturedHook(job) for job in self._jobs[index]]
        return CapturedHook(self._jobs[index])

    def __len__(self) -> int:
        return len(self._jobs)

    def __repr__(self) -> str:
        return repr(list(self))

    def of(self, name: str) -> list[CapturedHook]:
        """Those of one hook."""
        return [each for each in self if each.hook == name]

    def clear(self) -> None:
        """Forget what came until now."""
        self._jobs.clear()


@contextmanager
def capture_hooks() -> Iterator[CapturedHooks]:
    """Send nothing inside of the block, and see what would have been sent.

    Hooks count at the moment they fire, not at the commit, so tests in a transaction see them too.

        with capture_hooks() as sent:
            Person.objects.create(name="Joe")
        assert sent[0].payload["name"] == "Joe"
    """
    with road.recording() as jobs:
        yield CapturedHooks(jobs)
