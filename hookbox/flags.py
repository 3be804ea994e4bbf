"""The command line, taken apart but not yet read: which command, which flags, which values."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from hookbox.errors import ConfigError
from hookbox.settings import ABOUT
from hookbox.sources import KINDS, FlagValue, flag_of, nearest

WISHES: Final = ("--help", "--version", "--check-config")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line taken apart.

    Args:
        command: `serve`, `dev` ...
        wishes: those of `WISHES` that were given.
        flags: the others, by the name of their setting.
    """

    command: str
    wishes: frozenset[str]
    flags: dict[str, FlagValue]


def parse(argv: Sequence[str], commands: Iterable[str], first: Iterable[str] = ()) -> CommandLine:
    """Take a command line apart; without a command it is the first of `commands`.

    Args:
        first: commands with flags of their own, which cannot stand behind others.

    Raises:
        ConfigError: a flag or the command is unknown, or a flag lacks its value.
    """
    known, rest = _make_parser().parse_known_args(argv)
    values: dict[str, FlagValue] = vars(known)
    wishes = frozenset(wish for wish in WISHES if values.pop(wish, False))
    for word in rest:
        if word.startswith("-"):
            raise _unknown_flag(word.partition("=")[0])
    return CommandLine(_command(rest, tuple(commands), tuple(first)), wishes, values)


def _command(words: Sequence[str], commands: Sequence[str], first: Sequence[str]) -> str:
    command, *more = words or commands[:1]
    if command in first:
        raise ConfigError(f"{command} has to come first: hookbox {command} ... (its --help lists its flags)")
    if command not in commands:
        raise ConfigError(
            f"unknown command {command!r}{nearest(command, [*commands, *first])} (hookbox --help lists all)"
        )
    if more:
        raise ConfigError(f"{more[0]!r} is too much after {command}; hookbox --help shows how to ask")
    return command


def _unknown_flag(flag: str) -> ConfigError:
    every = [known.removeprefix("--") for name in ABOUT for known in flags_of(name)]
    every += [wish.removeprefix("--") for wish in WISHES]
    return ConfigError(f"unknown flag {flag}{nearest(flag, every, '--')} (hookbox --help lists all)")


def flags_of(name: str) -> list[str]:
    """The flags of a setting, short ones first."""
    every = {*ABOUT[name].names, flag_of(name)}
    return sorted(every, key=lambda flag: (flag.startswith("--"), flag.count("_"), flag != flag_of(name)))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message.removeprefix("argument "))


def _make_parser() -> argparse.ArgumentParser:
    """All values stay text here: `hookbox.sources` reads them like those of the other sources."""
    parser = _Parser(prog="hookbox", add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ABOUT:
        _add_flag(parser, name)
    for wish in WISHES:
        parser.add_argument(*(["-h"] if wish == "--help" else []), wish, action="store_true", dest=wish)
    return parser


def _add_flag(parser: argparse.ArgumentParser, name: str) -> None:
    if KINDS[name] == "bool":
        parser.add_argument(*flags_of(name), dest=name, action="store_const", const=True)
        parser.add_argument("--no-" + flag_of(name)[2:], dest=name, action="store_const", const=False)
    else:
        several = KINDS[name].startswith("tuple")
        parser.add_argument(*flags_of(name), dest=name, action="append" if several else "store")
