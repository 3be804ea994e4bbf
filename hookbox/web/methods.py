"""The methods of the HTTP API: one table from name to parameters and what is done.

Everything that routes, checks and documents a method is read from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hookbox.commands.administer import MOST_PUBLICATIONS
from hookbox.core.values import JSON
from hookbox.errors import HookboxError
from hookbox.web import configure, handlers, params
from hookbox.web.answers import failure, success
from hookbox.web.bodies import Given
from hookbox.web.caller import Caller
from hookbox.web.handlers import Result, breathing
from hookbox.web.params import BadParameter, Param
from hookbox.web.params import read_options as read_any_options

TOKEN_FIELDS: Final = ("security_token", "secret")


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the API.

    Args:
        name: also its path below `/web/`.
        params: what it takes.
        run: does it; is given the caller and the parameters by name.
        reads: whether it changes nothing, and so may be asked by GET.
        options: what further parameters are, in words; empty if there are none.
        read_options: reads them.
        aliases: other names it has.
    """

    name: str
    params: tuple[Param, ...]
    run: Callable[..., Result]
    reads: bool = False
    options: str = ""
    read_options: Callable[[Given, frozenset[str], int], dict[str, JSON]] = read_any_options
    aliases: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """What it does, one sentence."""
        return (self.run.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def taken(self) -> frozenset[str]:
        """Names that are no options."""
        own = (name for param in self.params for name in (param.name, *param.aliases))
        return frozenset((*own, *TOKEN_FIELDS))

    def call(self, caller: Caller, given: Given) -> Result:
        """Read the parameters and do it.

        Raises:
            HookboxError: a parameter is wrong, or what `run` raises.
        """
        depth = caller.site.settings.json_depth
        values = {param.name: param.read(given, depth) for param in self.params}
        if self.options:
            values["options"] = self.read_options(given, self.taken, depth)
        return self.run(caller, **values)


def _batch(caller: Caller, commands: list[JSON]) -> Result:
    """Make many calls in one; one that fails does not stop the rest."""
    results = ", ".join([_one_of_batch(caller, command) for command in breathing(commands)])
    return f'{{"results": [{results}]}}'


def _one_of_batch(caller: Caller, command: JSON) -> str:
    try:
        method, given = _read_command(command)
        return success(method.call(caller, given))
    except HookboxError as error:
        return failure(error)


def _read_command(command: JSON) -> tuple[Method, Given]:
    match command:
        case {"method": str() as name, "params": dict() as values}:
            pass
        case {"method": str() as name, **rest} if "params" not in rest:
            values = {}
        case _:
            raise BadParameter('a command must be {"method": "...", "params": {...}}')
    method = BY_NAME.get(name)
    if method is None or method.run is _batch:
        raise BadParameter(f"there is no method {name[:80]}" if method is None else "a batch holds no batch")
    return method, Given(values, False)


CHANNEL_NAME: Final = Param("channel_name", params.CHANNEL, "name of the channel", required=True)
USER_NAME: Final = Param("name", params.USER, "name of a connected user", True, aliases=("user", "user_name"))
ABOUT_USER: Final = Param(
    "user_name", params.USER, "name of a connected user", True, aliases=("name", "user")
)
SEND_HOOK: Final = Param(
    "send_hook",
    params.FLAG,
    "ask the application by its webhook first, as if a browser had acted",
    default=False,
)
PUBLISHING: Final = (
    Param(
        "payload", params.PAYLOAD, "what to publish: JSON text in a form, any value in JSON", default="null"
    ),
    Param("originator", params.ORIGINATOR, "user shown as the publisher; nobody without it"),
    SEND_HOOK,
    Param(
        "idempotency_key",
        params.IDEMPOTENCY_KEY,
        "a repeat with this key on this channel, for some minutes, returns the first one's offset",
    ),
)
KEY_NAME: Final = Param("key", params.TEXT, "key in the channel's state", required=True)
CHANNEL_OPTIONS: Final = "channel options by name, or an object `options` of them"

METHODS: Final = (
    Method("publish", (CHANNEL_NAME, *PUBLISHING), handlers.publish),
    Method(
        "publish_multi",
        (
            Param(
                "channel_names", params.CHANNELS, "names separated by commas, or a JSON list", required=True
            ),
            *PUBLISHING,
        ),
        handlers.publish_multi,
    ),
    Method(
        "batch",
        (Param("commands", params.COMMANDS, "list of `{method, params}`", required=True),),
        _batch,
    ),
    Method("subscribe", (CHANNEL_NAME, USER_NAME, SEND_HOOK), handlers.subscribe_user),
    Method("unsubscribe", (CHANNEL_NAME, USER_NAME, SEND_HOOK), handlers.unsubscribe_user),
    Method(
        "message",
        (
            Param("sender_name", params.USER, "name of a connected user", required=True),
            Param("recipient_name", params.USER, "name of a connected user", required=True),
            Param(
                "payload",
                params.PAYLOAD,
                "what to send: JSON text in a form, any value in JSON",
                default="null",
            ),
            SEND_HOOK,
        ),
        handlers.message,
    ),
    Method(
        "create_channel",
        (CHANNEL_NAME, SEND_HOOK),
        handlers.create_channel,
        options=CHANNEL_OPTIONS,
    ),
    Method(
        "destroy_channel",
        (CHANNEL_NAME, SEND_HOOK),
        handlers.destroy_channel,
    ),
    Method(
        "get_channel_info",
        (CHANNEL_NAME,),
        handlers.get_channel_info,
        reads=True,
        aliases=("channel_info",),
    ),
    Method(
        "set_channel_options",
        (CHANNEL_NAME,),
        handlers.set_channel_options,
        options=CHANNEL_OPTIONS,
    ),
    Method(
        "history",
        (
            CHANNEL_NAME,
            Param("since", params.COUNT, "an offset; without it the last publications are given"),
            Param("epoch", params.TEXT, "the epoch that `since` belongs to; the present one without it"),
            Param("limit", params.COUNT, "publications at most", default=MOST_PUBLICATIONS),
        ),
        handlers.history,
        reads=True,
    ),
    Method(
        "state_set_key",
        (CHANNEL_NAME, KEY_NAME, Param("val", params.ANY, "its value, null without it")),
        handlers.state_set_key,
    ),
    Method(
        "state_delete_key",
        (CHANNEL_NAME, KEY_NAME),
        handlers.state_delete_key,
    ),
    Method(
        "state_multi_set",
        (CHANNEL_NAME, Param("state", params.OBJECT, "keys and values", required=True)),
        handlers.state_multi_set,
    ),
    Method(
        "get_user_info",
        (ABOUT_USER,),
        handlers.get_user_info,
        reads=True,
    ),
    Method(
        "set_user_options",
        (ABOUT_USER,),
        handlers.set_user_options,
        options="user options by name, or an object `options` of them",
    ),
    Method(
        "disconnect",
        (
            Param("identifier", params.TEXT, "id of one connection", aliases=("conn_id",)),
            Param(
                "name",
                params.USER,
                "instead of it: name of a user, all of whose connections end",
                aliases=("user", "user_name"),
            ),
            Param("session", params.SESSION, "instead of it: a login, all of whose connections end"),
            Param("session_cookie", params.SECRET, "the same, by the value of its cookie"),
        ),
        handlers.disconnect,
    ),
    Method("disconnect_user", (USER_NAME,), handlers.disconnect_user),
    Method(
        "get_server_info",
        (Param("names", params.FLAG, "list the names of channels and users too", default=False),),
        handlers.get_server_info,
        reads=True,
    ),
    Method(
        "get_webhook_log",
        (
            Param("conn_id", params.TEXT, "only those about this connection"),
            Param("user", params.TEXT, "only those about this user"),
            Param("channel_name", params.TEXT, "only those about this channel"),
            Param("limit", params.COUNT, "webhooks at most", default=50),
        ),
        handlers.get_webhook_log,
        reads=True,
    ),
    Method(
        "set_config",
        (),
        handlers.set_config,
        options="settings by name",
        read_options=configure.read_options,
    ),
)

BY_NAME: Final[Mapping[str, Method]] = {
    name: method for method in METHODS for name in (method.name, *method.aliases)
}
