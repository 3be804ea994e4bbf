"""Runs the client's own tests, which are written for Node, along with all others."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_the_client_passes_its_tests_in_node():
    node = shutil.which("node")
    if not node:
        if os.environ.get("CI") == "true":
            pytest.fail("Node is needed on CI")
        pytest.skip("NOT TESTED: the browser client's unit tests need Node 20 or later")
    files = sorted(HERE.glob("*.test.js"))
    run = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
