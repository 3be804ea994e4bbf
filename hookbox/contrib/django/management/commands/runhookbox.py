"""`manage.py runhookbox`: the Hookbox server of this project, with the project's settings."""

from __future__ import annotations

import os
import re
import shutil
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings as django
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    OutputWrapper,
)

from hookbox.contrib.django import conf
from hookbox.contrib.django.running import child, options
from hookbox.contrib.django.running.upkeep import Upkeep
from hookbox.errors import ConfigError

OUR_SERVER: Final = (sys.executable, "-P", "-m", "hookbox")
"""-P: a project may have modules of its own called like what the server imports."""
FLUSH_ENDS_WITHIN: Final = 2.0
"""Seconds."""
_LISTENING: Final = re.compile(r"Listening to hookbox on (?:(http://)(\S+):(\d+))?")

ABOUT: Final = """\
Start the Hookbox server of this project, and end together with it.

It asks the project's webhook views about everything that browsers want, so Django has
to run too: `manage.py runserver` in another terminal.

What is not given here comes from the settings, where each option of the server is called
HOOKBOX_ and its own name in upper case (HOOKBOX_PORT, HOOKBOX_WEBHOOK_SECRET, HOOKBOX_STORE);
what is not there either is the default. Keep secrets in the settings: everybody on
this machine can see arguments. The server gets them in its environment.
"""
EXAMPLES: Final = """\
examples:
  manage.py runhookbox                              on port 8001, asking Django on port 8000
  manage.py runhookbox -p 9001 --cbport 9000        beside `manage.py runserver 9000`
  manage.py runhookbox -p 0                         on any free port; standard output tells which
  manage.py runhookbox -- --log-level DEBUG         anything else that the server knows: hookbox --help

With DEBUG, deliveries may also go to private addresses, and programs on this machine may dispatch
and subscribe (egress=internal, dispatch_auth=loopback, hub_policy=open), unless the settings say
otherwise. Ctrl-C or SIGTERM ends it in an orderly way, a second one at once. The exit status is
the server's. Every ten seconds what waits in the outbox is handed over.
"""


class _Formatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """The order of Django's help, and paragraphs as they are written."""


class Command(BaseCommand):
    """The command."""

    help = ABOUT

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """With examples below the options."""
        return super().create_parser(
            prog_name, subcommand, epilog=EXAMPLES, formatter_class=_Formatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """The options that have always been there, and all others of the server behind `--`."""
        add = parser.add_argument
        add("-i", "--interface", help="address to listen on (default: localhost)", metavar="ADDRESS")
        add("-p", "--port", help="port to listen on, 0 for any (default: 8001)")
        add("--cbhost", help="host where Django listens (default: localhost)", metavar="HOST")
        add("--cbport", help="port where Django listens (default: 8000)", metavar="PORT")
        add("--cbpath", help="path of the webhook views (default: from the URLs)", metavar="PATH")
        add("-s", "--webhook-secret", help="shows Django that it is Hookbox who asks", metavar="SECRET")
        add(
            "-r", "--api-security-token", "--rest-secret", dest="api_security_token", metavar="SECRET",
            help="shows Hookbox that it is Django who calls",
        )  # fmt: skip
        add("-a", "--admin-password", help="of the admin pages, off without one", metavar="PASSWORD")
        add("-e", "--executable", help="another Hookbox to run, as a command or a path", metavar="PROGRAM")
        add("more", nargs="*", metavar="-- OPTION", help="passed on to the server")

    def handle(self, *args: Any, **given: Any) -> None:
        """Run the server until it ends.

        Raises:
            CommandError: an option is wrong, or there is no such program.
            SystemExit: the server ended with a status other than 0; it is ours too.
        """
        try:
            chosen = options.read_options(given)
            for doubt in options.doubts(chosen):
                self._say(f"warning: {doubt}")
            program, orders = self._program(given, chosen)
        except ConfigError as error:
            raise CommandError(str(error)) from None
        with _known_here(chosen) as reach, _upkeep() as upkeep:

            def tell(line: str) -> None:
                found = _LISTENING.search(line)
                self._say(line, self.stdout if found else self.stderr)
                if found:
                    reach(*found.groups())
                    upkeep.begin()

            status = child.run([*program, *orders.arguments], orders.environ, tell)
        if status:
            sys.exit(status)

    def _program(self, given: dict[str, Any], chosen: dict[str, Any]) -> tuple[Sequence[str], options.Orders]:
        named = given["executable"] or getattr(django, "HOOKBOX_EXECUTABLE", None)
        if not named:
            return OUR_SERVER, options.orders(chosen, given["more"], os.environ)
        program = shutil.which(named)
        if program is None:
            raise CommandError(f"there is no program {named}; --executable takes the name or path of one")
        if any(chosen.get(name) for name in options.KNOWN_OF_OLD):
            self._say(
                f"warning: {named} gets the secrets as arguments, which everybody on this machine can see; "
                "without --executable they go into the environment"
            )
        return (program,), options.orders_of_old(chosen, given["more"], os.environ)

    def _say(self, line: str, out: OutputWrapper | None = None) -> None:
        """At once, and as it is: not in red, which is for errors of our own."""
        out = out or self.stderr
        out.write(line, style_func=str)
        out.flush()


@contextmanager
def _upkeep() -> Iterator[Upkeep]:
    upkeep = Upkeep()
    try:
        yield upkeep
    finally:
        upkeep.end(FLUSH_ENDS_WITHIN)


@contextmanager
def _known_here(chosen: Mapping[str, Any]) -> Iterator[Callable[[str | None, str, str], None]]:
    """Have calls of this process go to the server that it has started, which arguments may have moved.

    Gives what is to be called with its scheme, host and port; a `HOOKBOX_URL` of the settings counts more.
    """
    before = {name: getattr(django, name, None) for name in ("HOOKBOX_URL", "HOOKBOX_API_SECURITY_TOKEN")}

    def reach(scheme: str | None, host: str, port: str) -> None:
        if scheme and not before["HOOKBOX_URL"]:
            prefix = (chosen.get("path_prefix") or "").rstrip("/")
            django.HOOKBOX_URL = f"{scheme}{conf.host_of(host)}:{port}{prefix}"

    if tokens := chosen.get("api_security_token"):
        django.HOOKBOX_API_SECURITY_TOKEN = tokens[0]
    try:
        yield reach
    finally:
        for name, value in before.items():
            setattr(django, name, value)
