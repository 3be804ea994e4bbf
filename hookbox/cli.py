"""The command `hookbox`: flags become settings, settings become a running server.

Exit codes: 0 after an orderly end, 2 when flags or settings are wrong, 1 when the server cannot start. Those
of the commands that call a server are in `hookbox.tool.problems`.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from hookbox import __version__
from hookbox.errors import ConfigError, DeliveryStoreError
from hookbox.flags import CommandLine, parse
from hookbox.settings import Settings
from hookbox.sources import Effective, Sources
from hookbox.tool import COMMANDS as TOOLS

if TYPE_CHECKING:  # at run time only what serves waits for these
    import socket

    from hookbox.log import Logs
    from hookbox.web.inherited import DoorName
    from hookbox.webhooks.gate import Gate

Reload: TypeAlias = Callable[[Settings], tuple[Settings, tuple[str, ...], tuple[str, ...]]]

PASSWORD: Final = "password"
"""A command that neither serves nor calls a server."""

OK: Final = 0
CANNOT_START: Final = 1
USAGE: Final = 2
GC_THRESHOLDS: Final = (10_000, 20, 20)
"""Less often than usual: thousands of requests are under way at once, and are no garbage yet."""

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_BANNER: Final = """\

  Hookbox {version}, trying it out: every webhook is answered with yes, whoever asks.
  NOT FOR PRODUCTION. {exposure}

  Open http://{host}:{port}/ in two browser windows, then publish to them from a shell:

    curl -H 'Authorization: Bearer {token}' \\
         -d channel_name=demo -d 'payload="hello"' http://{host}:{port}/web/publish

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments without the program's name; default: those of the process.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] == PASSWORD:
        from hookbox.tool.password import run_password

        return run_password(words[1:])
    if words and words[0] in TOOLS:
        from hookbox.tool.command import run  # a server does not need it

        return run(words)
    try:
        line = parse(words, COMMANDS, (*TOOLS, PASSWORD))
        if line.wishes - {"--check-config"}:
            return _print(_about_itself(line))
        sources = Sources(line.flags, dict(os.environ))
        effective = sources.read()
    except ConfigError as error:
        return _fail(str(error), USAGE)
    if "--check-config" in line.wishes:
        return _show(effective)
    return COMMANDS[line.command](sources, effective)


def _about_itself(line: CommandLine) -> str:
    if "--version" in line.wishes:
        return f"hookbox {__version__}\n"
    from hookbox.manual import help_text

    return help_text()


def _show(effective: Effective) -> int:
    from hookbox.manual import config_text

    for warning in effective.warnings:
        print(f"hookbox: warning: {warning}", file=sys.stderr)
    return _print(config_text(effective))


def serve(sources: Sources, effective: Effective, gate: Gate | None = None) -> int:
    """Run the server until a signal ends it.

    Args:
        sources: read again at SIGHUP.
        effective: what they say now.
        gate: who decides instead of the application.

    Returns:
        The exit code.
    """
    from hookbox.log import Logs
    from hookbox.web.inherited import inherited

    try:
        sockets = inherited(effective.settings, os.environ, os.getpid())
        logs = Logs(effective.settings)
    except ConfigError as error:
        return _fail(str(error), USAGE)
    except OSError as error:
        return _fail(f"the log file {error.filename} cannot be opened: {error.strerror}", CANNOT_START)
    try:
        return _run(effective, gate, _reloader(sources, logs), logs, sockets)
    finally:
        logs.close()


def _run(
    effective: Effective,
    gate: Gate | None,
    reload: Reload,
    logs: Logs,
    sockets: dict[DoorName, socket.socket],
) -> int:
    import logging

    from hookbox.notify import Notifier
    from hookbox.server import Server

    logger = logging.getLogger(__name__)
    for warning in effective.warnings:
        logger.warning("%s", warning)
    _use_all_files_allowed()
    try:
        server = Server(
            effective.settings,
            gate=gate,
            reload=reload,
            lines_dropped=lambda: logs.dropped,
            inherited=sockets,
            notify=Notifier.from_environment(os.environ, os.getpid()),
        )
        gc.freeze()  # no collection has to look at the code and the routes again
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()
        server.run()
    except OSError as error:
        logger.error("%s", _why_not_listening(error, effective.settings))
        return CANNOT_START
    except DeliveryStoreError as error:
        logger.error("%s (--store names another file)", error)
        return CANNOT_START
    except Exception:
        logger.critical("the server ended by an error of its own", exc_info=True)
        return CANNOT_START
    return OK


def _use_all_files_allowed() -> None:
    """Raise the soft limit on open files, often 1024, to the hard one: every connection is an open file."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems call it unlimited and then refuse it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reloader(sources: Sources, logs: Logs) -> Reload:
    """What the server calls at SIGHUP: reads the file again and lets logging follow. Never raises."""
    import logging

    logger = logging.getLogger(__name__)

    def reload(previous: Settings) -> tuple[Settings, tuple[str, ...], tuple[str, ...]]:
        logs.reopen()
        try:
            settings, changed, ignored = sources.reload(previous)
            logs.reconfigure(settings)
        except (ConfigError, OSError) as error:
            logger.error("the settings stay as they are: %s", error)
            return previous, (), ()
        logger.info("settings read again; changed: %s", ", ".join(changed) or "none")
        if ignored:
            logger.warning("these changes wait for a restart: %s", ", ".join(ignored))
        return settings, changed, ignored

    return reload


def dev(sources: Sources, effective: Effective) -> int:
    """Run the server without any application: every webhook is allowed, a demo page is served."""
    from secrets import token_urlsafe

    from hookbox.web.demo import DemoApplication

    if not effective.settings.api_security_token:
        sources = Sources({**sources.flags, "api_security_token": [token_urlsafe(12)]}, sources.environ)
        effective = sources.read()
    print(_banner(effective.settings), file=sys.stderr, end="", flush=True)
    return serve(sources, effective, DemoApplication())


def _banner(settings: Settings) -> str:
    local = settings.interface in _LOOPBACK
    exposure = "Only this machine can reach it." if local else "OTHER MACHINES CAN REACH IT."
    host = f"[{settings.interface}]" if ":" in settings.interface else settings.interface
    token = settings.api_security_token[0]
    return _BANNER.format(
        version=__version__, exposure=exposure, host=host, port=settings.port or "PORT", token=token
    )


def _why_not_listening(error: OSError, settings: Settings) -> str:
    places = [settings.address, *([settings.api_address] if settings.api_address else [])]
    where = " or ".join(f"{host} port {port}" if port else host for host, port in places)
    reasons = {
        errno.EADDRINUSE: "the port is in use; stop what uses it, or choose another with -p (or -w)",
        errno.EADDRNOTAVAIL: "this machine has no such address; see -i (or -W)",
        errno.EACCES: "not permitted; ports below 1024 need privileges, socket files a writable directory",
    }
    if settings.replace:
        reasons[errno.EADDRINUSE] = (
            "the port is in use, and not by a Hookbox of this user at this very address, the only thing "
            "that --replace takes over; stop what uses it, or choose another with -p (or -w)"
        )
    return f"cannot listen on {where}: {reasons.get(error.errno or 0) or error.strerror or error}"


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `hookbox --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _fail(text: str, code: int) -> int:
    print(f"hookbox: {text}", file=sys.stderr)
    return code


COMMANDS: Final[Mapping[str, Callable[[Sources, Effective], int]]] = MappingProxyType(
    {"serve": serve, "dev": dev}
)
"""What each command does, by its name; the first is the default."""
