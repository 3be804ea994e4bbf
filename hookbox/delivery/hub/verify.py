"""Asks a callback whether it meant what somebody asked for in its name.

Sources: W3C WebSub section 5.3; PubSubHubbub Core 0.3 section 6.2.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from gevent.event import AsyncResult

from hookbox.clock import Clock
from hookbox.delivery import notices
from hookbox.delivery.attempts import Sends
from hookbox.delivery.headers import USER_AGENT
from hookbox.delivery.hub.rota import Rota
from hookbox.delivery.hub.subscribers import Subscribers
from hookbox.delivery.hub.values import MOST_TRIES, Denial, HubRules, Outcome, Permit, Verification
from hookbox.delivery.notices import Notice
from hookbox.delivery.sender import Outgoing, Sent
from hookbox.delivery.store.base import Entry
from hookbox.delivery.store.hub import HubRecords
from hookbox.errors import DeliveryStoreError

logger = logging.getLogger(__name__)

TIMEOUT: Final = 10.0
GAPS: Final = (10.0, 60.0)
"""Seconds between tries."""
MOST_READ: Final = 4096
UNREACHABLE: Final = frozenset(
    {"dns", "refused", "reset", "unreachable", "tls", "protocol", "connect_timeout", "timeout"}
)

Ask = Callable[[str, str, int], Permit | Denial]
"""Asks the application: topic, callback, seconds. Blocks."""


class Verifier:
    """Asks callbacks, those of one subscription one after another.

    Args:
        tell: makes what somebody is to be told into what is kept; called before it is kept ...
        told: ... and after that.
    """

    def __init__(
        self,
        records: HubRecords,
        subscribers: Subscribers,
        sender: Sends,
        clock: Clock,
        rota: Rota,
        rules: Callable[[], HubRules],
        ask: Ask,
        tell: Callable[[Sequence[Notice]], tuple[Entry, ...]],
        told: Callable[[Sequence[Entry]], None],
    ) -> None:
        self.results: Counter[str] = Counter()
        """Verifications by how they ended."""
        self._records = records
        self._subscribers = subscribers
        self._sender = sender
        self._clock = clock
        self._rota = rota
        self._rules = rules
        self._ask = ask
        self._tell = tell
        self._told = told
        self._queues: dict[tuple[str, str], deque[Verification]] = {}
        self._waiting: dict[int, AsyncResult[Outcome]] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many are under way."""
        return self._size

    def resume(self) -> None:
        """Go on with what an earlier start left. Blocks until it is known."""
        for verification in self._records.verifications():
            self._enter(replace(verification, tries=min(verification.tries, MOST_TRIES - 1)))

    def submit(self, verification: Verification) -> Verification:
        """Ask as soon as possible. Blocks until it is kept, and so will be done."""
        kept = self._records.add(verification)
        self._enter(kept)
        return kept

    def outcome(self, verification: Verification, seconds: float) -> Outcome:
        """What becomes of one that was just submitted, if that is known within some seconds."""
        result = self._waiting.setdefault(verification.id, AsyncResult())
        try:
            found: Outcome | None = result.wait(seconds)
        finally:
            del self._waiting[verification.id]
        return found or Outcome.ACCEPTED

    def _enter(self, verification: Verification) -> None:
        self._size += 1
        queue = self._queues.setdefault(verification.pair, deque())
        queue.append(verification)
        if len(queue) == 1:
            self._plan(verification)

    def _plan(self, verification: Verification) -> None:
        at = self._rota.at_ms(verification.due_ms)
        self._rota.put(("verify", verification.pair), at, lambda: self._work(verification))

    def _work(self, verification: Verification) -> None:
        """One try; a fault of our own ends it, so that what waits behind it goes on."""
        try:
            self._try(verification)
        except DeliveryStoreError:
            raise  # it is tried again
        except Exception:
            logger.exception("a verification failed by our own fault, topic %s", verification.topic)
            self._end(verification, Outcome.REFUSED, "failed")

    def _try(self, verification: Verification) -> None:
        """Everything that it reads may have changed after each wait."""
        if verification.renewal and self._records.find(*verification.pair) is None:
            self._end(verification, Outcome.REFUSED, "superseded")
            return
        verification = replace(verification, tries=verification.tries + 1)
        self._records.keep(verification)  # first, so that nobody is asked while the store refuses
        if not verification.allowed:
            answer = self._ask(verification.topic, verification.callback, verification.lease)
            if isinstance(answer, Denial):
                self._deny(verification, answer)
                return
            lease = min(verification.lease, answer.lease or verification.lease)
            verification = replace(verification, lease=lease, allowed=True)
        self._judge(verification, *self._challenge(verification))

    def _challenge(self, verification: Verification) -> tuple[int, Sent, bool]:
        """Ask the callback: when that was, what it said, and whether it said yes."""
        challenge = secrets.token_urlsafe(32)
        about = [("hub.mode", verification.mode), ("hub.topic", verification.text)]
        about.append(("hub.challenge", challenge))
        if verification.mode == "subscribe":
            about.append(("hub.lease_seconds", str(verification.lease)))
        if verification.token:
            about.append(("hub.verify_token", verification.token))
        began_ms = self._now_ms()
        sent = self._get(verification.callback, about)
        return began_ms, sent, confirms(sent, challenge)

    def _judge(self, verification: Verification, began_ms: int, sent: Sent, confirmed: bool) -> None:
        if confirmed:
            self._subscribers.apply(verification, began_ms)
            self._end(verification, Outcome.VERIFIED, "verified")
        elif sent.outcome in UNREACHABLE and verification.tries < MOST_TRIES:
            due_ms = self._now_ms() + round(GAPS[verification.tries - 1] * 1000)
            verification = replace(verification, due_ms=due_ms)
            self._records.keep(verification)
            self._queues[verification.pair][0] = verification
            self._plan(verification)
        else:
            reason = sent.outcome if sent.outcome != "ok" else f"http_{sent.status}"
            if 200 <= sent.status < 300:
                reason = "no_challenge"
            logger.info("a subscriber did not confirm: %s, topic %s", reason, verification.topic)
            self._end(verification, Outcome.REFUSED, "failed", self._failed(verification, reason, sent))

    def _failed(self, verification: Verification, reason: str, sent: Sent) -> list[Notice]:
        v = verification
        told = self._rules().told
        return notices.of_hub("verification.failed", v.callback, v.topic, reason, told, v.tries, sent)

    def _deny(self, verification: Verification, denial: Denial) -> None:
        """Tell a callback that it may not; once, and whatever it says to that."""
        self._end(verification, Outcome.REFUSED, "denied")
        self.deny(verification.callback, verification.text, denial.reason)

    def deny(self, callback: str, text: str, reason: str) -> None:
        """Tell a callback that it is not, or no longer, subscribed to a topic. Blocks up to 10 s.

        Args:
            text: the topic as the subscriber called it.
            reason: empty for none.
        """
        about = [("hub.mode", "denied"), ("hub.topic", text)]
        self._get(callback, [*about, ("hub.reason", reason)] if reason else about)

    def _get(self, callback: str, about: list[tuple[str, str]]) -> Sent:
        headers = (("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
        return self._sender.send(
            Outgoing(callback, headers, method="GET", timeout=TIMEOUT, query=urlencode(about), most=MOST_READ)
        )

    def _end(
        self, verification: Verification, outcome: Outcome, result: str, told: Sequence[Notice] = ()
    ) -> None:
        entries = self._tell(told)
        self._records.end(verification, entries)
        self._told(entries)
        self.results[result] += 1
        self._size -= 1
        waiting = self._waiting.get(verification.id)
        if waiting is not None:
            waiting.set(outcome)
        queue = self._queues[verification.pair]
        queue.popleft()
        if queue:
            self._plan(queue[0])
        else:
            del self._queues[verification.pair]

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def confirms(sent: Sent, challenge: str) -> bool:
    """Whether an answer is a yes: the challenge and nothing else, but for one end of line."""
    said = sent.body
    if said.endswith(b"\n"):
        said = said[:-1].removesuffix(b"\r")
    right = hmac.compare_digest(said, challenge.encode())
    return right and sent.outcome == "ok" and 200 <= sent.status < 300 and not sent.truncated
