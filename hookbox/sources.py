"""Where settings come from: flag beats environment beats file beats default.

A flag `--admin-password` is `HOOKBOX_ADMIN_PASSWORD` in the environment and `admin_password` in the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeAlias

from hookbox.checks import CHECKS, check_together, doubts
from hookbox.errors import ConfigError
from hookbox.settings import ABOUT, KIB, Settings

FlagValue: TypeAlias = str | bool | list[str]

PREFIX: Final = "HOOKBOX_"
SERVER_VARIABLE: Final = "HOOKBOX_SERVER"
"""Which server the commands call that call one; no setting."""
DEFAULT: Final = "default"
MASK: Final = "***"
KINDS: Final[Mapping[str, str]] = {f.name: str(f.type) for f in fields(Settings)}

_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_SYNONYMS: Final = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_FACTORS: Final[Mapping[str, Mapping[str, float]]] = {
    "bytes": {"B": 1, "KiB": KIB, "MiB": KIB**2, "GiB": KIB**3},
    "seconds": {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400},
    "": {},
}
_NUMBER: Final = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")
_USERINFO: Final = re.compile(r"//[^/?#\s]*@")
_UP_TO_AT: Final = re.compile(r"^(['\"\[]*[A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
_UNCLEAN: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NOT_OURS: Final = re.compile(r"TEST.*|SERVICE_(HOST|PORT.*)|PORT_[0-9]+_(TCP|UDP).*")


def flag_of(name: str) -> str:
    """The long flag of a setting."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def allowed(name: str) -> str:
    """What a setting may be, in words."""
    about, kind = ABOUT[name], KINDS[name]
    limits = f"from {about.low:.15g} to {about.high:.15g}"
    if about.choices:
        return f"one of {', '.join(about.choices)}"
    if kind == "bool":
        return "true or false"
    if about.unit == "bytes":
        return f"a size {limits} bytes, such as 65536 or 64KiB"
    if about.unit == "seconds":
        return f"a time {limits} seconds, such as 5 or 500ms"
    if kind.startswith("int"):
        return f"a whole number {limits}"
    if kind == "float":
        return f"a number {limits}"
    return "text without control characters"


def shown(name: str, text: str) -> str:
    """A value as it may be shown: secrets, and passwords inside of URLs, are masked."""
    if ABOUT[name].secret:
        return MASK
    return _USERINFO.sub(f"//{MASK}@", text)


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean ...?` with up to three known words that resemble this one, or nothing.

    Args:
        prefix: of the word and in the answer, but not of the known words, and not compared.
    """
    from difflib import get_close_matches  # needed only when something is wrong

    close = get_close_matches(word.removeprefix(prefix), list(known), n=3)
    return f"; did you mean {' or '.join(prefix + other for other in close)}?" if close else ""


def _number(name: str, value: object) -> float:
    """A number from text, with or without a unit, or from the file."""
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int | float):
        return value
    match = _NUMBER.fullmatch(str(value))
    if match is None:
        raise ValueError
    amount, unit = match.groups()
    factor = _FACTORS[ABOUT[name].unit].get(unit) if unit else 1
    if factor is None:
        raise ValueError
    return (float(amount) if "." in amount else int(amount)) * factor


def _read_number(name: str, value: object) -> int | float:
    about, number = ABOUT[name], _number(name, value)
    if not about.low <= number <= about.high:  # NaN is not either
        raise ValueError
    if KINDS[name] == "float":
        return float(number)
    if number != int(number):
        raise ValueError
    return int(number)


def _read_flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError
    return _WORDS[value.lower()]


def _read_text(name: str, value: object) -> str:
    if not isinstance(value, str) or _UNCLEAN.search(value):
        raise ValueError
    choices = ABOUT[name].choices
    if choices:
        word = _SYNONYMS.get(value.upper(), value).lower()
        return next(choice for choice in choices if choice.lower() == word)
    return CHECKS[name](value) if value and name in CHECKS else value


def _read_list(name: str, value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ValueError
    if len(items) > ABOUT[name].most:
        raise ValueError(f"given {ABOUT[name].most} times at most")
    return tuple(_read_text(name, item) for item in items if item != "")


_READERS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "bool": _read_flag,
    "int": _read_number,
    "int | None": _read_number,
    "float": _read_number,
    "str": _read_text,
    "tuple[str, ...]": _read_list,
}


def read_value(name: str, value: object, where: str) -> Any:
    """Read one value as the type of its setting.

    Args:
        name: of the setting.
        value: text, or what the TOML file held.
        where: the place to name when it is wrong.

    Raises:
        ConfigError: wrong type or out of range; names the place, the value and what is allowed.
    """
    try:
        return _READERS[KINDS[name]](name, value)
    except (ValueError, KeyError, StopIteration, OverflowError) as error:
        expected = str(error) if type(error) is ValueError and str(error) else allowed(name)
        given = "the value" if ABOUT[name].secret else _UP_TO_AT.sub(rf"\1{MASK}@", repr(value))
        raise ConfigError(f"{where}: {given} is not allowed; {name} is {expected}") from None


@dataclass(frozen=True, slots=True)
class Effective:
    """Settings, where each of them came from, and what the operator should know about them."""

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """Flags and environment as they were at the start, and the file as it is when asked.

    Args:
        flags: by name of the setting; lists for flags that can be repeated.
        environ: the process's environment.
    """

    flags: Mapping[str, FlagValue] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def read(self) -> Effective:
        """Read all sources anew.

        Raises:
            ConfigError: a name is unknown, a value wrong, or two contradict each other.
        """
        warnings: list[str] = []
        values: dict[str, tuple[Any, str]] = {}
        from_environment = _read_environment(self.environ, warnings)
        from_flags = {
            name: (read_value(name, v, flag_of(name)), flag_of(name)) for name, v in self.flags.items()
        }
        path = {**from_environment, **from_flags}.get("config", ("", ""))[0]
        if path:
            values.update(read_file(path, warnings))
        values.update(from_environment)
        values.update(from_flags)
        settings = Settings(**{name: value for name, (value, _) in values.items()})
        check_together(settings)
        warnings.extend(doubts(settings))
        origins = {name: values[name][1] if name in values else DEFAULT for name in ABOUT}
        return Effective(settings, origins, tuple(warnings))

    def reload(self, previous: Settings) -> tuple[Settings, tuple[str, ...], tuple[str, ...]]:
        """Read all sources again, and take over what may change while the server runs.

        Returns:
            The settings to use from now on, the names that changed, and the names whose
            new value waits for a restart.

        Raises:
            ConfigError: the file has become unusable; `previous` stays good.
        """
        fresh = self.read().settings
        differing = [name for name in ABOUT if getattr(fresh, name) != getattr(previous, name)]
        changed = tuple(name for name in differing if ABOUT[name].live)
        ignored = tuple(name for name in differing if not ABOUT[name].live)
        return replace(previous, **{name: getattr(fresh, name) for name in changed}), changed, ignored


def _read_environment(environ: Mapping[str, str], warnings: list[str]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for variable in sorted(environ):
        name, text = variable.removeprefix(PREFIX).lower(), environ[variable]
        if (
            variable == SERVER_VARIABLE
            or not variable.startswith(PREFIX)
            or text == ""
            or _made_by_kubernetes(variable, text)
        ):
            continue
        if name in ABOUT:
            found[name] = (_read_variable(name, text, variable), variable)
        elif name.endswith("_file") and name.removesuffix("_file") in _secret_names():
            name = name.removesuffix("_file")
            found.setdefault(name, (_read_variable(name, _file_text(text, variable), variable), variable))
        else:
            _unknown_variable(variable, warnings)
    return found


def _made_by_kubernetes(variable: str, text: str) -> bool:
    """Whether this only tells of a service that is called `hookbox`, as pods are told of every service."""
    rest = variable.removeprefix(PREFIX)
    return bool(_NOT_OURS.fullmatch(rest)) or (rest == "PORT" and "://" in text)


def _read_variable(name: str, text: str, variable: str) -> Any:
    several = KINDS[name].startswith("tuple")
    return read_value(name, [part.strip() for part in text.split(",")] if several else text, variable)


def _file_text(path: str, variable: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(65536).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{variable}: {path} cannot be read: {_reason(error)}") from None


def _secret_names() -> frozenset[str]:
    return frozenset(name for name, about in ABOUT.items() if about.secret)


def _unknown_variable(variable: str, warnings: list[str]) -> None:
    """A typing error is an error; a name that resembles no setting is somebody else's."""
    hint = nearest(variable, (name.upper() for name in ABOUT), PREFIX)
    if hint:
        raise ConfigError(f"{variable} in the environment is not a setting{hint}")
    warnings.append(f"{variable} in the environment is not a setting of Hookbox and has no effect")


def read_file(path: str, warnings: list[str]) -> dict[str, tuple[Any, str]]:
    """Read a TOML file: one key per setting, no tables.

    Raises:
        ConfigError: it cannot be read or is not TOML, or has an unknown key or a wrong value;
            names the line where one can be found.
    """
    import tomllib  # most servers start without a file

    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8")
            mode = os.fstat(file.fileno()).st_mode
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"config: {path} cannot be read: {_reason(error)}") from None
    except ValueError as error:  # bad TOML, bad UTF-8
        raise ConfigError(f"{path} is not TOML: {_reason(error)}") from None
    secret = _secret_names() & document.keys() or any(_USERINFO.search(str(v)) for v in document.values())
    if mode & 0o004 and secret:
        warnings.append(f"{path} holds secrets and every user of this machine can read it; chmod 600 helps")
    return {key: _read_entry(key, value, _place(path, text, key)) for key, value in document.items()}


def _read_entry(key: str, value: object, place: str) -> tuple[Any, str]:
    if key == "config":
        raise ConfigError(
            f"{place}: a file cannot name another file; give --config or {variable_of('config')}"
        )
    if key not in ABOUT:
        raise ConfigError(f"{place}: {key} is not a setting{nearest(key, ABOUT)}")
    return read_value(key, value, f"{place}, {key}"), place


def _place(path: str, text: str, key: str) -> str:
    """File and line of a key, as far as a look at the lines can tell."""
    start = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), 1):
        if start.match(line):
            return f"{path}:{number}"
    return path


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
