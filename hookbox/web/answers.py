"""How the API says yes and no."""

from __future__ import annotations

import logging
from typing import Final

from hookbox.core.values import JSONObject
from hookbox.errors import CommandRefused, DeliveryStoreError, EngineError, HookboxError
from hookbox.protocol.json_text import dump
from hookbox.web.bodies import Unreadable
from hookbox.web.caller import RateExceeded
from hookbox.web.lean import STATUS_LINES, Answer, Headers, new_request_id

logger = logging.getLogger(__name__)

OK: Final = "200 OK"
HEADERS: Final[Headers] = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]
UNAVAILABLE_SECONDS: Final = 1


class PartlyFailed(CommandRefused):
    """Some parts of a call succeeded and some did not.

    Args:
        message: for the caller.
        results: of each part, as JSON text.
    """

    code = "partly_failed"

    def __init__(self, message: str, results: str) -> None:
        super().__init__(message)
        self.results = results


def success(result: JSONObject | str) -> str:
    """`[true, object]`; the object is given as such or as JSON text."""
    return f"[true, {result if isinstance(result, str) else dump(result)}]"


def refusal(message: str, code: str) -> str:
    """`[false, object]`; the message stands under both names that callers know."""
    return dump([False, {"msg": message, "error": message, "code": code}])


def failure(error: HookboxError) -> str:
    """`[false, object]` for an error; codes that speak of frames are said in words of HTTP."""
    code = "bad_request" if error.code == "bad_frame" else error.code
    text = refusal(str(error), code)
    return f'{text[:-2]}, "results": {error.results}}}]' if isinstance(error, PartlyFailed) else text


def answer(status: str, text: str, *headers: tuple[str, str]) -> Answer:
    """An answer of the API: JSON text, never stored anywhere."""
    body = text.encode("ascii")
    return Answer(status, [*HEADERS, ("Content-Length", str(len(body))), *headers], body)


def no(error: HookboxError) -> Answer:
    """The answer for an error: status 200 for whatever was understood, but for limits and breakdowns."""
    request_id = new_request_id()
    logger.info("a call was refused: %s", error.code, extra={"fields": {"request": request_id}})
    extra = [("X-Request-ID", request_id)]
    status = 200
    if isinstance(error, Unreadable):
        status = error.status
        if error.allow:
            extra.append(("Allow", error.allow))
    elif isinstance(error, RateExceeded):
        status = 429
        extra.append(("Retry-After", str(error.retry_after)))
    elif isinstance(error, EngineError | DeliveryStoreError):
        status = 503
        extra.append(("Retry-After", str(UNAVAILABLE_SECONDS)))
    return answer(STATUS_LINES[status], failure(error), *extra)
