"""What Hookbox says about its settings: `--help`, `--check-config` and the manual's table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hookbox import __version__
from hookbox.flags import flags_of
from hookbox.settings import ABOUT, About, Group, Settings
from hookbox.sources import KINDS, MASK, Effective, allowed, shown

_INTRODUCTION: Final = """\
usage: hookbox [command] [flags]

Makes ordinary web applications realtime: browsers connect here, and Hookbox asks
your application by HTTP about everything that needs a decision.

  hookbox --cbport 8000         serve, asking the application on port 8000
  hookbox dev                   try it without any application (not for production)
  hookbox --cbport 8000 --replace
                                take over from the server that runs, without anyone noticing
  hookbox --config hookbox.toml --check-config
                                show the effective settings and where each comes from
"""
COMMANDS: Final = (
    ("serve", "run the server (the default)"),
    ("dev", "allow everything, serve a demo page"),
    ("password", "make the console's admin_password, so that it cannot be read"),
    ("publish CHANNEL [PAYLOAD]", "publish on a channel of a running server"),
    ("dispatch URL...", "have a running server deliver something"),
    (
        "deliveries list|show|retry|replay|job",
        "look at what it owes and what became of it, and have it again",
    ),
    ("check URL", "ask your application each webhook, and say what is wrong"),
    ("doctor URL", "look at a deployment from outside, and say what is wrong"),
)
"""Each command with its arguments, and what it does."""
_SOURCES: Final = """\
Every flag is also an environment variable and a key of the file: --admin-password,
HOOKBOX_ADMIN_PASSWORD, admin_password. Flag beats environment beats file beats default.
Switches can be turned off again with --no-NAME. SIGHUP reloads the file.
"""
_WHERE_TO_BEGIN: Final = """\
New here? You need none of these flags to try it: run hookbox dev, and open the address that
it prints. With an application of yours, --cbport is the one that you need; then come
--webhook-secret and --api-security-token, better as HOOKBOX_... variables, since ps shows flags.
All others have defaults that are good for production. This text in pages: hookbox --help | less
"""

_SERVING: Final = ("serve", "dev")
OWN_FLAGS: Final = (
    ("--check-config", "print the effective settings, secrets masked, and exit"),
    ("--version", "print the version and exit"),
    ("-h, --help", "print this and exit"),
)
_DEFAULTS: Final = Settings()


def help_text() -> str:
    """What `--help` prints."""
    commands = "".join(_two_columns(*row) for row in COMMANDS)
    own = _two_columns("", f"(all but {' and '.join(_SERVING)} come first and have a --help of their own)")
    parts = [_INTRODUCTION, f"commands:\n{commands}{own}", _SOURCES]
    for group in Group:
        rows = [_help_row(name, ABOUT[name]) for name in names_in(group)]
        parts.append(f"{group.value}:\n" + "".join(rows))
    parts.append("Asking the command itself:\n" + "".join(_two_columns(*row) for row in OWN_FLAGS))
    parts.append(_WHERE_TO_BEGIN)  # at the end, since that is what a terminal shows of a long text
    return "\n".join(parts)


def names_in(group: Group) -> Iterator[str]:
    """The names of the settings under a heading."""
    return (name for name, about in ABOUT.items() if about.group is group)


def _help_row(name: str, about: About) -> str:
    placeholder = placeholder_of(name)
    left = ", ".join(flags_of(name)) + (f" {placeholder}" if placeholder else "")
    return _two_columns(left, about.help + default_text(name, about))


def placeholder_of(name: str) -> str:
    """What stands for a setting's value behind its flag; empty for a switch."""
    about = ABOUT[name]
    return "" if KINDS[name] == "bool" else about.metavar or about.unit.upper() or "N"


def default_text(name: str, about: About) -> str:
    """What is said of a setting's default behind its help, and whether it can be repeated."""
    default = getattr(_DEFAULTS, name)
    several = "; can be repeated" if KINDS[name].startswith("tuple") else ""
    if default in ("", (), None, False):
        return several
    return f"{several} (default {_with_unit(default, about.unit)})"


def _with_unit(value: object, unit: str) -> str:
    if unit == "bytes" and isinstance(value, int) and value:
        factor, short = next((f, s) for f, s in ((2**20, "MiB"), (2**10, "KiB"), (1, "B")) if value % f == 0)
        return f"{value // factor} {short}"
    text = toml_value(value).strip('"')
    return f"{text} s" if unit == "seconds" else text


def _two_columns(left: str, right: str) -> str:
    import textwrap  # nothing else in a server's life needs it

    gap = "\n" + " " * 32
    first = f"  {left:<30}" if len(left) <= 29 else f"  {left}{gap}"
    return first + gap.join(textwrap.wrap(right, 68)) + "\n"


def config_text(effective: Effective) -> str:
    """What `--check-config` prints: a TOML document, with the origin of each value as a comment."""
    parts = [f"# Effective settings of Hookbox {__version__}\n"]
    for group in Group:
        parts.append(f"# {group.value}\n" + "".join(_config_row(name, effective) for name in names_in(group)))
    return "\n".join(parts)


def _config_row(name: str, effective: Effective) -> str:
    value = getattr(effective.settings, name)
    if value is None:
        text = f"# {name} is not set"
    elif name == "config":  # a file cannot name a file
        text = f"# config = {toml_value(value)}"
    elif value and ABOUT[name].secret:
        text = f"{name} = {toml_value(MASK if isinstance(value, str) else (MASK,) * len(value))}"
    else:
        text = f"{name} = {shown(name, toml_value(value)) if value else toml_value(value)}"
    return f"{text:<48}  # {effective.origins[name]}\n"


def toml_value(value: object) -> str:
    """A setting's value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f"{value:.15g}"


def with_tables(page: str) -> str:
    """The manual's page with the table under each heading written anew."""
    for group in Group:
        table = re.compile(rf"(?<=^## {re.escape(group.value)}\n\n)\|(.+\n)*", re.MULTILINE)
        page = table.sub(manual_table(group).replace("\\", r"\\"), page)
    return page


def manual_table(group: Group) -> str:
    """The table of the manual for one heading, in Markdown."""
    head = "| setting | flags | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(_manual_row(name, ABOUT[name]) for name in names_in(group))


def _manual_row(name: str, about: About) -> str:
    default = getattr(_DEFAULTS, name)
    text = f"`{_with_unit(default, about.unit)}`" if default not in ("", (), None) else "-"
    restart = "" if about.live else " (needs a restart)"
    flags = ", ".join(f"`{flag}`" for flag in flags_of(name))
    return f"| `{name}` | {flags} | {text} | {_manual_range(name)} | {about.help}{restart} |\n"


def _manual_range(name: str) -> str:
    about = ABOUT[name]
    if KINDS[name] in ("str", "tuple[str, ...]") and not about.choices:
        return "list of text" if KINDS[name] != "str" else "text"
    return allowed(name).partition(",")[0] if about.unit else allowed(name)
