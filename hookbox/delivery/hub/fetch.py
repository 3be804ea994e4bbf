"""Gets somebody else's page after it was said to have changed.

Source: W3C WebSub section 6; RFC 9110 sections 13 (conditional requests) and 15.4 (redirects).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from hookbox.clock import Clock
from hookbox.delivery import notices
from hookbox.delivery.attempts import Sends
from hookbox.delivery.content import Content, of_body
from hookbox.delivery.headers import USER_AGENT
from hookbox.delivery.hub.distribution import Distribution
from hookbox.delivery.hub.rota import Rota
from hookbox.delivery.hub.values import HubRules, Page
from hookbox.delivery.notices import Notice
from hookbox.delivery.sender import Outgoing, Sent
from hookbox.delivery.store.base import Entry
from hookbox.delivery.store.hub import HubRecords
from hookbox.errors import DeliveryStoreError, HookboxError
from hookbox.protocol.json_text import BadJSON, dump

logger = logging.getLogger(__name__)

TIMEOUT: Final = 20.0
LONGEST: Final = 1024 * 1024
"""Bytes of a page."""
MOST_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
AGAIN_AFTER: Final = (5.0, 60.0, 300.0)
"""Seconds after each failure."""
OWN_FAULT_AFTER: Final = 60.0
"""Seconds after which a page is fetched again that could not be published; that uses up no try."""
UNPUBLISHED: Final = "unpublished"
APART: Final = 1.0
"""Seconds between two fetches of a page at least."""

_link = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,]+\s*=\s*(?:"[^"]*"|[^\s;,"]*))*)')
_rel = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a fetch.

    Args:
        fault: what went wrong, empty for nothing.
        content: what is new, None for nothing.
        page: what is known of it now.
        sent: the last answer.
    """

    page: Page
    sent: Sent
    fault: str = ""
    content: Content | None = field(default=None, repr=False)


class Fetcher:
    """Fetches pages that were said to have changed, until that worked or was tried often enough.

    Args:
        publish: makes new content a message of a topic; blocks until that is certain.
        readers: how many have subscribed to a topic, and whether anybody else listens.
        tell, told: as `Verifier` has them.
    """

    def __init__(
        self,
        records: HubRecords,
        sender: Sends,
        clock: Clock,
        rota: Rota,
        rules: Callable[[], HubRules],
        distribution: Distribution,
        publish: Callable[[str, Content], object],
        readers: Callable[[str], tuple[int, bool]],
        tell: Callable[[Sequence[Notice]], tuple[Entry, ...]],
        told: Callable[[Sequence[Entry]], None],
    ) -> None:
        self._records = records
        self._sender = sender
        self._clock = clock
        self._rota = rota
        self._rules = rules
        self._distribution = distribution
        self._publish = publish
        self._readers = readers
        self._tell = tell
        self._told = told
        self._began: dict[str, float] = {}
        self._running: dict[str, bool] = {}
        """Pages that are being fetched, and whether they were said to have changed meanwhile."""

    def resume(self) -> None:
        """Go on with what an earlier start left. Blocks until it is known."""
        for page in self._records.pages():
            if page.self_url:
                self._distribution.self_urls[page.topic] = page.self_url
            if page.due_ms is not None:
                self._plan(page.topic, self._rota.at_ms(page.due_ms))

    def ping(self, topic: str) -> None:
        """A page is said to have changed. Blocks until it is certain that it will be fetched."""
        subscribers, others = self._readers(topic)
        if not subscribers and not others:
            return
        if topic in self._running:
            self._running[topic] = True
        self._records.want(topic, self._now_ms())
        if topic not in self._running:
            self._plan(topic, self._not_before(topic))

    def _not_before(self, topic: str) -> float:
        now = self._clock.monotonic()
        return max(now, self._began.get(topic, now - APART) + APART)

    def _plan(self, topic: str, at: float) -> None:
        self._rota.sooner(("fetch", topic), at, lambda: self._fetch(topic))

    def _fetch(self, topic: str) -> None:
        self._running[topic] = False
        self._forget_beginnings()
        self._began[topic] = self._clock.monotonic()
        try:
            page = self._records.page(topic)
            subscribers, others = self._readers(topic)
            if not subscribers and not others:
                self._finish(replace(page, due_ms=None, tries=0))
                return
            fetched = get(self._sender, page, self._user_agent(subscribers), self._clock)
            if fetched.content is not None:
                try:
                    self._publish(topic, fetched.content)
                except HookboxError as error:
                    logger.warning("what was fetched could not be published: %s", error)
                    fetched = Fetched(page, fetched.sent, UNPUBLISHED)
            self._note(fetched)
        finally:
            self._running.pop(topic, None)

    def _note(self, fetched: Fetched) -> None:
        page = fetched.page
        if not fetched.fault:
            self._finish(replace(page, due_ms=None, tries=0))
            return
        if fetched.fault == UNPUBLISHED:
            self._finish(replace(page, due_ms=self._now_ms() + round(OWN_FAULT_AFTER * 1000)))
            return
        logger.info("a topic could not be fetched: %s", fetched.fault)
        tries = page.tries + 1
        if fetched.fault != "blocked" and tries <= len(AGAIN_AFTER):
            wait = AGAIN_AFTER[tries - 1]
            self._finish(replace(page, tries=tries, due_ms=self._now_ms() + round(wait * 1000)))
            return
        told = notices.of_hub(
            "fetch.failed", page.topic, page.topic, fetched.fault, self._rules().told, tries, fetched.sent
        )
        self._finish(replace(page, due_ms=None, tries=0), told)

    def _finish(self, page: Page, told: Sequence[Notice] = ()) -> None:
        """Note how things stand; if the page was said to have changed meanwhile, it is fetched again."""
        if self._running.pop(page.topic, False):
            page = replace(page, due_ms=self._now_ms(), tries=0)
        if page.self_url:
            self._distribution.self_urls[page.topic] = page.self_url
        else:
            self._distribution.self_urls.pop(page.topic, None)
        if page.due_ms is not None:
            self._plan(page.topic, max(self._rota.at_ms(page.due_ms), self._not_before(page.topic)))
        try:
            entries = self._tell(told)
            self._records.keep_page(page, entries)
        except DeliveryStoreError as error:
            logger.error("what became of a fetch is not written down, it may be repeated: %s", error)
        else:
            self._told(entries)

    def _user_agent(self, subscribers: int) -> str:
        return f"{USER_AGENT} (+{self._rules().public_url}; {subscribers} subscribers)"

    def _forget_beginnings(self) -> None:
        now = self._clock.monotonic()
        if len(self._began) > 1000:
            self._began = {topic: at for topic, at in self._began.items() if now - at < APART}

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def get(sender: Sends, page: Page, user_agent: str, clock: Clock) -> Fetched:
    """Get a page, over redirects, each of which is judged as the first URL is. Blocks up to 20 s."""
    headers = [("User-Agent", user_agent), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
    if page.etag:
        headers.append(("If-None-Match", page.etag))
    if page.last_modified:
        headers.append(("If-Modified-Since", page.last_modified))
    url, until = page.topic, clock.monotonic() + TIMEOUT
    sent = Sent("timeout")
    for _ in range(MOST_REDIRECTS + 1):
        left = until - clock.monotonic()
        if left <= 0:
            return Fetched(page, Sent("timeout"), "timeout")
        sent = sender.send(Outgoing(url, tuple(headers), method="GET", timeout=left, most=LONGEST))
        if sent.outcome != "ok":
            return Fetched(page, sent, sent.outcome)
        location = sent.header("location")
        if sent.status not in REDIRECTS or not location:
            return read_page(page, sent)
        try:
            url = urljoin(url, location).partition("#")[0]
        except ValueError:
            return Fetched(page, sent, "bad redirect")
    return Fetched(page, sent, "too many redirects")


def read_page(page: Page, sent: Sent) -> Fetched:
    """What an answer without a redirect says."""
    if sent.status == 304:
        return Fetched(page, sent)
    if sent.status != 200:
        return Fetched(page, sent, f"http_{sent.status}")
    if sent.truncated:
        return Fetched(page, sent, f"longer than {LONGEST} bytes, or cut off")
    sha256 = hashlib.sha256(sent.body).hexdigest()
    now = replace(
        page,
        etag=sent.header("etag")[:1024],
        last_modified=sent.header("last-modified")[:1024],
        sha256=sha256,
        self_url=own_name(page.topic, [value for name, value in sent.headers if name.lower() == "link"]),
    )
    if sha256 == page.sha256:
        return Fetched(now, sent)
    content_type = sent.header("content-type") or "application/octet-stream"
    return Fetched(now, sent, content=as_it_is(content_type, sent.body))


def own_name(topic: str, links: Sequence[str]) -> str:
    """What a page calls itself in its `Link` headers; empty for nothing, or a name on another host.

    Source: RFC 8288 section 3.
    """
    for target, parameters in _link.findall(",".join(links)):
        rel = _rel.search(parameters)
        if rel is None or "self" not in (rel[1] or rel[2]).lower().split():
            continue
        try:
            url = urljoin(topic, target)
            same = urlsplit(url).netloc.lower() == urlsplit(topic).netloc.lower()
        except ValueError:
            continue
        return url if same and url.startswith(("http://", "https://")) and url.isprintable() else ""
    return ""


def as_it_is(content_type: str, body: bytes) -> Content:
    """Content whose bytes are passed on as they came, whether they are what they say or not."""
    try:
        payload = of_body(content_type, body).payload
    except BadJSON:
        payload = dump(body.decode("utf-8", "replace"))
    return Content(content_type, body, payload)
