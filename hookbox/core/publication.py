"""An accepted message, and the texts it is sent as."""

from __future__ import annotations

from typing import NamedTuple


class Publication(NamedTuple):
    """One accepted message on a channel. Its parts are JSON texts, so that encoding it is joining them.

    Args:
        offset: its number on the channel, from 1; 0 for one that is not kept (`only_to_sender`).
        seq: its number on this server, by which streams resume; 0 for one that is not kept.
        channel: channel name, as JSON text.
        payload: payload, as JSON text.
        datetime: `YYYY-MM-DDTHH:MM:SS`.
        user: originator, as JSON text; empty on anonymous channels.
        at: monotonic seconds when it was accepted.
        time_ms: milliseconds since the Unix epoch, the same moment.
        type: event type, empty for none.
        message_id: of one that is on disk; empty for one that is not.
    """

    offset: int
    seq: int
    channel: str
    payload: str
    datetime: str
    user: str
    at: float
    time_ms: int = 0
    type: str = ""
    message_id: str = ""

    def args(self, presence: str = "") -> str:
        """Arguments of the PUBLISH frame, as JSON text.

        Args:
            presence: the channel's list of users as JSON text, if it is to be told.
        """
        extra = f', "presence": {presence}' if presence else ""
        if self.message_id:
            extra += f', "message_id": "{self.message_id}"'
        return f'{{"channel_name": {self.channel}, {self._body()}{extra}}}'

    def entry(self) -> str:
        """The publication as an entry of a channel's history, as JSON text."""
        return f'["PUBLISH", {{{self._body()}}}]'

    @property
    def size(self) -> int:
        """Bytes that keeping it costs, about."""
        return len(self.payload) + 200

    def _body(self) -> str:
        user = f', "user": {self.user}' if self.user else ""
        offset = f', "offset": {self.offset}' if self.offset else ""
        return f'"payload": {self.payload}, "datetime": "{self.datetime}"{user}{offset}'
