"""Every exception of Hookbox, in one tree.

HookboxError
|- ConfigError            the operator's fault: a setting is unknown, malformed or contradictory
|- ProtocolError          the client's fault: a frame or request is malformed
|  `- BadRequest          an HTTP request that is answered with a status and the connection closed
|- CommandRefused         a rule said no
|  |- NotPermitted        the application said no
|  |- LimitReached        one of the configured limits
|  `- NotFound            no such channel, user or connection
|- WebhookError           the application gave no answer in time
|  |- UnusableAnswer      it gave one that cannot be used
|  `- NotAsked            it was not asked: too many wait already, or it fails all the time
|- BadAnswer              what came over a connection to it is not an HTTP answer that can be used
|- ConnectionGone         the client left while something waited
|  `- SlowConsumer        it did not read fast enough and its outbox is full
|- EngineError            the broker cannot store or move publications
|- DeliveryStoreError     what is owed cannot be written down or read
|  `- QueueFull           too much is owed already, or there is no space
`- BadSignature           a delivery was not signed with the secret, or too long ago

`code` is the word that ERROR frames carry; it stands on the class, the data on the instance.
"""

from __future__ import annotations


class HookboxError(Exception):
    """Root of all errors that Hookbox raises on purpose."""

    code = "internal"


class ConfigError(HookboxError):
    """A setting is unknown, malformed or contradictory; the text says what to do."""


class ProtocolError(HookboxError):
    """The client sent something malformed.

    Args:
        code: the error word, e.g. `bad_json`.
        message: the `msg` of the ERROR frame.
        frame_id: id of the offending client frame, if it had a usable one.
    """

    code = "bad_frame"

    def __init__(self, code: str, message: str, frame_id: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.frame_id = frame_id


class BadRequest(ProtocolError):
    """An HTTP request that the door refuses; the connection is closed after the answer.

    Args:
        status: the HTTP status, 400-599.
        reason: short text for the client, without anything that it sent.
        headers: further header lines of the answer, e.g. `Retry-After`.
    """

    code = "bad_request"

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(self.code, reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class CommandRefused(HookboxError):
    """A rule of Hookbox said no; the text is for the client."""

    code = "denied"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class NotPermitted(CommandRefused):
    """The application said no; the text is its own reason."""


class LimitReached(CommandRefused):
    """A configured limit was reached."""

    code = "limit"


class NotFound(CommandRefused):
    """No such channel, user or connection."""

    code = "not_found"


class WebhookError(HookboxError):
    """The application gave no usable answer, which counts as no.

    The text is what the client sees; `detail` is for the operator's log only. `retry_seconds`, where it is
    known, is when to ask again. `outcome` is what an attempt at it is listed as.
    """

    code = "app_unavailable"
    outcome = "unreachable"
    retry_seconds: float | None = None

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class UnusableAnswer(WebhookError):
    """The application answered, with `status`, but not with 200 and `[bool, object]`."""

    def __init__(self, message: str, detail: str = "", status: int = 200) -> None:
        super().__init__(message, detail)
        self.status = status


class NotAsked(WebhookError):
    """The application was not asked: too many wait for it already, or it fails all the time."""


class BadAnswer(HookboxError):
    """What came is not an HTTP answer that can be used; the text is for the operator."""


class ConnectionGone(HookboxError):
    """The client left while something waited."""


class SlowConsumer(ConnectionGone):
    """The client did not read fast enough and its outbox is full."""


class EngineError(HookboxError):
    """The broker cannot store or move publications now."""

    code = "unavailable"


class DeliveryStoreError(HookboxError):
    """The store cannot write or read; nothing was changed. The text is for the operator."""

    code = "unavailable"


class QueueFull(DeliveryStoreError):
    """Too many deliveries are unfinished, or there is no space for more."""


class BadSignature(HookboxError):
    """A delivery that was not signed with the secret, was changed, or is too old; the text says which."""

    code = "bad_signature"
