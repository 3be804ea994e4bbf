"""The kinds of parameters that methods of the API take, read from a form's text and from JSON alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hookbox.core.names import read_channel_name, user_name_fault
from hookbox.core.sessions import DIGITS
from hookbox.core.values import JSON, JSONObject
from hookbox.errors import CommandRefused
from hookbox.protocol.json_text import BadJSON, dump, load
from hookbox.web.bodies import Given

MOST_ITEMS: Final = 1000
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SESSION: Final = re.compile(f"[0-9a-f]{{{DIGITS}}}")
_FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off", ""), False),
}


class BadParameter(CommandRefused):
    """A parameter is missing or of a wrong kind."""

    code = "bad_request"


Reader = Callable[[str, Any, int], Any]
"""Takes a parameter's name, its value, and how deep JSON may nest; raises BadParameter or ProtocolError."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter may be.

    Args:
        words: the same for people.
        schema: the same in JSON Schema.
        from_text: reads what a form or query holds.
        from_json: reads what a JSON body holds.
    """

    words: str
    schema: JSONObject
    from_text: Reader
    from_json: Reader


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a method.

    Args:
        name: as callers write it.
        kind: what it may be.
        help: one sentence.
        required: whether a call without it fails.
        default: stands for one that is not given, or given as null.
        aliases: other names that callers may use.
    """

    name: str
    kind: Kind
    help: str
    required: bool = False
    default: Any = None
    aliases: tuple[str, ...] = ()

    def read(self, given: Given, depth: int) -> Any:
        """This parameter's value.

        Raises:
            CommandRefused, ProtocolError: missing or of a wrong kind.
        """
        values = given.values
        value = values.get(self.name)
        if value is None and self.aliases:
            value = next((values[name] for name in self.aliases if name in values), None)
        if value is None:
            if self.required:
                raise BadParameter(f"{self.name} required")
            return self.default
        if given.coded:
            return self.kind.from_text(self.name, value, depth)
        return self.kind.from_json(self.name, value, depth)


def read_options(given: Given, taken: frozenset[str], depth: int) -> dict[str, JSON]:
    """Everything that is not a parameter of its own, and what an object `options` holds, as options.

    Args:
        given: as it came; values of a form are JSON text, or plain text where they are not JSON.
        taken: names of what is no option.
        depth: how deep a value may nest.

    Raises:
        BadParameter: too deep, or `options` is not an object.
    """
    options: dict[str, JSON] = {}
    for name, value in given.values.items():
        if name in taken:
            continue
        value = decode_loosely(str(value), depth) if given.coded else _any(name, value, depth)
        if name == "options":
            options.update(_object(name, value, depth))
        else:
            options[name] = value
    return options


def decode_loosely(text: str, depth: int) -> JSON:
    """The value that text stands for as JSON; the text itself if it is not JSON."""
    try:
        return load(text, depth)
    except BadJSON:
        return text


def payload_text(name: str, value: JSON, depth: int) -> str:
    """A JSON value as text, the way Hookbox writes it.

    Raises:
        BadParameter: nested too deeply.
    """
    text = dump(value)
    if text.count("[") + text.count("{") > depth:
        try:
            load(text, depth)
        except BadJSON as error:
            raise BadParameter(f"Invalid json for {name}: {error}") from None
    return text


def _decode(name: str, text: str, depth: int) -> JSON:
    try:
        return load(text, depth)
    except BadJSON as error:
        why = str(error) if "nested" in str(error) else "JSON text is wanted, so a string needs its quotes"
        raise BadParameter(f"Invalid json for {name}: {why}") from None


def _payload_from_text(name: str, text: str, depth: int) -> str:
    return dump(_decode(name, text, depth))


def _any(name: str, value: JSON, depth: int) -> JSON:
    if isinstance(value, dict | list):
        payload_text(name, value, depth)
    return value


def _string(name: str, value: JSON, depth: int) -> str:
    if not isinstance(value, str):
        raise BadParameter(f"{name} must be a string")
    return value


def _user(name: str, value: JSON, depth: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # applications whose user names are numbers may say so
    text = _string(name, value, depth)
    if fault := user_name_fault(text):
        raise BadParameter(f"Invalid {name}: {fault}")
    return text


def _originator(name: str, value: JSON, depth: int) -> str | None:
    return None if value == "" else _user(name, value, depth)


def _session(name: str, value: JSON, depth: int) -> str:
    text = _string(name, value, depth).lower()
    if not _SESSION.fullmatch(text):
        raise BadParameter(
            f"{name} must be {DIGITS} hexadecimal digits of the SHA-256 of the session cookie's value; "
            "session_cookie takes the value itself"
        )
    return text


def _secret(name: str, value: JSON, depth: int) -> str:
    text = _string(name, value, depth)
    if not text:
        raise BadParameter(f"{name} is empty")
    return text


def _channel(name: str, value: JSON, depth: int) -> str:
    return read_channel_name(value)


def _channels(name: str, value: JSON, depth: int) -> list[str]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise BadParameter(f"{name} must be names separated by commas, or a JSON list of them")
    if len(value) > MOST_ITEMS:
        raise BadParameter(f"{name} has {len(value)} names, limit {MOST_ITEMS}")
    return [str(item) for item in value]


def _channels_from_text(name: str, text: str, depth: int) -> list[str]:
    value = decode_loosely(text, depth) if text.startswith("[") else text
    return _channels(name, value, depth)


def _object(name: str, value: JSON, depth: int) -> JSONObject:
    if not isinstance(value, dict):
        raise BadParameter(f"{name} must be a JSON object")
    _any(name, value, depth)
    return value


def _commands(name: str, value: JSON, depth: int) -> list[JSON]:
    if not isinstance(value, list):
        raise BadParameter(f"{name} must be a JSON list")
    if len(value) > MOST_ITEMS:
        raise BadParameter(f"{name} has {len(value)} entries, limit {MOST_ITEMS}")
    return value


def _count(name: str, value: JSON, depth: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise BadParameter(f"{name} must be a whole number, 0 or more")
    return value


def _flag_from_text(name: str, text: str, depth: int) -> bool:
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise BadParameter(f"{name} must be true or false")
    return flag


def _flag(name: str, value: JSON, depth: int) -> bool:
    if isinstance(value, bool):
        return value
    return _flag_from_text(name, str(value) if isinstance(value, str | int) else "?", depth)


def _idempotency_key(name: str, value: JSON, depth: int) -> str:
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        raise BadParameter(f"{name} must be 1 to 255 visible ASCII characters")
    return value


def _json(words: str, schema: JSONObject, read: Reader) -> Kind:
    """A kind that a form carries as JSON text."""
    return Kind(
        words, schema, lambda name, text, depth: read(name, _decode(name, text, depth + 3), depth), read
    )


def _plain(words: str, schema: JSONObject, read: Reader) -> Kind:
    """A kind that is the same text in a form and in JSON."""
    return Kind(words, schema, read, read)


_STRING: Final[JSONObject] = {"type": "string"}
_NAMES: Final[JSONObject] = {"type": "array", "items": _STRING, "minItems": 1, "maxItems": MOST_ITEMS}

TEXT = _plain("text", _STRING, _string)
SESSION = _plain("digest", {"type": "string", "pattern": f"^[0-9A-Fa-f]{{{DIGITS}}}$"}, _session)
SECRET = _plain("text, secret", {"type": "string", "minLength": 1, "writeOnly": True}, _secret)
USER = _plain("user name", {"type": "string", "minLength": 1, "maxLength": 128}, _user)
ORIGINATOR = _plain("user name", {"type": "string", "maxLength": 128}, _originator)
CHANNEL = _plain("channel name", {"type": "string", "minLength": 1, "maxLength": 200}, _channel)
CHANNELS = Kind("channel names", {"oneOf": [_STRING, _NAMES]}, _channels_from_text, _channels)
PAYLOAD = Kind("any JSON", {}, _payload_from_text, payload_text)
"""Read as the JSON text that subscribers and the history get."""
ANY = _json("any JSON", {}, _any)
OBJECT = _json("JSON object", {"type": "object"}, _object)
COMMANDS = _json(
    "JSON list", {"type": "array", "items": {"type": "object"}, "maxItems": MOST_ITEMS}, _commands
)
COUNT = _json("whole number", {"type": "integer", "minimum": 0}, _count)
FLAG = Kind("true or false", {"type": "boolean"}, _flag_from_text, _flag)
IDEMPOTENCY_KEY = _plain("text", {"type": "string", "pattern": "^[!-~]{1,255}$"}, _idempotency_key)
