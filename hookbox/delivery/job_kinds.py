"""What jobs do, page by page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar, cast

from gevent.event import Event

from hookbox.clock import Clock
from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.again import Goal, deliveries
from hookbox.delivery.ledger import AGAIN, Wait
from hookbox.delivery.match import matches
from hookbox.delivery.models import DeliveryId, Endpoint, EndpointId, MessageId, State
from hookbox.delivery.store.backlog import Backlog, Job
from hookbox.delivery.store.base import Search
from hookbox.delivery.store.looking import Kept, Sought
from hookbox.delivery.worker import Worker
from hookbox.errors import CommandRefused, DeliveryStoreError
from hookbox.protocol.json_text import load

logger = logging.getLogger(__name__)

SHARE: Final = 0.5
"""Of the queue that replays may use: the rest is for what is new."""
NOTED_EVERY: Final = 1.0
"""Seconds after which it is written down how many retries were made."""

T = TypeVar("T")


class Stopped(Exception):
    """The job, or the server, is to end."""


class Impossible(Exception):
    """The job cannot go on; the text says why."""


@dataclass(slots=True)
class Run:
    """A job under way.

    Args:
        job: as it was written down last.
        stopping: set when it is to end.
        wait: waits for that, or for so many seconds on the clock.
    """

    job: Job
    backlog: Backlog
    worker: Worker
    clock: Clock
    wait: Wait
    stopping: Event

    def now_ms(self) -> int:
        """Now."""
        return int(self.clock.now() * 1000)

    def patiently(self, work: Callable[[], T]) -> T:
        """Ask the store until it does what it is asked. Blocks.

        Raises:
            Stopped: the job is to end before it worked.
        """
        said = ""
        while True:
            try:
                return work()
            except DeliveryStoreError as error:
                if str(error) != said:
                    said = str(error)
                    logger.info("job %s waits: %s", self.job.id, said)
            self.pause(AGAIN)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: the job is to end.
        """
        if seconds > 0:
            self.wait(self.stopping, seconds)
        if self.stopping.is_set():
            raise Stopped

    def came_to(self, place: int | str | None, done: int) -> Job:
        """The job as it stands after a page: behind a place, or at its end."""
        job = replace(self.job, done=self.job.done + done, about={**self.job.about, "place": place})
        return job if place is not None else job.ended("done", self.now_ms())

    def end(self, state: str, problem: str = "") -> None:
        """Write down that it is over. Blocks; what the store refuses now is tried again after a restart."""
        try:
            self.backlog.keep_job(self.job.ended(state, self.now_ms(), problem))
        except DeliveryStoreError as error:
            logger.error("job %s ended (%s), but the store refuses: %s", self.job.id, state, error)


def replay(run: Run) -> None:
    """Deliver what is kept of a topic once more: a page, and how far it came, in one commit each.

    Raises:
        Impossible: the endpoint was deleted.
        Stopped: it is to end before it is done.
    """
    about: dict[str, Any] = dict(run.job.about)
    goal = Goal.from_json(cast(JSONObject, about["goal"]))
    at_once = max(int(run.backlog.queue * SHARE) // 2, 1)
    sought = Sought(since_ms=about["since_ms"], until_ms=about["until_ms"], limit=at_once)
    while run.job.running:
        run.patiently(lambda: _replay_page(run, goal, about["topic"], about["until"], sought))
        run.pause(0)


def _replay_page(run: Run, goal: Goal, topic: str, until: int, sought: Sought) -> None:
    place = int(cast(int, run.job.about["place"]))
    filtered = goal.endpoint is not None and _endpoint(run, goal.endpoint).filter is not None
    stretch = run.backlog.kept(topic, place, until, sought, filtered)
    endpoint = None if goal.endpoint is None else _endpoint(run, goal.endpoint)  # as it stands at this moment
    wanted = [message.seq for message in stretch.found if _wants(endpoint, message)]
    owed = deliveries(wanted, [(goal, endpoint)], run.now_ms())
    job = run.came_to(stretch.place, len(stretch.found))
    run.backlog.owe(owed, job, SHARE)
    run.job = job
    for delivery in owed:
        run.worker.wake(delivery)


def _wants(endpoint: Endpoint | None, message: Kept) -> bool:
    if endpoint is None or endpoint.filter is None or not message.payload:
        return True
    return matches(endpoint.filter, load(message.payload, 1000))


def _endpoint(run: Run, name: EndpointId) -> Endpoint:
    endpoint = run.worker.endpoint(name)
    if endpoint is None:
        raise Impossible(f"the endpoint {name} was deleted")
    return endpoint


def retry(run: Run) -> None:
    """Try deliveries again that still stand as they were sought, spread over time.

    Raises:
        Stopped: it is to end before it is done.
    """
    about: dict[str, Any] = dict(run.job.about)
    search, rate = _search(about["search"]), float(about["rate"])
    at = noted_at = run.clock.monotonic()
    while run.job.running:
        place = str(run.job.about["place"])
        stretch = run.patiently(partial(run.backlog.deliveries, search, place))
        done = 0
        for listed in stretch.found:
            run.pause(at - run.clock.monotonic())
            if run.patiently(partial(_try, run, listed.delivery.id, search, about["reset"])):
                at = max(at + 1 / rate, run.clock.monotonic())
            done += 1
            if run.clock.monotonic() >= noted_at + NOTED_EVERY:
                noted_at = run.clock.monotonic()
                _note(run, listed.delivery.id, done)
                done = 0
        _note(run, stretch.place, done)
        run.pause(0)


def _note(run: Run, place: str | None, done: int) -> None:
    job = run.came_to(place, done)
    run.patiently(lambda: run.backlog.keep_job(job))
    run.job = job


def _try(run: Run, name: DeliveryId, search: Search, reset: bool) -> bool:
    """Try one again; says whether it was."""
    listed = run.backlog.listed(name)
    if listed is None or listed.delivery.state not in search.states:
        return False
    try:
        run.worker.retry_now(name, reset)
    except CommandRefused:
        return False  # it is under way, or gone
    return True


def _search(about: dict[str, JSON]) -> Search:
    given: dict[str, Any] = dict(about)
    given["states"] = tuple(map(State, given["states"]))
    given["endpoint"] = None if given["endpoint"] is None else EndpointId(given["endpoint"])
    given["message"] = None if given["message"] is None else MessageId(given["message"])
    return Search(**given)
