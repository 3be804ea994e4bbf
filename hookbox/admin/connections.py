"""Connections: listed, one in full, and the story of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

from hookbox.admin.asked import Page, Problem, Request, Told
from hookbox.admin.past import in_order
from hookbox.commands.road import ClientRoad
from hookbox.core.connection import Connection
from hookbox.core.values import ConnectionId, JSONObject
from hookbox.core.watchers import Note
from hookbox.transports.comet import CometSession
from hookbox.transports.comet_outbox import CometOutbox
from hookbox.transports.socket_outbox import SocketOutbox
from hookbox.transports.websocket import WebSocket
from hookbox.web.handlers import breathing, look_through
from hookbox.webhooks.asked import Asked
from hookbox.webhooks.masking import mask_cookies
from hookbox.webhooks.shown import asked_item, matches, user_of

if TYPE_CHECKING:
    from hookbox.admin.console import Console
    from hookbox.server import Server

MOST_WEBHOOKS: Final = 1000


def listed(console: Console, request: Request) -> Told:
    """Connections, newest first; those that have not been let in yet, too."""
    query, page, server = request.query, request.page(), console.server
    user, session = query.get("user", ""), query.get("session", "")
    begun = _place(page.after)
    everyone = [
        ((connection.opened_at, connection.id), connection)
        for connection in breathing(list(every(console)))
        if (not user or _user(connection) == user) and (not session or connection.session == session)
    ]
    wanted = [each for each in everyone if (begun is None or each[0] < begun) and _fits(each[1], page)]
    first = nlargest(page.limit + 1, wanted, key=lambda each: each[0])
    shown = first[: page.limit]
    more = len(first) > page.limit
    return {
        "items": [item(server, connection) for _, connection in shown],
        "total": len(everyone),
        "next": f"{shown[-1][0][0]!r}-{shown[-1][0][1]}" if more else None,
    }


def _place(after: str) -> tuple[float, str] | None:
    if not after:
        return None
    at, _, name = after.partition("-")
    try:
        return float(at), name
    except ValueError:
        raise Problem(400, "bad_parameter", "after is not a cursor of this list") from None


def _fits(connection: Connection, page: Page) -> bool:
    if not page.q:
        return True
    texts = (connection.id, _user(connection), connection.client_ip, connection.session)
    return any(page.q in text.lower() for text in texts)


def _user(connection: Connection) -> str:
    return connection.user.name if connection.user is not None else ""


def every(console: Console) -> Iterator[Connection]:
    """Everybody's connections, also of those who have not said CONNECT yet; but not those of consoles."""
    yield from list(console.server.site.hub.connections.values())
    for member in list(console.server.checked):
        if isinstance(member, WebSocket | CometSession) and isinstance(member.road, ClientRoad):
            connection = member.road.connection
            if connection.user is None and connection.open and not console.feed.has(connection):
                yield connection


def item(server: Server, connection: Connection) -> JSONObject:
    """A connection, with masked cookies."""
    transport = connection.transport
    outbox = connection.outbox
    size, messages = outbox.waiting if isinstance(outbox, SocketOutbox | CometOutbox) else (0, 0)
    user = connection.user
    return {
        "id": connection.id,
        "user": _user(connection),
        "connected": user is not None,
        "transport": transport_of(transport),
        "address": connection.client_ip,
        "age": round(server.clock.monotonic() - connection.opened_at, 3),
        "queue_bytes": size,
        "queue_messages": messages,
        "session": connection.session,
        "features": [*sorted(connection.features)],
        "channels": _channels(connection),
        "cookies": mask_cookies(connection.cookies or connection.request_cookies),
    }


def transport_of(transport: Any) -> str:
    """How a connection is carried, in a word."""
    if isinstance(transport, CometSession):
        return "comet"
    return "websocket" if isinstance(transport, WebSocket) else "other"


def _channels(connection: Connection) -> int:
    if connection.user is None:
        return 0
    own = connection.own_channels
    return len(connection.user.channels if own is None else own)


def show(console: Console, request: Request) -> Told:
    """One connection; with its channels by name."""
    name = request.need("id")
    server = console.server
    connection = server.site.hub.connections.get(ConnectionId(name))
    if connection is None:
        connection = next((each for each in every(console) if each.id == name), None)
    if connection is None:
        raise Problem(404, "not_found", "this connection is over; its journal may still be there")
    user = connection.user
    own = connection.own_channels
    names = [] if user is None else [each for each in user.channels if own is None or each in own]
    return {**item(server, connection), "channel_names": [*names]}


def journal(console: Console, request: Request) -> Told:
    """What has happened to a connection, or to all of one session, oldest first, with its webhooks."""
    connection, session = request.query.get("connection", ""), request.query.get("session", "")
    if bool(connection) == bool(session):
        raise Problem(400, "bad_parameter", "give connection or session, one of them")
    past, secrets = console.past, console.server.settings.secrets
    kept = past.of_connection(connection) if connection else past.of_session(session)
    names = {each.connection for each in kept} | ({connection} if connection else set())
    wanted = matches(session=session) if session else matches(connection=connection)
    asked = look_through(
        console.server.webhook_log,
        lambda each: wanted(each) or each.question.connection in names,
        MOST_WEBHOOKS,
    )
    return {"items": in_order([each.item() for each in kept] + [asked_note(each, secrets) for each in asked])}


def asked_note(asked: Asked, secrets: Iterable[str]) -> JSONObject:
    """A webhook among the notes of a connection.

    Args:
        secrets: the configured ones.
    """
    question = asked.question
    return {
        "at": asked.at,
        "kind": "webhook",
        "connection": question.connection,
        "session": question.session,
        "user": user_of(asked),
        "about": {"action": question.action, "verdict": asked.verdict.value},
        "webhook": asked_item(asked, secrets),
    }


def change(server: Server, note: Note) -> JSONObject:
    """What the feed says of a connection that came, was let in or went."""
    about: JSONObject = {"kind": note.kind, "item": item(server, note.connection)}
    if note.kind == "closed":
        about |= {"code": note.about.get("code"), "reason": note.about.get("reason")}
    return about
