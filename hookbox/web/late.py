"""Applications that are slow to load: made soon after the start, or when somebody first needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hookbox.web.http import WsgiApp


class LateApp:
    """A WSGI application that is made late.

    Args:
        make: makes it; may take its time.
    """

    def __init__(self, make: Callable[[], WsgiApp]) -> None:
        self._make = make
        self._app: WsgiApp | None = None

    def warm_up(self) -> None:
        """Make it, so that nobody has to wait for it."""
        if self._app is None:
            self._app = self._make()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI interface."""
        self.warm_up()
        assert self._app is not None
        return self._app(environ, start_response)
