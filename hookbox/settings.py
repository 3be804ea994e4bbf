"""Every setting of Hookbox, declared once: default, unit, range and help text.

Flags, environment names, keys of the TOML file, `--help`, `--check-config` and the manual's
table are all read from these declarations; `hookbox.sources` does the reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from hookbox.declared import (
    INF,
    KIB,
    MIB,
    About,
    Group,
    access,
    count,
    hook,
    listen,
    log,
    path,
    port_number,
    rate,
    setting,
    size,
    time,
)

__all__ = ["ABOUT", "INF", "KIB", "MIB", "About", "Group", "Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `Settings()` has the defaults. Sizes are bytes, times are seconds."""

    port: int = port_number(8001, "TCP port to listen on; 0 picks a free one", names=("-p",))
    interface: str = listen(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 or :: for all, unix:PATH for a Unix socket",
        names=("-i",),
        metavar="ADDRESS",
    )
    web_api_port: int | None = port_number(
        None,
        "second port for the HTTP API, admin pages and metrics, which then leave the first",
        names=("-w",),
    )
    web_api_interface: str = listen(
        "", "address of the second listener; default: that of the first", names=("-W",), metavar="ADDRESS"
    )
    fd: int | None = listen(
        None,
        "inherited file descriptor of a listening socket, instead of --interface and --port",
        low=0,
        high=2**20,
        metavar="FD",
    )
    web_api_fd: int | None = listen(None, "the same for the second listener", low=0, high=2**20, metavar="FD")
    replace: bool = listen(
        False, "take the listeners over from the Hookbox that has them, and end it; without one, just start"
    )
    certfile: str = listen("", "TLS certificate chain (PEM); needs --keyfile", metavar="FILE")
    keyfile: str = listen("", "TLS private key (PEM); needs --certfile", metavar="FILE")
    path_prefix: str = listen("", "serve everything below this path, e.g. /realtime", metavar="PATH")
    trusted_proxy: tuple[str, ...] = listen(
        (), "address, network or `unix` whose X-Forwarded-* headers are believed", metavar="CIDR", live=True
    )
    config: str = listen("", "TOML file to read settings from", metavar="FILE")

    cbhost: str = hook("127.0.0.1", "host of your application", metavar="HOST")
    cbport: int = hook(80, "port of your application", low=1, high=65535, metavar="PORT")
    cbpath: str = hook("/hookbox", "path that the webhooks are below", metavar="PATH")
    cbhttps: bool = hook(False, "ask by https")
    cbtrailingslash: bool = hook(False, "end webhook URLs with a slash")
    cbsendhookboxversion: bool = hook(False, "send the header X-Hookbox-Version")
    cb_connect: str = path("connect")
    cb_create_channel: str = path("create_channel", names=("--cb-create_channel",))
    cb_destroy_channel: str = path("destroy_channel", names=("--cb-destroy_channel",))
    cb_subscribe: str = path("subscribe")
    cb_publish: str = path("publish")
    cb_unsubscribe: str = path("unsubscribe")
    cb_hub_subscribe: str = path("hub_subscribe", names=("--cb-hub_subscribe",))
    cb_message: str = path("message")
    cb_disconnect: str = path("disconnect")
    cb_single_url: str = hook(
        "", "one absolute URL for all webhooks; `action` tells them apart", metavar="URL"
    )
    cookie_identifier: str = hook("", "forward only this cookie; default: all", names=("-c",), metavar="NAME")
    webhook_secret: str = hook(
        "",
        "sent to your application as the form field `secret`",
        names=("-s",),
        metavar="SECRET",
        secret=True,
    )

    api_security_token: tuple[str, ...] = access(
        (),
        "token of the HTTP API, which is off without one; twice for rotation",
        names=("-r", "--rest-secret"),
        metavar="SECRET",
        secret=True,
        most=2,
    )
    admin_password: str = access(
        "",
        "password of the console at /admin, or what `hookbox password` makes of it; off without one",
        names=("-a",),
        metavar="PASSWORD",
        secret=True,
    )
    session_cookie: tuple[str, ...] = access(
        (),
        "cookie that stands for a login of your application; default: cookie_identifier, or the usual names",
        metavar="NAME",
    )
    origin: tuple[str, ...] = access(
        (), "further page origin that may connect, as scheme://host[:port]", metavar="ORIGIN"
    )
    allow_query_token: bool = access(False, "accept the API token in the query string, and GET for changes")
    metrics_open: bool = access(False, "serve /metrics without the API token")

    log_file_errors: str = log(
        "", "append warnings and errors to this file too", names=("-E",), metavar="FILE"
    )
    log_file_access: str = log(
        "", "append one line per HTTP request to this file", names=("-A",), metavar="FILE"
    )
    log_level: str = log(
        "INFO",
        "least important level to log",
        names=("-L",),
        metavar="LEVEL",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    log_format: str = log(
        "plain", "plain lines, or one JSON object per line", metavar="FORMAT", choices=("plain", "json")
    )
    webhook_log: int = setting(
        500, Group.LOGGING, "webhooks remembered for the console and `get_webhook_log`", low=0, high=100_000
    )
    debug: bool = log(False, "log everything, as --log-level DEBUG does", names=("-d",))

    ignore_missing_channel: bool = setting(
        False, Group.BEHAVIOUR, "ignore API publishes to channels that do not exist", names=("-x",)
    )
    datetime_utc: bool = setting(False, Group.BEHAVIOUR, "write `datetime` in UTC instead of local time")
    leave_grace: float = time(
        5.0, Group.BEHAVIOUR, "time a user may be gone before the others are told", low=0
    )
    recheck_interval: float = time(
        0.0,
        Group.BEHAVIOUR,
        "time after which your application is asked again about each session, more or less; 0 = never",
        low=0,
    )
    connect_each: bool = setting(
        False, Group.BEHAVIOUR, "ask about every connection, even of one browser that opens several at once"
    )
    drain_grace: float = time(20.0, Group.BEHAVIOUR, "longest time to finish up after SIGTERM", low=0)
    idempotency_keep: float = time(300.0, Group.BEHAVIOUR, "time an `idempotency_key` is remembered")

    request_line: int = size(8 * KIB, Group.HTTP_LIMITS, "longest request line")
    header_line: int = size(8 * KIB, Group.HTTP_LIMITS, "longest header line")
    headers_total: int = size(32 * KIB, Group.HTTP_LIMITS, "all header lines together")
    header_count: int = count(64, Group.HTTP_LIMITS, "header lines in one request")
    header_deadline: float = time(10.0, Group.HTTP_LIMITS, "time for the request line and headers to arrive")
    body_deadline: float = time(20.0, Group.HTTP_LIMITS, "time for the body to arrive")
    keepalive_idle: float = time(30.0, Group.HTTP_LIMITS, "time a kept-alive connection may stay silent")
    client_body: int = size(256 * KIB, Group.HTTP_LIMITS, "longest request body of a comet client")
    api_body: int = size(1 * MIB, Group.HTTP_LIMITS, "longest request body of an API call")

    client_payload: int = size(64 * KIB, Group.FRAME_LIMITS, "longest payload a client may publish")
    max_message: int = size(64 * KIB, Group.FRAME_LIMITS, "longest message of a client, fragments together")
    max_fragments: int = count(128, Group.FRAME_LIMITS, "fragments in one WebSocket message")
    message_deadline: float = time(
        20.0, Group.FRAME_LIMITS, "time from the first to the last byte of a message"
    )
    json_depth: int = count(32, Group.FRAME_LIMITS, "lists and objects inside each other")

    connect_deadline: float = time(60.0, Group.CONNECTION_LIMITS, "time to send a CONNECT that is accepted")
    ping_interval: float = time(25.0, Group.CONNECTION_LIMITS, "time between pings to a silent client")
    pong_timeout: float = time(10.0, Group.CONNECTION_LIMITS, "time a client may take to answer a ping")
    outbox_bytes: int = size(1 * MIB, Group.CONNECTION_LIMITS, "unsent bytes of one connection")
    outbox_messages: int = count(1000, Group.CONNECTION_LIMITS, "unsent messages of one connection")
    outbox_total: int = size(256 * MIB, Group.CONNECTION_LIMITS, "unsent bytes of all connections together")
    write_stall: float = time(10.0, Group.CONNECTION_LIMITS, "time a client may take no byte at all")
    connections: int = count(
        0, Group.CONNECTION_LIMITS, "open connections; 0 = what the limit on open files allows", low=0
    )
    connections_per_ip: int = count(
        0, Group.CONNECTION_LIMITS, "connections from one address; 0 = any", low=0
    )
    connections_per_user: int = count(100, Group.CONNECTION_LIMITS, "connections of one user; 0 = any", low=0)
    subscriptions: int = count(128, Group.CONNECTION_LIMITS, "subscriptions of one connection")
    channels: int = count(100_000, Group.CONNECTION_LIMITS, "channels altogether")

    accept_rate: float = rate(0.0, "new connections per second from one address; 0 = any")
    client_rate: float = rate(100.0, "messages per second from one client", low=0.001)
    client_burst: int = count(200, Group.RATE_LIMITS, "messages a client may send at once")
    ping_rate: float = rate(10.0, "pings and pongs per second from one client", low=0.001)
    ping_burst: int = count(20, Group.RATE_LIMITS, "pings and pongs a client may send at once")
    api_rate: float = rate(0.0, "API publishes per second with one token; 0 = any")
    protocol_errors: int = count(20, Group.RATE_LIMITS, "malformed frames per minute from one client")

    history_messages: int = count(10_000, Group.HISTORY_LIMITS, "entries kept for one channel", low=0)
    history_bytes: int = size(4 * MIB, Group.HISTORY_LIMITS, "bytes kept for one channel", low=0)
    history_total_bytes: int = size(256 * MIB, Group.HISTORY_LIMITS, "bytes kept for all channels", low=0)
    recovery_messages: int = count(300, Group.HISTORY_LIMITS, "messages given back in one recovery", low=0)
    recovery_bytes: int = size(512 * KIB, Group.HISTORY_LIMITS, "bytes given back in one recovery", low=0)

    webhook_connect_timeout: float = time(2.0, Group.WEBHOOK_LIMITS, "time to reach your application")
    webhook_timeout: float = time(5.0, Group.WEBHOOK_LIMITS, "time for a whole answer, waiting included")
    webhook_concurrency: int = count(32, Group.WEBHOOK_LIMITS, "webhooks asked at the same time")
    webhook_queue: int = count(1000, Group.WEBHOOK_LIMITS, "webhooks waiting for their turn", low=0)
    webhook_queue_wait: float = time(2.0, Group.WEBHOOK_LIMITS, "time one may wait for its turn", low=0)
    webhook_answer: int = size(256 * KIB, Group.WEBHOOK_LIMITS, "longest answer of your application")
    breaker_failures: int = count(10, Group.WEBHOOK_LIMITS, "failures in a row after which asking pauses")
    breaker_ratio: float = setting(
        0.5, Group.WEBHOOK_LIMITS, "share of failed calls after which asking pauses", low=0.01, high=1.0
    )
    breaker_calls: int = count(20, Group.WEBHOOK_LIMITS, "calls needed before that share counts")
    breaker_window: float = time(10.0, Group.WEBHOOK_LIMITS, "time over which that share is taken")
    breaker_first_pause: float = time(
        1.0, Group.WEBHOOK_LIMITS, "first pause; it doubles while failures go on"
    )
    breaker_longest_pause: float = time(30.0, Group.WEBHOOK_LIMITS, "longest pause")

    store: str = setting(
        "hookbox.db",
        Group.DELIVERY,
        "SQLite file for what is owed and subscribed; :memory: forgets it at the end",
        metavar="FILE",
        live=False,
    )
    store_sync: str = setting(
        "full",
        Group.DELIVERY,
        "full survives a loss of power, normal only the end of the process, and is faster",
        choices=("full", "normal"),
        live=False,
    )
    public_url: str = setting(
        "",
        Group.DELIVERY,
        "how the world reaches this server, for the hub and topic URLs; default: the listener's own address",
        metavar="URL",
    )
    dispatch_auth: str = setting(
        "token",
        Group.DELIVERY,
        "who may dispatch: who has the token, also local processes without it (loopback), or anybody (open)",
        choices=("token", "loopback", "open"),
    )
    retry_schedule: str = setting(
        "",
        Group.DELIVERY,
        "seconds after each failure, with commas; none, or hookah; default: ten attempts in three days",
        metavar="SECONDS",
    )
    attempt_timeout: float = time(20.0, Group.DELIVERY, "time for one attempt, the answer's body included")
    connect_timeout: float = time(5.0, Group.DELIVERY, "time of it for the name, connection and TLS")
    max_in_flight: int = count(256, Group.DELIVERY, "attempts under way at once")
    per_origin: int = count(4, Group.DELIVERY, "attempts under way at once to one endpoint or origin")
    disable_after: float = time(
        432_000.0, Group.DELIVERY, "time of nothing but failures after which an endpoint is disabled"
    )
    breaker: str = setting(
        "on", Group.DELIVERY, "after ten failures in a row only probe a receiver", choices=("on", "off")
    )
    max_age: float = time(604_800.0, Group.DELIVERY, "age at which a delivery is given up in any case")
    max_hops: int = count(5, Group.DELIVERY, "servers like this one that a message may pass", low=0)
    default_signing_secret: str = setting(
        "",
        Group.DELIVERY,
        "signs what is dispatched to URLs without a secret of its own",
        metavar="SECRET",
        secret=True,
    )
    errback_url: str = setting("", Group.DELIVERY, "told of deliveries that fail", metavar="URL")
    errback_secret: str = setting(
        "", Group.DELIVERY, "signs what is told; default: the delivery's own", metavar="SECRET", secret=True
    )
    allow_cookie_header: bool = setting(False, Group.DELIVERY, "let a dispatch send a Cookie header along")
    idempotency_ttl: float = time(
        86_400.0, Group.DELIVERY, "time an idempotency key of a dispatch is remembered"
    )
    retain_succeeded: float = time(
        86_400.0, Group.DELIVERY, "time a message is kept after its last delivery succeeded", low=0
    )
    retain_dead: float = time(
        2_592_000.0, Group.DELIVERY, "time a delivery is kept that failed or was cancelled", low=0
    )
    shutdown_grace: float = time(10.0, Group.DELIVERY, "time attempts under way get at the end", low=0)

    egress: str = setting(
        "public",
        Group.EGRESS,
        "public: public addresses only; internal: private ones and loopback too; off: no check at all",
        choices=("public", "internal", "off"),
    )
    egress_allow: tuple[str, ...] = setting(
        (), Group.EGRESS, "network, host or *.host, with or without :port, allowed besides", metavar="RULE"
    )
    egress_deny: tuple[str, ...] = setting((), Group.EGRESS, "the same, refused in any case", metavar="RULE")
    egress_ports: tuple[str, ...] = setting(
        ("80", "443", "8000", "8080", "8443"),
        Group.EGRESS,
        "ports that may be reached where egress is public",
        metavar="PORT",
    )
    https_only: bool = setting(False, Group.EGRESS, "deliver by https only")
    egress_proxy: str = setting(
        "",
        Group.EGRESS,
        "HTTP proxy that all deliveries go through, as http://[user:password@]host:port; default: none",
        metavar="URL",
    )

    hub: str = setting(
        "own",
        Group.HUB,
        "off, a hub for the topics of this server (own), or for any URL",
        choices=("off", "own", "any"),
    )
    hub_policy: str = setting(
        "webhook",
        Group.HUB,
        "who may subscribe: the application decides (webhook), who has the token, or anybody (open)",
        choices=("webhook", "token", "open"),
    )
    hub_topic_hosts: tuple[str, ...] = setting(
        (), Group.HUB, "host whose URLs may be topics although hub is own", metavar="HOST"
    )
    hub_signature: str = setting(
        "sha256", Group.HUB, "algorithm of X-Hub-Signature", choices=("sha1", "sha256", "sha384", "sha512")
    )
    hub_dialect: str = setting(
        "both",
        Group.HUB,
        "understand PubSubHubbub 0.3 too (both), or WebSub only",
        choices=("both", "websub"),
    )
    hub_lease_default: int = setting(
        864_000, Group.HUB, "lease of who asks for none", unit="seconds", low=1, high=31_536_000
    )
    hub_lease_min: int = setting(60, Group.HUB, "shortest lease", unit="seconds", low=1, high=31_536_000)
    hub_lease_max: int = setting(
        2_592_000, Group.HUB, "longest lease", unit="seconds", low=1, high=31_536_000
    )

    stream_auth: str = setting(
        "cookie",
        Group.STREAMS,
        "who may read streams: whom the application lets in by its cookies too, or only who has the token",
        choices=("cookie", "token"),
    )
    stream_ring: int = count(1000, Group.STREAMS, "messages of one topic kept for streams", low=0)
    stream_ring_duration: float = time(300.0, Group.STREAMS, "time they are kept")
    heartbeat: float = setting(
        15.0,
        Group.STREAMS,
        "silence after which a stream sends a sign of life",
        unit="seconds",
        low=1,
        high=300,
    )

    dispatch_rate: float = setting(
        0.0, Group.DELIVERY_LIMITS, "dispatches per second with one token; 0 = any", low=0, high=10**9
    )
    max_queue: int = count(100_000, Group.DELIVERY_LIMITS, "unfinished deliveries altogether")
    max_held: int = count(10_000, Group.DELIVERY_LIMITS, "deliveries held for one disabled endpoint", low=0)
    max_store: int = size(1024 * MIB, Group.DELIVERY_LIMITS, "size of the store", low=MIB)
    max_streams: int = count(10_000, Group.DELIVERY_LIMITS, "streams open at once", low=0)
    max_subscriptions: int = count(100_000, Group.DELIVERY_LIMITS, "WebSub subscriptions altogether", low=0)

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
        every = [
            self.webhook_secret,
            self.admin_password,
            self.default_signing_secret,
            self.errback_secret,
            *self.api_security_token,
            *_passwords_in(self.cb_single_url, self.errback_url, self.egress_proxy),
        ]
        return tuple(secret for secret in every if secret)


def _passwords_in(*urls: str) -> Iterator[str]:
    """As they stand there, and what they mean if that differs."""
    for url in urls:
        if found := re.search(r"//[^/?#@:]*:([^/?#]*)@", url):
            yield found[1]
            if "%" in found[1]:
                yield unquote(found[1])


ABOUT: Final[Mapping[str, About]] = MappingProxyType({f.name: f.metadata["about"] for f in fields(Settings)})
"""What is known of each setting, by its name, in the order of declaration."""
