"""One command that calls a server, from its arguments to its exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from hookbox.core.values import JSONObject
from hookbox.tool import deliveries, sending
from hookbox.tool.api import Api
from hookbox.tool.arguments import Done, make_parser
from hookbox.tool.problems import INTERRUPTED, REFUSED, ToolError
from hookbox.tool.target import find_target

OK: Final = 0


def run(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Run a command.

    Args:
        argv: its name and its arguments.
        environ: default: that of the process.

    Returns:
        The exit code.
    """
    try:
        return _run(argv, os.environ if environ is None else environ)
    except Done:
        return _flushed()
    except ToolError as error:
        print(f"hookbox: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `hookbox deliveries list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    given = make_parser().parse_args(list(argv))
    if given.command in EXAMINE:
        code = EXAMINE[given.command](given, environ)
        _flushed()
        return code
    given.job = ""
    api = Api(find_target(given, environ))
    act: dict[str, Callable[..., JSONObject]] = {
        "publish": sending.publish,
        "dispatch": sending.dispatch,
        "deliveries": deliveries.act,
    }
    tell: dict[str, Callable[..., str]] = {
        "publish": sending.told_publish,
        "dispatch": sending.told_dispatch,
        "deliveries": deliveries.told,
    }
    try:
        answer = act[given.command](api, given)
    except KeyboardInterrupt:
        goes_on = f"; the server goes on with it: hookbox deliveries job {given.job}" if given.job else ""
        print(f"hookbox: interrupted{goes_on}", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps(answer, indent=2) + "\n" if given.json else tell[given.command](answer, given), end="")
    _flushed()
    return REFUSED if deliveries.failed(answer) else OK


def _check(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from hookbox.tool.check.command import run_check

    return run_check(given, environ)


def _doctor(given: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from hookbox.tool.doctor.command import run_doctor

    return run_doctor(given, environ)


EXAMINE: Final[Mapping[str, Callable[[argparse.Namespace, Mapping[str, str]], int]]] = MappingProxyType(
    {"check": _check, "doctor": _doctor}
)
"""Commands that look at something rather than call the API; loaded when they are wanted."""


def _flushed() -> int:
    sys.stdout.flush()
    return OK
