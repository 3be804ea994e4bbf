"""Calls about deliveries: list, show, retry, cancel; and about jobs, which do that with many."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hookbox.core.values import JSONObject
from hookbox.delivery.models import DeliveryId, EndpointId, MessageId, State
from hookbox.delivery.store.backlog import Backlog
from hookbox.delivery.store.base import Search
from hookbox.delivery.store.looking import Listed
from hookbox.errors import CommandRefused, NotFound
from hookbox.web.backlog import shown
from hookbox.web.backlog.asked import Asked, bad, write_cursor
from hookbox.web.backlog.messages import MOST_STRETCHES
from hookbox.web.backlog.office import Office, Reply

FILTERS: Final = ("state", "reason", "endpoint", "topic", "tag", "message", "q", "since", "until")
RATE: Final = 10.0
"""Retries per second, if nothing else is said."""
GIVEN_UP: Final = (State.CANCELLED, State.DEAD)


def listed(office: Office, asked: Asked) -> JSONObject:
    """Deliveries, newest first."""
    search = replace(_search(asked), before=asked.cursor("d"), limit=asked.limit())
    found, place = look_up(office.backlog, search)
    return {"deliveries": [shown.delivery(each) for each in found], "cursor": write_cursor("d", place)}


def look_up(backlog: Backlog, search: Search) -> tuple[list[Listed], str | None]:
    """Deliveries, and where to go on; None at the end. Blocks shortly, a stretch of the table at a time."""
    found: list[Listed] = []
    for _ in range(MOST_STRETCHES):
        stretch = backlog.deliveries(replace(search, limit=search.limit - len(found)))
        found += stretch.found
        if stretch.place is None or len(found) == search.limit:
            return found, stretch.place
        search = replace(search, before=stretch.place)
    return found, search.before


def _search(asked: Asked) -> Search:
    endpoint, message = asked.text("endpoint"), asked.text("message")
    return Search(
        asked.states(),
        asked.text("reason"),
        EndpointId(endpoint) if endpoint else None,
        asked.text("topic"),
        asked.text("tag"),
        MessageId(message) if message else None,
        asked.text("q", most=200),
        asked.time_ms("since"),
        asked.time_ms("until"),
    )


def show(office: Office, asked: Asked, name: str) -> JSONObject:
    """One delivery, with its attempts."""
    found = office.listed(name)
    attempts = office.store.attempts(found.delivery.id)
    return {
        **shown.delivery(found),
        "wishes": shown.wishes(found.delivery.wishes),
        "attempts_made": [shown.attempt(each) for each in attempts],
    }


def retry(office: Office, asked: Asked, name: str) -> Reply:
    """Make an attempt now."""
    office.worker.retry_now(DeliveryId(name), asked.flag("reset"))
    return Reply(202, shown.delivery(office.listed(name)), f"/api/v1/deliveries/{name}")


def cancel(office: Office, asked: Asked, name: str) -> JSONObject:
    """Give a delivery up."""
    if not office.worker.cancel(DeliveryId(name)):
        raise CommandRefused(f"it is over: {office.listed(name).delivery.state.value}", "over")
    return shown.delivery(office.listed(name))


def retry_many(office: Office, asked: Asked) -> Reply:
    """Try all deliveries again that are found, spread over time."""
    search = _search(asked)
    if search.since_ms is None:
        raise bad("since is required: from when on are deliveries to be tried again?")
    if State.IN_FLIGHT in search.states:
        raise bad("state: what is in_flight is under way already")
    search = replace(search, states=search.states or GIVEN_UP)
    rate = asked.number("rate", 0.01, 1000, RATE)
    job = office.jobs.retry(search, rate, asked.flag("reset"))
    return Reply(202, {"job": job.id, "count": job.count}, f"/api/v1/jobs/{job.id}")


def jobs(office: Office, asked: Asked) -> JSONObject:
    """The last jobs."""
    return {"jobs": [shown.job(each) for each in office.backlog.jobs()]}


def job(office: Office, asked: Asked, name: str) -> JSONObject:
    """How far a job has come."""
    found = office.backlog.job(name)
    if found is None:
        raise NotFound(f"there is no job {name[:80]}")
    return shown.job(found)


def cancel_job(office: Office, asked: Asked, name: str) -> Reply:
    """Let a job do no more."""
    return Reply(202, shown.job(office.jobs.cancel(name)), f"/api/v1/jobs/{name}")
