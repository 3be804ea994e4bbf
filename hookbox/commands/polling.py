"""Channels for which Hookbox itself fetches what it publishes.

Three ways, by the channel's option `polling`: `simple` gets a URL and publishes what it says;
`persistent` and `once` post a form and are answered `[true, {payload, channel options}]`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from requests import Request, RequestException

from hookbox import __version__
from hookbox.commands import channels
from hookbox.commands.publish import publish_from_app
from hookbox.commands.site import Site
from hookbox.core.channel import Channel
from hookbox.core.options import Polling
from hookbox.core.values import JSON, JSONObject
from hookbox.errors import HookboxError, UnusableAnswer
from hookbox.protocol.json_text import BadJSON, dump, load
from hookbox.webhooks.adapter import BareSession, LeanAdapter
from hookbox.webhooks.connections import Dialer
from hookbox.webhooks.resolve import Resolver, system_lookup

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 300.0
"""Seconds between attempts that fail, at most; a longer interval stays as it is."""

Fetch = Callable[[Polling], bytes]
"""Fetches what a channel's polling names: blocks, and raises WebhookError when there is no answer."""


@dataclass(frozen=True, slots=True)
class News:
    """What a fetch brought: a payload as JSON text (empty for none) and channel options."""

    payload: str
    options: JSONObject


def restart(site: Site, channel: Channel) -> None:
    """Begin, change or end a channel's fetching as its options now say. Never blocks."""
    old = channel.poller
    waits_first = False
    if isinstance(old, Poller):
        waits_first = old.applying  # or an answer that changes its own polling would have us hurry
        old.stop()
    channel.poller = None
    if channel.options.polling.mode:
        poller = channel.poller = Poller(site, channel, fetcher(site))
        poller.start(waits_first)


class Poller:
    """Fetches again and again for one channel, until its polling changes or it goes.

    Args:
        site: what commands work on.
        channel: whose option `polling` is followed.
        fetch: brings the bytes.
    """

    def __init__(self, site: Site, channel: Channel, fetch: Fetch) -> None:
        self._site = site
        self._channel = channel
        self._fetch = fetch
        self._polling = channel.options.polling
        self._failures = 0
        self._timer: Any = None
        self.applying = False
        """Whether an answer's options are being applied just now."""

    def start(self, waits_first: bool) -> None:
        """Fetch at once, or after the first interval."""
        self._again(self._polling.interval if waits_first else 0)

    def stop(self) -> None:
        """Fetch no more; an answer that is under way is dropped. Never blocks."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.kill(block=False)

    @property
    def _lives(self) -> bool:
        channel, site = self._channel, self._site
        same = channel.poller is self and channel.options.polling == self._polling
        return same and site.hub.channels.get(channel.name) is channel and not site.draining

    def _again(self, seconds: float) -> None:
        later = self._site.later
        self._timer = later.spawn_later(seconds, self._turn) if seconds else later.spawn(self._turn)

    def _turn(self) -> None:
        self._timer = None
        if not self._lives:
            return
        try:
            news = read_news(self._polling.mode, self._fetch(self._polling), self._site.settings.json_depth)
            if not self._lives:
                return
            self._take(news)
            self._failures = 0
        except HookboxError as error:
            self._failures += 1
            logger.warning("polling for channel %s failed: %s", self._channel.name, error)
        except Exception:
            self._failures += 1
            logger.exception("polling for channel %s failed", self._channel.name)
        if self._lives:
            self._again(pause(self._polling.interval, self._failures))

    def _take(self, news: News) -> None:
        options = news.options
        if self._polling.mode == "once" and "polling" not in options:
            options = {**options, "polling": "off"}
        if options:
            self.applying = True
            try:
                channels.set_options(self._site, self._channel, options)
            finally:
                self.applying = False
        if news.payload:
            publish_from_app(self._site, self._channel, news.payload, self._polling.originator)


def pause(interval: float, failures: int) -> float:
    """Seconds until the next fetch: the interval, doubled with each failure in a row, up to a limit."""
    if not failures:
        return interval
    return float(min(interval * 2.0 ** min(failures, 64), max(LONGEST_PAUSE, interval)))


def read_news(mode: str, body: bytes, depth: int) -> News:
    """Read what a fetch brought.

    Args:
        mode: of the channel's polling.
        body: of the answer.
        depth: how deep JSON may nest.

    Raises:
        UnusableAnswer: in the modes `persistent` and `once`, not `[true, object]`.
    """
    try:
        value = load(body, depth)
    except BadJSON:
        if mode == "simple":
            return News(dump(_as_text(body)), {})
        raise UnusableAnswer("the answer is not JSON") from None
    if mode == "simple":
        return News(dump(value), {})
    match value:
        case [True, dict(given)]:
            options = dict(given)
            payload: JSON = options.pop("payload", None)
            return News(dump(payload) if "payload" in given else "", options)
        case [False, dict(given)]:
            raise UnusableAnswer(f"refused: {str(given.get('error') or given.get('msg') or '')[:200]}")
    raise UnusableAnswer("the answer is not [bool, object]")


def _as_text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def fetcher(site: Site) -> Fetch:
    """Fetches over HTTP within the limits of webhooks.

    There are no redirects, no cookies, and nothing comes from the environment.
    """

    resolver = site.resolver or Resolver(site.clock, system_lookup)

    def fetch(polling: Polling) -> bytes:
        settings = site.settings
        posts = polling.mode != "simple"
        session = BareSession(LeanAdapter(Dialer(resolver), site.clock, settings.webhook_answer))
        try:
            request = Request(
                "POST" if posts else "GET",
                polling.url,
                headers={"User-Agent": f"hookbox/{__version__}", "Accept-Encoding": "identity"},
                data=dict(polling.form) if posts else None,
            )
            response = session.send(
                session.prepare_request(request),
                timeout=(settings.webhook_connect_timeout, settings.webhook_timeout),
                allow_redirects=False,
                proxies={},
            )
        except (RequestException, ValueError) as error:
            raise UnusableAnswer(f"no answer: {error}") from None
        finally:
            session.close()
        if response.status_code != 200:
            raise UnusableAnswer(f"status {response.status_code}")
        return bytes(response.content)

    return fetch
