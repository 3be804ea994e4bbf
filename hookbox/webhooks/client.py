"""The gate that asks the application over HTTP."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from gevent.event import Event
from requests import PreparedRequest, exceptions

from hookbox.clock import Clock
from hookbox.core.watchers import Watchers
from hookbox.errors import NotAsked, WebhookError
from hookbox.log_context import ASKED
from hookbox.settings import Settings
from hookbox.webhooks.adapter import Answer, ClosedUnanswered, LeanAdapter
from hookbox.webhooks.asked import BODY_KEPT, WHY_KEPT, Asked, Verdict
from hookbox.webhooks.breaker import BreakerRules, Mode
from hookbox.webhooks.calls import Calls
from hookbox.webhooks.connections import Dialer
from hookbox.webhooks.gate import Allow, Question, Refuse
from hookbox.webhooks.resolve import Lookup, Resolver, system_lookup
from hookbox.webhooks.shield import Outcome, Place, Shield, ShieldRules
from hookbox.webhooks.verdicts import read_verdict

logger = logging.getLogger("hookbox.webhooks")

UNAVAILABLE = "failure: the application is not available"
COMES_AGAIN = frozenset({"connect", "subscribe"})  # a page asks for these again by itself
OUTCOMES = {
    exceptions.ConnectTimeout: "connect_timeout",
    exceptions.Timeout: "timeout",
    exceptions.SSLError: "tls",
    ClosedUnanswered: "reset",
}
SLOW = 0.8  # an answer that took more than this share of `webhook_timeout` counts as a failure


@dataclass(frozen=True, slots=True)
class Setup:
    """What one question is asked by, from its beginning to its end."""

    settings: Settings
    calls: Calls
    shield: Shield


class WebhookClient:
    """Puts questions to the web application, one POST each.

    Fails closed: whatever is not a clear answer is a WebhookError. Asks once, but for one
    repeat (with the same Idempotency-Key) when a kept-alive connection was closed before
    any byte of the answer. Each question without a usable answer leaves one WARNING; one that
    was not put, because too many wait or the breaker is open, leaves a DEBUG line.

    Args:
        settings: the callback, secret, `webhook_*` and `breaker_*` settings are used.
        clock: its steady time is used.
        lookup: asks the system for addresses, in a thread.
        watchers: are shown what became of each question.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        lookup: Lookup = system_lookup,
        watchers: Watchers[Asked] | None = None,
    ) -> None:
        self._clock = clock
        self._watchers = watchers
        self._adapter = LeanAdapter(Dialer(Resolver(clock, lookup)), clock, settings.webhook_answer)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self.queued: defaultdict[str, int] = defaultdict(int)
        """Questions that wait for their turn, by action."""
        self.out: defaultdict[str, int] = defaultdict(int)
        """Questions that are with the application, by action."""
        self._keys = _unique_keys()
        self._under_way = 0
        self._stopping = False
        self._finished = Event()
        self._setup = self._set_up(settings, None)

    def ask(self, question: Question) -> Allow | Refuse:
        """Put a question and wait for the verdict, up to `webhook_timeout` seconds.

        Raises:
            UnusableAnswer: the application answered, but not with status 200 and `[bool, object]`.
            WebhookError: it gave no answer in time, or could not be asked.
        """
        self._counts["asked"] += 1
        self._under_way += 1
        setup = self._setup
        asked = Asked(question.key or next(self._keys), self._clock.now(), question)
        began = self._clock.monotonic()
        token = ASKED.set(asked)
        try:
            verdict = self._ask_now(asked, setup)
        except NotAsked as error:
            asked.verdict, asked.why = Verdict.NOT_ASKED, error.detail
            logger.debug("webhook %s: %s", question.action, error.detail)
            raise
        except WebhookError as error:
            asked.verdict, asked.why, asked.fault = Verdict.FAILED, error.detail, error.outcome
            logger.warning("webhook %s: %s", question.action, error.detail)
            raise
        else:
            asked.verdict = Verdict.ALLOWED
            if isinstance(verdict, Refuse):
                asked.verdict, asked.why = Verdict.REFUSED, verdict.reason[:WHY_KEPT]
            return verdict
        finally:
            ASKED.reset(token)
            asked.took = self._clock.monotonic() - began
            self._note_end(asked)

    def _note_end(self, asked: Asked) -> None:
        self._counts[asked.verdict.value] += 1
        self._under_way -= 1
        if self._stopping and not self._under_way:
            self._finished.set()
        if self._watchers:
            self._watchers.show(asked)

    def url(self, action: str) -> str:
        """Where a question with this action goes now."""
        return self._setup.calls.url(action)

    def reconfigure(self, settings: Settings) -> None:
        """Use other settings from the next question on; those under way keep theirs.

        Raises:
            ConfigError: the callback settings do not make a URL; the old ones stay in force.
        """
        self._setup = self._set_up(settings, self._setup)

    def stop(self, timeout: float) -> None:
        """Refuse new questions, let those under way finish for `timeout` seconds, then cut them off."""
        self._stopping = True
        if self._under_way:
            self._finished.wait(timeout)
        self._adapter.close()

    def counts(self) -> dict[str, int]:
        """Counters since the start, and how things stand now.

        Returns:
            asked, allowed, refused, failed (no usable answer), not_asked (shed), repeated,
            breaker_openings; and now: out (calls), waiting, connections, breaker_open (0 or 1).
        """
        names = ("asked", "allowed", "refused", "failed", "not_asked")
        shield = self._setup.shield
        return {name: self._counts[name] for name in names} | {
            "repeated": self._adapter.repeats,
            "breaker_openings": self._counts["breaker_openings"] + shield.openings,
            "out": shield.out,
            "waiting": shield.waiting,
            "connections": self._adapter.connections,
            "breaker_open": int(shield.mode is not Mode.CLOSED),
        }

    def _set_up(self, settings: Settings, old: Setup | None) -> Setup:
        calls = Calls(settings)
        rules = _rules(settings)
        self._adapter.limit = settings.webhook_answer
        if old is not None and old.calls.target == calls.target:
            old.shield.change(rules)
            return Setup(settings, calls, old.shield)
        if old is not None:
            self._adapter.retire({calls.target})
            self._counts["breaker_openings"] += old.shield.openings
        return Setup(settings, calls, Shield(str(calls.target), rules, self._clock))

    def _ask_now(self, asked: Asked, setup: Setup) -> Allow | Refuse:
        try:
            return self._ask(asked, setup)
        except WebhookError as error:
            if asked.question.action in COMES_AGAIN:
                error.retry_seconds = setup.shield.appointment()
            raise

    def _ask(self, asked: Asked, setup: Setup) -> Allow | Refuse:
        if self._stopping:
            raise NotAsked(UNAVAILABLE, "not asked: the server is stopping")
        request = setup.calls.request(asked.question, asked.id)
        asked.url = request.url or ""
        began = self._clock.monotonic()
        deadline = began + setup.settings.webhook_timeout
        place = self._queue(asked, setup, deadline)
        asked.waited = self._clock.monotonic() - began
        action = asked.question.action
        self.out[action] += 1
        try:
            response = self._send(request, setup, place, deadline)
        finally:
            self.out[action] -= 1
            setup.shield.leave(place)
        body = response.content
        asked.status, asked.body, asked.size = response.status_code, body[:BODY_KEPT], len(body)
        types, locations, set_cookies = response.each("content-type", "location", "set-cookie")
        asked.content_type, asked.location = ", ".join(types), ", ".join(locations)
        asked.set_cookies = tuple(set_cookies)
        return read_verdict(asked.status, body, asked.set_cookies)

    def _queue(self, asked: Asked, setup: Setup, deadline: float) -> Place:
        action = asked.question.action
        self.queued[action] += 1
        try:
            return setup.shield.enter(deadline)
        finally:
            self.queued[action] -= 1

    def _send(self, request: PreparedRequest, setup: Setup, place: Place, deadline: float) -> Answer:
        settings = setup.settings
        begun = self._clock.monotonic()
        if begun >= deadline:
            raise NotAsked(UNAVAILABLE, "not asked: its time was over")
        try:
            timeout = (settings.webhook_connect_timeout, deadline - begun)
            # past the session: it would look for redirects, hooks and cookies, of which there are none
            response = self._adapter.send(request, timeout=timeout)
        except exceptions.InvalidHeader as error:
            raise WebhookError("failure: the question cannot be sent", str(error)) from None
        except exceptions.RequestException as error:
            place.outcome = Outcome.BAD
            failed = WebhookError(UNAVAILABLE, f"{setup.calls.target}: {error}")
            failed.outcome = _outcome(error)
            raise failed from None
        slow = self._clock.monotonic() - begun > SLOW * settings.webhook_timeout
        ill = response.status_code >= 500 or response.status_code == 429
        place.outcome = Outcome.BAD if slow or ill else Outcome.GOOD
        return cast(Answer, response)


def _outcome(error: exceptions.RequestException) -> str:
    """What an attempt that ended so is listed as."""
    for kind, outcome in OUTCOMES.items():
        if isinstance(error, kind):
            return outcome
    return WebhookError.outcome


def _rules(settings: Settings) -> ShieldRules:
    breaker = BreakerRules(
        failures=settings.breaker_failures,
        ratio=settings.breaker_ratio,
        calls=settings.breaker_calls,
        window=settings.breaker_window,
        first_pause=settings.breaker_first_pause,
        longest_pause=settings.breaker_longest_pause,
    )
    return ShieldRules(
        concurrency=settings.webhook_concurrency,
        queue=settings.webhook_queue,
        queue_wait=settings.webhook_queue_wait,
        breaker=breaker,
    )


def _unique_keys() -> Iterator[str]:
    prefix = secrets.token_hex(16)
    return (f"{prefix}-{number}" for number in itertools.count(1))
