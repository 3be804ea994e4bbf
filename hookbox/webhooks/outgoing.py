"""A prepared request as the bytes that go out; no I/O."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any, cast

from requests import PreparedRequest, exceptions
from requests.structures import CaseInsensitiveDict

from hookbox.core.cookies import fits_header
from hookbox.webhooks.target import Target


class Headers(CaseInsensitiveDict[str]):
    """The mapping that `requests` uses, copied and walked in one go: every call does both."""

    _store: Any  # an OrderedDict from the lower-case name to (name, value)

    def copy(self) -> Headers:
        """Make another with the same names and values."""
        new = Headers.__new__(Headers)
        new._store = self._store.copy()
        return new

    def items(self) -> ItemsView[str, str]:
        """Names as they were given, with their values, in order."""
        pairs: Any = self._store.values()
        return cast(ItemsView[str, str], pairs)


def request_line(request: PreparedRequest, target: Target) -> str:
    """What a request begins with: the request line and the Host header."""
    return f"{request.method} {request.path_url} HTTP/1.1\r\nHost: {target.authority}\r\n"


def serialize(head: str, request: PreparedRequest) -> bytes:
    """A request as it goes out.

    Args:
        head: as `request_line` makes it.

    Raises:
        exceptions.InvalidHeader: a header could be taken for two.
    """
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    if not fits_header("".join(lines)):
        raise exceptions.InvalidHeader("a header with a line break or another control character")
    fields = "\r\n".join(lines)
    body = request.body or b""
    return f"{head}{fields}\r\n\r\n".encode() + (body.encode() if isinstance(body, str) else body)
