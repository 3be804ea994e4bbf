"""A comet session by hand, a request at a time. Source: Comet Session Protocol, draft 0.3."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from hookbox.core.values import JSON, JSONObject
from hookbox.protocol.json_text import load
from hookbox.tool.doctor.case import Case
from hookbox.tool.wire import MOST_READ, Answer, Flow

NO_SESSION: Final = "/csp/comet?s=hookbox-doctor"
"""A request about a session that does not exist, which changes nothing; Hookbox answers 404."""
HEADERS: Final = {"Content-Type": "text/plain"}


def is_hookbox(answer: Answer) -> bool:
    """Whether this is what Hookbox answers to `NO_SESSION`."""
    return answer.status == 404 and answer.body.strip() == b"'Session not found'"


class Unexpected(Exception):
    """Not what Hookbox answers."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.told)
        self.answer = answer


class CometLine:
    """One session; begins with the handshake.

    Args:
        query: variables of the session, e.g. `du=3&is=1`.
        headers: of every request.

    Raises:
        Unexpected: the handshake was answered otherwise.
        OSError, http.client.HTTPException: it was not answered.
    """

    def __init__(self, case: Case, query: str, headers: Mapping[str, str] | None = None) -> None:
        self._case = case
        self._headers = {**HEADERS, **(headers or {})}
        self._frames = self._packets = 0
        answer = case.fetch("POST", f"/csp/handshake?{query}", self._headers, b"{}")
        try:
            self.key = str(_evaluated(answer.text)["session"])
        except (ValueError, TypeError, KeyError):
            raise Unexpected(answer) from None

    def send(self, name: str, args: JSONObject) -> Answer:
        """Send a frame of Hookbox's."""
        self._frames += 1
        self._packets += 1
        data = base64.urlsafe_b64encode((json.dumps([self._frames, name, args]) + "\r\n").encode()).decode()
        body = json.dumps([[self._packets, 1, data.rstrip("=")]]).encode()
        return self._case.fetch("POST", f"/csp/send?s={self.key}", self._headers, body)

    def begin(self, query: str = "", headers: Mapping[str, str] | None = None, timeout: float = 60.0) -> Flow:
        """Begin a comet request."""
        more = f"&{query}" if query else ""
        path = f"/csp/comet?s={self.key}{more}"
        return self._case.flow("POST", path, {**self._headers, **(headers or {})}, b"", timeout)

    def close(self) -> None:
        """End the session."""
        self._case.fetch("POST", f"/csp/close?s={self.key}", self._headers, b"")


class Unpacker:
    """Bytes of an answer, whatever they were compressed by."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.packed = encoding.lower() in ("gzip", "deflate")
        self._inflate = zlib.decompressobj(47) if self.packed else None

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that these bring; of very many the first.

        Raises:
            ValueError: they are not compressed as the answer says.
        """
        if self._inflate is None:
            return data
        try:
            return self._inflate.decompress(data, MOST_READ)
        except zlib.error as error:
            raise ValueError(f"not {self.encoding}: {error}") from None


def frames_in(text: str) -> list[list[JSON]]:
    """The frames in an answer of one or more batches, each `(...)`; what is cut off is left out."""
    raw = b""
    for batch in text.splitlines():
        try:
            packets = _evaluated(batch)
        except ValueError:
            continue
        for packet in packets if isinstance(packets, list) else ():
            raw += _unpacked(packet)
    lines = [line for line in raw.decode("utf-8", "replace").split("\r\n") if line]
    values = [load(line) for line in lines]
    return [value for value in values if isinstance(value, list)]


def _unpacked(packet: JSON) -> bytes:
    match packet:
        case [int(), 1, str(data)]:
            return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
        case [int(), 0, str(data)]:
            return data.encode()
    return b""


def _evaluated(text: str) -> Any:
    inner = text.strip()
    if not (inner.startswith("(") and inner.endswith(")")):
        raise ValueError(text)
    return load(inner[1:-1])
