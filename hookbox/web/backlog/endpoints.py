"""Calls about endpoints and subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hookbox.core.values import JSONObject
from hookbox.delivery import again
from hookbox.delivery.again import Goal
from hookbox.delivery.content import JSON_TYPE
from hookbox.delivery.ids import ulid
from hookbox.delivery.models import Endpoint, EndpointId, Message, MessageId, Source, Wishes
from hookbox.delivery.notices import iso
from hookbox.delivery.store.base import PAGE, Entry
from hookbox.errors import CommandRefused, NotFound
from hookbox.protocol.json_text import dump
from hookbox.web.backlog import shown
from hookbox.web.backlog.asked import Asked, bad, write_cursor
from hookbox.web.backlog.endpoint_values import CHANGEABLE, MEMBERS, one_secret, read_endpoint
from hookbox.web.backlog.office import Office, Reply
from hookbox.webhooks.signing import Secret

GRACE: Final = 86_400
LONGEST_GRACE: Final = 30 * 86_400
MOST_OLD_SECRETS: Final = 5
MOST_PAGES: Final = 50
TEST: Final = "endpoint.test"


def listed(office: Office, asked: Asked) -> JSONObject:
    """Registered endpoints, oldest first."""
    state, tag = asked.text("state"), asked.text("tag")
    if state not in ("", "enabled", "paused", "disabled"):
        raise bad("state has to be enabled, paused or disabled")

    def wanted(endpoint: Endpoint) -> bool:
        registered = shown.kind(endpoint) != "websub"
        return registered and state in ("", endpoint.state) and tag in ("", endpoint.tag)

    found, place = _pages(office, asked, wanted)
    return {"endpoints": [shown.endpoint(each) for each in found], "cursor": write_cursor("e", place)}


def _pages(
    office: Office, asked: Asked, wanted: Callable[[Endpoint], bool]
) -> tuple[list[Endpoint], str | None]:
    """Endpoints as they stand now, and where to go on; None at the end."""
    after, limit = asked.cursor("e"), asked.limit()
    found: list[Endpoint] = []
    for _ in range(MOST_PAGES):
        page = office.backlog.endpoints(after)
        for endpoint in page:
            after = endpoint.id
            endpoint = office.worker.endpoint(endpoint.id) or endpoint
            if wanted(endpoint):
                found.append(endpoint)
                if len(found) == limit:
                    return found, after
        if len(page) < PAGE:
            return found, None
    return found, after


def show(office: Office, asked: Asked, name: str) -> JSONObject:
    """One endpoint, and what is owed to it."""
    endpoint = office.endpoint(name)
    owed = office.backlog.owed_to([endpoint.id])[endpoint.id]
    return {**shown.endpoint(endpoint), "owed": {state.value: count for state, count in owed.items()}}


def create(office: Office, given: JSONObject) -> Reply:
    """Make one. Its secret is shown, this once."""
    fields = read_endpoint(given, office.allowed, MEMBERS)
    for name in ("url", "topics"):
        if name not in fields:
            raise bad(f"{name} is required")
    secrets = fields.pop("secrets", ()) or ((str(Secret.new()), 0),)
    now_ms = office.now_ms()
    endpoint = Endpoint(
        id=EndpointId(f"ep_{ulid(now_ms)}"), created_ms=now_ms, secrets=secrets, changed_ms=now_ms, **fields
    )
    office.worker.endpoint_changed(endpoint)
    return Reply(
        201, shown.endpoint(office.endpoint(endpoint.id), secrets[0][0]), f"/api/v1/endpoints/{endpoint.id}"
    )


def change(office: Office, given: JSONObject, name: str) -> JSONObject:
    """Change some members; null stands for the default."""
    endpoint = _registered(office, name)
    if "secret" in given:
        raise bad(
            "a secret is changed by POST to the endpoint's /secret: the old one stays valid for a while"
        )
    fields = read_endpoint(given, office.allowed, CHANGEABLE)
    return _keep(office, replace(endpoint, **fields))


def _registered(office: Office, name: str) -> Endpoint:
    endpoint = office.endpoint(name)
    if shown.kind(endpoint) == "websub":
        raise CommandRefused("it was made by a subscriber; see /api/v1/subscriptions", "subscription")
    return endpoint


def _keep(office: Office, endpoint: Endpoint) -> JSONObject:
    office.worker.endpoint_changed(endpoint)
    return shown.endpoint(office.endpoint(endpoint.id))


def delete(office: Office, asked: Asked, name: str) -> JSONObject:
    """Delete it; what is owed to it is cancelled."""
    endpoint = _registered(office, name)
    office.worker.endpoint_dropped(endpoint.id)
    return {"id": endpoint.id, "deleted": True}


def enable(office: Office, asked: Asked, name: str) -> JSONObject:
    """Let deliveries go there; what is held goes first, oldest first, or is discarded."""
    endpoint = _registered(office, name)
    discarded = 0
    if asked.flag("discard"):
        while count := office.backlog.discard_held(endpoint.id, office.now_ms()):
            discarded += count
        endpoint = _registered(office, name)  # that took a while
    return {**_keep(office, replace(endpoint, state="enabled", state_reason="")), "discarded": discarded}


def disable(office: Office, asked: Asked, name: str) -> JSONObject:
    """Hold what goes there, until it is enabled again."""
    return _hold(office, asked, name, "disabled")


def pause(office: Office, asked: Asked, name: str) -> JSONObject:
    """The same, but nobody is told."""
    return _hold(office, asked, name, "paused")


def _hold(office: Office, asked: Asked, name: str, state: str) -> JSONObject:
    reason = asked.text("reason", most=200) or "operator"
    return _keep(office, replace(_registered(office, name), state=state, state_reason=reason))


def rotate(office: Office, asked: Asked, name: str) -> JSONObject:
    """Give it a new secret, which is shown, this once; the old ones stay valid for a while."""
    endpoint = _registered(office, name)
    grace = asked.number("grace", 0, LONGEST_GRACE, GRACE)
    secret = (
        one_secret("secret", asked.text("secret", most=8192)) if asked.has("secret") else str(Secret.new())
    )
    if any(secret == old for old, _ in endpoint.secrets):
        raise bad("secret: it has this one already; leave it out to have a new one made")
    secrets = rotated(endpoint.secrets, secret, office.now_ms(), round(grace * 1000))
    office.worker.endpoint_changed(replace(endpoint, secrets=secrets))
    return shown.endpoint(office.endpoint(endpoint.id), secret)


def rotated(
    old: tuple[tuple[str, int], ...], secret: str, now_ms: int, grace_ms: int
) -> tuple[tuple[str, int], ...]:
    """Secrets after one more: the newest first, each of the old ones valid for the grace at most."""
    last_ms = now_ms + grace_ms
    ending = ((text, min(until_ms or last_ms, last_ms)) for text, until_ms in old)
    valid = [(text, until_ms) for text, until_ms in ending if until_ms > now_ms]
    return ((secret, 0), *valid[:MOST_OLD_SECRETS])


def send_test(office: Office, asked: Asked, name: str) -> Reply:
    """Send it something, at once and only once, in whatever state it is."""
    endpoint = _registered(office, name)
    now_ms = office.now_ms()
    told: JSONObject = {"type": TEST, "timestamp": iso(now_ms), "data": {"endpoint_id": endpoint.id}}
    text = dump(told)
    message = Message(
        office.numbers.next(), MessageId(f"msg_{ulid(now_ms)}"), now_ms, Source.SYSTEM, JSON_TYPE,
        text.encode(), text, type=TEST,
    )  # fmt: skip
    goal = Goal(endpoint.url, endpoint.id, Wishes(retry=()))
    (owed,) = again.deliveries([message.seq], [(goal, endpoint)], now_ms)
    office.store.accept(Entry(message, (owed,)))
    office.worker.retry_now(owed.id)
    return Reply(202, shown.delivery(office.listed(owed.id)), f"/api/v1/deliveries/{owed.id}")


# subscriptions


def subscriptions(office: Office, asked: Asked) -> JSONObject:
    """Subscriptions by WebSub, oldest first."""
    topic = asked.text("topic")

    def wanted(endpoint: Endpoint) -> bool:
        return shown.kind(endpoint) == "websub" and (not topic or topic in endpoint.topics)

    found, place = _pages(office, asked, wanted)
    return {"subscriptions": [shown.subscription(each) for each in found], "cursor": write_cursor("e", place)}


def unsubscribe(office: Office, asked: Asked, name: str) -> JSONObject:
    """End a subscription; its callback is told."""
    found = office.worker.endpoint(EndpointId(name))
    if found is None or shown.kind(found) != "websub":
        raise NotFound(f"there is no subscription {name[:80]}")
    if office.unsubscribe is None:
        raise CommandRefused("there is no hub here that could end it (hub=off)", "no_hub")
    office.unsubscribe(found)
    return {"id": found.id, "deleted": True}
