"""A message from one user to another."""

from __future__ import annotations

from hookbox.commands.asking import ask, follow
from hookbox.commands.site import Cause, Site
from hookbox.core.names import read_user_name
from hookbox.core.user import User
from hookbox.core.values import JSON, UserName
from hookbox.errors import CommandRefused, UnusableAnswer
from hookbox.protocol.json_text import dump
from hookbox.protocol.rtjp import frame


def message(site: Site, cause: Cause, sender: User, recipient: JSON, payload: JSON) -> None:
    """Send a message to all connections of a user, and a copy to the sender's own.

    Raises:
        ProtocolError, CommandRefused: no such user, or the application said no.
        WebhookError: the application gave no usable answer.
        ConnectionGone: the sender left while the application decided.
    """
    name = read_user_name(recipient)
    if sender.options.moderated_message:
        form = {
            "sender": sender.name,
            "recipient": name,
            "recipient_exists": dump(name in site.hub.users),
            "payload": dump(payload),
        }
        answer = ask(site, cause, "message", form)
        follow(site, cause, sender, answer)
        cause.require_open()
        payload = answer.get("override_payload", payload)
        name = _overridden(name, answer.get("override_recipient_name"))
    elif name not in site.hub.users:
        raise CommandRefused("Invalid user name", "no_such_user")
    deliver(site, sender, name, payload)


def _overridden(name: UserName, override: JSON) -> UserName:
    match override:
        case None:
            return name
        case str():
            return UserName(override)
        case bool() | list() | dict():
            raise UnusableAnswer("Invalid callback response", "override_recipient_name is not a string")
        case _:
            return UserName(str(override))


def deliver(site: Site, sender: User, recipient_name: UserName, payload: JSON) -> None:
    """Queue a message for the recipient's connections and, if the sender is reflective, for its own."""
    recipient = site.hub.users.get(recipient_name)
    sent = frame(
        "MESSAGE",
        {
            "sender": sender.name,
            "recipient": recipient.name if recipient else "null",
            "payload": payload,
            "datetime": site.timestamp(),
        },
    )
    outboxes = [connection.outbox for connection in recipient.connections] if recipient else []
    if sender.options.reflective and sender is not recipient:
        outboxes += [connection.outbox for connection in sender.connections]
    site.fan_out(sent, outboxes)
    site.counters.messages += 1
