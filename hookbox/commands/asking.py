"""Putting a webhook's question for a cause, and doing what every answer may ask for besides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from hookbox.commands.cookies import take_cookies, take_guest_cookies
from hookbox.commands.site import Cause, Site
from hookbox.core.user import User
from hookbox.core.values import JSON, JSONObject
from hookbox.errors import CommandRefused, ConnectionGone, HookboxError, NotPermitted, UnusableAnswer
from hookbox.webhooks.gate import Allow, Question, Refuse

logger = logging.getLogger(__name__)

UNAUTHORIZED: Final = 401
"""By this status the application says that it does not know the session any more."""


def ask(site: Site, cause: Cause, action: str, fields: Mapping[str, str], *, key: str = "") -> JSONObject:
    """Ask the application; returns the options of a yes.

    Blocks: whatever was read before must be looked at again afterwards.

    Args:
        key: Idempotency-Key of the question; empty for a new one.

    Raises:
        NotPermitted: the application said no.
        WebhookError: it gave no usable answer, which counts as no.
    """
    return consult(site, cause, lambda: cause.gate.ask(question_for(cause, action, fields, key)))


def consult(
    site: Site, cause: Cause, put: Callable[[], Allow | Refuse], features: frozenset[str] | None = None
) -> JSONObject:
    """Put a question, and do what its answer asks for besides: the one road of all that a browser caused.

    A 401 ends the session that the question's cookies belong to.

    Args:
        put: asks; blocks.
        features: what the client knows, if it has not been granted anything yet.

    Returns:
        the options of a yes.

    Raises:
        NotPermitted: the application said no.
        WebhookError: it gave no usable answer, which counts as no.
    """
    speaker = cause.connection or cause.speaker
    session = speaker.session if speaker is not None else ""
    try:
        verdict = put()
    except UnusableAnswer as error:
        if error.status == UNAUTHORIZED:
            from hookbox.commands.end_session import revoke

            revoke(site, cause, session)
        raise
    return heed(site, cause, verdict, features)


def question_for(cause: Cause, action: str, fields: Mapping[str, str], key: str = "") -> Question:
    """A question with the cookies and the address of whoever caused it."""
    speaker = cause.connection or cause.speaker
    form = dict(fields)
    if cause.connection is not None:
        form["conn_id"] = cause.connection.id
    if speaker is None:
        return Question(action, form, key=key)
    return Question(
        action,
        form,
        cookies=speaker.cookies,
        client_ip=speaker.client_ip,
        key=key,
        connection=speaker.id,
        user=speaker.user.name if speaker.user else "",
        session=speaker.session,
    )


def heed(
    site: Site, cause: Cause, verdict: Allow | Refuse, features: frozenset[str] | None = None
) -> JSONObject:
    """Take what an answer brings; returns the options of a yes.

    Args:
        features: what the client knows, if it has not been granted anything yet.

    Raises:
        NotPermitted: the application said no.
    """
    if not verdict.set_cookies:
        pass
    elif cause.connection is not None:
        take_cookies(site, cause.connection, verdict.set_cookies, features)
    elif cause.speaker is not None and cause.for_browser is not None:
        cause.for_browser += take_guest_cookies(site, cause.speaker, verdict.set_cookies)
    if isinstance(verdict, Refuse):
        site.counters.refused += 1
        raise NotPermitted(verdict.reason)
    return verdict.options


def channel_fields(name: str, **more: str) -> dict[str, str]:
    """A form about a channel: under both names that applications know."""
    return {"channel_name": name, "destination": name, **more}


def follow(site: Site, cause: Cause, user: User, options: JSONObject) -> None:
    """Subscribe and unsubscribe the user as an answer's `auto_subscribe` and `auto_unsubscribe` say.

    A refusal concerns that channel alone: it is logged and the rest goes on.

    Raises:
        ConnectionGone: the client left meanwhile.
    """
    if "auto_subscribe" not in options and "auto_unsubscribe" not in options:
        return
    from hookbox.commands.subscribe import subscribe, unsubscribe

    cause = replace(cause, following=True)
    for action, command in (("auto_subscribe", subscribe), ("auto_unsubscribe", unsubscribe)):
        for name in _names(action, options.get(action)):
            if not cause.first_time(action, name):
                continue
            try:
                command(site, cause, user, name)
            except ConnectionGone:
                raise
            except (CommandRefused, HookboxError) as error:
                logger.info("%s of a channel did not happen: %s", action, error)


def _names(option: str, value: JSON) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    logger.warning("the application's %s is not a list, it is ignored", option)
    return []
