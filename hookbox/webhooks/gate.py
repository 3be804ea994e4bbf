"""The question put to the application, its verdict, and who may be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hookbox.core.values import JSONObject


@dataclass(frozen=True, slots=True)
class Question:
    """One webhook, before it is sent.

    Args:
        action: `connect`, `create_channel`, `subscribe` ...
        fields: the form's fields besides `action` and `secret`.
        cookies: value for the Cookie header, merged and narrowed; empty sends none.
        client_ip: for X-Real-IP; empty sends none.
        key: the Idempotency-Key, the same on a repeat of the question; empty has one made.
        connection: id of the connection that it is about, empty for none; for those who look on.
        user: name of the user that it is about, empty for none, or for one that has no name yet.
        session: of that connection, empty for none.
    """

    action: str
    fields: dict[str, str]
    cookies: str = field(default="", repr=False)
    client_ip: str = ""
    key: str = ""
    connection: str = ""
    user: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Allow:
    """The application said yes; `set_cookies` are its raw Set-Cookie values, in order."""

    options: JSONObject = field(default_factory=dict)
    set_cookies: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Refuse:
    """The application said no; `reason` is the text the client sees."""

    reason: str
    options: JSONObject = field(default_factory=dict)
    set_cookies: tuple[str, ...] = field(default=(), repr=False)


class Gate(Protocol):
    """Whoever decides."""

    def ask(self, question: Question) -> Allow | Refuse:
        """Put a question and wait for the verdict.

        May block the calling greenlet for up to `webhook_timeout` seconds, so all state
        read before the call has to be looked at again after it.

        Raises:
            WebhookError: no usable answer, which counts as no.
        """


class AllowAll:
    """A gate that always allows: for the application's own API calls and `hookbox dev`."""

    def ask(self, question: Question) -> Allow | Refuse:
        """Allow at once, with no options."""
        return Allow()
