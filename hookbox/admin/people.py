"""Users: listed, and one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookbox.admin.asked import Request, Told
from hookbox.admin.channels import part
from hookbox.admin.connections import item as connection_item
from hookbox.commands.administer import find_user
from hookbox.core.user import User
from hookbox.core.values import JSONObject, UserName

if TYPE_CHECKING:
    from hookbox.admin.console import Console


def listed(console: Console, request: Request) -> Told:
    """Users by name."""
    users = console.server.site.hub.users
    names, following = part(users, request.page())
    found = [users.get(UserName(name)) for name in names]
    return {
        "items": [item(user) for user in found if user is not None],
        "total": len(users),
        "next": following,
    }


def item(user: User) -> JSONObject:
    """A user in a list."""
    return {
        "name": user.name,
        "connections": len(user.connections),
        "channels": len(user.channels),
        "options": user.options.as_json(),
    }


def show(console: Console, request: Request) -> Told:
    """One user, with its connections and channels."""
    user = find_user(console.server.site, request.need("name"))
    return {
        "name": user.name,
        "options": user.options.as_json(),
        "channels": list(user.channels),
        "connections": [connection_item(console.server, each) for each in user.connections],
    }
