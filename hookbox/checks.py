"""What the values of settings must look like, alone and together.

A check of one value returns it tidied, or raises ValueError saying what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from hookbox.errors import ConfigError
from hookbox.settings import Settings

UNIX: Final = "unix:"
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9]+)?\]?")
_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_COOKIE: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def _interface(value: str) -> str:
    if value.startswith(UNIX):
        if not 0 < len(os.fsencode(value.removeprefix(UNIX))) <= 107:
            raise ValueError("unix:PATH with a path of 1 to 107 bytes")
        return value
    if not _HOST.fullmatch(value):
        raise ValueError("an address such as 127.0.0.1, 0.0.0.0 or ::, or unix:PATH; the port is `port`")
    return value.strip("[]")


def _password(value: str) -> str:
    if value.startswith("scrypt$"):
        from hookbox.admin.passwords import read_kept  # only who has one waits for it

        try:
            read_kept(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("a host name or address; for https there is `cbhttps`, for a URL `cb_single_url`")
    return value


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s#]*", value):
        raise ValueError("an absolute URL such as https://example.com/hookbox")
    return value


def _url_path(value: str) -> str:
    if not re.fullmatch(r"[^\s?#]*", value):
        raise ValueError("a path without spaces, ? and #")
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value):
        raise ValueError("a path such as /realtime")
    return value.rstrip("/")


def _origin(value: str) -> str:
    tidy = value.lower().rstrip("/")
    if not _ORIGIN.fullmatch(tidy):
        raise ValueError("scheme://host[:port], such as https://example.com; list each, there is no *")
    return tidy


def _network(value: str) -> str:
    from ipaddress import ip_network  # rarely needed, and slow to import

    if value == "unix":
        return value
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("an address, a network such as 10.0.0.0/8, or unix (a Unix socket)") from None


def _cookie(value: str) -> str:
    if not _COOKIE.fullmatch(value):
        raise ValueError("the name of one cookie")
    return value


def _log_file(value: str) -> str:
    folder = os.path.dirname(value) or "."
    if value != "-" and not os.path.isdir(folder):
        raise ValueError(f"a file in a directory that exists; {folder} does not")
    if os.path.isdir(value):
        raise ValueError("a file, not a directory")
    return value


def _store(value: str) -> str:
    if value == ":memory:":
        return value
    folder = os.path.dirname(value) or "."
    if not os.path.isdir(folder):
        raise ValueError(f":memory:, or a file in a directory that exists; {folder} does not")
    if os.path.isdir(value):
        raise ValueError("a file, not a directory")
    return value


def _rule(value: str) -> str:
    from hookbox.delivery.egress import Rule  # slow to import, rarely needed

    Rule.read(value)
    return value


def _proxy(value: str) -> str:
    from hookbox.delivery.proxy import Proxy

    Proxy.read(value)
    return value


def _port_text(value: str) -> str:
    if not (value.isascii() and value.isdecimal() and 0 < int(value) < 65_536):
        raise ValueError("a port from 1 to 65535")
    return value


def _schedule(value: str) -> str:
    from hookbox.delivery.schedule import read_schedule

    read_schedule(value)
    return value


def _signing_secret(value: str) -> str:
    from hookbox.webhooks.signing import Secret

    Secret.read(value)
    return value


def _public_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise ValueError("an absolute URL without ? and #, such as https://example.com")
    return value.rstrip("/")


CHECKS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "interface": _interface,
        "web_api_interface": _interface,
        "cbhost": _host,
        "cbpath": _url_path,
        "cb_single_url": _url,
        "path_prefix": _prefix,
        "admin_password": _password,
        "origin": _origin,
        "trusted_proxy": _network,
        "cookie_identifier": _cookie,
        "session_cookie": _cookie,
        "log_file_errors": _log_file,
        "log_file_access": _log_file,
        "store": _store,
        "public_url": _public_url,
        "retry_schedule": _schedule,
        "default_signing_secret": _signing_secret,
        "errback_secret": _signing_secret,
        "errback_url": _url,
        "egress_allow": _rule,
        "egress_deny": _rule,
        "egress_ports": _port_text,
        "egress_proxy": _proxy,
        "hub_topic_hosts": _host,
    }
)
"""The check of each setting that needs one, by the setting's name; it is given no empty text."""


_PARTS: Final = (
    ("header_line", "headers_total"),
    ("outbox_bytes", "outbox_total"),
    ("history_bytes", "history_total_bytes"),
    ("breaker_first_pause", "breaker_longest_pause"),
    ("hub_lease_min", "hub_lease_max"),
)


def check_together(settings: Settings) -> None:
    """Refuse settings that contradict each other, or name files that cannot be used.

    Raises:
        ConfigError: the first contradiction found, and how to end it.
    """
    for problem in _contradictions(settings):
        raise ConfigError(problem)


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from _listener_problems(settings)
    yield from _tls_problems(settings)


def _listener_problems(settings: Settings) -> Iterator[str]:
    if settings.fd is not None and settings.fd == settings.web_api_fd:
        yield f"fd and web_api_fd are both {settings.fd}; each listener needs a descriptor of its own"
    if settings.api_address is None or settings.fd is not None or settings.web_api_fd is not None:
        return
    if settings.web_api_interface == "" and settings.interface.startswith(UNIX):
        yield "web_api_port needs web_api_interface here, since the first listener is a Unix socket"
    if settings.api_address == settings.address and settings.port != 0:
        yield (
            f"both listeners are at {settings.interface} port {settings.port}; "
            "give web_api_port or web_api_interface another value"
        )


def _tls_problems(settings: Settings) -> Iterator[str]:
    if settings.certfile and not settings.keyfile:
        yield f"certfile is {settings.certfile}, but keyfile is missing; TLS needs both"
    elif settings.keyfile and not settings.certfile:
        yield f"keyfile is {settings.keyfile}, but certfile is missing; TLS needs both"
    elif settings.certfile:
        yield from _unusable_certificate(settings.certfile, settings.keyfile)


def _unusable_certificate(certfile: str, keyfile: str) -> Iterator[str]:
    for name, path in (("certfile", certfile), ("keyfile", keyfile)):
        if not os.path.isfile(path):
            yield f"{name}: there is no file {path}"
        elif not os.access(path, os.R_OK):
            yield f"{name}: {path} cannot be read; change its owner or mode"
    import ssl  # only here: the command that shows settings should not wait for it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile, password="")
    except (OSError, ValueError) as error:
        yield f"certfile {certfile} and keyfile {keyfile} cannot be used together: {error}"


def doubts(settings: Settings) -> Iterator[str]:
    """What is allowed but probably not meant, for the operator; no secret is in the text."""
    for part, whole in _PARTS:
        if getattr(settings, part) > getattr(settings, whole):
            yield f"{part} is larger than {whole}, which is therefore the limit of both"
    forwarded = settings.cookie_identifier
    if forwarded and settings.session_cookie and forwarded not in settings.session_cookie:
        yield "session_cookie is not forwarded, as cookie_identifier is another one: no session is recognised"
    if settings.webhook_secret and settings.webhook_secret in settings.api_security_token:
        yield "webhook_secret is also an API token, so your application's webhooks can see it; use two"
    if settings.admin_password and settings.admin_password in settings.api_security_token:
        yield "admin_password is also an API token; use two"
    if settings.metrics_open and settings.api_address is None and settings.interface in ("0.0.0.0", "::"):
        yield "metrics_open: everybody who reaches the port can read /metrics"
