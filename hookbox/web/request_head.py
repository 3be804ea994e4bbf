"""Bytes of a request line and header lines -> `RequestHead`. Pure, strict and cheap.

What two readers of the same bytes could understand differently is refused: that is what
request smuggling lives on. Source of the grammar: RFC 9110 section 5, RFC 9112 sections 2-7.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from hookbox.errors import BadRequest

METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}

# `bytes.translate` with these deletes all that may stand there, so what is left is the fault.
_IN_HEAD: Final = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_IN_TARGET: Final = bytes(n for n in range(0x21, 0x7F) if n != ord("#"))
_IN_PATH: Final = bytes([*range(0x20, 0x7F), *range(0x80, 0x100)])

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST: Final = re.compile(r"(?:[0-9A-Za-z._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]+)([^?]*.*)", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BAD_BYTE: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")

_VERSIONS: Final = {b"HTTP/1.1": "HTTP/1.1", b"HTTP/1.0": "HTTP/1.0"}
_BETWEEN = {"HTTP_COOKIE": "; "}
_OURS = "HTTP_HOOKBOX_"
"""Headers whose values may have commas of their own: where one is repeated, line feeds stand between them."""

_ONCE: Final = frozenset(
    ("HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_AUTHORIZATION")
)
_MOST_LENGTH_DIGITS: Final = 19
_MOST_KEYS: Final = 512


class HeadLimits(NamedTuple):
    """How long a head may be: bytes without line ends, `headers_total` with them, and a count."""

    request_line: int = 8192
    header_line: int = 8192
    headers_total: int = 32768
    header_count: int = 64


DEFAULT_LIMITS: Final = HeadLimits()


class RequestHead(NamedTuple):
    """A request without its body, in the shapes WSGI asks for.

    `path` is percent-decoded (bytes as latin-1, as PEP 3333 has it), `raw_path` is not; neither
    has the query. `headers` is keyed like a WSGI environ, repeated ones joined. `length` is None
    without Content-Length.
    """

    method: str
    raw_path: str
    path: str
    query: str
    version: str
    host: str
    headers: dict[str, str]
    length: int | None
    chunked: bool
    keep_alive: bool
    expects_continue: bool


def read_head(data: bytes, limits: HeadLimits = DEFAULT_LIMITS) -> RequestHead:
    """Read a request head.

    Args:
        data: all bytes up to and including the first empty line.
        limits: longest lines and most headers.

    Raises:
        BadRequest: 400 malformed or ambiguous, 414 and 431 too long, 417 unknown expectation,
            501 unknown method or transfer coding, 505 unknown version.

    Source: RFC 9112; the reactions are those of the project's list H1-H13.
    """
    lines = data.split(b"\r\n")
    _check_sizes(data, lines, limits)
    if len(data.translate(None, _IN_HEAD)) != 2 * (len(lines) - 1):
        raise BadRequest(400, "control character or bare line end in request head")
    if len(lines) < 3 or lines[-1] or lines[-2]:
        raise BadRequest(400, "request head is not complete")
    line = _read_request_line(lines[0])
    headers = _read_headers(lines[1:-2])
    host = _read_host(headers, line)
    length, chunked = _read_framing(headers, line.version)
    return RequestHead(
        line.method,
        line.raw_path,
        line.path,
        line.query,
        line.version,
        host,
        headers,
        length,
        chunked,
        _keeps_alive(headers.get("HTTP_CONNECTION", ""), line.version),
        _expects_continue(headers.get("HTTP_EXPECT")),
    )


def check_beginning(data: bytes, seen: int = 0, limits: HeadLimits = DEFAULT_LIMITS) -> None:
    """Refuse the beginning of a head that can no longer become a good one.

    Args:
        data: what has come so far; it holds no empty line yet.
        seen: how many bytes of it an earlier call looked at.
        limits: as for `read_head`.

    Raises:
        BadRequest: as `read_head`.
    """
    if _BAD_BYTE.search(data, max(0, seen - 1)):
        raise BadRequest(400, "control character or bare line end in request head")
    end = data.find(b"\r\n")
    if (end if end >= 0 else len(data)) > limits.request_line:
        raise _too_long_line()
    if end < 0:
        if not _TOKEN.fullmatch(data[:32].partition(b" ")[0].rstrip(b"\r")):
            raise BadRequest(400, "malformed request line")
        return
    if seen < end + 2:
        _read_request_line(data[:end])
    if len(data) - end - 2 > limits.headers_total or len(data) - data.rfind(b"\n") > limits.header_line + 2:
        raise _too_long_headers()


class _RequestLine(NamedTuple):
    method: str
    raw_path: str
    path: str
    query: str
    version: str
    authority: str


def _too_long_line() -> BadRequest:
    return BadRequest(414, "request line too long")


def _too_long_headers() -> BadRequest:
    return BadRequest(431, "request headers too large")


def _check_sizes(data: bytes, lines: list[bytes], limits: HeadLimits) -> None:
    if len(lines[0]) > limits.request_line:
        raise _too_long_line()
    if len(lines) - 3 > limits.header_count or len(data) - len(lines[0]) - 4 > limits.headers_total:
        raise _too_long_headers()
    if len(data) > limits.header_line and any(len(line) > limits.header_line for line in lines[1:]):
        raise _too_long_headers()


def _read_request_line(line: bytes) -> _RequestLine:
    words = line.split(b" ")
    if len(words) != 3:
        raise BadRequest(400, "malformed request line")
    method, target, protocol = words
    version = _VERSIONS.get(protocol)
    if version is None:
        raise _unknown_version(protocol)
    name = METHODS.get(method)
    if name is None:
        raise _unknown_method(method)
    authority = b""
    if not target.startswith(b"/"):
        authority, target = _split_absolute(name, target)
    if target.translate(None, _IN_TARGET):
        raise BadRequest(400, "malformed request target")
    path, _, query = target.partition(b"?")
    decoded = _decode_path(path) if b"%" in path or b".." in path else path
    return _RequestLine(
        name,
        path.decode("ascii"),
        decoded.decode("latin-1"),
        query.decode("ascii"),
        version,
        authority.decode("latin-1"),
    )


def _unknown_version(protocol: bytes) -> BadRequest:
    if protocol.startswith(b"HTTP/") and protocol != b"HTTP/0.9":
        return BadRequest(505, "HTTP version not supported")
    return BadRequest(400, "malformed request line")


def _unknown_method(method: bytes) -> BadRequest:
    if _TOKEN.fullmatch(method):
        return BadRequest(501, "method not implemented")
    return BadRequest(400, "malformed request line")


def _split_absolute(method: str, target: bytes) -> tuple[bytes, bytes]:
    if target == b"*" and method == "OPTIONS":
        return b"", target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequest(400, "malformed request target")
    authority, rest = absolute.groups()
    return authority, rest if rest.startswith(b"/") else b"/" + rest


def _decode_path(path: bytes) -> bytes:
    decoded = unquote_to_bytes(path)
    if _BAD_ESCAPE.search(path) or decoded.translate(None, _IN_PATH) or b".." in decoded.split(b"/"):
        raise BadRequest(400, "malformed path")
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(400, "path is not UTF-8") from None
    return decoded


def _read_headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        key = _KEYS.get(name)
        if key is None:
            key = _learn_key(name)
        if not colon:
            raise BadRequest(400, "header line without colon")
        text = value.strip(b" \t").decode("latin-1")
        if key in headers:
            text = _join(key, headers[key], text)
        headers[key] = text
    headers.pop("", None)
    return headers


def _join(key: str, first: str, second: str) -> str:
    if key in _ONCE:
        raise BadRequest(400, "header given twice")
    between = "\n" if key.startswith(_OURS) else _BETWEEN.get(key, ",")
    return f"{first}{between}{second}"


def _learn_key(name: bytes) -> str:
    if not _TOKEN.fullmatch(name):
        raise BadRequest(400, "malformed header name")
    key = _environ_key(name)
    if len(_KEYS) < _MOST_KEYS and len(name) <= 40:
        _KEYS[name] = key
    return key


def _environ_key(name: bytes) -> str:
    """Give the WSGI name of a header; names with `_` get none, they would pass for those with `-`."""
    if b"_" in name:
        return ""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_KEYS: Final[dict[bytes, str]] = {
    spelling: _environ_key(spelling)
    for name in (
        "Host Connection Content-Length Content-Type Transfer-Encoding Accept Accept-Encoding Accept-Language"
        " Authorization Cache-Control Cookie Expect Origin Pragma Referer User-Agent Upgrade"
        " Idempotency-Key Sec-WebSocket-Key Sec-WebSocket-Version Sec-WebSocket-Extensions"
        " Sec-WebSocket-Protocol Sec-Fetch-Site Sec-Fetch-Mode Sec-Fetch-Dest"
        " X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Real-IP Last-Event-ID"
    ).split()
    for spelling in (name.encode(), name.lower().encode())
}


def _read_host(headers: dict[str, str], line: _RequestLine) -> str:
    host = headers.get("HTTP_HOST")
    if host is None:
        if line.version == "HTTP/1.1":
            raise BadRequest(400, "no Host")
        host = line.authority
        if not host:
            return ""
    if not _HOST.fullmatch(host):
        raise BadRequest(400, "malformed Host")
    if line.authority and line.authority.lower() != host.lower():
        raise BadRequest(400, "request target is on another host")
    return host


def _read_framing(headers: dict[str, str], version: str) -> tuple[int | None, bool]:
    length = headers.get("CONTENT_LENGTH")
    coding = headers.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if length is not None or version == "HTTP/1.0":
            raise BadRequest(400, "Transfer-Encoding where it may not be")
        if coding.lower() != "chunked":
            raise BadRequest(501, "transfer coding not implemented")
        return None, True
    if length is None:
        return None, False
    if not (length.isascii() and length.isdigit() and len(length) <= _MOST_LENGTH_DIGITS):
        raise BadRequest(400, "malformed Content-Length")
    return int(length), False


def _keeps_alive(connection: str, version: str) -> bool:
    tokens = connection.lower()
    if version == "HTTP/1.1":
        return "close" not in tokens or "close" not in split_list(tokens)
    return "keep-alive" in split_list(tokens)


def _expects_continue(expect: str | None) -> bool:
    if expect is None:
        return False
    if expect.lower() != "100-continue":
        raise BadRequest(417, "expectation not supported")
    return True


def split_list(value: str) -> list[str]:
    """Split a comma-separated header value into its lower-case elements, empty ones left out."""
    return [element for part in value.lower().split(",") if (element := part.strip(" \t"))]
