"""The configuration: shown with secrets masked, and changed where that is possible while the server runs."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

from hookbox.admin.asked import Problem, Request, Told
from hookbox.checks import check_together
from hookbox.core.values import JSON, JSONObject
from hookbox.errors import ConfigError
from hookbox.settings import ABOUT, INF, Group, Settings
from hookbox.sources import KINDS, read_value, shown
from hookbox.webhooks.calls import Calls
from hookbox.webhooks.masking import STARS, mask_url

if TYPE_CHECKING:
    from hookbox.admin.console import Console

logger = logging.getLogger(__name__)

OWN_LOG: Final = "webhook_log"
"""The one setting about logs that is no business of what writes the log."""
DEFAULTS: Final = Settings()


def is_live(name: str) -> bool:
    """Whether a setting may be changed here. What writes the log takes its settings from the file only."""
    return ABOUT[name].live and (ABOUT[name].group is not Group.LOGGING or name == OWN_LOG)


def listed(console: Console, request: Request) -> Told:
    """Every setting, by group."""
    settings = console.server.settings
    return {"items": [_item(settings, each.name) for each in fields(Settings)]}


def _item(settings: Settings, name: str) -> JSONObject:
    about = ABOUT[name]
    return {
        "name": name,
        "group": about.group.value,
        "help": about.help,
        "kind": KINDS[name],
        "value": _shown(name, getattr(settings, name)),
        "default": _shown(name, getattr(DEFAULTS, name)),
        "unit": about.unit,
        "choices": [*about.choices],
        "low": None if about.low == -INF else about.low,
        "high": None if about.high == INF else about.high,
        "live": is_live(name),
        "secret": about.secret,
    }


def _shown(name: str, value: Any) -> JSON:
    if isinstance(value, tuple):
        return [_shown_text(name, each) for each in value]
    return _shown_text(name, value) if isinstance(value, str) else value


def _shown_text(name: str, text: str) -> str:
    if ABOUT[name].secret:
        return STARS if text else ""
    return mask_url(text) if ABOUT[name].metavar == "URL" else shown(name, text)


def change(console: Console, request: Request) -> Told:
    """Change settings at once, all that are given or none; until the next start."""
    changes = request.json().get("changes")
    if not isinstance(changes, dict) or not changes:
        raise Problem(400, "bad_parameter", "changes must be an object of settings by name")
    settings = console.server.settings
    try:
        read = {name: _read(name, value) for name, value in changes.items()}
        new = replace(settings, **read)
        check_together(new)
        Calls(new)
    except ConfigError as error:
        raise Problem(400, "bad_setting", str(error)) from None
    except ValueError:
        raise Problem(400, "bad_setting", "these settings do not make the URL of an application") from None
    console.server.change(read)
    logger.warning("the console: settings changed: %s", ", ".join(read))
    return {"changed": [*read]}


def _read(name: str, value: JSON) -> Any:
    if name not in ABOUT:
        raise Problem(400, "bad_setting", f"{name[:80]} is not a setting")
    if not is_live(name):
        raise Problem(400, "bad_setting", f"{name} is not changed here; set it where it is configured")
    if name == "admin_password" and not value:
        raise Problem(400, "bad_setting", "admin_password must not be empty: the console would be off")
    if isinstance(value, str | list) and STARS in str(value) and (ABOUT[name].secret or _is_url(name)):
        raise Problem(400, "bad_setting", f"{name}: {STARS} stands for what is not shown; give all of it")
    return read_value(name, value, name)


def _is_url(name: str) -> bool:
    return ABOUT[name].metavar == "URL"
