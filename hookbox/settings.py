"""Every setting of Hookbox, declared once: default, unit, range and help text.

Flags, environment names, keys of the TOML file, `--help`, `--check-config` and the manual's
table are all read from these declarations; `hookbox.sources` does the reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
INF: Final = float("inf")


class Group(Enum):
    """The headings of `--help` and of the manual."""

    LISTENING = "Listening"
    WEBHOOKS = "Webhooks: asking your application"
    ACCESS = "Secrets and access"
    LOGGING = "Logging"
    BEHAVIOUR = "Behaviour"
    HTTP_LIMITS = "Limits on HTTP requests"
    FRAME_LIMITS = "Limits on messages"
    CONNECTION_LIMITS = "Limits on connections"
    RATE_LIMITS = "Limits on rates"
    HISTORY_LIMITS = "Limits on history and recovery"
    WEBHOOK_LIMITS = "Limits on webhooks"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of one setting besides its default.

    Args:
        help: one sentence for the operator.
        group: the heading it stands under.
        unit: `bytes`, `seconds`, or empty for counts, names and switches.
        low: smallest allowed number.
        high: largest allowed number.
        choices: allowed words; empty allows any.
        names: further flags besides `--its-name`, short ones included.
        metavar: stands for the value in `--help`.
        secret: its value is never shown.
        live: may change while the server runs (SIGHUP).
        most: how many values a list may have.
    """

    help: str
    group: Group
    unit: str = ""
    low: float = -INF
    high: float = INF
    choices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    metavar: str = ""
    secret: bool = False
    live: bool = True
    most: int = 1000


def _setting(default: object, group: Group, help: str, **about: Any) -> Any:
    known = About(help=help, group=group, **about)
    return field(default=default, repr=not known.secret, metadata={"about": known})


def _listen(default: object, help: str, **about: Any) -> Any:
    return _setting(default, Group.LISTENING, help, **{"live": False, **about})


def _port(default: int | None, help: str, **about: Any) -> Any:
    return _listen(default, help, **{"low": 0, "high": 65535, "metavar": "PORT", **about})


def _hook(default: object, help: str, **about: Any) -> Any:
    return _setting(default, Group.WEBHOOKS, help, **about)


def _path(action: str, **about: Any) -> Any:
    return _hook(action, f"path below --cbpath asked about `{action}`", metavar="PATH", **about)


def _access(default: object, help: str, **about: Any) -> Any:
    return _setting(default, Group.ACCESS, help, **about)


def _log(default: object, help: str, **about: Any) -> Any:
    return _setting(default, Group.LOGGING, help, **about)


def _size(default: int, group: Group, help: str, low: int = 1) -> Any:
    return _setting(default, group, help, unit="bytes", low=low, high=2**40)


def _time(default: float, group: Group, help: str, low: float = 0.001) -> Any:
    return _setting(default, group, help, unit="seconds", low=low, high=31_536_000.0)


def _count(default: int, group: Group, help: str, low: int = 1) -> Any:
    return _setting(default, group, help, low=low, high=10**9)


def _rate(default: float, help: str, low: float = 0.0) -> Any:
    return _setting(default, Group.RATE_LIMITS, help, low=low, high=10**9)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `Settings()` has the defaults. Sizes are bytes, times are seconds."""

    port: int = _port(8001, "TCP port to listen on; 0 picks a free one", names=("-p",))
    interface: str = _listen(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 or :: for all, unix:PATH for a Unix socket",
        names=("-i",),
        metavar="ADDRESS",
    )
    web_api_port: int | None = _port(
        None,
        "second port for the HTTP API, admin pages and metrics, which then leave the first",
        names=("-w",),
    )
    web_api_interface: str = _listen(
        "", "address of the second listener; default: that of the first", names=("-W",), metavar="ADDRESS"
    )
    fd: int | None = _listen(
        None,
        "inherited file descriptor of a listening socket, instead of --interface and --port",
        low=0,
        high=2**20,
        metavar="FD",
    )
    web_api_fd: int | None = _listen(
        None, "the same for the second listener", low=0, high=2**20, metavar="FD"
    )
    replace: bool = _listen(
        False, "take the listeners over from the Hookbox that has them, and end it; without one, just start"
    )
    certfile: str = _listen("", "TLS certificate chain (PEM); needs --keyfile", metavar="FILE")
    keyfile: str = _listen("", "TLS private key (PEM); needs --certfile", metavar="FILE")
    path_prefix: str = _listen("", "serve everything below this path, e.g. /realtime", metavar="PATH")
    trusted_proxy: tuple[str, ...] = _listen(
        (), "address, network or `unix` whose X-Forwarded-* headers are believed", metavar="CIDR", live=True
    )
    config: str = _listen("", "TOML file to read settings from", metavar="FILE")

    cbhost: str = _hook("127.0.0.1", "host of your application", metavar="HOST")
    cbport: int = _hook(80, "port of your application", low=1, high=65535, metavar="PORT")
    cbpath: str = _hook("/hookbox", "path that the webhooks are below", metavar="PATH")
    cbhttps: bool = _hook(False, "ask by https")
    cbtrailingslash: bool = _hook(False, "end webhook URLs with a slash")
    cbsendhookboxversion: bool = _hook(False, "send the header X-Hookbox-Version")
    cb_connect: str = _path("connect")
    cb_create_channel: str = _path("create_channel", names=("--cb-create_channel",))
    cb_destroy_channel: str = _path("destroy_channel", names=("--cb-destroy_channel",))
    cb_subscribe: str = _path("subscribe")
    cb_publish: str = _path("publish")
    cb_unsubscribe: str = _path("unsubscribe")
    cb_message: str = _path("message")
    cb_disconnect: str = _path("disconnect")
    cb_single_url: str = _hook(
        "", "one absolute URL for all webhooks; `action` tells them apart", metavar="URL"
    )
    cookie_identifier: str = _hook(
        "", "forward only this cookie; default: all", names=("-c",), metavar="NAME"
    )
    webhook_secret: str = _hook(
        "",
        "sent to your application as the form field `secret`",
        names=("-s",),
        metavar="SECRET",
        secret=True,
    )

    api_security_token: tuple[str, ...] = _access(
        (),
        "token of the HTTP API, which is off without one; twice for rotation",
        names=("-r", "--rest-secret"),
        metavar="SECRET",
        secret=True,
        most=2,
    )
    admin_password: str = _access(
        "",
        "password of the admin pages, which are off without one",
        names=("-a",),
        metavar="PASSWORD",
        secret=True,
    )
    origin: tuple[str, ...] = _access(
        (), "further page origin that may connect, as scheme://host[:port]", metavar="ORIGIN"
    )
    allow_query_token: bool = _access(False, "accept the API token in the query string, and GET for changes")
    metrics_open: bool = _access(False, "serve /metrics without the API token")

    log_file_errors: str = _log(
        "", "append warnings and errors to this file too", names=("-E",), metavar="FILE"
    )
    log_file_access: str = _log(
        "", "append one line per HTTP request to this file", names=("-A",), metavar="FILE"
    )
    log_level: str = _log(
        "INFO",
        "least important level to log",
        names=("-L",),
        metavar="LEVEL",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    log_format: str = _log(
        "plain", "plain lines, or one JSON object per line", metavar="FORMAT", choices=("plain", "json")
    )
    debug: bool = _log(False, "log everything, as --log-level DEBUG does", names=("-d",))

    ignore_missing_channel: bool = _setting(
        False, Group.BEHAVIOUR, "ignore API publishes to channels that do not exist", names=("-x",)
    )
    datetime_utc: bool = _setting(False, Group.BEHAVIOUR, "write `datetime` in UTC instead of local time")
    leave_grace: float = _time(
        5.0, Group.BEHAVIOUR, "time a user may be gone before the others are told", low=0
    )
    connect_each: bool = _setting(
        False, Group.BEHAVIOUR, "ask about every connection, even of one browser that opens several at once"
    )
    drain_grace: float = _time(20.0, Group.BEHAVIOUR, "longest time to finish up after SIGTERM", low=0)
    idempotency_keep: float = _time(300.0, Group.BEHAVIOUR, "time an `idempotency_key` is remembered")

    request_line: int = _size(8 * KIB, Group.HTTP_LIMITS, "longest request line")
    header_line: int = _size(8 * KIB, Group.HTTP_LIMITS, "longest header line")
    headers_total: int = _size(32 * KIB, Group.HTTP_LIMITS, "all header lines together")
    header_count: int = _count(64, Group.HTTP_LIMITS, "header lines in one request")
    header_deadline: float = _time(10.0, Group.HTTP_LIMITS, "time for the request line and headers to arrive")
    body_deadline: float = _time(20.0, Group.HTTP_LIMITS, "time for the body to arrive")
    keepalive_idle: float = _time(30.0, Group.HTTP_LIMITS, "time a kept-alive connection may stay silent")
    client_body: int = _size(256 * KIB, Group.HTTP_LIMITS, "longest request body of a comet client")
    api_body: int = _size(1 * MIB, Group.HTTP_LIMITS, "longest request body of an API call")

    client_payload: int = _size(64 * KIB, Group.FRAME_LIMITS, "longest payload a client may publish")
    max_message: int = _size(64 * KIB, Group.FRAME_LIMITS, "longest message of a client, fragments together")
    max_fragments: int = _count(128, Group.FRAME_LIMITS, "fragments in one WebSocket message")
    message_deadline: float = _time(
        20.0, Group.FRAME_LIMITS, "time from the first to the last byte of a message"
    )
    json_depth: int = _count(32, Group.FRAME_LIMITS, "lists and objects inside each other")

    connect_deadline: float = _time(60.0, Group.CONNECTION_LIMITS, "time to send a CONNECT that is accepted")
    ping_interval: float = _time(25.0, Group.CONNECTION_LIMITS, "time between pings to a silent client")
    pong_timeout: float = _time(10.0, Group.CONNECTION_LIMITS, "time a client may take to answer a ping")
    outbox_bytes: int = _size(1 * MIB, Group.CONNECTION_LIMITS, "unsent bytes of one connection")
    outbox_messages: int = _count(1000, Group.CONNECTION_LIMITS, "unsent messages of one connection")
    outbox_total: int = _size(256 * MIB, Group.CONNECTION_LIMITS, "unsent bytes of all connections together")
    write_stall: float = _time(10.0, Group.CONNECTION_LIMITS, "time a client may take no byte at all")
    connections: int = _count(
        0, Group.CONNECTION_LIMITS, "open connections; 0 = what the limit on open files allows", low=0
    )
    connections_per_ip: int = _count(
        0, Group.CONNECTION_LIMITS, "connections from one address; 0 = any", low=0
    )
    connections_per_user: int = _count(
        100, Group.CONNECTION_LIMITS, "connections of one user; 0 = any", low=0
    )
    subscriptions: int = _count(128, Group.CONNECTION_LIMITS, "subscriptions of one connection")
    channels: int = _count(100_000, Group.CONNECTION_LIMITS, "channels altogether")

    accept_rate: float = _rate(0.0, "new connections per second from one address; 0 = any")
    client_rate: float = _rate(100.0, "messages per second from one client", low=0.001)
    client_burst: int = _count(200, Group.RATE_LIMITS, "messages a client may send at once")
    ping_rate: float = _rate(10.0, "pings and pongs per second from one client", low=0.001)
    ping_burst: int = _count(20, Group.RATE_LIMITS, "pings and pongs a client may send at once")
    api_rate: float = _rate(0.0, "API publishes per second with one token; 0 = any")
    protocol_errors: int = _count(20, Group.RATE_LIMITS, "malformed frames per minute from one client")

    history_messages: int = _count(10_000, Group.HISTORY_LIMITS, "entries kept for one channel", low=0)
    history_bytes: int = _size(4 * MIB, Group.HISTORY_LIMITS, "bytes kept for one channel", low=0)
    history_total_bytes: int = _size(256 * MIB, Group.HISTORY_LIMITS, "bytes kept for all channels", low=0)
    recovery_messages: int = _count(300, Group.HISTORY_LIMITS, "messages given back in one recovery", low=0)
    recovery_bytes: int = _size(512 * KIB, Group.HISTORY_LIMITS, "bytes given back in one recovery", low=0)

    webhook_connect_timeout: float = _time(2.0, Group.WEBHOOK_LIMITS, "time to reach your application")
    webhook_timeout: float = _time(5.0, Group.WEBHOOK_LIMITS, "time for a whole answer, waiting included")
    webhook_concurrency: int = _count(32, Group.WEBHOOK_LIMITS, "webhooks asked at the same time")
    webhook_queue: int = _count(1000, Group.WEBHOOK_LIMITS, "webhooks waiting for their turn", low=0)
    webhook_queue_wait: float = _time(2.0, Group.WEBHOOK_LIMITS, "time one may wait for its turn", low=0)
    webhook_answer: int = _size(256 * KIB, Group.WEBHOOK_LIMITS, "longest answer of your application")
    breaker_failures: int = _count(10, Group.WEBHOOK_LIMITS, "failures in a row after which asking pauses")
    breaker_ratio: float = _setting(
        0.5, Group.WEBHOOK_LIMITS, "share of failed calls after which asking pauses", low=0.01, high=1.0
    )
    breaker_calls: int = _count(20, Group.WEBHOOK_LIMITS, "calls needed before that share counts")
    breaker_window: float = _time(10.0, Group.WEBHOOK_LIMITS, "time over which that share is taken")
    breaker_first_pause: float = _time(
        1.0, Group.WEBHOOK_LIMITS, "first pause; it doubles while failures go on"
    )
    breaker_longest_pause: float = _time(30.0, Group.WEBHOOK_LIMITS, "longest pause")

    @property
    def address(self) -> tuple[str, int]:
        """Interface and port of the first listener; port means nothing for `unix:PATH`."""
        return self.interface, (0 if self.interface.startswith("unix:") else self.port)

    @property
    def api_address(self) -> tuple[str, int] | None:
        """Interface and port of the second listener, or None if the first serves everything."""
        if self.web_api_port is None and not self.web_api_interface and self.web_api_fd is None:
            return None
        interface = self.web_api_interface or self.interface
        port = self.port if self.web_api_port is None else self.web_api_port
        return interface, (0 if interface.startswith("unix:") else port)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every configured secret, for those who must never show them."""
        in_url = re.search(r"//[^/@]*:([^/@]*)@", self.cb_single_url)
        every = [
            self.webhook_secret,
            self.admin_password,
            *self.api_security_token,
            in_url[1] if in_url else "",
        ]
        return tuple(secret for secret in every if secret)


ABOUT: Final[Mapping[str, About]] = MappingProxyType({f.name: f.metadata["about"] for f in fields(Settings)})
"""What is known of each setting, by its name, in the order of declaration."""
