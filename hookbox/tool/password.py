"""`hookbox password`: asks for the console's password and prints the line for the configuration."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from typing import Final

from hookbox.admin.passwords import LONGEST, keep
from hookbox.tool.problems import INTERRUPTED, USAGE

NAME: Final = "password"
SHORT: Final = 12
_ABOUT: Final = """\
Asks for a password of the console, twice and without showing it, and prints the line for the
configuration file, from which the password cannot be read:

  hookbox password >> hookbox.toml
  hookbox password < file                   the first line of standard input, for programs
"""


def run_password(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: its arguments, of which there are none but --help.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog=f"hookbox {NAME}", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    try:
        parser.parse_args(list(argv))
    except SystemExit as end:
        return USAGE if end.code else 0
    try:
        password = _asked() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    except (KeyboardInterrupt, EOFError):
        print("hookbox: interrupted", file=sys.stderr)
        return INTERRUPTED
    fault = _fault(password)
    if fault:
        print(f"hookbox: {fault}", file=sys.stderr)
        return USAGE
    if len(password) < SHORT:
        print(f"hookbox: warning: that is short; {SHORT} characters or more are better", file=sys.stderr)
    print(f'admin_password = "{keep(password).text()}"')
    return 0


def _asked() -> str:
    first = getpass.getpass("Password of the console: ")
    return first if getpass.getpass("The same again: ") == first else "\n"


def _fault(password: str) -> str:
    if password == "\n":
        return "these are not the same; nothing was made"
    if not password:
        return "no password given; nothing was made"
    return f"a password has {LONGEST} characters at most" if len(password) > LONGEST else ""
