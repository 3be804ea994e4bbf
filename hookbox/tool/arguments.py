"""The arguments of the commands that call a server."""

from __future__ import annotations

import argparse
import re
import time
from typing import Final, NoReturn

from hookbox.tool.problems import USAGE, ToolError

_EXIT_CODES: Final = """\
exit codes: 0 done; 1 the server said no, or what was begun failed; 2 wrong arguments or settings;
3 no server answers.
"""
_PUBLISH: Final = f"""\
Publishes on a channel of a running server, as the application could.

  hookbox publish news '{{"title": "hello"}}'
  hookbox publish news hello                text, as it is not JSON
  date | hookbox publish clock -            from standard input

{_EXIT_CODES}"""
_DISPATCH: Final = f"""\
Has a running server deliver something to URLs, to a topic, or both; it tries again until it arrives.

  hookbox dispatch https://example.com/hook --data '{{"id": 7}}'
  hookbox dispatch --topic orders.new --data @order.json
  hookbox dispatch https://a.example/in https://b.example/in --data - < body

{_EXIT_CODES}"""
_DELIVERIES: Final = f"""\
Looks at what a running server owes to URLs and what became of it, and has it delivered again.

  hookbox deliveries list --state undelivered --since 2d
  hookbox deliveries show dlv_01JD4YV4Q0X6T3B2N8K7M5R9ZE
  hookbox deliveries retry dlv_01JD4YV4Q0X6T3B2N8K7M5R9ZE
  hookbox deliveries retry --since 2h --reason exhausted --rate 20
  hookbox deliveries replay orders.new ep_01JD4YV4Q0X6T3B2N8K7M5R9ZE --from 2024-11-20T00:00:00Z

Times are RFC 3339, seconds since 1970, or how long ago: 90s, 30m, 2h, 7d.

{_EXIT_CODES}"""
_CHECK: Final = """\
Asks a running web application each webhook, as Hookbox would and as it never would, and says what is wrong.

  hookbox check http://127.0.0.1:8000/hookbox --cookie-file cookie.txt
  hookbox check --config hookbox.toml       the application that this server asks
  hookbox check localhost:8000 --only connect,publish

URL is what --cbhost, --cbport and --cbpath make together. The questions are real: the application
may do what they ask for, with the channel and the user `hookbox-check`, so think before you ask one
that is in use. Without a cookie nobody is logged in. A cookie looks like sessionid=8f1c0a; take it
from your browser's developer tools.

exit codes: 0 all is well (there may be warnings); 1 something is wrong; 2 wrong arguments or settings;
3 nothing answers.
"""
_DOCTOR: Final = """\
Looks at a Hookbox from outside, through every proxy that browsers go through, and says what is wrong.

  hookbox doctor https://example.com/realtime --page https://example.com/
  hookbox doctor https://example.com/realtime --token-file token --cookie-file cookie.txt

URL is what the pages give to hookbox.connect(). One user connects for a moment, without subscribing to
anything; with --cookie it is the one whose browser the cookie is from. With --token the server
is asked what reached the application. It takes a minute, as it has to wait in silence (--idle).

exit codes: 0 all is well (there may be warnings); 1 something is wrong; 2 wrong arguments or settings;
3 nothing answers.
"""
_ago = re.compile(r"([0-9]{1,9})([smhd])").fullmatch
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Done(Exception):
    """Help was printed; there is nothing to do."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ToolError(f"{message} ({self.prog} --help shows how to ask)", USAGE)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Done


def make_parser() -> argparse.ArgumentParser:
    """Reads the arguments of all the commands; raises Done and ToolError."""
    parser = _Parser(prog="hookbox", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    _publish(_command(commands, "publish", _PUBLISH))
    _dispatch(_command(commands, "dispatch", _DISPATCH))
    deliveries = _plain(commands, "deliveries", _DELIVERIES)
    actions = deliveries.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = _command(actions, "list", "Lists deliveries, newest first.")
    _filters(listed)
    listed.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    shown = _command(actions, "show", "Shows one delivery, with its attempts.")
    shown.add_argument("id", help="of the delivery, dlv_...")
    _retry(_command(actions, "retry", _RETRY))
    _replay(_command(actions, "replay", _REPLAY))
    job = _command(
        actions, "job", "Waits for a replay or retry that the server works on, showing how far it is."
    )
    job.add_argument("id", help="of the job, job_...")
    job.add_argument("--cancel", action="store_true", help="let it do no more")
    _waiting(job)
    _check(_plain(commands, "check", _CHECK))
    _doctor(_plain(commands, "doctor", _DOCTOR))
    return parser


_RETRY: Final = """\
Tries deliveries again, now: those that are named, or all that are found, spread over time.
Without --state the latter are those that are dead or cancelled.
"""
_REPLAY: Final = """\
Delivers once more what is kept of a topic, in order, to one endpoint or URL. It goes on in the server
when this command ends.
"""


def _plain(commands: argparse._SubParsersAction[_Parser], name: str, about: str) -> _Parser:
    return commands.add_parser(
        name,
        description=about,
        help=about.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _command(commands: argparse._SubParsersAction[_Parser], name: str, about: str) -> _Parser:
    parser = _plain(commands, name, about)
    group = parser.add_argument_group("which server")
    group.add_argument(
        "--server", metavar="URL", help="default: HOOKBOX_SERVER, or where the settings say it listens"
    )
    group.add_argument("--token-file", metavar="FILE", help="file with the API token")
    group.add_argument("--token", metavar="WORD", help="the API token itself; the process list shows it")
    group.add_argument(
        "--config", metavar="FILE", help="the server's TOML file: address and token are read from it"
    )
    group.add_argument("--cacert", default="", metavar="FILE", help="certificates to trust")
    group.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="to wait for an answer (30)"
    )
    parser.add_argument("--json", action="store_true", help="print what the server answers, as JSON")
    return parser


def _publish(parser: _Parser) -> None:
    parser.add_argument("channel", metavar="CHANNEL")
    parser.add_argument(
        "payload",
        nargs="?",
        metavar="PAYLOAD",
        help="JSON, or else text; - reads it from standard input; default: null",
    )
    parser.add_argument("--text", action="store_true", help="take PAYLOAD as text, even if it is JSON")
    parser.add_argument("--originator", metavar="USER", help="shown as who published")
    parser.add_argument(
        "--key", metavar="KEY", help="idempotency key: a repeat with it publishes nothing new"
    )
    parser.add_argument("--send-hook", action="store_true", help="ask the application, as for a browser")


def _dispatch(parser: _Parser) -> None:
    add = parser.add_argument
    add("urls", nargs="*", metavar="URL")
    add(
        "--endpoint", action="append", default=[], metavar="ID", help="a registered endpoint; can be repeated"
    )
    add("--topic", default="", help="publish on this topic too")
    add("--data", default="", metavar="BODY", help="the body; @FILE or - (standard input) reads it")
    add(
        "--content-type",
        default="",
        metavar="TYPE",
        help="default: JSON, text or bytes, whatever the body is",
    )
    add("--type", default="", metavar="WORD", help="event type, sent as hookbox-type")
    add("--id", default="", metavar="KEY", help="idempotency key: a repeat with it sends nothing new")
    add("--delay", type=_seconds, metavar="SECONDS", help="before the first attempt")
    add("--ttl", type=_seconds, metavar="SECONDS", help="after which nothing is tried any more")
    add("--retry", metavar="none|N|S,S,...", help="no retries, so many, or seconds after each failure")
    add("--attempt-timeout", type=_seconds, metavar="SECONDS", help="for one attempt")
    add("--tag", default="", help="to find it by")
    add("--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent along; can be repeated")
    add("--secret-file", metavar="FILE", help="file with the secret that signs what goes to URLs")
    add("--errback", default="", metavar="URL", help="told of failures")
    add("--callback", default="", metavar="URL", help="told of the answer")


def _check(parser: _Parser) -> None:
    add = parser.add_argument
    add("url", nargs="?", metavar="URL", help="of the webhooks; default: what the settings say")
    add("--single-url", default="", metavar="URL", help="one URL for all webhooks, as of cb_single_url")
    _cookie(parser)
    add("--secret-file", metavar="FILE", help="file with the webhook secret")
    add("--secret", metavar="WORD", help="the webhook secret itself; the process list shows it")
    add("--trailing-slash", action="store_true", help="end the URLs with a slash, as cbtrailingslash does")
    add("--channel", default="hookbox-check", metavar="NAME", help="asked about (hookbox-check)")
    add("--user", default="hookbox-check", metavar="NAME", help="asked about where connect gives no name")
    add("--payload", default="null", metavar="JSON", help="of connect (null)")
    add("--only", default="", metavar="WEBHOOK,...", help="ask these alone")
    add("--config", metavar="FILE", help="the server's TOML file: addresses, secret, limits are read from it")
    add("--timeout", type=_seconds, metavar="SECONDS", help="for an answer; default: webhook_timeout")
    _telling(parser)


def _doctor(parser: _Parser) -> None:
    add = parser.add_argument
    add("url", metavar="URL", help="of Hookbox, as the pages have it")
    add("--page", default="", metavar="URL", help="a page that connects; looked at for its cookies")
    add("--origin", default="", metavar="ORIGIN", help="of the pages that connect; default: that of --page")
    _cookie(parser)
    add("--token-file", metavar="FILE", help="file with the API token")
    add("--token", metavar="WORD", help="the API token itself; the process list shows it")
    add("--server", default="", metavar="URL", help="of the HTTP API, if it is not below URL")
    add("--payload", default="null", metavar="JSON", help="of CONNECT (null)")
    add(
        "--idle",
        type=_silence,
        metavar="SECONDS",
        help="to wait in silence; default: a little more than two pings are apart; 0: not at all",
    )
    add("--only", default="", metavar="PROBE,...", help="look at these alone")
    add("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for an answer (10)")
    _telling(parser)


def _cookie(parser: _Parser) -> None:
    add = parser.add_argument
    add("--cookie-file", metavar="FILE", help="file with a browser's cookies, like a=1; b=2")
    add("--cookie", metavar="COOKIES", help="the same; - reads standard input, the process list shows others")


def _telling(parser: _Parser) -> None:
    add = parser.add_argument
    add("--cacert", default="", metavar="FILE", help="certificates to trust")
    add("--quiet", action="store_true", help="do not say what is being done")
    add("--json", action="store_true", help="print what was found as JSON")


def _filters(parser: _Parser) -> None:
    group = parser.add_argument_group("which deliveries")
    group.add_argument(
        "--state", metavar="STATE", help="with commas; undelivered is dead, held and cancelled"
    )
    for name in ("reason", "endpoint", "topic", "tag", "message"):
        group.add_argument(f"--{name}", metavar={"endpoint": "ID", "message": "ID"}.get(name, "TEXT"))
    group.add_argument("--q", metavar="TEXT", help="contained in URL or tag")
    group.add_argument("--since", type=_time, metavar="TIME")
    group.add_argument("--until", type=_time, metavar="TIME")


def _retry(parser: _Parser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="of deliveries, dlv_...")
    parser.add_argument("--reset", action="store_true", help="begin the schedule anew")
    _filters(parser)
    parser.add_argument(
        "--rate", type=_seconds, metavar="N", help="so many per second (10), with filters only"
    )
    _waiting(parser)


def _replay(parser: _Parser) -> None:
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument("to_whom", metavar="ENDPOINT|URL", help="id of an endpoint, ep_..., or a URL")
    parser.add_argument(
        "--from", type=_time, dest="begin", metavar="TIME", help="default: the oldest that is kept"
    )
    parser.add_argument("--to", type=_time, dest="end", metavar="TIME", help="default: now")
    parser.add_argument(
        "--secret-file", metavar="FILE", help="file with the secret that signs what goes to a URL"
    )
    _waiting(parser)


def _waiting(parser: _Parser) -> None:
    parser.add_argument("--no-wait", action="store_true", help="do not wait until the server has done it")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= 2_592_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _silence(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _time(text: str) -> str:
    """A time as the server reads it."""
    match = _ago(text)
    return text if match is None else f"{time.time() - int(match[1]) * _SECONDS[match[2]]:.3f}"
