"""What reached the application: the connect webhook, its cookies, the client's address."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Final

from hookbox.core.values import JSON, JSONObject
from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case
from hookbox.tool.doctor.comet import Unexpected
from hookbox.tool.doctor.upgrade import greet_by_comet
from hookbox.tool.findings import Finding, note, ok, warning, wrong
from hookbox.tool.places import as_address
from hookbox.tool.problems import ToolError
from hookbox.tool.wire import reason_of

LOG_LENGTH: Final = 50
LOOK: Final = """\
Ask the application itself, from the machine that Hookbox runs on:
    hookbox check --config /etc/hookbox.toml
Or look into Hookbox's log for WARNING webhook connect, or give --token-file, and it is looked up here."""
LOGGED_IN: Final = "With --cookie-file FILE, the cookies of a browser that is logged in, somebody is."


def application(case: Case) -> Iterator[Finding]:
    """Say what the application answered to the connection."""
    learned = case.learned
    if not learned.greeted:
        try:
            greet_by_comet(case)
        except (OSError, http.client.HTTPException, Unexpected) as error:
            text = str(error) if isinstance(error, Unexpected) else reason_of(error)
            yield wrong("comet", "comet does not get through either", text, mends.GATEWAY)
            return
    problem = _look_up(case)
    code, said = learned.refusal
    if learned.connection:
        yield ok("application", f"connected as {learned.user}")
    elif not code:
        yield warning("application", "no answer to CONNECT in time", "", LOOK)
    elif code == "app_unavailable":
        left_alone = learned.webhook is not None and learned.webhook.get("hint_key") == "not_asked"
        yield _unavailable(learned.failed or learned.webhook if left_alone else learned.webhook, said)
    elif case.cookies:
        mend = "Is it the cookie of somebody who is logged in, and still?"
        yield warning("denied", f"the application says no: “{said}”", "", mend)
    else:
        yield note("denied", f"the application says no: “{said}”", "asked without a cookie", LOGGED_IN)
    if problem:
        mend = "Give --server URL if the API is not below Hookbox's own URL (--web-api-port)."
        yield note("api", "the server's webhook log cannot be read", problem, mend)


def _unavailable(webhook: JSONObject | None, said: str) -> Finding:
    what = "the application does not answer Hookbox's questions as it should"
    if webhook is None:
        return wrong("app_unavailable", what, said, LOOK)
    key, hint = str(webhook.get("hint_key") or "app_unavailable"), str(webhook.get("hint") or "")
    seen = ", ".join(part for part in (str(webhook.get("url") or ""), str(webhook.get("why") or "")) if part)
    return wrong(key, what, seen, hint or LOOK)


def _look_up(case: Case) -> str:
    """Find the connect webhook in the server's log; returns why not, if that cannot be read."""
    if case.api is None:
        return ""
    try:
        answer = case.api.call("get_webhook_log", {"limit": LOG_LENGTH})
    except ToolError as error:
        return str(error)
    listed = answer.get("webhooks")
    found = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    connects = [item for item in found if item.get("action") == "connect"]
    bad = (item for item in found if item.get("verdict") == "failed" and item.get("hint_key"))
    case.learned.failed = next(bad, None)
    mine = [item for item in connects if _is_mine(case, item)]
    case.learned.webhook = next(iter(mine), None)
    if not mine and not case.learned.connection:  # no cookie got through to tell it by
        case.learned.webhook = next(iter(connects), None)
    return ""


def _is_mine(case: Case, item: JSONObject) -> bool:
    connection = case.learned.connection
    marked = case.marker in _names(item.get("cookies"))
    return marked or (bool(connection) and item.get("connection") == connection)


def _names(value: JSON) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def cookie_passage(case: Case) -> Iterator[Finding]:
    """Say whether cookies of the browser's request were in the webhook."""
    webhook = case.learned.webhook
    if webhook is None:
        return
    arrived = _names(webhook.get("cookies"))
    sent = list(case.cookie_names())
    lost = [name for name in sent if name not in arrived]
    if case.marker in arrived and not lost:
        yield ok("cookie_passage", "cookies get through to the application")
    elif arrived and set(arrived) <= {*sent}:
        yield ok("cookie_passage", f"of the cookies {', '.join(arrived)} gets through to the application")
    elif arrived or sent:
        what = f"cookies do not get through to the application: {', '.join(lost)}"
        yield wrong("cookie_lost", what, "", mends.COOKIE_HEADER)
    else:
        what = "no cookie of ours got through to the application"
        mend = "That is right if Hookbox forwards one only (-c NAME). Give that one, by --cookie-file."
        yield note("cookie_passage", what, "", mend)


def address(case: Case) -> Iterator[Finding]:
    """Say whether Hookbox knows the client's address."""
    learned, webhook = case.learned, case.learned.webhook
    if webhook is None:
        return
    seen = str(webhook.get("client_ip") or "")
    mine, there = as_address(learned.own_address), as_address(learned.peer_address)
    if seen and seen == learned.own_address:
        yield ok("address", f"Hookbox knows our address, {seen}")
        return
    theirs = as_address(seen)
    from_outside = there is not None and there.is_global
    if theirs is not None and not theirs.is_global and (from_outside or mine != theirs):
        what = f"Hookbox takes every browser for {seen}: your application sees the proxy's address"
        yield warning("address", what, f"ours is {learned.own_address}", mends.trusted_proxy(seen))
    elif seen:
        yield ok("address", f"Hookbox knows us as {seen}")
    else:
        what = "Hookbox knows no address of ours"
        yield note("address", what, "", mends.trusted_proxy("unix"))
