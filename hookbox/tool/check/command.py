"""From the arguments of `hookbox check` to its table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from hookbox.core.names import channel_name_fault
from hookbox.core.values import JSON
from hookbox.errors import ConfigError
from hookbox.protocol.json_text import BadJSON, load
from hookbox.settings import Settings
from hookbox.tool.check.asking import Asker
from hookbox.tool.check.judging import Tried, fatal, judge, verdict_of
from hookbox.tool.check.questions import ACTIONS, UNKNOWN_ACTION, Cast, Trial, illegal, legal
from hookbox.tool.findings import Finding, exit_code
from hookbox.tool.places import read_place
from hookbox.tool.problems import INTERRUPTED, UNREACHABLE, USAGE, ToolError
from hookbox.tool.progress import Progress
from hookbox.tool.report import remedies, summary
from hookbox.tool.tables import columns, listing, table
from hookbox.tool.target import first_line, settings_of
from hookbox.webhooks.asked import Asked, Verdict

HEAD: Final = ("WEBHOOK", "ASKED", "RESULT", "TIME", "ANSWER")
WRONG_SECRET_SENT: Final = "hookbox-check-wrong-secret"
ENDINGS: Final = tuple(f"/{action}" for action in ACTIONS)


def run_check(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check an application; returns the exit code.

    Raises:
        ToolError: the arguments or settings are wrong.
    """
    settings, remarks = _settings(given, environ)
    cast = _cast(given, settings)
    try:
        asker = Asker(settings, given.cacert)
    except (ConfigError, OSError) as error:
        raise ToolError(str(error), USAGE) from None
    tried: list[Tried] = []
    progress = None if given.quiet else Progress()
    interrupted = False
    try:
        _ask_all(asker, settings, cast, _wanted(given.only), tried, progress)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        asker.close()
        if progress is not None:
            progress.end()
    findings = judge(tried, settings)
    if given.json:
        print(json.dumps(_as_json(asker, tried, findings), indent=2))
    else:
        print(_told(asker, settings, tried, findings, remarks), end="")
    if interrupted:
        print("hookbox: interrupted; this is what was found until then", file=sys.stderr)
        return INTERRUPTED
    if tried and all(fatal(one) for one in tried):
        return UNREACHABLE
    return exit_code(findings)


def _settings(given: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """The settings of the Hookbox that the application will be asked by, and what was made of the URL."""
    settings = settings_of(given.config, environ)
    remarks: tuple[str, ...] = ()
    if given.single_url:
        if given.url:
            raise ToolError("give URL or --single-url, not both", USAGE)
        settings = replace(settings, cb_single_url=given.single_url)
    elif given.url:
        place = read_place(given.url, "URL", ENDINGS)
        remarks = place.remarks
        path = place.path
        if not path and not given.url.rstrip().endswith("/"):
            path = Settings().cbpath
            remarks += (f"asked below {path}, the default of cbpath; a slash at the end of URL means none",)
        settings = replace(
            settings,
            cbhost=place.host,
            cbport=place.port,
            cbhttps=place.secure,
            cbpath=path or "/",
            cb_single_url="",
        )
    if given.secret or given.secret_file:
        secret = given.secret or first_line(given.secret_file, "--secret-file")
        settings = replace(settings, webhook_secret=secret)
    if given.trailing_slash:
        settings = replace(settings, cbtrailingslash=True)
    if given.timeout is not None:
        settings = replace(settings, webhook_timeout=given.timeout)
    return settings, remarks


def _cast(given: argparse.Namespace, settings: Settings) -> Cast:
    if fault := channel_name_fault(given.channel):
        raise ToolError(f"--channel: {fault}", USAGE)
    try:
        load(given.payload)
    except BadJSON as error:
        raise ToolError(f"--payload is not JSON: {error}", USAGE) from None
    cookies = cookie_of(given)
    if only := settings.cookie_identifier:
        parts = [part.strip() for part in cookies.split(";")]
        cookies = "; ".join(part for part in parts if part.partition("=")[0].strip() == only)
    return Cast(given.channel, given.user, given.payload, cookies)


def cookie_of(given: argparse.Namespace) -> str:
    """The Cookie header that is meant, empty for none.

    Raises:
        ToolError: it cannot be one.
    """
    if given.cookie == "-":
        text = sys.stdin.readline().strip()
    elif given.cookie_file:
        text = first_line(given.cookie_file, "--cookie-file")
    else:
        text = given.cookie or ""
    text = text.removeprefix("Cookie:").removeprefix("cookie:").strip()
    if not text and (given.cookie or given.cookie_file):
        raise ToolError("the cookie is empty; it looks like sessionid=8f1c0a", USAGE)
    if text and ("=" not in text or not text.isprintable()):
        raise ToolError("the cookie has to look like sessionid=8f1c0a", USAGE)
    return text


def _wanted(only: str) -> tuple[str, ...]:
    if not only:
        return ACTIONS
    names = tuple(name.strip() for name in only.split(","))
    if unknown := next((name for name in names if name not in ACTIONS), None):
        raise ToolError(f"--only: there is no webhook {unknown!r}, but {', '.join(ACTIONS)}", USAGE)
    return tuple(action for action in ACTIONS if action in names)


def _ask_all(
    asker: Asker,
    settings: Settings,
    cast: Cast,
    wanted: Sequence[str],
    tried: list[Tried],
    progress: Progress | None,
) -> None:
    """Ask everything; what came of it is in `tried`, as far as it came."""

    def put(trial: Trial) -> Tried:
        if progress is not None:
            progress.show(f"asking {trial.question.action} {trial.how}".rstrip())
        secret = WRONG_SECRET_SENT if trial.wrong_secret else None
        one = Tried(trial, asker.ask(trial.question, method=trial.method, secret=secret))
        tried.append(one)
        return one

    for action in wanted:
        one = put(legal(action, cast))
        if fatal(one):
            return
        if action == "connect":
            cast = replace(cast, user=_name(one.asked) or cast.user)
    answers = {one.action for one in tried if one.answered}
    forbidden = any(one.action == "connect" and one.asked.status in (401, 403) for one in tried)
    for trial in illegal(cast, with_secret=bool(settings.webhook_secret)):
        is_for_all = trial.how == UNKNOWN_ACTION and "connect" in answers
        if is_for_all or trial.question.action in answers or (trial.wrong_secret and forbidden):
            put(trial)


def _name(asked: Asked) -> str:
    match _options(asked):
        case {"name": str(name)}:
            return name
    return ""


def _options(asked: Asked) -> JSON:
    if asked.verdict not in (Verdict.ALLOWED, Verdict.REFUSED):
        return None
    try:
        match load(asked.body):
            case [bool(), options]:
                return options
    except BadJSON:
        pass
    return None


def _told(
    asker: Asker,
    settings: Settings,
    tried: Sequence[Tried],
    findings: Sequence[Finding],
    remarks: Sequence[str],
) -> str:
    fit = columns()
    rows = list(_rows(tried, settings))
    good = sum(verdict == "ok" for _, _, verdict, *_ in rows)
    cookie = any(one.trial.question.cookies for one in tried)
    head = listing(
        [
            ("asked", asker.url("connect")),
            ("secret", "with one" if settings.webhook_secret else "none"),
            ("cookie", "with one" if cookie else "none"),
            *(("note", remark) for remark in remarks),
        ]
    )
    return f"{head}\n{table(HEAD, rows, fit)}{remedies(findings, fit)}\n{summary(findings, good)}"


def _rows(tried: Sequence[Tried], settings: Settings) -> Iterator[tuple[str, ...]]:
    for one in tried:
        asked = one.asked
        took = f"{asked.took * 1000:.0f} ms" if asked.took < 9.95 else f"{asked.took:.0f} s"
        how = one.trial.how or "as Hookbox asks"
        yield one.action, how, verdict_of(one, settings), took, answer_of(asked)


def answer_of(asked: Asked) -> str:
    """An answer in few words; of options only their names, as they may be anybody's."""
    if not asked.status:
        return asked.why or "none"
    if asked.verdict is Verdict.REFUSED:
        return f"[false] {asked.why}"
    if asked.verdict is Verdict.ALLOWED:
        options = _options(asked)
        names = ", ".join(options) if isinstance(options, dict) else ""
        return f"[true, {{{names}}}]"
    kind = asked.content_type.partition(";")[0].strip()
    return f"status {asked.status} {kind}".rstrip()


def _as_json(asker: Asker, tried: Sequence[Tried], findings: Sequence[Finding]) -> JSON:
    return {
        "url": asker.url("connect"),
        "questions": [
            {
                "webhook": one.action,
                "asked": one.trial.how or "legal",
                "verdict": one.asked.verdict.value,
                "status": one.asked.status,
                "seconds": round(one.asked.took, 4),
                "answer": answer_of(one.asked),
            }
            for one in tried
        ],
        "findings": [finding.as_json() for finding in findings],
    }
