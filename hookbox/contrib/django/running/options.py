"""What `manage.py runhookbox` tells the server: command line before settings before defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings as django
from django.urls import NoReverseMatch

from hookbox.contrib.django import conf
from hookbox.errors import ConfigError
from hookbox.settings import ABOUT
from hookbox.sources import KINDS, PREFIX, flag_of, nearest, read_value, variable_of

WHILE_DEBUGGING: Final = {"egress": "internal", "dispatch_auth": "loopback", "hub_policy": "open"}
"""So that hooks reach a receiver on the developer's own machine, and anybody there may try the hub."""
KNOWN_OF_OLD: Final = {"webhook_secret": "-s", "api_security_token": "-r", "admin_password": "-a"}
"""Flags that every Hookbox has had, whatever the long ones are called."""
_ALWAYS: Final = {"interface", "port", "cbhost", "cbport", "cbpath"}
_USUAL_SESSION_COOKIE: Final = "sessionid"
_NOT_THE_SERVERS: Final = {
    "HOOKBOX_CBPATH", "HOOKBOX_DEBUG_VIEW", "HOOKBOX_EXECUTABLE", "HOOKBOX_REST_SECRET", "HOOKBOX_URL",
    *(item.name for item in vars(conf).values() if isinstance(item, conf.Setting)),
}  # fmt: skip
_DJANGOS_ALONE: Final = _NOT_THE_SERVERS - {variable_of(name) for name in ABOUT}
"""In the environment they are for the project's settings to read; the server would take some for misspelt."""


@dataclass(frozen=True, slots=True)
class Orders:
    """How a server is started.

    Args:
        arguments: for the program; no secret is among them, unless it is somebody else's program.
        environ: its variables, with the secrets.
    """

    arguments: list[str] = field(repr=False)
    environ: dict[str, str] = field(repr=False)


def read_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that somebody decided on, by the name it has on the server; values as that reads them.

    Args:
        given: on the command line; None is not given.

    Raises:
        ConfigError: a value that the server would not take; says where it stands.
    """
    chosen: dict[str, Any] = {}
    for name in ABOUT:
        where, value = flag_of(name), given.get(name)
        if value is None:
            where, value = f"{variable_of(name)} in the settings", _setting(name)
        if value is not None:
            chosen[name] = _read(name, value, where)
    return chosen


def _setting(name: str) -> Any:
    if name == "api_security_token":
        return conf.api_token()
    if name in _ALWAYS:
        return getattr(conf, name)()
    if name == "session_cookie" and (cookie := conf.session_cookie()) != _USUAL_SESSION_COOKIE:
        return cookie
    return getattr(django, variable_of(name), None)


def _read(name: str, value: Any, where: str) -> Any:
    if name == "cbport" and value == "auto":
        raise ConfigError(
            f"{where}: the port of a running runserver cannot be known here; give runhookbox the one that "
            "Django listens on, as --cbport 8000 or by HOOKBOX_CBPORT in the settings"
        )
    if isinstance(value, list | tuple | set | frozenset):
        return read_value(name, [_text(item) for item in value], where)
    is_text = KINDS[name].startswith(("str", "tuple")) or not isinstance(value, bool | int | float)
    return read_value(name, _text(value) if is_text else value, where)


def _text(value: Any) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def doubts(chosen: Mapping[str, Any]) -> Iterator[str]:
    """What is allowed but probably not meant.

    Args:
        chosen: from `read_options`.
    """
    yield from _misspelt()
    yield from _disagreements(chosen)
    if not (getattr(django, "HOOKBOX_CBPATH", None) or chosen.get("cb_single_url") or _has_views()):
        yield (
            "hookbox.contrib.django.urls is not in the URL configuration, so everything will be denied; "
            'add path("hookbox/", include("hookbox.contrib.django.urls"))'
        )


def _disagreements(chosen: Mapping[str, Any]) -> Iterator[str]:
    """Secrets that the server gets, by the command line or the environment, but Django has not."""
    token, secret = conf.api_token(), conf.webhook_secret()
    refused = "so publish() and other calls of Django will be refused"
    if not token:
        yield f"HOOKBOX_API_SECURITY_TOKEN is not in the settings, {refused}"
    elif token not in chosen.get("api_security_token", ()):
        yield f"--api-security-token is not the HOOKBOX_API_SECURITY_TOKEN of the settings, {refused}"
    if secret and chosen.get("webhook_secret") != str(secret):
        yield "--webhook-secret is not the HOOKBOX_WEBHOOK_SECRET of the settings, so all will be denied"


def _has_views() -> bool:
    try:
        conf.path_of("hookbox_connect")
    except NoReverseMatch:
        return False
    return True


def _misspelt() -> Iterator[str]:
    known = _NOT_THE_SERVERS | {variable_of(name) for name in ABOUT}
    for name in sorted(dir(django)):
        if name.startswith(PREFIX) and name not in known:
            hint = nearest(name, (other.removeprefix(PREFIX) for other in known), PREFIX)
            if hint:
                yield f"{name} in the settings is no setting of Hookbox and has no effect{hint}"


def orders(chosen: Mapping[str, Any], more: Sequence[str], environ: Mapping[str, str]) -> Orders:
    """How our own server is started: secrets, and URLs that may hold some, in the environment only.

    Args:
        chosen: from `read_options`.
        more: arguments passed on as they are; they come last, so they win.
        environ: of this process.
    """
    wanted = {**_while_debugging(environ), **chosen}
    arguments, variables = [], _for_the_server(environ)
    for name, value in wanted.items():
        if ABOUT[name].secret or ABOUT[name].metavar == "URL":
            variables[variable_of(name)] = _in_variable(name, value)
        else:
            arguments += _in_flags(name, value, flag_of(name))
    return Orders([*arguments, *more], variables)


def orders_of_old(chosen: Mapping[str, Any], more: Sequence[str], environ: Mapping[str, str]) -> Orders:
    """How somebody else's program is started, of which nothing is known but that it takes flags."""
    arguments = []
    for name, value in chosen.items():
        if name in _ALWAYS or value not in ("", ()):
            arguments += _in_flags(name, value, KNOWN_OF_OLD.get(name, flag_of(name)))
    return Orders([*arguments, *more], _for_the_server(environ))


def _for_the_server(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in _DJANGOS_ALONE}


def _while_debugging(environ: Mapping[str, str]) -> dict[str, str]:
    if not django.DEBUG:
        return {}
    return {name: value for name, value in WHILE_DEBUGGING.items() if variable_of(name) not in environ}


def _in_variable(name: str, value: Any) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    if any("," in part for part in parts) and KINDS[name].startswith("tuple"):
        raise ConfigError(f"{variable_of(name)}: a comma separates two of them, so none can contain one")
    return ",".join(parts)


def _in_flags(name: str, value: Any, flag: str) -> list[str]:
    """With `=`, so that a value that begins with a dash is not taken for a flag."""
    if isinstance(value, bool):
        return [flag if value else "--no-" + flag_of(name)[2:]]
    short = not flag.startswith("--")
    parts = value if isinstance(value, tuple) else (value,)
    return [word for part in parts for word in ([flag, str(part)] if short else [f"{flag}={part}"])]
