"""What all tests share: a server and its application as real processes, a real browser, and watchfulness."""

import os
import sys
from pathlib import Path

import pytest
from warm import Starts

from tests.browsing import real_browser

ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
os.environ["HOOKBOX_STORE"] = ":memory:"  # for servers of tests that name no file


@pytest.fixture(scope="session", autouse=True)
def starts():
    """How servers are started: by forking."""
    starts = Starts()
    starts.begin()
    yield starts
    starts.end()


@pytest.fixture(scope="module")
def cold(starts):
    """Has the servers of the module executed, not forked: for tests about starts, ends, restarts and the command."""
    with starts.cold():
        yield


@pytest.fixture
def app():
    """An application that answers webhooks as told."""
    from hookbox.testing import ScriptedApp

    app = ScriptedApp()
    yield app
    app.stop()


@pytest.fixture
def server(app):
    """A real Hookbox on a free port, which asks `app`."""
    from hookbox.testing import HookboxProcess

    with HookboxProcess(app) as server:
        yield server


@pytest.fixture(scope="session")
def browser():
    """A real browser, through playwright."""
    with real_browser() as chromium:
        yield chromium


@pytest.fixture(autouse=True)
def no_greenlet_dies_unseen(monkeypatch):
    """Fail the test in which a greenlet died of an error that nobody looked at."""
    if "gevent.hub" not in sys.modules:
        yield
        return
    import gevent

    from hookbox.errors import HookboxError

    hub, deaths = gevent.get_hub(), []

    def remember(context, kind, value, trace):
        if not issubclass(kind, (*hub.NOT_ERROR, HookboxError)):  # ours are waited for, by `get`
            deaths.append((context, value))

    monkeypatch.setattr(hub, "handle_error", remember)
    yield
    assert not deaths, f"greenlets died: {deaths}"
