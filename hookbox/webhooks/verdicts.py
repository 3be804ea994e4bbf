"""What the application's answer to a question means."""

from __future__ import annotations

from collections.abc import Sequence

from hookbox.errors import UnusableAnswer
from hookbox.protocol.json_text import BadJSON, load
from hookbox.webhooks.gate import Allow, Refuse


def read_verdict(status: int, body: bytes, set_cookies: Sequence[str] = ()) -> Allow | Refuse:
    """Read the application's answer to a webhook.

    Only an answer that can be used has any effect: the Set-Cookie headers of a refusal count,
    those of an error page do not.

    Args:
        status: of the HTTP answer.
        body: its content, not decoded.
        set_cookies: values of its Set-Cookie headers, in order.

    Raises:
        UnusableAnswer: the status is not 200, or the body is not `[bool, object]`. Its text is
            fit for the client; its `detail` says more, but nothing of what the body holds.

    Source: Hookbox 0.3 manual, "Webhooks".
    """
    if status != 200:
        raise UnusableAnswer(f"Invalid callback response, status={status}", f"status {status}", status)
    try:
        answer = load(body)
    except BadJSON as error:
        raise UnusableAnswer("Invalid json: the answer cannot be read", str(error)) from None
    match answer:
        case [True, dict(options)]:
            return Allow(options, tuple(set_cookies))
        case [False, dict(options)]:
            return Refuse(_reason(options.get("error") or options.get("msg")), options, tuple(set_cookies))
        case _:
            raise UnusableAnswer("Invalid json: expected [bool, object]", f"answer is {_shape(answer)}")


def _reason(given: object) -> str:
    return str(given) if given else "Unauthorized"


def _shape(answer: object) -> str:
    if isinstance(answer, list) and len(answer) <= 4:
        return f"[{', '.join(type(item).__name__ for item in answer)}]"
    return type(answer).__name__
