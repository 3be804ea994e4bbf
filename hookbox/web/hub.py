"""`/hub`: where others subscribe to topics, and say what has changed. `/subscribe` and `/publish` are too.

Source: W3C WebSub sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hookbox.commands.hub import check_hops, publish_fat
from hookbox.commands.site import Site
from hookbox.delivery.deliveries import Deliveries
from hookbox.delivery.forms import read_url_encoded
from hookbox.delivery.hub.hub import Hub
from hookbox.delivery.hub.request import MODE, FatPing, Ping, Reader, Wanted
from hookbox.delivery.hub.topics import topics_at
from hookbox.delivery.hub.values import Outcome
from hookbox.errors import BadRequest, HookboxError
from hookbox.web.bodies import FORM, read_body
from hookbox.web.dispatch import AGAIN_SECONDS, HEADERS, TEXT, refused, retry_after
from hookbox.web.lean import STATUS_LINES, Answer, Environ, LeanBottle
from hookbox.web.outside import Access
from hookbox.web.paths import HUB, SHARED_WITH_HUB

WELCOME: Final = b"This is a WebSub hub: send it POST requests with hub.mode.\n"
STATUSES: Final = {Outcome.ACCEPTED: 202, Outcome.VERIFIED: 204, Outcome.REFUSED: 409}


class HubDoor:
    """Answers requests to the hub.

    Args:
        hub: the one that works now.
        deliveries: what delivers now.
        access: who has a token.
    """

    def __init__(
        self, site: Site, hub: Callable[[], Hub], deliveries: Callable[[], Deliveries], access: Access
    ) -> None:
        self._site = site
        self._hub = hub
        self._deliveries = deliveries
        self._access = access

    def serve(self, environ: Environ) -> Answer:
        """Answer a request at the hub's own path. Blocks until what it asks for is on disk."""
        if not self._is_on:
            return refused(BadRequest(404, "there is no hub here: it is off (setting hub)"))
        return self.answer(environ, None)

    def shared(self, environ: Environ) -> Answer:
        """Answer a request at a path that is the API's otherwise, where there is no API."""
        try:
            body = read_body(environ, self._site.settings.api_body)
            if self._is_on and means_hub(environ, body):
                return self.answer(environ, body)
        except HookboxError as error:
            return refused(error)
        return refused(BadRequest(404, "there is nothing here without hub.mode"))

    def for_api(self, environ: Environ, body: bytes | None) -> Answer | None:
        """Answer a request with `hub.mode` at a path that is the API's otherwise; None if the hub is off.

        Args:
            body: as far as it has been read, None for not yet.
        """
        return self.answer(environ, body) if self._is_on else None

    def answer(self, environ: Environ, body: bytes | None) -> Answer:
        """Answer a request that is meant for the hub. Blocks until what it asks for is on disk."""
        try:
            return self._answer(environ, body)
        except HookboxError as error:
            return refused(error)

    @property
    def _is_on(self) -> bool:
        return self._site.settings.hub != "off"

    def _answer(self, environ: Environ, body: bytes | None) -> Answer:
        method = environ["REQUEST_METHOD"]
        query: bytes = environ.get("QUERY_STRING", "").encode("latin-1")
        if method in ("GET", "HEAD") and MODE not in names_in(query):
            headers = [("Content-Type", TEXT), ("Content-Length", str(len(WELCOME))), *HEADERS]
            return Answer(STATUS_LINES[200], headers, WELCOME)
        if method != "POST":
            raise BadRequest(405, "the hub takes POST", (("Allow", "GET, HEAD, POST"),))
        if self._site.draining:
            raise BadRequest(503, "the server restarts, try again", retry_after(AGAIN_SECONDS))
        settings = self._site.settings
        if body is None:
            body = read_body(environ, settings.api_body)
        deliveries = self._deliveries()
        reader = Reader(
            topics_at(deliveries.hub_rules().public_url),
            deliveries.policy().check,
            settings.hub_dialect == "both",
        )
        asked = reader.read(environ.get("CONTENT_TYPE", ""), body, query)
        match asked:
            case Wanted():
                if settings.hub_policy == "token":
                    self._require_token(environ, body, query, "subscribing")
                return nothing(STATUSES[self._hub().subscribe(asked)])
            case Ping():
                check_hops(self._site, hops_of(environ))
                self._hub().ping(asked.topics)
            case FatPing():
                self._require_token(environ, b"", query, "publishing through the hub")
                self._hub().check([asked.topic])
                publish_fat(self._site, deliveries, asked, hops_of(environ))
        return nothing(204)

    def _require_token(self, environ: Environ, body: bytes, query: bytes, what: str) -> None:
        self._access.require(environ, _value(body, "_token"), _value(query, "_token"), what)


def add_hub(app: LeanBottle, door: HubDoor, *, shared: bool) -> None:
    """Serve the hub below an application.

    Args:
        shared: whether it serves the paths, too, that are the API's otherwise.
    """
    app.serve(HUB, ["ANY"], door.serve)
    for path in SHARED_WITH_HUB if shared else ():
        app.serve(path, ["ANY"], door.shared)


def means_hub(environ: Environ, body: bytes) -> bool:
    """Whether a request at a shared path is meant for the hub."""
    if MODE in names_in(environ.get("QUERY_STRING", "").encode("latin-1")):
        return True
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    return kind in ("", FORM) and MODE in names_in(body)


def names_in(form: bytes) -> set[str]:
    """The names of a form's fields.

    Raises:
        BadRequest: 400, it has too many.
    """
    return {item.name for item in read_url_encoded(form)} if form else set()


def nothing(status: int) -> Answer:
    """An answer that says everything by its status."""
    length = [] if status == 204 else [("Content-Length", "0")]
    return Answer(STATUS_LINES[status], [*length, *HEADERS], b"")


def hops_of(environ: Environ) -> int:
    """How many servers like this one a request has been through."""
    value: str = environ.get("HTTP_HOOKBOX_HOPS", "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 6 else 0


def _value(form: bytes, name: str) -> str:
    found = [item.value for item in read_url_encoded(form) if item.name == name] if form else []
    return found[0] if found and isinstance(found[0], str) else ""
