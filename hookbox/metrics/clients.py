"""Connections, channels, messages: what has to do with browsers and programs that listen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from hookbox.metrics.families import Families, counter, counters, folded, gauge, gauges
from hookbox.protocol import disconnects
from hookbox.protocol.disconnects import Disconnect
from hookbox.transports.websocket import CUT_OFF

if TYPE_CHECKING:
    from hookbox.server import Server

CODES: Final = sorted(
    {
        str(CUT_OFF),
        *(str(found.code) for found in vars(disconnects).values() if isinstance(found, Disconnect)),
    }
)
RECOVERIES: Final = ("resumed", "not_resumed", "recovered", "lost")
ADMISSION: Final = ("connections", "connections_per_ip", "accept_rate")


def clients(server: Server) -> Families:
    """Who is connected, and how connections ended."""
    counted, admission, room = server.site.counters, server.admission, server.storeroom
    comet = server.comet.open_count
    streams = room.open_streams
    open_now = {"websocket": server.websockets, "comet": comet, "stream": streams}
    yield gauges("hookbox_connections", "Connections that are open now.", "transport", open_now)
    yield gauge("hookbox_streams", "Streams that are open now.", streams)
    yield gauge("hookbox_sockets", "Sockets of clients that are open now.", admission.open)
    yield gauge("hookbox_sockets_limit", "How many may be open.", admission.limit)
    yield counters(
        "hookbox_connections_refused",
        "Sockets turned away, by the setting whose limit was reached.",
        "limit",
        folded(admission.refusals, ADMISSION),
    )
    yield counter("hookbox_connects", "Clients that were let in, resumed ones included.", counted.connections)
    ended = Counter({str(code): count for code, count in (counted.ended + server.comet.ended).items()})
    yield counters(
        "hookbox_disconnects",
        "Connections and streams that ended, by close code; 1006 is a cut without a goodbye.",
        "code",
        folded(ended, CODES),
    )
    yield counter("hookbox_slow_consumers", "Clients that read too slowly (4001).", counted.slow_consumers)
    yield counter(
        "hookbox_write_stalls", "Clients that took no byte for write_stall seconds.", server.flusher.stalls
    )
    yield counters(
        "hookbox_recoveries",
        "Clients that came back (resumed, not_resumed) and their channels (recovered, lost).",
        "result",
        folded(counted.recoveries, RECOVERIES),
    )


def channels(server: Server) -> Families:
    """What they listen to, and what is kept for them."""
    hub, kept, flusher = server.site.hub, server.kept, server.flusher
    yield gauge("hookbox_users", "Users, those about to be missed included.", len(hub.users))
    yield gauge("hookbox_channels", "Channels.", len(hub.channels))
    subscriptions = sum([len(user.channels) for user in hub.users.values()])
    yield gauge("hookbox_subscriptions", "Subscriptions of users to channels.", subscriptions)
    yield gauge("hookbox_history_bytes", "Bytes of publications and history in memory.", kept.used)
    yield gauge("hookbox_history_limit_bytes", "How many there may be (history_total_bytes).", kept.limit)
    yield counter("hookbox_history_cut", "Entries given up early because of their bytes.", kept.cut)
    yield gauge(
        "hookbox_outbox_bytes", "Bytes that wait for clients that read slowly.", flusher.waiting_total
    )
    yield gauge("hookbox_outbox_limit_bytes", "How many may wait (outbox_total).", flusher.total_limit)
    yield gauge("hookbox_outboxes_waiting", "Clients for whom something waits.", len(flusher.waiting))


def messages(server: Server) -> Families:
    """What went in and out."""
    counted = server.site.counters
    yield counter("hookbox_messages_received", "Frames that clients sent.", counted.received)
    yield counter("hookbox_messages_sent", "Frames and stream messages handed to clients.", sent(server))
    yield counter("hookbox_publications", "Publications that were accepted.", counted.publications)
    yield counter("hookbox_private_messages", "Messages from user to user.", counted.messages)
    yield counters(
        "hookbox_frames_refused", "Frames answered with ERROR, by its word.", "code", counted.errors
    )
    yield counters(
        "hookbox_api_calls",
        "Calls of the HTTP API: ok, or the word of the refusal.",
        ("method", "outcome"),
        counted.calls,
    )
    statuses: Counter[str] = Counter()
    for door in server.doors:
        statuses.update({str(status): count for status, count in door.statuses.items()})
    yield counters("hookbox_http_responses", "HTTP answers, by status.", "status", statuses)


def sent(server: Server) -> int:
    """Messages that were handed to clients: each outbox knows the number of its next one.

    So nobody who publishes counts anything. It takes three milliseconds for 15,000 connections, in one go:
    one that ends meanwhile must not be counted twice.
    """
    under_way: int = sum(
        [outbox.next_id - 1 for member in server.checked if (outbox := getattr(member, "outbox", None))]
    )
    return server.site.counters.sent + under_way + server.storeroom.sent_on_streams
