"""Settings that may be changed through the API, and how the changes are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from hookbox.core.values import JSON
from hookbox.errors import ConfigError
from hookbox.settings import ABOUT, Group, Settings
from hookbox.sources import KINDS, nearest, read_value
from hookbox.web.bodies import Given
from hookbox.web.params import BadParameter, decode_loosely

CHANGEABLE: Final = tuple(
    item.name
    for item in fields(Settings)
    if ABOUT[item.name].live
    and (ABOUT[item.name].group is Group.WEBHOOKS or ABOUT[item.name].secret)
    and item.name != "admin_password"
)
"""Where and how the application is asked, and its secrets. The console is the operator's: who holds a token
of the API, or has stolen one, must not be able to give it a password."""


def read_options(given: Given, taken: frozenset[str], depth: int) -> dict[str, JSON]:
    """The settings that a call names. A form's values are JSON; text that is not is taken as it is."""
    changes: dict[str, JSON] = {}
    for name, value in given.values.items():
        if name in taken:
            continue
        if given.coded:
            decoded = decode_loosely(str(value), depth)
            # a secret of digits only is text all the same
            keeps = isinstance(decoded, str | list) or KINDS.get(name) not in ("str", "tuple[str, ...]")
            value = decoded if keeps else value
        changes[name] = value
    return changes


def read_changes(settings: Settings, given: Mapping[str, JSON]) -> dict[str, Any]:
    """Check changes of settings, alone and together.

    Returns:
        the new values by name.

    Raises:
        BadParameter: naming the setting; the text never holds a secret.
    """
    from hookbox.webhooks.calls import Calls  # only who changes settings waits for it

    if not given:
        raise BadParameter("no setting given; those that can be changed are " + ", ".join(CHANGEABLE))
    for name in given:
        if name not in CHANGEABLE:
            known = "is not changed here" if name in ABOUT else "is not a setting"
            raise BadParameter(f"{name[:80]} {known}{nearest(name, CHANGEABLE)}")
    if "api_security_token" in given and not any(_as_list(given["api_security_token"])):
        raise BadParameter("api_security_token must keep a token; the API could not be called any more")
    try:
        changes = {name: read_value(name, value, name) for name, value in given.items()}
        Calls(replace(settings, **changes))
    except ConfigError as error:
        raise BadParameter(str(error)) from None
    except ValueError:
        raise BadParameter("these settings do not make the URL of an application") from None
    return changes


def _as_list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else [value]
