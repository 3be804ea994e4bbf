"""From the arguments of `hookbox doctor` to its table."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from hookbox.core.values import JSON
from hookbox.protocol.json_text import BadJSON, load
from hookbox.tool.api import Api, Target
from hookbox.tool.check.command import cookie_of
from hookbox.tool.doctor.application import address, application, cookie_passage
from hookbox.tool.doctor.case import Case, Hopeless
from hookbox.tool.doctor.exposed import exposed
from hookbox.tool.doctor.flowing import long_poll, streaming
from hookbox.tool.doctor.front import front, limits
from hookbox.tool.doctor.idle import idle
from hookbox.tool.doctor.origins import origin, page_cookies
from hookbox.tool.doctor.reach import reach
from hookbox.tool.doctor.upgrade import upgrade
from hookbox.tool.findings import Finding, Grade, exit_code, wrong
from hookbox.tool.places import Place, is_local, read_place
from hookbox.tool.problems import INTERRUPTED, UNREACHABLE, USAGE, ToolError
from hookbox.tool.progress import Progress
from hookbox.tool.report import remedies, summary
from hookbox.tool.tables import columns, listing, table
from hookbox.tool.target import first_line
from hookbox.tool.wire import reason_of, tls_context

Probe = Callable[[Case], Iterable[Finding]]

PROBES: Final[Mapping[str, tuple[str, Probe]]] = MappingProxyType(
    {
        "reach": ("name, connection, certificate", reach),
        "front": ("is it Hookbox, version, clock", front),
        "limits": ("sizes that get through", limits),
        "upgrade": ("WebSocket", upgrade),
        "application": ("what the application says", application),
        "passage": ("cookies on their way to the application", cookie_passage),
        "address": ("the client's address", address),
        "origin": ("origins and CORS", origin),
        "cookies": ("cookies of the page", page_cookies),
        "streaming": ("streamed answers", streaming),
        "long_poll": ("long polls", long_poll),
        "exposed": ("what is open to everybody", exposed),
        "idle": ("waiting in silence", idle),
    }
)
"""Every probe: what it looks at, and how. Later ones use what earlier ones have learned."""
NEEDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "application": ("upgrade",),
        "passage": ("upgrade", "application"),
        "address": ("upgrade", "application"),
        "idle": ("upgrade",),
    }
)
ENDINGS: Final = ("/csp/ws", "/ws", "/csp/csp", "/csp", "/stream", "/static/hookbox.js", "/web", "/admin")
"""Of URLs that are below Hookbox's own."""
HEAD: Final = ("RESULT", "ABOUT", "FOUND", "MEASURED")


def run_doctor(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Examine a deployment; returns the exit code.

    Raises:
        ToolError: the arguments are wrong.
    """
    case, remarks = _case(given)
    wanted = _wanted(given.only)
    findings: list[Finding] = []
    progress = None if given.quiet else Progress(every=0.0)
    end, name = 0, ""
    try:
        for name in wanted:
            if progress is not None:
                progress.show(f"looking at {PROBES[name][0]}{_patience(case, name)}")
            _examine(case, name, findings)
    except Hopeless as hopeless:
        findings.append(replace(hopeless.finding, where=name))
        end = UNREACHABLE if hopeless.silent else 0
    except KeyboardInterrupt:
        end = INTERRUPTED
    finally:
        if progress is not None:
            progress.end()
    findings = _once(findings)
    if given.json:
        print(json.dumps({"url": case.place.url, "findings": [one.as_json() for one in findings]}, indent=2))
    else:
        print(_told(case, findings, remarks), end="")
    if end == INTERRUPTED:
        print("hookbox: interrupted; this is what was found until then", file=sys.stderr)
    return end or exit_code(findings)


def _examine(case: Case, name: str, findings: list[Finding]) -> None:
    try:
        for finding in PROBES[name][1](case):
            findings.append(replace(finding, where=name))
    except (OSError, http.client.HTTPException, ValueError) as error:
        what = f"looking at {PROBES[name][0]} broke off"
        mend = "Look again; if it stays so, the proxy's error log tells why it ends connections."
        findings.append(replace(wrong("broken", what, reason_of(error), mend), where=name))


def _patience(case: Case, name: str) -> str:
    if name != "idle" or case.idle == 0:
        return ""
    seconds = case.idle if case.idle is not None else 2 * case.learned.ping_interval + 2
    return f", for {seconds:.0f} s"


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """The same fault shows in several places: it is told once, where it was found first."""
    kept: list[Finding] = []
    for finding in findings:
        again = any((one.key, one.grade) == (finding.key, finding.grade) for one in kept)
        if finding.grade is Grade.OK or not again:
            kept.append(finding)
    return kept


def _case(given: argparse.Namespace) -> tuple[Case, tuple[str, ...]]:
    place = read_place(given.url, "URL", ENDINGS)
    page = read_place(given.page, "--page") if given.page else None
    remarks = (*place.remarks, *(f"--page: {remark}" for remark in (page.remarks if page else ())))
    try:
        load(given.payload)
    except BadJSON as error:
        raise ToolError(f"--payload is not JSON: {error}", USAGE) from None
    try:
        if given.cacert:
            tls_context(given.cacert)
    except OSError as error:
        raise ToolError(f"--cacert: {given.cacert} cannot be read: {error}", USAGE) from None
    case = Case(
        place=place,
        cacert=given.cacert,
        page=page,
        origin=_origin(given.origin),
        cookies=cookie_of(given),
        api=_api(given, place),
        payload=given.payload,
        idle=given.idle,
        timeout=given.timeout,
    )
    return case, remarks


def _origin(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise ToolError(f"--origin: {text!r} is not an origin such as https://example.com", USAGE)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _api(given: argparse.Namespace, place: Place) -> Api | None:
    """The API. A token of the environment is not used: it may be for another server than this one."""
    token = given.token or (first_line(given.token_file, "--token-file") if given.token_file else "")
    if not token:
        return None
    server = read_place(given.server, "--server") if given.server else place
    for one in (server, place):
        if not one.secure and not is_local(one.host):
            raise ToolError(f"the token would go to {one.origin} for everybody to read: use https", USAGE)
    return Api(Target(server.url, token, "URL", given.timeout, given.cacert))


def _wanted(only: str) -> list[str]:
    if not only:
        return list(PROBES)
    names = {"reach", *(name.strip() for name in only.split(","))}
    if unknown := next((name for name in sorted(names) if name not in PROBES), None):
        raise ToolError(f"--only: there is no probe {unknown!r}, but {', '.join(PROBES)}", USAGE)
    for name in tuple(names):
        names.update(NEEDS.get(name, ()))
    return [name for name in PROBES if name in names]


def _told(case: Case, findings: Sequence[Finding], remarks: Iterable[str]) -> str:
    fit = columns()
    pages = "" if case.pages == case.place.origin else case.pages
    about: list[tuple[str, JSON]] = [("Hookbox", f"{case.place.url}/"), ("pages", pages)]
    head = listing([*about, *(("note", remark) for remark in remarks)])
    rows = [(one.grade.value, one.where, one.what, one.measured) for one in findings]
    return f"{head}\n{table(HEAD, rows, fit)}{remedies(findings, fit)}\n{summary(findings)}"
