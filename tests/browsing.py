"""A real browser for tests."""

import os
import shutil
from contextlib import contextmanager

import pytest

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


@contextmanager
def real_browser():
    """A browser, through playwright, whose loop runs in this thread as long."""
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
