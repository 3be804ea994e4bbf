"""One call of the server's HTTP API: the form that goes out, and what the answer means."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.core.serializers.json import DjangoJSONEncoder

from hookbox.contrib.django import conf, http
from hookbox.contrib.django.committed import after_commit
from hookbox.contrib.django.errors import HookboxError
from hookbox.core.names import channel_name_fault, user_name_fault
from hookbox.core.sessions import digest_of
from hookbox.delivery.batch import BATCH

FORM = "application/x-www-form-urlencoded"
_SHOWN = 300
"""Characters of an answer that is not understood."""

T = TypeVar("T")


def call(method: str, fields: dict[str, str], using: str | None, on_commit: bool | None) -> Any:
    """Call a method of the API, now or after the commit.

    Returns:
        The result's object; None if it is called after the commit.

    Raises:
        HookboxError: it failed, or was refused.
    """
    given = [(name, value.encode()) for name, value in fields.items()]  # which refuses what UTF-8 cannot say
    return now_or_later(lambda: _call(method, given), method, using, on_commit)


def dispatch(batch: dict[str, Any], using: str | None, on_commit: bool | None) -> Any:
    """Hand over a batch of deliveries, now or after the commit.

    Returns:
        The answer's object; None if it is handed over after the commit.

    Raises:
        HookboxError: the server has not accepted it.
    """
    body = to_json(batch).encode()
    return now_or_later(lambda: _dispatch(body), "dispatch", using, on_commit)


def now_or_later(work: Callable[[], T], name: str, using: str | None, on_commit: bool | None) -> T | None:
    """Do it now, or after the commit."""
    if not on_commit:
        return work()
    after_commit(work, name, using)
    return None


def to_json(value: Any) -> str:
    """A value as JSON text; dates, decimals, UUIDs and lazy texts as Django writes them.

    Raises:
        TypeError, ValueError: JSON cannot say it.
    """
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False)


def channel_name(channel: object) -> str:
    """The name of a channel.

    Raises:
        ValueError: no channel can be called so.
    """
    name = str(channel)
    if fault := channel_name_fault(name):
        raise ValueError(fault)
    return name


def user_name(user: object) -> str:
    """The name that a user has in Hookbox: its user name, or the text itself.

    Raises:
        ValueError: no user can be called so; anonymous users have names that only Hookbox knows.
    """
    named = getattr(user, "get_username", None)
    name = str(named() if named else user)
    if fault := user_name_fault(name):
        raise ValueError(fault)
    return name


def session_name(session: object, key: str | None = None) -> str:
    """What Hookbox calls a session: a digest of its key, which stays here.

    Args:
        session: one of Django's, or its digest already; looked at without a key only.

    Raises:
        ValueError: it has no key, as it was never saved.
    """
    if key is None and isinstance(session, str):
        return session
    digest = digest_of(str(key or getattr(session, "session_key", None) or ""))
    if not digest:
        raise ValueError("a session without a key belongs to nobody")
    return digest


def _call(method: str, fields: list[tuple[str, bytes]]) -> dict[str, Any]:
    if token := conf.api_token():
        # also here, for a Hookbox 0.3, which looks nowhere else
        fields = [*fields, ("security_token", token.encode(errors="replace"))]
    answer = http.post(f"/web/{method}", urlencode(fields).encode("ascii"), FORM)
    match _json_of(answer):
        case [True, dict(result)] if answer.status == 200:
            return result
        case [False, dict(result)]:
            text = result.get("error") or result.get("msg") or "refused without a reason"
            raise HookboxError(str(text), code=answer.status, result=result)
    raise _not_understood(method, answer)


def _dispatch(body: bytes) -> dict[str, Any]:
    answer = http.post("/dispatch", body, BATCH)
    result = _json_of(answer)
    if answer.status == 202 and isinstance(result, dict) and "message_id" in result:
        return result
    raise _not_understood("dispatch", answer)


def _json_of(answer: http.Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _not_understood(method: str, answer: http.Answer) -> HookboxError:
    said = " ".join(answer.body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    text = f"{conf.url()} answered {method} with status {answer.status}: {said or 'nothing'}"
    if answer.status == 200:
        text += "; that is no answer of Hookbox: see HOOKBOX_URL, HOOKBOX_INTERFACE and HOOKBOX_PORT"
    elif where := answer.headers.get("location") if 300 <= answer.status < 400 else None:
        text = f"{conf.url()} redirects {method} to {where}, which is not followed: see HOOKBOX_URL"
    return HookboxError(text, code=answer.status)
