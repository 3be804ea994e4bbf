"""Where this process itself may post to: the same rules as the server's, from the same settings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from hookbox.contrib.django import conf
from hookbox.delivery.egress import ANYWHERE, DEFAULT_PORTS, PORTS, Mode, Policy, Rule


def policy() -> Policy:
    """The rules, as the settings have them now; they are those that `runhookbox` gives the server.

    Raises:
        ImproperlyConfigured: a setting cannot be read.
    """
    server = urlsplit(conf.url())
    try:
        return _policy(
            conf.egress(),
            _several(conf.egress_allow()),
            _several(conf.egress_deny()),
            _several(conf.egress_ports()),
            bool(conf.https_only()),
            server.port or DEFAULT_PORTS.get(server.scheme, 0),
        )
    except ValueError as error:
        raise ImproperlyConfigured(f"one of the settings HOOKBOX_EGRESS...: {error}") from None


@lru_cache(maxsize=8)
def _policy(
    mode: str,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    ports: tuple[str, ...],
    https_only: bool,
    server_port: int,
) -> Policy:
    return Policy(
        Mode(mode),
        tuple(map(Rule.read, allow)),
        tuple(map(Rule.read, deny)),
        frozenset(map(int, ports)) or PORTS,
        https_only,
        own=frozenset({(ANYWHERE, server_port)}),
    )


def _several(value: Any) -> tuple[str, ...]:
    """A setting that is a list, or text with commas."""
    items = value.split(",") if isinstance(value, str) else value
    return tuple(text for item in items if (text := str(item).strip()))
