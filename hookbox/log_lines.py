"""The text of log lines: control characters escaped, secrets masked, length bounded."""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

LINE_LIMIT: Final = 2048
TRACE_LIMIT: Final = 8192
TAIL_LIMIT: Final = 512
SHORTEST_SECRET: Final = 4

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # bidi marks, invisible characters, line separators
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"  # byte order marks, surrogates, tags
)
_CUT: Final = "..."


def escape(text: str, limit: int = LINE_LIMIT) -> str:
    r"""Make text safe for one log line.

    Control characters, line separators, bidi marks, invisible characters and lone surrogates become
    `\n`, `\x1b`, `\u2028` and so on. Escaping twice changes nothing.

    Args:
        text: anything.
        limit: of the result in UTF-8, in bytes; what is longer ends in `...`.
    """
    text = text[: limit + 1]  # escaping only lengthens, so what was too long still is
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - len(_CUT)].decode(errors="ignore") + _CUT


class Mask:
    """Replaces secrets in text: a second line of defence behind never logging them.

    Args:
        secrets: texts to hide, also where they stand percent-encoded; those shorter than
            `SHORTEST_SECRET` are left, as masking them would garble every line.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
        forms = {form for secret in known for form in (secret, quote(secret, safe=""), quote_plus(secret))}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        return self._pattern.sub("***", text)


def nothing() -> dict[str, str]:
    """What is known where nobody knows anything."""
    return {}


class LineFormatter(logging.Formatter):
    """Plain text: time, level, logger, message and what else is known in one line, a traceback below it.

    Args:
        known: what a line is about, by name, wherever it is logged.
        plain: the logger whose lines say so themselves.
    """

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03d"

    def __init__(self, mask: Mask, known: Callable[[], dict[str, str]] = nothing, plain: str = "") -> None:
        super().__init__()
        self._mask = mask
        self._known = known
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        """One line, and one indented line for each of a traceback."""
        head = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        fields = {} if record.name == self._plain else _fields(record, self._known)
        tail = " ".join(f"{name}={value}" for name, value in fields.items())
        tail = escape(self._mask(f" [{tail}]"), TAIL_LIMIT) if tail else ""
        lines = [escape(self._mask(head), LINE_LIMIT - len(tail.encode())) + tail]
        lines += [f"    {escape(line, LINE_LIMIT - 4)}" for line in trace_lines(record, self._mask)]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object per line; what is known, and what a record carries as a dict `fields`, become keys.

    Args:
        known: what a line is about, by name, wherever it is logged.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, mask: Mask, known: Callable[[], dict[str, str]] = nothing) -> None:
        super().__init__()
        self._mask = mask
        self._known = known

    def format(self, record: logging.LogRecord) -> str:
        """One line, with a traceback of up to `TRACE_LIMIT` characters inside."""
        entry = self._fitting_entry(record)
        trace = "\n".join(escape(line) for line in trace_lines(record, self._mask))
        if trace:
            entry["traceback"] = trace[-TRACE_LIMIT:]
        return json.dumps(entry, ensure_ascii=False)

    def _fitting_entry(self, record: logging.LogRecord) -> dict[str, object]:
        """The keys besides the traceback, so short that their JSON, quotes escaped, keeps the limit."""
        entry: dict[str, object] = {}
        for limit in (1536, 768, 256):
            entry = self._entry(record, limit)
            if len(json.dumps(entry, ensure_ascii=False).encode()) <= LINE_LIMIT:
                break
        return entry

    def _entry(self, record: logging.LogRecord, limit: int) -> dict[str, object]:
        entry: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": escape(self._mask(record.getMessage()), limit),
        }
        for key, value in _fields(record, self._known).items():
            plain = value is None or isinstance(value, bool | int | float)
            entry.setdefault(key, value if plain else escape(self._mask(str(value)), limit // 4))
        return entry


def _fields(record: logging.LogRecord, known: Callable[[], dict[str, str]]) -> Mapping[str, object]:
    """What is known where a record is logged, and what it carries itself, which goes first."""
    return {**known(), **getattr(record, "fields", {})}


def trace_lines(record: logging.LogRecord, mask: Mask) -> Iterator[str]:
    """The lines of a record's traceback and stack, if it has them."""
    if record.exc_info and record.exc_info[0]:
        yield from mask("".join(traceback.format_exception(*record.exc_info)).rstrip("\n")).split("\n")
    if record.stack_info:
        yield from mask(record.stack_info).split("\n")
