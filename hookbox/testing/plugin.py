"""Fixtures for pytest, which finds this module by itself: `hookbox`, `hookbox_app`, `hookbox_receiver` and
`hookbox_server`.

Importing it imports nothing else of Hookbox, so a test run that does not use it does not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hookbox.testing import HookboxProcess, Receiver, ScriptedApp


@pytest.fixture
def hookbox_app() -> Iterator[ScriptedApp]:
    """An application that answers webhooks as the test says; until then it allows everything."""
    from hookbox.testing import ScriptedApp

    app = ScriptedApp()
    yield app
    app.stop()


@pytest.fixture
def hookbox_receiver() -> Iterator[Receiver]:
    """A destination for dispatches that answers as the test says; until then, with 200."""
    from hookbox.testing import Receiver

    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def hookbox(hookbox_server: Callable[..., HookboxProcess]) -> HookboxProcess:
    """A real Hookbox on a free port, which asks `hookbox_app`."""
    return hookbox_server()


@pytest.fixture
def hookbox_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., HookboxProcess]]:
    """Starts a real Hookbox with these settings, ended with the test.

    It asks `hookbox_app`, or the application of yours that the settings name: `hookbox_server(cbport=8000)`.
    """
    from hookbox.testing import HookboxProcess

    started: list[HookboxProcess] = []

    def start(**flags: Any) -> HookboxProcess:
        named = {"cbport", "cb_single_url"} & flags.keys()
        app = None if named else request.getfixturevalue("hookbox_app")
        started.append(HookboxProcess(app, **flags))
        return started[-1]

    yield start
    for server in started:
        server.__exit__()
