"""Webhooks as operators see them: in a line, and with everything that is no secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hookbox.core.cookies import read_cookies
from hookbox.core.values import JSON, JSONObject
from hookbox.protocol.json_text import BadJSON, load
from hookbox.webhooks import masking
from hookbox.webhooks.asked import Asked, Verdict
from hookbox.webhooks.hints import hint_for

USER_FIELDS: Final = ("user", "originator", "sender", "recipient", "name")


def asked_item(asked: Asked, secrets: Iterable[str]) -> JSONObject:
    """One webhook in a list.

    Args:
        secrets: the configured ones, which are not shown wherever they stand.
    """
    question, found, hidden = asked.question, hint_for(asked), [*secrets, *secrets_of(asked)]
    item: JSONObject = {
        "id": asked.id,
        "at": asked.at,
        "action": question.action,
        "connection": question.connection,
        "user": user_of(asked),
        "channel": asked.channel,
        "session": question.session,
        "verdict": asked.verdict.value,
        "why": masking.scrub(asked.why, hidden),
        "fault": masking.scrub(found.what, hidden) if found else "",
        "hint": masking.scrub(f"{found.what}. {found.mend}", hidden) if found else "",
        "hint_key": found.key if found else "",
        "status": asked.status,
        "took": round(asked.took, 6),
        "waited": round(asked.waited, 6),
        "url": masking.mask_url(asked.url),
    }
    if asked.again:
        item["again"] = True
        item["again_of"] = asked.again
    return item


def asked_in_full(asked: Asked, secrets: Iterable[str]) -> JSONObject:
    """One webhook with its request and its answer; cookies, secrets and payloads are masked.

    Args:
        secrets: as in `asked_item`.
    """
    known = [*secrets, *secrets_of(asked)]
    answer: JSON = None
    if asked.status:
        answer = {
            "status": asked.status,
            "headers": _answer_headers(asked),
            "body": masking.shown_title(masking.mask_answer(asked.body), known),
            "size": asked.size,
        }
    return {**asked_item(asked, known), "request": _request(asked), "answer": answer}


def user_of(asked: Asked) -> str:
    """Who it is about; of one that lets somebody in the name that the application gave."""
    question = asked.question
    if question.user or question.action != "connect":
        return question.user or next(iter(_users(asked)), "")
    if asked.verdict is not Verdict.ALLOWED:
        return ""
    try:
        match load(asked.body):
            case [True, {"name": str() as name}]:
                return name
    except BadJSON:
        pass
    return ""


def secrets_of(asked: Asked) -> list[str]:
    """What in a webhook must not be shown: its cookies, sent and received."""
    cookies = list(read_cookies(asked.question.cookies).values())
    for header in asked.set_cookies:
        cookies.append(header.partition(";")[0].partition("=")[2].strip())
    return [cookie for cookie in cookies if cookie]


def cookie_names(asked: Asked) -> list[JSON]:
    """The names of the cookies that a webhook carried."""
    return list(read_cookies(asked.question.cookies))


def _request(asked: Asked) -> JSONObject:
    question = asked.question
    headers: list[JSON] = [["Idempotency-Key", asked.id]]
    if question.cookies:
        headers.append(["Cookie", masking.mask_cookie_header(question.cookies)])
    if question.client_ip:
        headers.append(["X-Real-IP", question.client_ip])
    form: list[JSON] = [["action", question.action], *masking.mask_form(question.fields)]
    return {"method": "POST", "url": masking.mask_url(asked.url), "headers": headers, "form": form}


def _answer_headers(asked: Asked) -> list[JSON]:
    headers: list[JSON] = []
    if asked.content_type:
        headers.append(["Content-Type", asked.content_type])
    if asked.location:
        headers.append(["Location", masking.mask_url(asked.location)])
    headers += [["Set-Cookie", masking.mask_set_cookie(value)] for value in asked.set_cookies]
    return headers


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which webhooks are wanted: those that are all of what is not empty here."""

    connection: str = ""
    user: str = ""
    channel: str = ""
    action: str = ""
    verdict: str = ""
    session: str = ""
    q: str = ""

    def __call__(self, asked: Asked) -> bool:
        """Whether this one is."""
        question = asked.question
        return (
            (not self.connection or question.connection == self.connection)
            and (not self.user or user_of(asked) == self.user or self.user in _users(asked))
            and (not self.channel or asked.channel == self.channel)
            and (not self.action or question.action == self.action)
            and (not self.verdict or asked.verdict.value == self.verdict)
            and (not self.session or question.session == self.session)
            and (not self.q or self._found(asked))
        )

    def _found(self, asked: Asked) -> bool:
        question, q = asked.question, self.q.lower()
        texts = [asked.id, question.action, question.connection, question.user, asked.channel]
        texts += [asked.why, asked.url]
        return any(q in text.lower() for text in texts)


def matches(**wanted: str) -> Callable[[Asked], bool]:
    """Tells which webhooks are wanted; see `Wanted`."""
    return Wanted(**wanted)


def _users(asked: Asked) -> tuple[str, ...]:
    """The users that a form names, which need not be the one that caused it."""
    fields = asked.question.fields
    return tuple(fields[name] for name in USER_FIELDS if name in fields)
