"""The hook bench: the last webhooks, one of them in full, sent once more, or with its content."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from hookbox.admin import again as sending
from hookbox.admin.asked import Problem, Request, Told, text_of
from hookbox.admin.channels import recent
from hookbox.commands.channels import find
from hookbox.core.values import JSON, JSONObject
from hookbox.delivery.models import DeliveryId, MessageId
from hookbox.errors import NotFound
from hookbox.protocol.json_text import load
from hookbox.web.handlers import look_through
from hookbox.webhooks.asked import Asked
from hookbox.webhooks.masking import PLAIN_FIELDS, scrub
from hookbox.webhooks.shown import asked_in_full, asked_item, matches, secrets_of

if TYPE_CHECKING:
    from hookbox.admin.console import Console

logger = logging.getLogger(__name__)

FILTERS: Final = ("connection", "user", "channel", "action", "verdict", "session")
SECRET_FIELDS: Final = frozenset({"secret"})


def listed(console: Console, request: Request) -> Told:
    """The last webhooks, newest first; `after` is the id of the last one that was shown."""
    query, page, log = request.query, request.page(), console.server.webhook_log
    wanted = matches(q=page.q, **{name: query.get(name, "") for name in FILTERS})
    found = look_through(log, _behind(page.after, wanted), page.limit + 1)
    shown, secrets = found[: page.limit], console.server.settings.secrets
    return {
        "items": [asked_item(asked, secrets) for asked in shown],
        "total": len(log),
        "next": shown[-1].id if len(found) > page.limit else None,
    }


def _behind(after: str, wanted: Callable[[Asked], bool]) -> Callable[[Asked], bool]:
    """What is wanted, but only behind a certain one."""
    if not after:
        return wanted
    passed = False

    def fits(asked: Asked) -> bool:
        nonlocal passed
        if passed:
            return wanted(asked)
        passed = asked.id == after
        return False

    return fits


def show(console: Console, request: Request) -> Told:
    """One webhook with its request and answer; cookies, secrets and payloads are masked."""
    asked = find_asked(console, request.need("id"))
    return asked_in_full(asked, console.server.settings.secrets)


def find_asked(console: Console, name: str) -> Asked:
    """The webhook of that id.

    Raises:
        NotFound: it is not remembered.
    """
    found = console.server.webhook_log.find(lambda asked: asked.id == name, 1)
    if not found:
        raise NotFound("this webhook is not remembered any more; the setting webhook_log says how many are")
    return found[0]


def again(console: Console, request: Request) -> Told:
    """Send a webhook once more, to where it goes now or to another URL. Blocks up to `webhook_timeout`."""
    given = request.json()
    asked = find_asked(console, text_of(given, "id"))
    url = text_of(given, "url", "")
    return asked_item(sending.send(console, asked, url), console.server.settings.secrets)


def reveal(console: Console, request: Request) -> Told:
    """Show the content of one thing. Cookies, tokens and secrets stay hidden, and the log says so."""
    given = request.json()
    what = text_of(given, "what")
    act = _REVEALED.get(what)
    if act is None:
        raise Problem(400, "bad_parameter", f"what must be one of {', '.join(_REVEALED)}")
    told = act(console, given)
    logger.warning("the console: the content of a %s was shown to %s", what, request.address)
    return told


def _publication(console: Console, given: JSONObject) -> JSONObject:
    site, offset = console.server.site, given.get("offset")
    channel = find(site, text_of(given, "channel"))
    for publication in recent(site, channel):
        if publication.offset == offset:
            return {"payload": load(publication.payload)}
    for entry in channel.history:
        match load(entry.text):
            case [str(), {"payload": payload, "offset": found}] if found == offset:
                return {"payload": payload}
    raise NotFound("this publication is not kept any more")


def _history(console: Console, given: JSONObject) -> JSONObject:
    channel, index = find(console.server.site, text_of(given, "channel")), given.get("index")
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise Problem(400, "bad_parameter", "index must be the number of an entry, from 0")
    for entry in islice(channel.history, index, index + 1):
        match load(entry.text):
            case [str(), {"payload": payload}]:
                return {"payload": payload}
    raise NotFound("there is no such entry any more")


def _state(console: Console, given: JSONObject) -> JSONObject:
    return {"payload": find(console.server.site, text_of(given, "channel")).state}


def _webhook(console: Console, given: JSONObject) -> JSONObject:
    asked = find_asked(console, text_of(given, "id"))
    secrets = [*console.server.settings.secrets, *secrets_of(asked)]
    form: list[JSON] = [
        [name, value if name in PLAIN_FIELDS else scrub(value, secrets)]
        for name, value in asked.question.fields.items()
        if name not in SECRET_FIELDS
    ]
    return {
        "form": form,
        "body": scrub(asked.body.decode("utf-8", "replace"), secrets),
        "cut": asked.size > len(asked.body),
    }


def _message(console: Console, given: JSONObject) -> JSONObject:
    store = console.server.storeroom.deliveries().store
    message = store.message(MessageId(text_of(given, "id")))
    if message is None:
        raise NotFound("this message is not kept any more")
    content = message.payload.encode() if message.telling else message.body
    return {"body": scrub(content.decode("utf-8", "replace"), console.server.settings.secrets)}


def _attempt(console: Console, given: JSONObject) -> JSONObject:
    store = console.server.storeroom.deliveries().store
    for attempt in store.attempts(DeliveryId(text_of(given, "id"))):
        if attempt.n == given.get("n"):
            text = attempt.body.decode("utf-8", "replace")
            return {"body": scrub(text, console.server.settings.secrets)}
    raise NotFound("this attempt is not kept any more")


_REVEALED: Final = {
    "publication": _publication,
    "history": _history,
    "state": _state,
    "webhook": _webhook,
    "message": _message,
    "attempt": _attempt,
}
