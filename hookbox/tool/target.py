"""Which server is meant: by flags, by the environment, or by the settings that the server itself reads."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from hookbox.errors import ConfigError
from hookbox.settings import Settings
from hookbox.sources import SERVER_VARIABLE, FlagValue, Sources
from hookbox.tool.api import Target
from hookbox.tool.problems import USAGE, ToolError

ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def find_target(given: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Which server to call, and with which token.

    Raises:
        ToolError: settings are wrong, a file cannot be read, or the URL is none.
    """
    url, found = given.server or "", "--server"
    if not url:
        url, found = environ.get(SERVER_VARIABLE, ""), SERVER_VARIABLE
    token = given.token or (first_line(given.token_file, "--token-file") if given.token_file else "")
    if not (url and token):
        settings = settings_of(given.config, environ)
        token = token or next(filter(None, settings.api_security_token), "")
        if not url:
            url, found = url_of(settings), "the settings"
    return Target(_checked(url, found), token, found, given.timeout, given.cacert)


def first_line(path: str, flag: str) -> str:
    """What a file holds, without blanks around it.

    Raises:
        ToolError: it cannot be read, or is empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(65_536).strip()
    except (OSError, ValueError) as error:
        raise ToolError(f"{flag}: {path} cannot be read: {error}", USAGE) from None
    if not text:
        raise ToolError(f"{flag}: {path} is empty", USAGE)
    return text


def settings_of(config: str | None, environ: Mapping[str, str]) -> Settings:
    """What the server would read from its file and the environment.

    Raises:
        ToolError: that is wrong.
    """
    flags: dict[str, FlagValue] = {"config": config} if config else {}
    try:
        return Sources(flags, environ).read().settings
    except ConfigError as error:
        raise ToolError(str(error), USAGE) from None


def url_of(settings: Settings) -> str:
    """Where a server with these settings can be called.

    Raises:
        ToolError: that cannot be told.
    """
    host, port = settings.api_address or settings.address
    if host.startswith("unix:") or not port:
        raise ToolError("the settings do not say at which port the server listens; give --server URL", USAGE)
    host = ANYWHERE.get(host, host)
    scheme = "https" if settings.certfile else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _checked(url: str, found: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment:
        raise ToolError(f"{found}: {url!r} is not a URL such as http://localhost:8001", USAGE)
    return url.rstrip("/")
