"""The browser client's own tests, in Node: as it is written, and as it is minified."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node():
    """Node of the system, or else the one that playwright brings along."""
    if found := shutil.which("node"):
        return found
    playwright = pytest.importorskip("playwright._impl._driver", reason="NOT TESTED: Node is missing")
    return playwright.compute_driver_executable()[0]


@pytest.mark.parametrize("build", ["hookbox.js", "hookbox.min.js"])
@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("*.test.js")))
def test_the_browser_client_passes_its_own_tests(node, file, build):
    done = subprocess.run(
        [node, "--test", HERE / file],
        env=os.environ | {"HOOKBOX_JS": build},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
