"""Who may use what lies beside the API: by token, from this machine, or anybody."""

from __future__ import annotations

from collections.abc import Callable

from hookbox.errors import BadRequest
from hookbox.settings import Settings
from hookbox.web.caller import BadToken, Caller, Callers
from hookbox.web.lean import Environ

CHALLENGE = (("WWW-Authenticate", 'Bearer realm="hookbox"'),)
LOOPBACK = ("127.", "::ffff:127.")
OPERATOR = "hookbox.operator"
"""In the environ of a request of whoever is logged in at the console; no header can set it."""


class Access:
    """Looks at a request's token.

    Args:
        settings: those in force now.
        callers: knows the tokens.
    """

    def __init__(self, settings: Callable[[], Settings], callers: Callers) -> None:
        self._settings = settings
        self._callers = callers

    def caller(self, environ: Environ, in_form: str = "", in_query: str = "") -> Caller | None:
        """Who shows a token.

        Args:
            in_form: a token out of the body, empty for none.
            in_query: a token out of the query string, empty for none.

        Returns:
            None if no token is shown.

        Raises:
            BadRequest: 401, a wrong one, or one in a place where it is not accepted.
        """
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        if not (authorization or in_form or in_query):
            return None
        try:
            return self._callers.recognise(authorization, in_form or None, in_query or None)
        except BadToken as error:
            raise BadRequest(401, str(error), CHALLENGE) from None

    def may_dispatch(self, environ: Environ, in_form: str = "", in_query: str = "") -> Caller | None:
        """Who dispatches; None for somebody who needs no token, as the setting `dispatch_auth` says.

        Raises:
            BadRequest: 401 or 403, not permitted.
        """
        mode = self._settings().dispatch_auth
        if mode == "open" or (mode == "loopback" and _is_local(environ)):
            return None
        return self.require(environ, in_form, in_query, "dispatch")

    def operator(self) -> Caller:
        """Whoever is logged in at the console."""
        return self._callers.operator()

    def require(self, environ: Environ, in_form: str = "", in_query: str = "", what: str = "this") -> Caller:
        """Who calls, by the token.

        Args:
            what: is off without any token, in words.

        Raises:
            BadRequest: 401 without a good token, 403 where none is configured.
        """
        if OPERATOR in environ:
            return self.operator()
        if not any(self._settings().api_security_token):
            raise BadRequest(403, f"{what} is disabled: no API token; set api_security_token")
        caller = self.caller(environ, in_form, in_query)
        if caller is None:
            raise BadRequest(401, "token required: send Authorization: Bearer <token>", CHALLENGE)
        return caller


def _is_local(environ: Environ) -> bool:
    """Whether a request comes from this machine, and not through a proxy that says so."""
    peer: str = environ.get("hookbox.direct_peer", "")
    return peer == "::1" or peer.startswith(LOOPBACK)
