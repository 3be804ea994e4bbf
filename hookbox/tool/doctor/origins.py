"""Origins, CORS and the cookies of pages: what a browser would make of it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Final

from hookbox.core.cookies import read_set_cookie
from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case
from hookbox.tool.doctor.comet import NO_SESSION, is_hookbox
from hookbox.tool.findings import Finding, note, ok, warning, wrong
from hookbox.tool.places import Place, as_address
from hookbox.tool.wire import Answer, Flow, dial, reason_of

FOREIGN: Final = "https://hookbox-doctor.invalid"
ALLOW: Final = "access-control-allow-origin"
CREDENTIALS: Final = "access-control-allow-credentials"


def origin(case: Case) -> Iterator[Finding]:
    """Look which origins are let in, and what CORS headers they get."""
    own, pages = case.place.origin, case.pages
    answer = _ask(case, FOREIGN)
    if answer.status != 403:
        what = "pages of any site may connect, with your users' cookies"
        yield wrong("origin_open", what, f"Origin: {FOREIGN}: {answer.told}", mends.ORIGIN_HEADER)
        return
    yield ok("origin_foreign", "pages of other sites are refused")
    answer = _ask(case, own)
    if answer.status == 403:
        what = "pages of Hookbox's own host are refused: the proxy changes the Host header"
        yield wrong("host_header", what, answer.told, mends.HOST)
    elif is_hookbox(answer):
        yield ok("origin_own", f"pages of {own} may connect")
        yield from _about_cors(answer, own)
    else:
        yield note("origin_own", "a request with an Origin is answered strangely", answer.told)
    if pages != own:
        answer = _ask(case, pages)
        if answer.status == 403:
            what = f"pages of {pages} are refused"
            yield wrong("origin", what, answer.told, mends.origin(pages))
        elif is_hookbox(answer):
            yield ok("origin", f"pages of {pages} may connect")
            yield from _about_cors(answer, pages)


def _ask(case: Case, origin: str) -> Answer:
    return case.fetch("GET", NO_SESSION, {"Origin": origin})


def _about_cors(answer: Answer, origin: str) -> Iterator[Finding]:
    allowed, credentials = answer.values(ALLOW), answer.values(CREDENTIALS)
    if allowed == [origin] and credentials == ["true"]:
        yield ok("cors", f"CORS headers for {origin} are right")
        return
    seen = "; ".join(f"{ALLOW}: {value}" for value in allowed) or f"no {ALLOW}"
    seen += "".join(f"; {CREDENTIALS}: {value}" for value in credentials)
    if len(allowed) > 1 or len(credentials) > 1:
        what = "CORS headers come twice, from Hookbox and from the proxy: browsers refuse that"
    elif allowed == ["*"]:
        what = "the proxy allows any origin, which browsers refuse for requests with cookies"
    else:
        what = f"the CORS headers for {origin} are not those that Hookbox sends"
    yield wrong("cors", what, seen, mends.CORS)


def page_cookies(case: Case) -> Iterator[Finding]:
    """Look whether the cookies of the pages come along to Hookbox."""
    page, place = case.page, case.place
    if page is None:
        if not case.origin:
            what = "no page was given, so nothing is known of its cookies"
            yield note("page", what, "", "Give --page URL.")
        return
    if page.secure and not place.secure:
        what = "the page comes by https, so browsers let it connect by https only (mixed content)"
        yield wrong("mixed_content", what, "", "Serve Hookbox by https, best on the host of the page.")
    elif place.secure and not page.secure:
        what = "the page comes by http: its cookies are not those of https, if they are Secure"
        yield note("page_plain", what, "", "Serve the page by https, too.")
    answer = _page(case, page)
    if isinstance(answer, Finding):
        yield answer
        return
    faults = [fault for raw in answer.values("set-cookie") if (fault := _fault(raw, page, place))]
    yield from faults
    if faults:
        return
    if page.host == place.host:
        yield ok("page_cookies", "the page and Hookbox have one host: cookies come along")
    elif any(_domain(raw) for raw in answer.values("set-cookie")):
        yield ok("page_cookies", "the page's cookies are for Hookbox's host, too")
    else:
        what = f"cookies of {page.host} do not come along to {place.host}, another host"
        yield warning("cookie_host", what, "the page set none to look at", mends.one_host(page, place))


def _page(case: Case, page: Place) -> Answer | Finding:
    try:
        sock = dial(page, case.cacert, case.timeout)
        with Flow(sock, page, "GET", page.path + ("" if page.path else "/")) as flow:
            return flow.whole(case.timeout)
    except (OSError, http.client.HTTPException) as error:
        return warning("page", f"the page does not answer: {page.url}", reason_of(error))


def _domain(raw: str) -> str:
    """The Domain attribute of a Set-Cookie, without a dot in front; empty without one."""
    for part in raw.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "domain":
            return value.strip().lstrip(".").lower()
    return ""


def _attribute(raw: str, wanted: str) -> str | None:
    for part in raw.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == wanted:
            return value.strip()
    return None


def _fault(raw: str, page: Place, place: Place) -> Finding | None:
    """Why a cookie of the page does not come along to Hookbox; None if it does, or is of no account."""
    try:
        cookie = read_set_cookie(raw)
    except ValueError:
        return None
    if cookie.expired:
        return None
    domain = _domain(raw)
    covered = place.host == page.host if not domain else within(place.host, domain)
    if not covered:
        scope = f"Domain={domain}" if domain else "no Domain, so for its own host only"
        what = f"the cookie {cookie.name} of {page.host} does not come along to {place.host}"
        return wrong("cookie_host", what, scope, mends.one_host(page, place))
    if _attribute(raw, "secure") is not None and not place.secure:
        what = f"the cookie {cookie.name} is Secure, and does not come along by http"
        return wrong("cookie_secure", what, "", "Serve Hookbox by https.")
    path = _attribute(raw, "path") or ""
    if path.startswith("/") and not _within_path(f"{place.path}/ws", path):
        what = f"the cookie {cookie.name} is for {path}, and does not come along to {place.path}/"
        return wrong("cookie_path", what, "", "Set it with Path=/ (Django: SESSION_COOKIE_PATH).")
    return None


def within(host: str, domain: str) -> bool:
    """Whether a cookie for a domain goes to a host.

    Source: RFC 6265 section 5.1.3.
    """
    return host == domain or (host.endswith(f".{domain}") and as_address(host) is None)


def _within_path(path: str, cookie_path: str) -> bool:
    return path == cookie_path or path.startswith(cookie_path.rstrip("/") + "/")
