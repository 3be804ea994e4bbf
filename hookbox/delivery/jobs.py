"""What takes long: replays of a topic, and retries of many deliveries.

A job is written down before it begins, and how far it has come along with its pages: it goes on after a
restart, and nothing of it is lost silently.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Final, cast

from gevent.event import Event
from gevent.pool import Group

from hookbox.clock import Clock
from hookbox.core.values import JSONObject
from hookbox.delivery import job_kinds
from hookbox.delivery.again import Goal
from hookbox.delivery.ids import ulid
from hookbox.delivery.job_kinds import Impossible, Run, Stopped
from hookbox.delivery.ledger import Wait, wait_on
from hookbox.delivery.store.backlog import Backlog, Job
from hookbox.delivery.store.base import Search
from hookbox.delivery.store.looking import Sought
from hookbox.delivery.worker import Worker
from hookbox.errors import CommandRefused, LimitReached, NotFound

logger = logging.getLogger(__name__)

MOST_RUNNING: Final = 20
LAST_WRITES: Final = 2.0
KINDS: Final[dict[str, Callable[[Run], None]]] = {"replay": job_kinds.replay, "retry": job_kinds.retry}


class Jobs:
    """Runs jobs.

    Args:
        worker: delivers; it has to be started before.
        wait: waits until something happens, or for so many seconds on the clock.
    """

    def __init__(self, backlog: Backlog, worker: Worker, clock: Clock, wait: Wait = wait_on) -> None:
        self._backlog = backlog
        self._worker = worker
        self._clock = clock
        self._wait = wait
        self._ending = False
        self._group = Group()
        self._under_way: dict[str, Event] = {}

    # life

    def start(self) -> None:
        """Go on with what an earlier start left. Blocks shortly.

        Raises:
            DeliveryStoreError: the store cannot be read.
        """
        for job in self._backlog.running_jobs():
            if job.id in self._under_way:
                continue  # begun while the store was asked
            logger.info("job %s (%s) goes on: %s of %s", job.id, job.kind, job.done, job.count)
            self._spawn(job)

    def stop(self) -> None:
        """End; what is not done goes on at the next start. Blocks shortly."""
        self._ending = True
        for stopping in self._under_way.values():
            stopping.set()
        self._group.join(timeout=LAST_WRITES)
        self._group.kill()

    # what operators want

    def replay(self, topic: str, goal: Goal, sought: Sought) -> Job:
        """Deliver what is kept of a topic once more, in order. Blocks until it is written down.

        Args:
            sought: from when until when; messages that come later are not part of it.

        Raises:
            LimitReached: too many jobs are under way.
            DeliveryStoreError: nothing was begun.
        """
        until = self._backlog.last_seq()
        about: JSONObject = {
            "topic": topic, "place": 0, "until": until, "since_ms": sought.since_ms,
            "until_ms": sought.until_ms, "goal": goal.as_json(),
        }  # fmt: skip
        count, place = 0, cast("int | None", 0)
        while place is not None:
            stretch = self._backlog.kept(topic, place, until, sought, payloads=False)
            count, place = count + len(stretch.found), stretch.place
        return self._begin("replay", about, count)

    def retry(self, search: Search, rate: float, reset: bool) -> Job:
        """Try deliveries again, oldest first, spread over time. Blocks until it is written down.

        Args:
            search: which; `since_ms` and `states` have to be given.
            rate: deliveries per second.
            reset: whether their schedules begin anew.

        Raises:
            LimitReached: too many jobs are under way.
            DeliveryStoreError: nothing was begun.
        """
        if search.until_ms is None:
            search = replace(search, until_ms=self._now_ms())
        given = cast(JSONObject, asdict(search))
        about: JSONObject = {"search": given, "place": "", "rate": rate, "reset": reset}
        count, place = 0, cast("str | None", "")
        while place is not None:
            stretch = self._backlog.deliveries(search, after=place)
            count, place = count + len(stretch.found), stretch.place
        return self._begin("retry", about, count)

    def cancel(self, name: str) -> Job:
        """Let a job do no more. What it has done stays done. Blocks shortly.

        Raises:
            NotFound: there is no such job.
            CommandRefused: it is over.
        """
        job = self._backlog.job(name)
        if job is None:
            raise NotFound(f"there is no job {name}")
        stopping = self._under_way.get(name)
        if stopping is None:
            raise CommandRefused("the job is over already", "over")
        stopping.set()
        return job

    # running

    def _begin(self, kind: str, about: JSONObject, count: int) -> Job:
        if len(self._under_way) >= MOST_RUNNING:
            raise LimitReached(f"{MOST_RUNNING} jobs are under way already; wait for one, or cancel one")
        now_ms = self._now_ms()
        job = Job(f"job_{ulid(now_ms)}", kind, about, "running", count, now_ms)
        self._backlog.keep_job(job)
        self._spawn(job)
        return job

    def _spawn(self, job: Job) -> None:
        stopping = self._under_way[job.id] = Event()
        run = Run(job, self._backlog, self._worker, self._clock, self._wait, stopping)
        self._group.spawn(self._run, run)

    def _run(self, run: Run) -> None:
        try:
            KINDS[run.job.kind](run)
        except Stopped:
            if not self._ending:
                run.end("cancelled", "by an operator")
        except Impossible as error:
            run.end("failed", str(error))
        except Exception:
            logger.exception("job %s failed by our own fault", run.job.id)
            run.end("failed", "internal error, see the server's log")
        finally:
            del self._under_way[run.job.id]

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)
