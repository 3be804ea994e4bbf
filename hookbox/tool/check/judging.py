"""What the answers of an application say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from hookbox.core.cookies import read_set_cookie
from hookbox.protocol.json_text import BadJSON, load
from hookbox.settings import Settings
from hookbox.tool.check.asking import Exchange
from hookbox.tool.check.questions import (
    BY_GET,
    NO_COOKIE,
    ODD_CHANNEL,
    UNKNOWN_ACTION,
    WRONG_SECRET,
    Trial,
)
from hookbox.tool.findings import Finding, Grade, note, ok, warning
from hookbox.webhooks.answer_pages import title
from hookbox.webhooks.asked import Asked, Verdict
from hookbox.webhooks.hints import SLOW_MEND, hint_for, secret_mismatch

SLOW: Final = 1.0
"""Seconds that a person begins to notice."""
CLOCK: Final = 60.0
"""Seconds of difference between two clocks after which signatures and expiry dates begin to matter."""
NOBODY_THERE: Final = frozenset({"refused", "unknown_host", "unreachable", "tls", "not_http"})
"""Keys of findings after which asking on is of no use."""
_SECRET_HERE: Final = (
    "It was asked without a webhook secret: if there is one, give it here (--secret-file, --config). Else: "
)
_REACHABLE_ONLY: Final = (Verdict.ALLOWED, Verdict.REFUSED)


@dataclass(frozen=True, slots=True)
class Tried:
    """A question that was put, and what came of it."""

    trial: Trial
    exchange: Exchange

    @property
    def asked(self) -> Asked:
        """What Hookbox would note of it."""
        return self.exchange.asked

    @property
    def action(self) -> str:
        """The webhook."""
        return self.trial.question.action

    @property
    def answered(self) -> bool:
        """Whether there was a clear yes or no."""
        return self.asked.verdict in _REACHABLE_ONLY and bool(self.asked.status)


def judge(tried: Sequence[Tried], settings: Settings) -> list[Finding]:
    """Everything that can be said, the same about several webhooks only once."""
    found: list[Finding] = []
    for one in tried:
        found += [replace(finding, where=one.action) for finding in _judge_one(one, settings)]
    everything = {one.action for one in tried if one.trial.legal}
    joined = [_for_all(finding, everything) for finding in _joined(found)]
    return [*joined, *_judge_together(tried, settings)]


def _for_all(finding: Finding, everything: set[str]) -> Finding:
    about_all = len(everything) > 1 and everything <= set(finding.where.split(", "))
    return replace(finding, where="all webhooks") if about_all else finding


def fatal(one: Tried) -> bool:
    """Whether nothing answers at all."""
    hint = hint_for(one.asked)
    return hint is not None and hint.key in NOBODY_THERE


def verdict_of(one: Tried, settings: Settings) -> str:
    """The worst about one question, as the table shows it."""
    found = [finding for finding in _judge_one(one, settings) if finding.grade is not Grade.OK]
    if not found:
        return "ok"
    worst = max(found, key=lambda finding: list(Grade).index(finding.grade))
    return f"{worst.grade.value}: {worst.key}" if worst.grade is not Grade.NOTE else "ok"


def _judge_one(one: Tried, settings: Settings) -> list[Finding]:
    return _judge_legal(one, settings) if one.trial.legal else _judge_illegal(one)


def _judge_legal(one: Tried, settings: Settings) -> list[Finding]:
    asked = one.asked
    hint = hint_for(asked)
    if hint is not None and one.action == "hub_subscribe" and asked.status in (404, 405):
        what = "the application has nothing for hub_subscribe: nobody can subscribe to topics by WebSub"
        return [note("no_hub_subscribe", what, "", "That is all right, unless somebody should.")]
    if hint is not None:
        ignored = hint.key == "option" and "ignored" in hint.what
        grade = Grade.WARNING if ignored else Grade.WRONG
        unasked = hint.key in ("secret", "forbidden") and not settings.webhook_secret
        mend = f"{_SECRET_HERE}{hint.mend}" if unasked else hint.mend
        return [Finding(hint.key, grade, hint.what, _seen(asked), mend)]
    found = []
    if asked.verdict is Verdict.REFUSED:
        found.append(_denied(one))
    else:
        found.append(ok("answer", "answered as it should be"))
    if asked.took > SLOW:
        what = f"slow: {asked.took:.1f} s for an answer that somebody waits for"
        limit = f"Hookbox gives up after {settings.webhook_timeout:g} s"
        found.append(warning("slow", what, limit, SLOW_MEND))
    return found + _about_headers(asked)


def _denied(one: Tried) -> Finding:
    said = f"the application says no: “{one.asked.why}”"
    if one.action == "hub_subscribe":
        return note("denied", said)
    if not one.trial.question.cookies:
        mend = "Nobody is logged in here. To see the rest, give a browser's cookie: --cookie-file FILE."
        return note("denied", said, "asked without a cookie", mend)
    if one.action == "destroy_channel":
        return note("denied", said)
    mend = "If it means to, all is well. Is the cookie that of somebody who is logged in?"
    return warning("denied", said, "", mend)


def _about_headers(asked: Asked) -> list[Finding]:
    found = []
    kind = asked.content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json":
        what = f"the answer calls itself {kind}"
        found.append(note("content_type", what, "", "application/json would be right."))
    for raw in asked.set_cookies:
        try:
            cookie = read_set_cookie(raw)
        except ValueError:
            mend = "A cookie is NAME=VALUE without control characters."
            found.append(warning("set_cookie", "a Set-Cookie that is malformed, and ignored", "", mend))
            continue
        hidden = ", HttpOnly" if cookie.http_only else ""
        found.append(note("set_cookie", f"the answer sets the cookie {cookie.name}{hidden}"))
    return found


def _judge_illegal(one: Tried) -> list[Finding]:
    asked, how = one.asked, one.trial.how
    if asked.status >= 500:
        what = f"asked {how}, the application fails with status {asked.status}"
        mend = "Hookbox takes it for a no, but it counts as a failure: look into the application's log."
        return [warning("fails", what, "", mend)]
    if not asked.status:
        what = f"asked {how}, there is no answer"
        return [warning("fails", what, asked.why, "Look into the application's log.")]
    if asked.verdict is not Verdict.ALLOWED:
        return []
    if how == WRONG_SECRET:
        what = "the application allows what comes with a wrong webhook secret: it does not check it"
        mend = "Compare the form's field `secret` with yours before anything else, and answer [false, {}]."
        return [warning("secret_unchecked", what, "", mend)]
    if how == UNKNOWN_ACTION:
        what = "the application allows a webhook that does not exist"
        return [warning("allows_unknown", what, "", "Answer [false, {}] or 404 to what it does not know.")]
    if how == BY_GET:
        what = "the application allows what is asked by GET, without the form"
        return [warning("allows_get", what, "", "Take POST only.")]
    if how == ODD_CHANNEL:
        what = "the application allows a channel called hookbox-check '\"<b>&%00;☃"
        mend = "Pages may ask for any name: allow those that are channels of yours."
        return [note("any_channel", what, "", mend)]
    return []


def _judge_together(tried: Sequence[Tried], settings: Settings) -> list[Finding]:
    return [
        *_about_cookie(tried),
        *_about_secret(tried, settings),
        *_about_connections(tried),
        *_about_clock(tried),
    ]


def _about_cookie(tried: Sequence[Tried]) -> list[Finding]:
    with_it, without = _find(tried, "connect", ""), _find(tried, "connect", NO_COOKIE)
    if with_it is None or without is None or with_it.asked.verdict is not Verdict.ALLOWED:
        return []
    if without.asked.verdict is not Verdict.ALLOWED:
        return [ok("cookie", "the cookie decides who somebody is")]
    if _options(with_it) != _options(without):
        return [ok("cookie", "the cookie decides who somebody is; without it a guest is let in")]
    what = "connect is answered alike with and without the cookie: it is not used, or is nobody's"
    return [note("cookie_unused", what, "", "If users log in, is this the cookie of somebody logged in?")]


def _about_secret(tried: Sequence[Tried], settings: Settings) -> list[Finding]:
    if not settings.webhook_secret:
        if any(one.answered for one in tried) and not any(_hint_key(one) == "secret" for one in tried):
            what = "asked without a webhook secret: whoever reaches the application can pose as Hookbox"
            mend = "Set one on both sides (HOOKBOX_WEBHOOK_SECRET), and give it here by --secret-file."
            return [note("no_secret", what, "", mend)]
        return []
    right, other = _find(tried, "connect", ""), _find(tried, "connect", WRONG_SECRET)
    if right is None or other is None:
        return []
    if _said(right) != _said(other):
        return [ok("secret", "the webhook secret is checked")]
    others = {_said(one) for one in tried if one.trial.legal and one.asked.status != 404}
    refused = right.asked.verdict is not Verdict.ALLOWED and _hint_key(right) in ("", "forbidden")
    if not refused or others != {_said(right)}:
        return []
    what = "everything is refused alike, with the secret given and with a wrong one: the secrets differ"
    grade = Grade.WRONG
    if not right.trial.question.cookies:
        what += ", or nothing at all is allowed to whoever is not logged in"
        grade = Grade.WARNING
    return [Finding("secret", grade, what, right.asked.why, secret_mismatch(right.asked.why).mend)]


def _said(one: Tried) -> tuple[int, str]:
    """What an answer comes to; a page for people may say where it was found, so only its title counts."""
    asked = one.asked
    if asked.verdict is Verdict.FAILED:
        return asked.status, title(asked.body)
    return asked.status, asked.why if asked.verdict is Verdict.REFUSED else "yes"


def _hint_key(one: Tried) -> str:
    hint = hint_for(one.asked)
    return hint.key if hint else ""


def _about_connections(tried: Sequence[Tried]) -> list[Finding]:
    answered = [one for one in tried if one.answered]
    if len(answered) < 2:
        return []
    if not any(one.exchange.kept_alive for one in answered):
        what = "each answer closes the connection: every webhook pays for a new one"
        mend = (
            "Let the application's server keep connections alive, e.g. gunicorn with --worker-class gthread. "
            "Many servers for development never do."
        )
        return [note("no_keepalive", what, "", mend)]
    return [ok("keepalive", "connections are kept alive")]


def _about_clock(tried: Sequence[Tried]) -> list[Finding]:
    for one in tried:
        try:
            there = parsedate_to_datetime(one.exchange.date)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        moment = (there if there.tzinfo else there.replace(tzinfo=UTC)).timestamp()
        apart = moment - one.asked.at
        if abs(apart) <= CLOCK:
            return [ok("clock", "its clock is right")]
        which = "ahead of" if apart > 0 else "behind"
        what = f"the application's clock is {abs(apart):.0f} s {which} ours"
        mend = "Have both machines keep time by NTP: signatures and sessions depend on it."
        return [warning("clock", what, "", mend)]
    return []


def _find(tried: Sequence[Tried], action: str, how: str) -> Tried | None:
    return next((one for one in tried if one.action == action and one.trial.how == how), None)


def _options(one: Tried) -> object:
    try:
        return load(one.asked.body)
    except BadJSON:
        return None


def _seen(asked: Asked) -> str:
    if not asked.status:
        return asked.why
    kind = asked.content_type.partition(";")[0].strip()
    return ", ".join(part for part in (f"status {asked.status}", kind, f"{asked.took * 1000:.0f} ms") if part)


def _joined(found: Sequence[Finding]) -> list[Finding]:
    """One finding for what was found about several webhooks."""
    joined: dict[object, Finding] = {}
    for finding in found:
        key = finding.key, finding.grade, finding.what if finding.key == "option" else ""
        if key in joined:
            where = joined[key].where
            if finding.where not in where.split(", "):
                joined[key] = replace(joined[key], where=f"{where}, {finding.where}")
        else:
            joined[key] = finding
    return list(joined.values())
