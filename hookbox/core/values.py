"""Names of things and the shape of JSON, shared by all rooms."""

from __future__ import annotations

from typing import NewType, TypeAlias

ChannelName = NewType("ChannelName", str)
UserName = NewType("UserName", str)
ConnectionId = NewType("ConnectionId", str)

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None
JSONObject: TypeAlias = dict[str, JSON]
