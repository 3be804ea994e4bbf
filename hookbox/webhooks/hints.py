"""What is wrong with an application's answer, in plain words, and how to mend it.

The one place for these texts: the console shows them, `hookbox check` and `hookbox doctor` print them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from hookbox.core.values import JSON
from hookbox.protocol.json_text import BadJSON, load
from hookbox.webhooks import answer_pages as pages
from hookbox.webhooks.asked import Asked, Verdict
from hookbox.webhooks.option_faults import option_fault

WANTED: Final = 'status 200 and JSON: [true, {...}] or [false, {"error": "why"}]'
LONGEST_REASON: Final = 200
_SECRET: Final = re.compile(
    r"\b(?:wrong|invalid|bad|incorrect|missing|mismatch)\b.*\bsecret\b"
    r"|\bsecret\b.*(?:wrong|invalid|bad|incorrect|missing|mismatch|match|fail|verif)",
    re.IGNORECASE,
)
_CSRF_MEND: Final = """\
Take the webhooks' views out of CSRF protection; the webhook secret is what guards them. Django:
@csrf_exempt (or the app hookbox.contrib.django, which has done it); Flask-WTF: csrf.exempt(view);
Rails: skip_forgery_protection; Laravel: list the path in VerifyCsrfToken's $except."""
_SLASH_MEND: Final = """\
Start Hookbox with --cbtrailingslash, or let the application take the address without it
(Django: write the URL pattern without the slash)."""
_LOGIN_MEND: Final = """\
Hookbox is no browser: it does not follow redirects and fills in no form. Take login_required (or
the middleware that sends people to the login) away from the webhooks' views, and answer there
[false, {"error": "please log in"}] if nobody is logged in."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What is wrong, and how to mend it.

    Args:
        key: one word for it, always the same.
        what: a clause that begins in lower case; nothing in it is secret.
        mend: how to mend it; may have several lines.
    """

    key: str
    what: str
    mend: str


def hint_for(asked: Asked) -> Hint | None:
    """What is wrong with what became of a webhook; None if nothing is, as far as can be told."""
    if asked.verdict is Verdict.NOT_ASKED:
        return Hint("not_asked", asked.why or "not asked", _NOT_ASKED)
    if not asked.status:
        return _unanswered(asked)
    if asked.status != 200:
        return _other_status(asked)
    if asked.verdict is Verdict.REFUSED:
        return _refused(asked)
    if asked.verdict is Verdict.FAILED:
        return _unreadable(asked)
    return _wrong_options(asked)


_NOT_ASKED: Final = """\
The application failed, or was too slow, many times before: look at the webhooks before this one. Asking goes
on by itself once it answers well; webhook_concurrency and webhook_queue say how much is asked at once."""


def _unanswered(asked: Asked) -> Hint:
    where, why = _place(asked.url), asked.why
    low = why.lower()
    if "refused" in low:
        return Hint(
            "refused",
            f"nothing listens at {where}",
            f"Is the application running? Hookbox asks {where}: if it listens elsewhere, say so with "
            "--cbport and --cbhost (or cb_single_url).",
        )
    if "certificate" in low or "tls" in low or "ssl" in low:
        return Hint(
            "tls",
            f"no TLS connection to {where}: {why}",
            "If the application speaks plain http there, leave --cbhttps out. If its certificate is not from "
            "a public authority, ask it by http within the machine or the private network.",
        )
    if "no complete answer" in low or "within" in low or "timed out" in low or "timeout" in low:
        return _slow(asked, low)
    if "not known" in low or "no address" in low or "name resolution" in low or "host name" in low:
        host = urlsplit(asked.url).hostname or where
        return Hint("unknown_host", f"there is no host called {host}", "Mend the name in --cbhost.")
    if "unreachable" in low or "no route" in low:
        return Hint(
            "unreachable",
            f"{where} cannot be reached from here: {why}",
            "Is --cbhost right, and does a firewall let Hookbox's machine through?",
        )
    if "not http" in low:
        return Hint(
            "not_http",
            f"what answers at {where} does not speak HTTP",
            "Is --cbport right? A TLS port needs --cbhttps; FastCGI and uwsgi sockets are not HTTP.",
        )
    return Hint(
        "broken",
        f"the answer broke off: {why or 'no answer'}",
        "Look into the application's own log: it closed the connection, or crashed, in the middle of it.",
    )


def _slow(asked: Asked, low: str) -> Hint:
    if "no connection" in low:
        return Hint(
            "unreachable",
            f"{_place(asked.url)} takes no connection in time",
            "Is --cbhost right, does a firewall drop packets on the way, has the application a free worker?",
        )
    return Hint("slow", "the application is too slow: no whole answer in time", SLOW_MEND)


SLOW_MEND: Final = """\
Answer from what is at hand, and do mail, image resizing and calls to other services afterwards, outside of
the request. An application with one worker cannot answer while it calls Hookbox's API itself: give it more.
If it has to take so long, raise webhook_timeout (5 s)."""


def _other_status(asked: Asked) -> Hint:
    status, body = asked.status, asked.body
    if status in (301, 302, 303, 307, 308):
        return _redirect(asked)
    if pages.is_host_check(status, body):
        host = urlsplit(asked.url).hostname or "that host"
        return Hint(
            "host_check",
            f"the application refuses the host name {host} (status {status})",
            f"Add it to the names that are allowed, in Django ALLOWED_HOSTS += ['{host}'], or give Hookbox "
            "a name that is: --cbhost.",
        )
    if pages.is_csrf(status, body):
        return Hint("csrf", f"the application wants a CSRF token (status {status})", _CSRF_MEND)
    if pages.wants_slash(status, body):
        return Hint("trailing_slash", f"the address wants a slash at its end (status {status})", _SLASH_MEND)
    if status >= 500 and (pages.is_html(asked.content_type, body) or pages.title(body)):
        return _error_page(asked)
    known = _BY_STATUS.get(status) or (_BY_STATUS[500] if status >= 500 else None)
    if known is None:
        return Hint("status", f"status {status} instead of 200", f"What is wanted is {WANTED}.")
    key, what, mend = known
    return Hint(key, f"{what} (status {status})", mend)


_BY_STATUS: Final = {
    400: ("bad_request", "the application does not take the form", f"It has to answer {WANTED}."),
    401: (
        "unauthorized",
        "the application does not know who this is, which ends the session",
        "If it means that, all is well. If not: Hookbox sends only the browser's cookies and the webhook "
        "secret, so take HTTP authentication away from the webhooks' path; for a no, answer [false, {...}].",
    ),
    403: (
        "forbidden",
        "forbidden",
        "If the application means no, it has to say so with status 200 and [false, {...}]. Else look at what "
        "forbids: a wrong webhook secret, CSRF protection, a firewall of the web server.",
    ),
    404: (
        "not_found",
        "there is nothing at this address",
        "Is --cbpath right, /hookbox by default, and does the application have a view for this webhook? "
        "--cb-<webhook> names another path, --cb-single-url one URL for all.",
    ),
    405: ("method", "POST is not allowed there", "Let the view take POST: a webhook is a posted form."),
    429: ("rate", "too many requests", "Take Hookbox's address out of the rate limit."),
    500: (
        "error",
        "the application failed",
        "Look into the application's own log for what went wrong there.",
    ),
    502: ("gateway", "the web server there does not reach the application", "Is the application running?"),
    503: ("gateway", "the application is not available there", "Is it running, or in maintenance?"),
    504: ("gateway", "the web server there waits in vain for the application", SLOW_MEND),
}


def _error_page(asked: Asked) -> Hint:
    title = pages.title(asked.body)
    called = f", “{title}”" if title else ""
    mend = "Look into the application's own log for what went wrong there."
    if whose := pages.debugger(asked.body):
        mend += f" This page for developers is {whose}: switch it off before others can reach it."
    return Hint("error_page", f"an error page with status {asked.status}{called}", mend)


def _redirect(asked: Asked) -> Hint:
    try:
        here, there = urlsplit(asked.url), urlsplit(urljoin(asked.url, asked.location))
    except ValueError:
        what = f"redirected to something that is no URL (status {asked.status})"
        return Hint("redirect", what, "Look into the application's settings for its own address.")
    shown = f"{there.scheme}://{there.netloc.rpartition('@')[2]}{there.path}" if there.netloc else there.path
    what = f"redirected to {shown} (status {asked.status})"
    if there.path == here.path + "/":
        return Hint(
            "trailing_slash",
            f"{what}: the address wants a slash at its end",
            _SLASH_MEND,
        )
    if here.path == there.path + "/":
        return Hint(
            "trailing_slash",
            f"{what}: the address wants no slash at its end",
            "Start Hookbox without --cbtrailingslash.",
        )
    if pages.is_login_place(there.path) or re.search(r"(^|&)(next|return_?to|redirect)=", there.query):
        return Hint("login_redirect", f"{what}: people are sent to the login", _LOGIN_MEND)
    if there.path == here.path and (here.scheme, there.scheme) == ("http", "https"):
        return Hint(
            "https_redirect",
            f"{what}: the application wants https",
            "Start Hookbox with --cbhttps and the port of https (--cbport 443), or except the webhooks from "
            "the redirect (Django: SECURE_REDIRECT_EXEMPT).",
        )
    if there.path == here.path and there.hostname != here.hostname:
        mend = f"Start Hookbox with --cbhost {there.hostname}."
        return Hint("host_redirect", f"{what}: it goes by another name", mend)
    return Hint("redirect", what, "Hookbox follows no redirects: name the address itself, with --cbpath.")


def _refused(asked: Asked) -> Hint | None:
    """A no is an answer like a yes, unless it is about what both sides have to agree on."""
    said = next(filter(_SECRET.search, _reasons(asked)), None)
    return secret_mismatch(said) if said else None


def _reasons(asked: Asked) -> list[str]:
    """What the application says of its no: for the page, and for the log."""
    reasons = [asked.why]
    try:
        match load(asked.body):
            case [False, dict(options)]:
                reasons += [str(options.get(name) or "")[:LONGEST_REASON] for name in ("msg", "error")]
    except BadJSON:
        pass
    return reasons


def secret_mismatch(why: str) -> Hint:
    """The two sides do not have the same webhook secret."""
    return Hint(
        "secret",
        f"the application does not accept the webhook secret: “{why}”",
        "Give Hookbox (webhook_secret, HOOKBOX_WEBHOOK_SECRET) and the application the same secret; in "
        "Django it is HOOKBOX_WEBHOOK_SECRET. Mind blanks at its end, and restart what reads it once.",
    )


def _unreadable(asked: Asked) -> Hint:
    body = asked.body
    if pages.is_html(asked.content_type, body):
        return _html(asked)
    if pages.is_php_noise(body):
        return Hint(
            "php_message",
            "PHP writes a message in front of the answer",
            "Mend what it says, and set display_errors = Off: messages belong into the log.",
        )
    if not body.strip():
        return Hint("empty", "the answer is empty", f"What is wanted is {WANTED}.")
    if body.startswith(b"\xef\xbb\xbf"):
        return Hint(
            "not_json",
            "a byte order mark stands in front of the answer",
            "Save the source file as UTF-8 without BOM.",
        )
    try:
        return Hint("shape", *_misshapen(load(body)))
    except BadJSON:
        pass
    if asked.size > len(body):
        return Hint("not_json", f"an answer of {asked.size} bytes that is not {WANTED}", f"Answer {WANTED}.")
    is_python = body.lstrip()[:5] in (b"(True", b"[True", b"(Fals", b"[Fals")
    more = " Python's str() is not JSON: use json.dumps." if is_python else ""
    return Hint("not_json", "the answer is not JSON", f"What is wanted is {WANTED}.{more}")


def _html(asked: Asked) -> Hint:
    title = pages.title(asked.body)
    called = f", “{title}”" if title else ""
    if pages.is_login_page(asked.body):
        return Hint("login_page", f"a login page instead of an answer{called}", _LOGIN_MEND)
    if whose := pages.debugger(asked.body):
        mend = f"The page is {whose}; mend the error that it shows."
        return Hint("error_page", f"an error page with status 200{called}", mend)
    return Hint(
        "html_page",
        f"a page instead of an answer{called}",
        f"Is --cbpath right? What is wanted is {WANTED}.",
    )


def _misshapen(value: JSON) -> tuple[str, str]:
    match value:
        case [bool(), []]:
            return (
                "the options are a list, [], and not an object, {}",
                "In PHP an empty array is a list: json_encode([true, new stdClass()]).",
            )
        case [bool()]:
            return "the options are missing: [bool] instead of [bool, object]", "Answer [true, {}]."
        case [first, _] if not isinstance(first, bool):
            return (
                "the first item is not true or false",
                'Answer the JSON value true, not 1 or the text "true": anything else is a no.',
            )
        case bool():
            return "the answer is a bare true or false", "Answer [true, {}]: a list of two."
        case str():
            return (
                "the answer is JSON inside of a JSON string",
                "It was encoded twice: return the list itself, or encode it once.",
            )
        case dict():
            return "the answer is an object", "Answer a list of two: [true, {...}]."
    return "the answer is not a list of true or false and an object", f"What is wanted is {WANTED}."


def _wrong_options(asked: Asked) -> Hint | None:
    """A yes whose options cannot be used."""
    if asked.size > len(asked.body):
        return None
    try:
        match load(asked.body):
            case [True, dict(options)] if fault := option_fault(asked.question.action, options):
                return Hint("option", fault, "docs/webhooks.md lists the options of each webhook.")
    except BadJSON:
        pass
    return None


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "the application"
