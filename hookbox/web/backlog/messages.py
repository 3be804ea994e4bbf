"""Calls about messages: list, show, send again, replay a topic."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hookbox.core.values import JSONObject
from hookbox.delivery import again
from hookbox.delivery.again import Goal
from hookbox.delivery.ids import ulid
from hookbox.delivery.intake_values import read_secret
from hookbox.delivery.models import Endpoint, Message, MessageId, Source, Wishes
from hookbox.delivery.notices import masked
from hookbox.delivery.store.backlog import Backlog
from hookbox.delivery.store.base import Entry, Search
from hookbox.delivery.store.looking import LAST_SEQ, Headline, Sought
from hookbox.errors import CommandRefused, NotFound
from hookbox.web.backlog import shown
from hookbox.web.backlog.asked import Asked, bad, write_cursor
from hookbox.web.backlog.office import Office, Reply

MOST_STRETCHES: Final = 100
"""Stretches of the table that one call looks at; what is not found by then is looked for with the cursor."""
MOST_RESENT: Final = 500
"""Destinations of one message."""


def listed(office: Office, asked: Asked) -> JSONObject:
    """Messages, newest first."""
    before = asked.cursor("m")
    if before and not (before.isdecimal() and int(before) <= LAST_SEQ):
        raise bad("cursor is not one that was given by this listing; leave it out to begin anew")
    sought = Sought(
        asked.text("topic"),
        asked.text("q", most=200),
        asked.time_ms("since"),
        asked.time_ms("until"),
        int(before) if before else LAST_SEQ,
        asked.limit(),
    )
    found, place = look_up(office.backlog, sought)
    return {"messages": [shown.headline(each) for each in found], "cursor": write_cursor("m", place)}


def look_up(backlog: Backlog, sought: Sought) -> tuple[list[Headline], int | None]:
    """Messages, and where to go on; None at the end. Blocks shortly, a stretch of the table at a time."""
    found: list[Headline] = []
    for _ in range(MOST_STRETCHES):
        stretch = backlog.headlines(replace(sought, limit=sought.limit - len(found)))
        found += stretch.found
        if stretch.place is None or len(found) == sought.limit:
            return found, stretch.place
        sought = replace(sought, before=stretch.place)
    return found, sought.before


def show(office: Office, asked: Asked, name: str) -> JSONObject:
    """One message, with its content and its deliveries."""
    message = _message(office, name)
    stretch = office.backlog.deliveries(Search(message=message.id))
    return {
        **shown.message(message),
        "deliveries": [shown.delivery(each) for each in stretch.found],
        "deliveries_cursor": write_cursor("d", stretch.place),
    }


def resend(office: Office, asked: Asked, name: str) -> Reply:
    """Deliver a message once more."""
    message = _message(office, name)
    if message.telling:
        raise CommandRefused("this is for the application alone: retry its delivery instead")
    goals = [(_checked(office, goal), _endpoint_of(office, goal)) for goal in _goals(office, asked, message)]
    entry = None
    if asked.flag("new_id"):
        message = _copy(message, office.numbers.next(), office.now_ms())
        entry = Entry(message)
    owed = again.deliveries([message.seq], goals, office.now_ms())
    office.backlog.owe(owed, entry=entry)
    office.wake(owed)
    value: JSONObject = {
        "message_id": message.id,
        "deliveries": [{"id": each.id, "url": masked(each.url), "state": each.state.value} for each in owed],
    }
    return Reply(202, value, f"/api/v1/messages/{message.id}")


def replay(office: Office, asked: Asked, topic: str) -> Reply:
    """Deliver what is kept of a topic once more, in order, to one destination."""
    goal = _wanted(office, asked)
    if goal is None:
        raise bad("where to? give endpoint, the id of one, or url")
    sought = Sought(since_ms=asked.time_ms("from"), until_ms=asked.time_ms("to"))
    job = office.jobs.replay(topic, goal, sought)
    return Reply(202, {"job": job.id, "count": job.count}, f"/api/v1/jobs/{job.id}")


def _message(office: Office, name: str) -> Message:
    found = office.store.message(MessageId(name))
    if found is None:
        raise NotFound(f"there is no message {name[:80]}; those without deliveries are kept in memory only")
    return found


def _wanted(office: Office, asked: Asked) -> Goal | None:
    """The destination that a call names, None if it names none."""
    url, endpoint, secret = asked.text("url"), asked.text("endpoint"), asked.text("secret")
    if url and endpoint:
        raise bad("either url or endpoint, not both")
    if secret and not url:
        raise bad("secret signs what goes to url; an endpoint has its own")
    if endpoint:
        found = office.endpoint(endpoint)
        return Goal(found.url, found.id)
    secrets = (read_secret("secret", secret),) if secret else ()
    return Goal(office.allowed("url", url), None, Wishes(secrets)) if url else None


def _goals(office: Office, asked: Asked, message: Message) -> list[Goal]:
    wanted = _wanted(office, asked)
    if wanted is not None:
        return [wanted]
    goals: dict[str, Goal] = {}
    place: str | None = ""
    while place is not None:
        stretch = office.backlog.deliveries(Search(message=message.id), after=place)
        for each in stretch.found:
            goal = Goal.of(each.delivery)
            if goal.endpoint is None or office.worker.endpoint(goal.endpoint) is not None:
                goals.setdefault(goal.endpoint or goal.url, goal)
        place = stretch.place
        if len(goals) > MOST_RESENT:
            raise CommandRefused(
                f"it went to more than {MOST_RESENT} destinations; name one of them", "too_many"
            )
    if not goals:
        raise CommandRefused("it went nowhere that is still there; name url or endpoint", "no_destination")
    return list(goals.values())


def _checked(office: Office, goal: Goal) -> Goal:
    """A destination that is still allowed: the policy may have changed."""
    if goal.endpoint is None:
        office.allowed("url", goal.url)
    return goal


def _endpoint_of(office: Office, goal: Goal) -> Endpoint | None:
    return None if goal.endpoint is None else office.endpoint(goal.endpoint)


def _copy(message: Message, seq: int, now_ms: int) -> Message:
    """The same as something new, which is no publication on its topic."""
    return replace(
        message, seq=seq, id=MessageId(f"msg_{ulid(now_ms)}"), time_ms=now_ms, source=Source.RESEND, offset=0,
        epoch="", whole=False,
    )  # fmt: skip
