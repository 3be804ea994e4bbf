"""What to put into the configuration of nginx, Hookbox and others, as docs/deployment.md has it."""

from __future__ import annotations

from typing import Final

from hookbox.tool.places import Place

UPGRADE: Final = """\
Have the proxy pass WebSockets on. nginx, in the location of Hookbox:
    proxy_http_version 1.1;
    proxy_set_header Upgrade    $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
and in the http block:
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
Apache: a2enmod proxy_wstunnel, and ProxyPass with upgrade=websocket. Until then every page uses comet."""
BUFFERING: Final = """\
Have the proxy pass answers on as they come. nginx, in the location of Hookbox:
    proxy_http_version 1.1;
    proxy_buffering off;
    gzip off;
and no proxy_ignore_headers X-Accel-Buffering. Caddy: flush_interval -1. Apache: SetEnv no-gzip 1."""
HTTP10: Final = """\
Comet cannot stream over HTTP/1.0 and polls instead. nginx, in the location of Hookbox:
    proxy_http_version 1.1;"""
GZIP: Final = """\
Leave what streams uncompressed. nginx, in the location of Hookbox:
    gzip off;"""
HOST: Final = """\
Have the proxy pass the browser's Host header on. nginx, in the location of Hookbox:
    proxy_set_header Host $http_host;"""
COOKIE_HEADER: Final = """\
Have the proxy pass cookies on: in nginx, no proxy_set_header Cookie "" there.
With -c NAME (cookie_identifier) Hookbox forwards that one only: is it the right name?"""
BODY: Final = """\
Comet clients send up to 256 KiB at once. nginx, in the location of Hookbox:
    client_max_body_size 256k;
Hookbox's own limit is client_body."""
HEADERS: Final = """\
Large cookies make large headers. nginx, in the server block:
    large_client_header_buffers 4 8k;"""
GATEWAY: Final = """\
The proxy does not reach Hookbox. Does Hookbox run, and is it where the proxy asks? The proxy's error log says
where that is. nginx:
    proxy_pass http://127.0.0.1:8001;
Where a socket file is used, the proxy's user has to be allowed to open it."""
REDIRECT_HTTP: Final = """\
Send browsers on to https. nginx:
    server { listen 80; server_name example.com; return 301 https://$host$request_uri; }"""
CORS: Final = """\
Hookbox sets these headers itself, for the origins that are allowed. Take the proxy's own away: in nginx, no
add_header Access-Control-Allow-... in the location of Hookbox."""
ORIGIN_HEADER: Final = """\
Browsers attach cookies to requests from any page: without Origin every page of the world can speak as your
user. Take out of the proxy what removes or changes it; nginx passes it on by itself."""
PREFIX: Final = """\
Is this the URL that the pages give to hookbox.connect()? Below a path, Hookbox has to know it:
    hookbox --path-prefix {path}
and nginx must not cut it off, so no slash behind the address:
    location {path}/ {{ proxy_pass http://127.0.0.1:8001; ... }}"""
NOT_FORWARDED: Final = """\
Forward everything below Hookbox's path. nginx:
    location {path}/ {{ proxy_pass http://127.0.0.1:8001; ... }}"""


def idle(seconds: float) -> str:
    """Timeouts that are long enough."""
    wanted = max(60, int(seconds * 3))
    return f"""\
Have the proxy wait longer for the next byte. nginx, in the location of Hookbox:
    proxy_read_timeout {wanted}s;
    proxy_send_timeout {wanted}s;
HAProxy: timeout tunnel, timeout client and timeout server; AWS: the load balancer's idle timeout. Or have
Hookbox ping more often (ping_interval), which costs each phone some of its battery."""


def origin(wanted: str) -> str:
    """The flag that allows an origin."""
    return f"""\
Allow the pages' origin, exactly as the browser writes it:
    hookbox --origin {wanted}
in the file: origin = ["{wanted}"]"""


def trusted_proxy(address: str) -> str:
    """The flag that has the proxy's word believed."""
    return f"""\
Tell Hookbox whose X-Forwarded-For to believe:
    hookbox --trusted-proxy {address or "127.0.0.1"}
and have the proxy send it; nginx, in the location of Hookbox:
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"""


def one_host(page: Place, place: Place) -> str:
    """How cookies of the pages get to Hookbox."""
    parent = common_parent(page.host, place.host)
    text = f"""\
Best serve Hookbox on the host of the pages, e.g. {page.origin}/realtime: cookies then work by themselves."""
    if parent:
        text += f"""
Or have the application set its cookie for both names; in Django:
    SESSION_COOKIE_DOMAIN = ".{parent}\""""
    return text


def common_parent(one: str, other: str) -> str:
    """The domain that two hosts share, of two labels at least; empty without one."""
    shared: list[str] = []
    for mine, theirs in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if mine != theirs:
            break
        shared.insert(0, mine)
    return ".".join(shared) if len(shared) >= 2 and not shared[-1].isdecimal() else ""
