"""The page that `man hookbox` shows, from the same declarations as `--help`.

Written in mdoc(7), which groff and mandoc read. `make man` writes it to `packaging/hookbox.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hookbox import __version__
from hookbox.flags import flags_of
from hookbox.manual import COMMANDS, OWN_FLAGS, default_text, names_in, placeholder_of
from hookbox.settings import ABOUT, Group
from hookbox.sources import KINDS, allowed, variable_of

_HEAD: Final = """\
.\\" Made by `make man` from the declarations in hookbox/settings.py; changes here are lost.
.Dd {date}
.Dt HOOKBOX 1
.Os Hookbox {version}
.Sh NAME
.Nm hookbox
.Nd realtime for ordinary web applications
.Sh SYNOPSIS
.Nm
.Op Cm serve
.Op Ar flags
.Nm
.Cm dev
.Op Ar flags
.Nm
.Ar command
.Op Ar arguments
.Sh DESCRIPTION
.Nm
makes ordinary, synchronous web applications realtime.
Browsers keep their connections open to it, by WebSocket or long HTTP requests, and it asks the application
about everything that needs a decision: by plain form POSTs that carry the browser's own cookies, and that are
answered by
.Ql [true, {...}]
or
.Ql [false, {...}] .
.Pp
Without flags it listens on 127.0.0.1 port 8001 and asks an application on port 80, below
.Pa /hookbox .
To try it without any application, run
.Nm
.Cm dev .
.Ss Commands
All but
.Cm serve
and
.Cm dev
call a running server, or look at one, and have a
.Fl Fl help
of their own.
"""

_SOURCES: Final = """\
.Sh SETTINGS
Every setting is a flag, an environment variable, and a key of a TOML file:
.Fl Fl admin-password ,
.Ev HOOKBOX_ADMIN_PASSWORD ,
.Li admin_password .
Flag beats environment beats file beats default.
A switch can be turned off again by
.Fl Fl no- Ns Ar name .
What can be repeated is a list in the file, and separated by commas in the environment.
Secrets do not belong into flags, which
.Xr ps 1
shows to everybody.
.Pp
Those marked
.Em restart
are read once; all others change at a reload.
"""

_TAIL: Final = """\
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev HOOKBOX_ Ns Ar NAME
Each setting above, in upper case with underscores.
.It Ev NOTIFY_SOCKET , WATCHDOG_USEC
The service manager is told of start, reload and end, and gets signs of life; see
.Xr sd_notify 3 .
.It Ev LISTEN_FDS , LISTEN_FDNAMES
Listening sockets that the service manager has opened, see
.Xr sd_listen_fds 3 :
the one named
.Ql api
is the second listener, else the second.
.It Ev HOOKBOX_URL , HOOKBOX_TOKEN
Which server the commands call that call one.
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa hookbox.db
The store, in the directory where the server runs unless
.Fl Fl store
says otherwise: what is owed to URLs, to subscribers and to the application.
It has to be on a local disk and to survive a restart.
.El
.Sh SIGNALS
.Bl -tag -width Ds
.It Dv SIGTERM , SIGINT
Drain: accept nobody new, tell pages to come back, finish what is under way, and end within
.Fl Fl drain-grace
seconds.
A second one ends it at once.
.It Dv SIGHUP
Read the file again, and open log files anew.
Settings that are wrong change nothing.
.El
.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
It was told to end, and has ended in order.
.It 1
It could not start: the port is in use, the store cannot be opened; or it ended by an error of its own.
A command was refused by the server.
.It 2
Flags, environment or file are wrong; one line says what.
.It 3
A command did not reach the server.
.El
.Sh EXAMPLES
Try it without an application:
.Pp
.Dl hookbox dev
.Pp
Serve, and ask an application on port 8000; the secrets come from a file of variables:
.Pp
.Dl set -a; \\&. ./hookbox.env; hookbox --cbport 8000
.Pp
Behind a web server that forwards
.Pa /realtime ,
with the HTTP API on a port of its own:
.Pp
.Dl hookbox --path-prefix /realtime --trusted-proxy 127.0.0.1 --cbport 8000 --web-api-port 8002
.Pp
See what would be in force, secrets masked, and whether it is right:
.Pp
.Dl hookbox --config /etc/hookbox/hookbox.toml --check-config
.Pp
Take over from the server that runs, without anyone noticing:
.Pp
.Dl hookbox --config /etc/hookbox/hookbox.toml --replace
.Sh SEE ALSO
.Xr systemd.service 5 ,
.Xr systemd.socket 5
.Pp
The manual in
.Pa docs/ :
.Pa start.md
for the first steps,
.Pa webhooks.md
for what the application is asked,
.Pa deployment.md
for proxies, systemd and containers.
"""


def man_page(date: str = "January 1, 2026") -> str:
    """The whole page.

    Args:
        date: of the version, as mdoc(7) wants it.
    """
    parts = [_HEAD.replace("{date}", date).replace("{version}", __version__), _commands(), _SOURCES]
    parts += [_group(group) for group in Group]
    parts.append(".Ss Asking the command itself\n" + _list(_own_flags()))
    parts.append(re.sub(r"^\.Dl .*", lambda line: line[0].replace("-", r"\-"), _TAIL, flags=re.MULTILINE))
    return "".join(parts)


def _commands() -> str:
    return _list((_command(line), escaped(does)) for line, does in COMMANDS)


def _command(line: str) -> str:
    name, *arguments = line.split()
    return f"Cm {name}" + "".join(f" Ar {escaped(argument)}" for argument in arguments)


def _group(group: Group) -> str:
    return f".Ss {escaped(group.value)}\n" + _list(map(_setting, names_in(group)))


def _setting(name: str) -> tuple[str, str]:
    about = ABOUT[name]
    placeholder = placeholder_of(name)
    value = f" Ar {placeholder}" if placeholder else ""
    flags = " , ".join(f"{_flag(flag)}{value}" for flag in flags_of(name))
    text = escaped(about.help + default_text(name, about)) + "."
    if KINDS[name] != "bool" and (about.choices or about.unit or KINDS[name].startswith(("int", "float"))):
        text += f"\nAllowed: {escaped(allowed(name))}."
    about_it = f"Ev {variable_of(name)}" + ("" if about.live else " ; Em restart")
    return flags, f"{text}\n.Pq {about_it}"


def _flag(flag: str) -> str:
    return f"Fl Fl {flag[2:]}" if flag.startswith("--") else f"Fl {flag[1:]}"


def _own_flags() -> Iterator[tuple[str, str]]:
    for flags, does in OWN_FLAGS:
        yield " , ".join(map(_flag, flags.split(", "))), escaped(does) + "."


def _list(rows: Iterator[tuple[str, str]]) -> str:
    return ".Bl -tag -width Ds\n" + "".join(f".It {tag}\n{text}\n" for tag, text in rows) + ".El\n"


def escaped(text: str) -> str:
    """Plain text for a line of its own, or for an argument: nothing in it is a request.

    Source: groff_char(7), "Mnemonic forms".
    """
    text = re.sub(r"`([^`]*)`", r"\\(oq\1\\(cq", text.replace("\\", r"\e"))
    text = text.replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text
