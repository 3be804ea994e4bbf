"""Signatures of deliveries, made and checked.

What is signed are bytes: identifier, time and body, exactly as they are sent.

Source: Standard Webhooks 1.0, "Signature scheme" and "Verifying webhook authenticity".
"""

from __future__ import annotations

import binascii
import hmac
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hookbox.errors import BadSignature

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret that is written in base64."""
SHORTEST_RAW = 16
TOLERANCE = 300


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret.

    Args:
        key: the bytes that sign.
        raw: whether it was given as plain text instead of base64.
    """

    key: bytes = field(repr=False)
    raw: bool = False

    @classmethod
    def new(cls) -> Secret:
        """A new one, of 256 bits."""
        return cls(secrets.token_bytes(32))

    @classmethod
    def read(cls, text: str) -> Secret:
        """Read a secret as people write it: `whsec_` and base64, base64 alone, or any text.

        Raises:
            ValueError: with the prefix, it is not base64 of 24 to 64 bytes; without, it is too short.
        """
        key = _base64(text.removeprefix(PREFIX))
        if key is not None and SHORTEST <= len(key) <= LONGEST:
            return cls(key)
        if text.startswith(PREFIX):
            raise ValueError(f"{PREFIX} has to be followed by base64 of {SHORTEST} to {LONGEST} bytes")
        raw = text.encode()
        if len(raw) < SHORTEST_RAW:
            raise ValueError(f"a secret of {len(raw)} bytes, at least {SHORTEST_RAW} are needed")
        return cls(raw, raw=True)

    def __str__(self) -> str:
        return self.key.decode() if self.raw else PREFIX + b64encode(self.key).decode()


def sign(keys: Iterable[Secret], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one entry for each secret, in their order.

    Args:
        timestamp: seconds since the Unix epoch.
    """
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join([f"v1,{_digest(secret.key, signed)}" for secret in keys])


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Iterable[str],
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> None:
    """Check that a delivery was signed with a secret that both sides know; for receivers.

    Args:
        body: the bytes as they came, before any parsing.
        headers: of the request; names in any case, or as WSGI and PHP write them (`HTTP_WEBHOOK_ID`).
        secret: as the sender has it; several while one takes the other's place.
        tolerance: seconds that the time in the signature may be off.
        now: seconds since the Unix epoch; the present by default.

    Raises:
        BadSignature: a header is missing, the time is too far away, or no signature fits.
        ValueError: a secret cannot be one.
    """
    found = {name.lower().replace("_", "-").removeprefix("http-"): value for name, value in headers.items()}
    message_id, timestamp, signatures = (
        _header(found, f"webhook-{n}") for n in ("id", "timestamp", "signature")
    )
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 15:
        raise BadSignature("webhook-timestamp is not a number of seconds")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > tolerance:
        raise BadSignature("it is too old" if age > 0 else "its time is in the future")
    content = body.encode() if isinstance(body, str) else body
    signed = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), content)
    keys = [Secret.read(text).key for text in ([secret] if isinstance(secret, str) else secret)]
    expected = [_digest(key, signed).encode() for key in keys]
    given = [entry.removeprefix("v1,").encode() for entry in signatures.split() if entry.startswith("v1,")]
    fits = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    if True not in fits:
        raise BadSignature("no signature fits")


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise BadSignature(f"the header {name} is missing")
    return value


def _digest(key: bytes, signed: bytes) -> str:
    return b64encode(hmac.digest(key, signed, "sha256")).decode()


def _base64(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
