"""The HTTP API: what the web application calls. Routes, checks and its description come from one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from hookbox.commands.site import Site
from hookbox.errors import HookboxError
from hookbox.settings import Settings
from hookbox.sources import nearest
from hookbox.web.answers import OK, answer, no, refusal, success
from hookbox.web.bodies import FORM, Given, Unreadable, read_body, read_form, read_given
from hookbox.web.caller import Callers, Parts
from hookbox.web.lean import STATUS_LINES, Answer, Environ, LeanBottle
from hookbox.web.methods import BY_NAME, METHODS, Method
from hookbox.web.openapi import describe, list_methods

PREFIXES: Final = ("/web/", "/rest/")
BARE: Final = ("publish", "subscribe", "channel_info", "set_channel_options")
"""Methods that are also served at the root, as the oldest Hookbox did."""

HUB_PATHS: Final = ("/publish", "/subscribe")
HUB_FIELD: Final = "hub.mode"

Hub = Callable[[Environ, bytes | None], Answer | None]
"""Answers a form or query with `hub.mode` at one of the `HUB_PATHS`; None if it does not want to.

It is given the body if that has been read already.
"""

_NO_VALUES: Final[Mapping[str, Any]] = {}


def serves(path: str) -> bool:
    """Whether a path belongs to the API."""
    return path.startswith(PREFIXES) or path in ("/web", "/rest") or path[1:] in BARE


def body_limit(settings: Settings, path: str) -> int | None:
    """Bytes that the body of a request to a path of the API may have; None for other paths."""
    return settings.api_body if serves(path) else None


def make_api(
    site: Site,
    *,
    apply_settings: Callable[[Mapping[str, Any]], None],
    congested: Callable[[], bool] = lambda: False,
    counts: Callable[[], Mapping[str, int]] = dict,
    hub: Hub | None = None,
    callers: Callers | None = None,
) -> LeanBottle:
    """The API as a WSGI application. Call it directly: mounted in another Bottle it would cost more.

    Args:
        site: what commands work on; its settings are looked at on every call.
        apply_settings: changes settings by name, at once (`set_config`).
        congested: whether subscribers read so slowly that publishing has to wait.
        counts: further counters to show in `get_server_info`.
        hub: answers what is meant for the hub; without one there is no hub.
        callers: knows the tokens; made of the others if it is None.
    """
    if callers is None:
        callers = Callers(Parts(site, apply_settings, congested, counts, site.clock.monotonic()))
    app = LeanBottle(_excuse)
    for method in METHODS:
        for name in (method.name, *method.aliases):
            door = Door(method, callers, site, hub)
            for path in (prefix + name for prefix in PREFIXES):
                app.serve(path, ["POST", "GET"], door.api)
            if name in BARE:
                app.serve("/" + name, ["POST", "GET"], door.bare)
    for path in ("/web", "/rest", *PREFIXES):
        app.serve(path, ["GET"], _fixed(list_methods()))
    for prefix in PREFIXES:
        app.serve(prefix + "openapi.json", ["GET"], _fixed(describe()))
        app.serve(prefix + "<name>", ["ANY"], _nothing_there)
    return app


class Door:
    """Serves one method: reads the request, asks who it is, does it, answers.

    Args:
        method: which.
        callers: knows the tokens.
        site: whose settings limit the request.
        hub: answers what is meant for the hub.
    """

    def __init__(self, method: Method, callers: Callers, site: Site, hub: Hub | None) -> None:
        self._method = method
        self._callers = callers
        self._site = site
        self._hub = hub

    def api(self, environ: Environ) -> Answer:
        """Answer a call at a path of its own."""
        try:
            return self._call(environ, *self._read(environ))
        except HookboxError as error:
            return self._no(error)

    def bare(self, environ: Environ) -> Answer:
        """Answer a call at a path that it may share with the hub."""
        try:
            in_query = _query(environ)
            if self._hub is not None and in_query is not None and HUB_FIELD in in_query.values:
                answered = self._hub(environ, None)
                if answered is not None:
                    return answered
            body = self._body(environ)
            in_body = self._given(environ, body)
            if self._hub is not None and in_body is not None and HUB_FIELD in in_body.values:
                answered = self._hub(environ, body)
                if answered is not None:
                    return answered
            return self._call(environ, in_body, in_query)
        except HookboxError as error:
            return self._no(error)

    def _no(self, error: HookboxError) -> Answer:
        self._site.counters.calls[self._method.name, error.code] += 1
        return no(error)

    def _read(self, environ: Environ) -> tuple[Given | None, Given | None]:
        """What the body gives and what the query gives; None for one that is empty."""
        in_query = _query(environ)
        return self._given(environ, self._body(environ)), in_query

    def _body(self, environ: Environ) -> bytes:
        """The body; a request without one has to be one that may do without."""
        settings = self._site.settings
        if environ["REQUEST_METHOD"] != "POST":
            if not self._method.reads and not settings.allow_query_token:
                raise Unreadable(
                    405,
                    "method_not_allowed",
                    f"{self._method.name} changes something, so it takes POST; GET for it needs the setting "
                    "allow_query_token",
                    "POST",
                )
            return b""
        return read_body(environ, settings.api_body)

    def _given(self, environ: Environ, body: bytes) -> Given | None:
        if not body:
            return None
        return read_given(body, environ.get("CONTENT_TYPE") or FORM, self._site.settings.json_depth)

    def _call(self, environ: Environ, in_body: Given | None, in_query: Given | None) -> Answer:
        caller = self._callers.recognise(
            environ.get("HTTP_AUTHORIZATION", ""), _token(in_body), _token(in_query)
        )
        given = in_body or in_query or Given(_NO_VALUES, True)
        result = self._method.call(caller, given)
        self._site.counters.calls[self._method.name, "ok"] += 1
        return answer(OK, success(result))


def _query(environ: Environ) -> Given | None:
    query = environ.get("QUERY_STRING")
    return Given(read_form(query.encode("latin-1")), True) if query else None


def _token(given: Given | None) -> object:
    if given is None:
        return None
    token = given.values.get("security_token")
    return given.values.get("secret") if token is None else token


def _fixed(text: str) -> Callable[[Environ], Answer]:
    return lambda environ: answer(OK, text)


def _nothing_there(environ: Environ, name: str) -> Answer:
    method = BY_NAME.get(name)
    if method is None:
        error = Unreadable(404, "unknown_method", f"there is no method {name[:80]}{nearest(name, BY_NAME)}")
    else:
        allow = "GET, HEAD, POST" if method.reads else "POST"
        error = Unreadable(405, "method_not_allowed", f"{name} takes {allow}", allow)
    return no(error)


def _excuse(environ: Environ, status: int, allow: str) -> Answer:
    if status == 500:
        return answer(STATUS_LINES[500], refusal("internal error", "internal"))
    words = {404: ("not_found", "there is nothing here"), 405: ("method_not_allowed", f"takes {allow}")}
    code, message = words.get(status, ("bad_request", "bad request"))
    return no(Unreadable(status, code, message, allow))
