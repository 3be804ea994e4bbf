"""What all tests share: a server and its application as real processes, a real browser, and watchfulness."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from warm import Starts

ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
os.environ["HOOKBOX_STORE"] = ":memory:"  # for servers of tests that name no file

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is what the others are when they show no window, for a fifth of their CPU: nothing else is drawn."""
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing(what):
    """Fail where it has to be there, and skip, for all to see, where it need not."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is needed on CI")
    pytest.skip(f"NOT TESTED: {what} is missing")


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
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not executable:
        missing("Chromium")
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        missing("playwright")
    from hookbox.testing import DEADLINE

    expect.set_options(timeout=DEADLINE * 1000)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=list(BROWSER_FLAGS))
        yield chromium
        chromium.close()


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
